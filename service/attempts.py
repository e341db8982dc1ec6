"""Who tries key after key: failures per client address, over a minute, in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60.0
_MAX_ADDRESSES: Final = 4096


class Attempts:
    """Failed authentications of the last minute, by address.

    Parameters
    ----------
    limit : int
        So many failures within a minute of the first are allowed; 0: any number.
    clock : callable
        Seconds that only ever grow.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, address: str) -> None:
        """Count a failure of an address."""
        until, n_failures = self._failures.get(address, (0.0, 0))
        now = self._clock()
        if now >= until:
            self._failures.pop(address, None)
            until, n_failures = now + WINDOW_SECONDS, 0
            if len(self._failures) >= _MAX_ADDRESSES:
                self._failures.popitem(last=False)  # the one whose minute ends first
        self._failures[address] = (until, n_failures + 1)

    def seconds_to_wait(self, address: str) -> int:
        """Return how long an address must wait before it may try another key; 0: it may now."""
        until, n_failures = self._failures.get(address, (0.0, 0))
        left = until - self._clock()
        return int(left) + 1 if self._limit and n_failures >= self._limit and left > 0 else 0
