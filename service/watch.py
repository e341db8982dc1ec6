"""Which model is served: the pointer of the models directory, looked at again and again.

A model that cannot be loaded is refused and the one before goes on; a missing pointer changes
nothing. The same thread has the live view look for a new policy and catalogue, so that no
request has to.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from typing import Final

import personalize as pz

log = logging.getLogger("personalize.service")

RETRY_SECONDS: Final = 30.0


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
        self._lock = threading.Lock()
        self._refused: str | None = None
        self._retry_at = 0.0
        self._is_failing = False
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
            engine = pz.Engine.load(self._directory.path(version))
            self._live.use(engine)
            try:
                self._directory.use(version, verified=True)
            except pz.ArtifactError:
                self._live.use(self._engine)
                raise
            self._serves(version, engine)

    def _look(self) -> None:
        version = self._directory.current()
        if version is None or version == self._loaded:
            self._refused = None
            return
        if version == self._refused and time.monotonic() < self._retry_at:
            return
        try:
            engine = pz.Engine.load(self._directory.path(version))
            self._live.use(engine)
        except pz.ArtifactError as error:
            self._refused = version
            self._retry_at = time.monotonic() + RETRY_SECONDS
            goes_on = f"{self._loaded} goes on" if self._loaded else "there is none to go on with"
            log.error("model %s is refused, %s: %s", version, goes_on, error)
            return
        self._serves(version, engine)

    def _serves(self, version: str, engine: pz.Engine) -> None:
        self._loaded, self._engine, self._refused = version, engine, None
        log.info("model %s is served", version)

    def start(self) -> None:
        """Look in a thread of its own from now on, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a model that is being loaded is waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

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
        except pz.PersonalizeError as error:
            self._log_once("looking for changes failed: %s", error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look must come
            where = "".join(traceback.format_tb(error.__traceback__))
            self._log_once("looking for changes failed: %s\n%s", type(error).__name__, where)

    def _log_once(self, message: str, *told: object) -> None:
        if not self._is_failing:
            log.error(message, *told)
        self._is_failing = True
