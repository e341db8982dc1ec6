"""Questions that wait at the same time, answered with one read of the store.

A database on the network costs a round trip and a thread per read, whatever is asked. Questions
that come in while one read is under way so go with the next one: the busier it is, the less each
costs, and a quiet service asks at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

import personalize as pz

Pair = tuple[str, str]
MAX_PAIRS: Final = 500
"""Of one read; a question is never divided."""
_READS: Final = 2
"""At once: one is on its way while the answers of another are worked out."""


class Together:
    """Decides pairs of (customer, product) for many callers at once.

    Parameters
    ----------
    live : Personalizer
    """

    def __init__(self, live: pz.Personalizer) -> None:
        self._live = live
        self._waiting: list[tuple[Sequence[Pair], asyncio.Future[pz.Answer[pz.Decision]]]] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._limiter = CapacityLimiter(_READS)

    async def decide(self, pairs: Sequence[Pair]) -> pz.Answer[pz.Decision]:
        """Return a decision for each pair, in the order given.

        Raises
        ------
        ArtifactError
            If there is no model.
        StoreError
            If the store cannot be reached.
        """
        found: asyncio.Future[pz.Answer[pz.Decision]] = asyncio.get_running_loop().create_future()
        self._waiting.append((pairs, found))
        if len(self._readers) < _READS:
            reader = asyncio.create_task(self._read())
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        return await found

    async def _read(self) -> None:
        while self._waiting:
            some = self._next()
            pairs = [pair for asked, _ in some for pair in asked]
            try:
                decided = await run_sync(self._live.check, pairs, limiter=self._limiter)
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                _tell(some, error)
                continue
            start = 0
            for asked, found in some:
                rows = decided[start : start + len(asked)]
                start += len(asked)
                if not found.done():  # the caller may have gone
                    found.set_result(pz.Answer(rows, decided.in_force))

    def _next(self) -> list[tuple[Sequence[Pair], asyncio.Future[pz.Answer[pz.Decision]]]]:
        n = size = 0
        while n < len(self._waiting) and (n == 0 or size + len(self._waiting[n][0]) <= MAX_PAIRS):
            size += len(self._waiting[n][0])
            n += 1
        some, self._waiting = self._waiting[:n], self._waiting[n:]
        return some


def _tell(
    some: list[tuple[Sequence[Pair], asyncio.Future[pz.Answer[pz.Decision]]]], error: Exception
) -> None:
    for _, found in some:
        if not found.done():
            found.set_exception(error)
