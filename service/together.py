"""Questions that wait at the same time, answered with one read of the store.

A database on the network costs a round trip and a thread per read, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import personalize as pz
from service.gather import Gather

Pair = tuple[str, str]
MAX_PAIRS: Final = 500
"""Of one read."""
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
        self._gather: Gather[Sequence[Pair], pz.Answer[pz.Decision]] = Gather(
            self._decided, n_at_once=_READS, most=MAX_PAIRS, size_of=len
        )

    async def decide(self, pairs: Sequence[Pair]) -> pz.Answer[pz.Decision]:
        """Return a decision for each pair, in the order given.

        Raises
        ------
        ArtifactError
            If there is no model.
        StoreError
            If the store cannot be reached.
        """
        return await self._gather.ask(pairs)

    def _decided(self, questions: list[Sequence[Pair]]) -> list[pz.Answer[pz.Decision]]:
        decided = self._live.check([pair for pairs in questions for pair in pairs])
        rows = iter(decided)
        return [pz.Answer([next(rows) for _ in pairs], decided.in_force) for pairs in questions]
