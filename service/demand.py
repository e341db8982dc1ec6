"""Keeps demand fresh: now and then a process beside the service refreshes it from the store.

Whoever of the workers finds it too old first takes a lock and starts the process; what that writes,
every worker takes up by itself, as it takes up a new version. So no worker computes anything, all
agree on what answers, and the name of the refresh is what answers carry.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from typing import Final

import personalize as pz
from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger("personalize.service")

AGAIN_SECONDS: Final = 300.0
"""After a failure, before the next attempt."""
LOOK_SECONDS: Final = 5.0
_COMMAND: Final = (
    "import os, sys; os.nice(10); from personalize.cli import main; sys.exit(main(sys.argv[1:]))"
)


class DemandRefresh:
    """Has demand refreshed once it is older than `Settings.demand_seconds`.

    Parameters
    ----------
    settings : Settings
    directory : ModelsDirectory
    live : Personalizer
        Whose model tells how old demand is.
    metrics : Metrics
    """

    def __init__(
        self,
        settings: Settings,
        directory: pz.ModelsDirectory,
        live: pz.Personalizer,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._live = live
        self._metrics = metrics
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look in a thread of its own from now on, until `stop`, unless it is switched off."""
        if self._settings.demand_seconds > 0:
            self._thread = threading.Thread(target=self._run, name="demand", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; a refresh under way is cut off, which harms nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        look = min(LOOK_SECONDS, self._settings.demand_seconds)
        while not self._stop.wait(look):
            try:
                self.look()
            except OSError as error:
                self._failed(f"it cannot be started: {error.strerror or error}")

    def look(self) -> None:
        """Refresh demand if it is too old and nobody else is at it."""
        if not self._is_due(self._live.model_as_of):
            return
        with self._directory.locked("demand") as is_ours:
            if is_ours and not self._is_failing():
                self._refresh()

    def _is_due(self, as_of: int | None) -> bool:
        """Return whether demand of that moment is too old; without a model there is none."""
        seconds = self._settings.demand_seconds
        return as_of is not None and self._live.now() - as_of >= seconds * 1e6

    def _is_failing(self) -> bool:
        """Return whether an attempt, by whichever worker, was made a moment ago."""
        again = min(AGAIN_SECONDS, self._settings.demand_seconds)
        mark = self._directory.folder / ".demand.tried"
        try:
            if time.time() - mark.stat().st_mtime < again:
                return True
        except FileNotFoundError:
            pass
        mark.touch()
        return False

    def _refresh(self) -> None:
        command = [sys.executable, "-c", _COMMAND, "refresh-demand"]
        command += ["--models", str(self._settings.models)]
        # The store's address may hold a password: others can read a command line.
        environment = {**os.environ, "PERSONALIZE_STORE": self._settings.store}
        started = time.monotonic()
        with subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while True:
                try:
                    _, told = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    if self._stop.is_set():
                        process.kill()
        if self._stop.is_set():
            return
        if process.returncode:
            lines = [line for line in told.splitlines() if line.startswith("error: ")]
            self._failed(lines[-1] if lines else f"it ended with {process.returncode}")
            return
        self._metrics.refresh("done")
        log.info("demand is refreshed, in %.1f s", time.monotonic() - started)

    def _failed(self, why: str) -> None:
        self._metrics.refresh("failed")
        log.error("demand is not refreshed, the one before goes on: %s", why)
