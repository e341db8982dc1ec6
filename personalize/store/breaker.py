"""A server that could not be reached is left alone for a moment, so that nobody waits for it."""

from __future__ import annotations

import threading
import time
from typing import Final

NOBODY: Final = 0


class Breaker:
    """Says whether a server may be asked; safe to share between threads.

    After a failure every question fails at once for `quiet_seconds`. Then one of them, the probe,
    goes through, while the others go on failing; its success or failure decides what follows.
    """

    def __init__(self, quiet_seconds: float) -> None:
        self._quiet_seconds = quiet_seconds
        self._lock = threading.Lock()
        self._is_open = False
        self._until = 0.0
        self._probe = NOBODY  # the thread whose question goes through meanwhile

    def lets_through(self) -> bool:
        """Return whether this thread's question may go to the server."""
        if not self._is_open:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._until:
                return False
            self._until = now + self._quiet_seconds
            self._probe = threading.get_ident()
            return True

    def still_lets_through(self) -> bool:
        """Return the same for a thread that was let through before and waited since."""
        return not self._is_open or self._probe == threading.get_ident()

    def failed(self) -> None:
        """Take note that the server could not be reached."""
        with self._lock:
            self._is_open = True
            self._until = time.monotonic() + self._quiet_seconds
            self._probe = NOBODY

    def succeeded(self) -> None:
        """Take note that the server answered."""
        if self._is_open:
            with self._lock:
                self._is_open = False
                self._probe = NOBODY
