"""What comes next for many customers at once, compiled: the lists that the history fills alone.

The same arithmetic as `Association.next_scores` and `Demand.of_next`, the same guards
(`personalize.ranking.fill`), run for one customer after another without making a table of each. A
list that the history does not fill is left to `View.answer`, which knows what to do then.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from personalize.association import Association, summed
from personalize.compiled import compiled
from personalize.demand import Demand
from personalize.ranking import FIRST_LOOK, fill, leading, others

Array = np.ndarray[Any, np.dtype[Any]]

_LOOK: Final = 32
"""Candidates sorted at first, twice as many each time that the guards leave too few of these."""


class Histories(NamedTuple):
    """What each customer owns and must not be shown; rows of each customer lie side by side.

    Parameters
    ----------
    owned : tuple of two int arrays
        Row starts, shape (n + 1,), and product numbers, ascending within a customer.
    products, groups, types : tuple of two int arrays
        Row starts and numbers of what is barred besides what is owned.
    """

    owned: tuple[Array, Array]
    products: tuple[Array, Array]
    groups: tuple[Array, Array]
    types: tuple[Array, Array]


class Guards(NamedTuple):
    """What holds for everyone: as in `personalize.ranking.rank`."""

    wanted: Array
    """int, shape (m,): as in `Association.next_scores`."""
    is_seed: Array
    """bool, shape (n_products,): the model knows it and it may speak."""
    is_shown: Array
    group: Array
    kind: Array
    most: Array
    n_groups: int


class Filled(NamedTuple):
    """The lists, one row per customer."""

    nums: Array
    """int32, shape (n, k)."""
    scores: Array
    """float64, shape (n, k)."""
    because: Array
    """int32, shape (n, k): -1 where no product of the history speaks for it."""
    sizes: Array
    """int64, shape (n,): places filled; below `k` the list is not finished."""


def scored(
    own: Array, touched: Array, intercepts: Array, factors: Array, pull: Array, wanted: Array,
    least: int, is_owned: Array, total: Array, is_touched: Array, found: Array, scores: Array,
) -> int:  # fmt: skip
    """Write the candidates and their scores, undo the sums; return how many there are."""
    for h in own:
        if h < len(total) and is_touched[h]:
            total[h] = -np.inf
    n = 0
    for c in touched:
        score = total[c] + np.float64(intercepts[c])
        total[c] = 0.0
        found[n] = c
        scores[n] = score * np.float64(factors[c])
        n += score > 0.0
    if len(touched) and n >= least:
        for c in wanted:
            if not is_touched[c] and not is_owned[c]:
                found[n] = c
                scores[n] = np.float64(intercepts[c]) * np.float64(factors[c])
                n += 1
    for c in touched:
        is_touched[c] = False
    if len(pull):
        top = 0.0
        for i in range(n):
            top = max(top, scores[i])
        for i in range(n):
            scores[i] += top * np.float64(pull[found[i]])
    return n


def mark(marks: Array, nums: Array, value: bool) -> None:
    """Mark these numbers."""
    for num in nums:
        marks[num] = value


def speaking(
    own: Array, is_seed: Array, indptr: Array, nums: Array, weights: Array,
    listed: Array, is_listed: Array, largest: Array, because: Array,
) -> None:  # fmt: skip
    """Write which product of a history says most for each one listed, if any speaks for it."""
    for place in range(len(listed)):
        is_listed[listed[place]] = True
        largest[place] = 0.0
    for h in own:
        if is_seed[h]:
            for j in range(indptr[h], indptr[h + 1]):
                if weights[j] <= 0.0:  # the weights of a product descend
                    break
                if is_listed[nums[j]]:
                    place = 0
                    while listed[place] != nums[j]:
                        place += 1
                    if weights[j] > largest[place]:
                        largest[place] = weights[j]
                        because[place] = h
    for c in listed:
        is_listed[c] = False


def _follow(
    owned_starts: Array, owned: Array, product_starts: Array, products: Array,
    group_starts: Array, groups: Array, type_starts: Array, types: Array,
    came: Array, indptr: Array, nums: Array, weights: Array, intercepts: Array, factors: Array,
    pull: Array, wanted: Array, is_seed: Array, is_shown: Array, group: Array, kind: Array,
    most: Array, n_groups: int, look: int, first_look: int, out_nums: Array, out_scores: Array,
    out_because: Array, sizes: Array,
) -> None:  # fmt: skip
    """Write the list of each customer."""
    n_products, k, n_model = len(is_shown), out_nums.shape[1], len(intercepts)
    total, is_touched = np.zeros(n_model), np.zeros(n_model, np.bool_)
    touched = np.empty(n_model + 1, np.int32)  # one more: the place after the last is written too
    found, scores = np.empty(n_model + 1, np.int32), np.empty(n_model + 1)
    order, best = np.empty(first_look, np.int64), np.empty(first_look)
    no_product = np.zeros(n_products, np.bool_)
    no_group = np.zeros(n_groups, np.bool_)
    no_kind = np.zeros(len(most), np.bool_)
    held = np.zeros(len(most), np.int64)
    places = np.empty(k, np.int64)
    largest = np.empty(k, np.float32)
    for row in range(len(sizes)):
        own = owned[owned_starts[row] : owned_starts[row + 1]]
        away = products[product_starts[row] : product_starts[row + 1]]
        of_group = groups[group_starts[row] : group_starts[row + 1]]
        of_kind = types[type_starts[row] : type_starts[row + 1]]
        n = summed(own, is_seed, indptr, nums, weights, total, is_touched, touched)
        mark(no_product, own, True)
        n = scored(
            own, touched[:n], intercepts, factors[came[row]], pull, wanted, k, no_product, total,
            is_touched, found, scores,
        )  # fmt: skip
        mark(no_product, away, True)
        mark(no_group, of_group, True)
        mark(no_kind, of_kind, True)
        n_placed, n_seen, room = 0, 0, look
        above, last = np.inf, -1
        while n_placed < k and n_seen < n:  # the best first; others only if the guards leave room
            if room <= first_look:
                n_next = leading(scores[:n], found, above, last, best[:room], order)
                coming = order[:n_next]
            else:
                coming = others(scores[:n], found[:n], above, last)
            n_placed = fill(
                coming, found, False, is_shown, group, kind, most, no_product, no_group, no_kind,
                held, places, n_placed, k,
            )  # fmt: skip
            above, last = scores[coming[-1]], found[coming[-1]]
            n_seen += len(coming)
            room *= 2
        sizes[row] = n_placed
        for i in range(n_placed):
            c = found[places[i]]
            out_nums[row, i] = c
            out_scores[row, i] = scores[places[i]]
            no_product[c] = False
            if group[c] >= 0:
                no_group[group[c]] = False
            if kind[c] >= 0:
                held[kind[c]] = 0
        speaking(
            own, is_seed, indptr, nums, weights, out_nums[row, :n_placed], is_touched,
            largest, out_because[row],
        )  # fmt: skip
        mark(no_product, own, False)
        mark(no_product, away, False)
        mark(no_group, of_group, False)
        mark(no_kind, of_kind, False)


follow = compiled(_follow, uses=(summed, scored, leading, others, mark, speaking, fill))


def follow_up(
    histories: Histories, came: Array, guards: Guards, products: Association, demand: Demand, k: int
) -> Filled:
    """Return what comes next for each customer, as far as the history alone can say.

    Parameters
    ----------
    histories : Histories
        Of n customers.
    came : int64, shape (n,)
        Each one's row of `Demand.factors`.
    guards : Guards
    products : Association
    demand : Demand
    k : int

    Returns
    -------
    Filled
        Only lists of `k` places are finished: the others may want what is behind the history.
    """
    n = len(histories.owned[0]) - 1
    found = Filled(
        np.zeros((n, k), np.int32),
        np.zeros((n, k)),
        np.full((n, k), -1, np.int32),
        np.zeros(n, np.int64),
    )
    pull = demand.pull if demand.pull.any() else demand.pull[:0]
    follow(
        *histories.owned, *histories.products, *histories.groups, *histories.types, came,
        products.next_indptr, products.next_nums, products.next_weights,
        products.next_intercepts, demand.factors, pull, guards.wanted, guards.is_seed,
        guards.is_shown, guards.group, guards.kind, guards.most, guards.n_groups, _LOOK,
        FIRST_LOOK, *found,
    )  # fmt: skip
    return found
