"""Candidates and guards become a list: filtering, tie-breaking and top-k, here and only here.

A list is built from tiers, the best founded first. Whatever tier a product comes from, it passes
the same guards; a tier's scores are squeezed below those of the tier before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from personalize.products import ProductSpace

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GOES_WITH: Final = "goes_with"
GOES_WITH_TYPE: Final = "goes_with_type"
OFTEN_NEXT: Final = "often_next"
DUE: Final = "due"
POPULAR: Final = "popular"
PICK_REASONS: Final = (GOES_WITH, GOES_WITH_TYPE, OFTEN_NEXT, DUE, POPULAR)

FIRST_LOOK: Final = 256
"""Candidates sorted at first; the rest only if the guards leave too few of these."""


class Pick(NamedTuple):
    """One row of a list; ``score`` is unitless and comparable within its list only."""

    product_id: str
    rank: int
    score: float
    reason: str
    because_product_id: str | None
    support: int | None
    lift: float | None


@dataclass(frozen=True, eq=False)
class Tier:
    """Candidates of one kind, in any order.

    Parameters
    ----------
    nums : int, shape (n,)
        Product numbers, distinct.
    scores : float64, shape (n,), > 0
    reasons : str, or sequence of str of length n
    because : int, shape (n,), optional
        The product behind each candidate.
    support, lift : shape (n,), optional
        Evidence of the pair with ``because``; a negative support is none.
    limit : int, optional
        The tier may fill at most so many places.
    frees_products : bool
        Whether barred products may come from this tier (not so groups and types).
    """

    nums: NDArray[np.integer]
    scores: Floats
    reasons: str | Sequence[str]
    because: NDArray[np.integer] | None = None
    support: NDArray[np.integer] | None = None
    lift: NDArray[np.floating] | None = None
    limit: int | None = None
    frees_products: bool = False

    def ordered(self) -> Iterator[Ints]:
        """Yield places by score descending, then product number, in one or two parts."""
        n = len(self.nums)
        if n > 2 * FIRST_LOOK:
            bar = np.partition(self.scores, n - FIRST_LOOK)[n - FIRST_LOOK]
            yield self._sorted(np.flatnonzero(self.scores >= bar))
            yield self._sorted(np.flatnonzero(self.scores < bar))
        else:
            yield self._sorted(np.arange(n))

    def _sorted(self, places: Ints) -> Ints:
        return places[np.lexsort((self.nums[places], -self.scores[places]))]


@dataclass(slots=True)
class Barred:
    """What one list must not hold; filled in by whoever knows why.

    Parameters
    ----------
    products, groups, types : set of int
        Product, item group and product type numbers.
    """

    products: set[int] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    types: set[int] = field(default_factory=set)

    def bar_with_kin(
        self, nums: Sequence[int], space: ProductSpace, is_one_per_need: NDArray[np.bool_]
    ) -> None:
        """Bar products with all their variants, and with their type where one is enough."""
        for num in nums:
            self.products.add(num)
            if space.group[num] >= 0:
                self.groups.add(space.group[num])
            type_num = space.type[num]
            if type_num >= 0 and is_one_per_need[type_num]:
                self.types.add(type_num)


def fill(
    order: Ints,
    nums: NDArray[np.integer],
    frees_products: bool,
    is_shown: NDArray[np.bool_],
    group: Ints,
    kind: Ints,
    most: Ints,
    no_product: NDArray[np.bool_],
    no_group: NDArray[np.bool_],
    no_kind: NDArray[np.bool_],
    held: Ints,
    places: Ints,
    n_placed: int,
    room: int,
) -> int:
    """Write the places of candidates that pass every guard; return how many there are then.

    The one rule of what may come into a list, run by the interpreter for one customer and compiled
    for many. Candidates are taken in `order` until `room` are placed; what is placed is barred
    from then on. ``group`` and ``kind`` are each product's item group and type (-1: none),
    ``most`` is how many of a type a list may hold and ``held`` how many it does.
    """
    for place in order:
        if n_placed >= room:
            break
        num = nums[place]
        if not is_shown[num] or (no_product[num] and not frees_products):
            continue
        of_group, of_kind = group[num], kind[num]
        if of_group >= 0 and no_group[of_group]:
            continue
        if of_kind >= 0:
            if no_kind[of_kind] or held[of_kind] >= most[of_kind]:
                continue
            held[of_kind] += 1
        no_product[num] = True
        if of_group >= 0:
            no_group[of_group] = True
        places[n_placed] = place
        n_placed += 1
    return n_placed


def leading(
    scores: Floats, nums: NDArray[Any], above: float, last: int, best: Floats, order: Ints
) -> int:
    """Write the places that come next by score, then number, into `order`; return how many.

    Next after the number `last` of score `above`, and as many as `best` has room for: sorted in as
    they are met, which few of them are once the room is full.
    """
    room, n = len(best), 0
    bar = -np.inf
    for place in range(len(scores)):
        score = scores[place]
        if score < bar or score > above:
            continue
        c = nums[place]
        if score == above and c <= last:
            continue
        if n < room:
            n += 1
        elif score == bar and c > nums[order[n - 1]]:
            continue
        at = n - 1
        while at > 0 and (
            best[at - 1] < score or (best[at - 1] == score and nums[order[at - 1]] > c)
        ):
            best[at], order[at] = best[at - 1], order[at - 1]
            at -= 1
        best[at], order[at] = score, place
        if n == room:
            bar = best[n - 1]
    return n


def others(scores: Floats, nums: NDArray[Any], above: float, last: int) -> Ints:
    """Return the places of all that come after the number `last` of score `above`."""
    places = np.flatnonzero((scores < above) | ((scores == above) & (nums > last)))
    places = places[np.argsort(nums[places], kind="mergesort")]
    return places[np.argsort(-scores[places], kind="mergesort")]


def rank(
    tiers: Iterable[Tier],
    k: int,
    *,
    space: ProductSpace,
    is_shown: NDArray[np.bool_],
    barred: Barred,
    max_per_type: NDArray[np.int64],
) -> list[Pick]:
    """Return the first `k` candidates that pass every guard.

    Parameters
    ----------
    tiers : iterable of Tier
        Best founded first, taken only while there is room; a product counts in the first tier
        that holds it.
    k : int
    space : ProductSpace
    is_shown : bool, shape (n_products,)
        In stock and not sensitive.
    barred : Barred
        Left as it is.
    max_per_type : int, shape (n_types,)
        Picks of one type that a list may hold.

    Returns
    -------
    list of Pick
        Ranks 1..n without gaps, no product twice, no two variants of one group.
    """
    picks: list[Pick] = []
    no_product, no_group, no_kind = (
        _marked(each, n)
        for each, n in (
            (barred.products, len(space)),
            (barred.groups, len(space.groups)),
            (barred.types, len(space.types)),
        )
    )
    held = np.zeros(len(space.types), dtype=np.int64)
    group, kind = space.array("group"), space.array("type")
    places = np.empty(k, dtype=np.int64)
    ceiling = math.inf
    for tier in tiers:
        before = len(picks)
        room = k if tier.limit is None else min(k, before + tier.limit)
        n_placed = before
        for order in tier.ordered():
            n_placed = fill(
                order, tier.nums, tier.frees_products, is_shown, group, kind, max_per_type,
                no_product, no_group, no_kind, held, places, n_placed, room,
            )  # fmt: skip
            if n_placed >= room:
                break
        last = (math.inf, math.inf)
        for place in places[before:n_placed].tolist():
            last = _squeezed(float(tier.scores[place]), ceiling, last)
            picks.append(_pick(tier, place, len(picks) + 1, last[1], space))
        if len(picks) >= k:
            break
        if len(picks) > before:
            ceiling = picks[-1].score
    return picks


def _marked(nums: set[int], n: int) -> NDArray[np.bool_]:
    marks = np.zeros(n, dtype=np.bool_)
    marks[list(nums)] = True
    return marks


def _squeezed(raw: float, ceiling: float, last: tuple[float, float]) -> tuple[float, float]:
    """Return a candidate's score in its tier and in the list, `last` being that of the one before.

    In the list it is below the tiers before and, unless they tie, below the one before: rounding
    must not make a tie that the product id did not break.
    """
    if raw == last[0]:
        return last
    if ceiling == math.inf:
        return raw, raw
    highest = math.nextafter(min(ceiling, last[1]), 0.0)
    return raw, min(ceiling * (raw / (1.0 + raw)), highest)


def _pick(tier: Tier, place: int, position: int, score: float, space: ProductSpace) -> Pick:
    because = None if tier.because is None else int(tier.because[place])
    support = -1 if tier.support is None else int(tier.support[place])
    return Pick(
        product_id=space.ids[tier.nums[place]],
        rank=position,
        score=score,
        reason=tier.reasons if isinstance(tier.reasons, str) else tier.reasons[place],
        because_product_id=None if because is None or because < 0 else space.ids[because],
        support=support if support >= 0 else None,
        lift=float(tier.lift[place]) if tier.lift is not None and support >= 0 else None,
    )
