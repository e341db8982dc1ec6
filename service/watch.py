"""Which model is served: the pointer of the models directory, looked at again and again.

A model that cannot be loaded is refused and the one before goes on; a missing pointer changes
nothing. Of a version its newest refresh of demand is served, once there is one. The same thread has
the live view look for a new policy and catalogue, so that no request has to.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from typing import Final, Protocol

import personalize as pz

log = logging.getLogger("personalize.service")

RETRY_SECONDS: Final = 30.0


class Closes(Protocol):
    """What is given back when it is closed."""

    def close(self) -> None:
        """Give it back."""


class ModelWatch:
    """Keeps `live` on the current model of `directory`.

    Parameters
    ----------
    directory : ModelsDirectory
    live : Personalizer
    seconds : float
        Between two looks.
    """

    def __init__(
        self, directory: pz.ModelsDirectory, live: pz.Personalizer, seconds: float
    ) -> None:
        self._directory = directory
        self._live = live
        self._seconds = seconds
        self._loaded: str | None = None
        self._engine: pz.Engine | None = None
        self._base: tuple[str, pz.Engine] | None = None
        self._hold: Closes | None = None
        self._lock = threading.Lock()
        self._refused: str | None = None
        self._retry_at = 0.0
        self._is_failing = False
        self.refreshed_at: float | None = None
        """When the last look succeeded, by `time.monotonic`."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def refused(self) -> str | None:
        """The version that the pointer names and that could not be loaded."""
        return self._refused

    @property
    def directory(self) -> pz.ModelsDirectory:
        """Where the versions are."""
        return self._directory

    def look(self) -> None:
        """Serve what the pointer names, if that is new and sound."""
        with self._lock:
            self._look()

    def switch(self, version: str) -> None:
        """Load a version, serve it, and make it the current one for every process.

        Raises
        ------
        ArtifactError
            If there is no such version, it cannot be loaded, or the pointer cannot be written; what
            answered before goes on.
        StoreError
            If the store cannot be reached; what answered before goes on.
        """
        with self._lock:
            hold, base = self._load(version)
            name, engine = self._refreshed(base, version)
            self._live.use(engine)
            try:
                self._directory.use(version, verified=True)
            except pz.ArtifactError:
                self._live.use(self._engine)
                raise
            self._serves(version, base, name, engine, hold)

    def _look(self) -> None:
        version = self._directory.current()
        newest = version and self._directory.newest(version)
        if version is None or newest == self._loaded:
            self._refused = None
            return
        if newest == self._refused and time.monotonic() < self._retry_at:
            return
        is_known = self._base is not None and self._base[0] == version
        try:
            hold, base = None, self._base[1] if self._base is not None else None
            if base is None or not is_known:
                hold, base = self._load(version)
        except pz.ArtifactError as error:
            goes_on = f"{self._loaded} goes on" if self._loaded else "there is none to go on with"
            log.error("model %s is refused, %s: %s", version, goes_on, error)
            self._refuses(newest)
            return
        name, engine = self._refreshed(base, version)
        if name == version and is_known and newest != version:
            return  # what was served of this version goes on
        self._live.use(engine)
        self._serves(version, base, name, engine, hold)

    def _load(self, version: str) -> tuple[Closes, pz.Engine]:
        """Return a version, held first: nobody removes it while it is read and served."""
        hold = self._directory.hold(version)
        try:
            return hold, pz.Engine.load(self._directory.path(version))
        except pz.ArtifactError:
            hold.close()
            raise

    def _refreshed(self, base: pz.Engine, version: str) -> tuple[str, pz.Engine]:
        """Return a version with its newest refresh, or as it is if none can be loaded."""
        name = self._directory.newest(version)
        if name == version:
            return version, base
        try:
            return name, base.with_demand(self._directory.refresh_path(version, name))
        except pz.ArtifactError as error:
            log.error("the refreshed demand %s is refused, an earlier one goes on: %s", name, error)
            self._refuses(name)
            return version, base

    def _refuses(self, name: str | None) -> None:
        self._refused = name
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _serves(
        self, version: str, base: pz.Engine, name: str, engine: pz.Engine, hold: Closes | None
    ) -> None:
        self._base, self._engine, self._loaded = (version, base), engine, name
        if hold is not None:
            self._release()
            self._hold = hold
        if name == self._directory.newest(version):
            self._refused = None
        log.info("model %s is served", name)

    def start(self) -> None:
        """Look in a thread of its own from now on, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a model that is being loaded is waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._release()

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.tick()

    def tick(self) -> None:
        """Look for a new model, policy and catalogue; a failure is tried again.

        It is logged once, until a look succeeds.
        """
        try:
            self.look()
            self._live.refresh()
            self._is_failing = False
            self.refreshed_at = time.monotonic()
        except pz.PersonalizeError as error:
            self._log_once("looking for changes failed: %s", error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look must come
            where = "".join(traceback.format_tb(error.__traceback__))
            self._log_once("looking for changes failed: %s\n%s", type(error).__name__, where)

    def _log_once(self, message: str, *told: object) -> None:
        if not self._is_failing:
            log.error(message, *told)
        self._is_failing = True
