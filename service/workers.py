"""Several workers on one socket: watched over, counted together, stopped in good order."""

from __future__ import annotations

import logging

from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

log = logging.getLogger("personalize.service")


class Workers(Multiprocess):
    """uvicorn's supervisor, which replaces workers that die."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died; what they showed of themselves is counted no more."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            log.error("worker %s died, another one takes its place", pid)
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        """Stop listening here, then tell the workers to stop.

        A socket that stays open in this process would take connections in that nobody serves.
        """
        for sock in self.sockets:
            sock.close()
        super().terminate_all()
