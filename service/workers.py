"""Several workers on one socket: watched over, replaced when they die, stopped in good order."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from typing import Final

import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors.multiprocess import Multiprocess

import personalize as pz
from service.app import from_environment, settle

log = logging.getLogger("personalize.service")

APPLICATION: Final = "service.workers:application"
ATTEMPTS: Final = 3
"""Starts in vain for each worker, with none that serves, before the service gives up."""


def application() -> FastAPI:
    """Return the application of a worker; an error that ends it is one line."""
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    try:
        app = from_environment()
    except pz.PersonalizeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    settle()
    return app


def _end_with_supervisor() -> None:
    """Stop in good order once nobody watches over this worker any more."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        log.error("the supervisor is gone; this worker stops")
        os.kill(os.getpid(), signal.SIGTERM)


class Workers(Multiprocess):
    """Keeps as many workers as ``config.workers`` says.

    One that dies or hangs is replaced, again and again: the cause may pass. Only where none serves
    and start after start fails is the service at an end.

    Attributes
    ----------
    failed : bool
        Whether it ended because no worker could start.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False
        self._in_vain = 0
        self._has_served: set[int | None] = set()

    def keep_subprocess_alive(self) -> None:
        """Replace every worker that is gone or hangs."""
        patience = self.config.timeout_worker_healthcheck
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.is_alive(timeout=patience):
                if process.pid not in self._has_served and process.is_ready(timeout=patience):
                    self._has_served.add(process.pid)
                    self._in_vain = 0
                continue
            process.kill()
            process.join()
            self._in_vain += process.pid not in self._has_served
            self._has_served.discard(process.pid)
            mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            if self._in_vain >= ATTEMPTS * self.processes_num and not self._has_served:
                self.failed = True
                self.should_exit.set()
                return
            told = "worker %s %s; another one is started"
            log.error(told, process.pid, _ended(process.exitcode))
            started = type(process)(self.config, self.sockets)
            started.start()
            self.processes[place] = started

    def terminate_all(self) -> None:
        """Stop listening here, then tell the workers to stop.

        A socket that stays open in this process would take connections in that nobody serves.
        """
        for sock in self.sockets:
            sock.close()
        super().terminate_all()


def _ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with {exit_code}"
