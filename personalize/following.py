"""What comes next for many customers at once, compiled: the lists that the history fills alone.

The same arithmetic as `Association.next_scores` and `Demand.of_next`, the same guards
(`personalize.ranking.fill`), run for one customer after another without making a table of each. A
list that the history does not fill is left to `View.answer`, which knows what to do then.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from personalize.association import Association
from personalize.blocks import in_blocks, n_threads
from personalize.compiled import compiled
from personalize.demand import Demand
from personalize.ranking import FIRST_LOOK, fill

Array = np.ndarray[Any, np.dtype[Any]]

_BLOCK: Final = 20_000
"""Customers of one piece of work."""


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


def _follow(
    start: int, stop: int, owned_starts: Array, owned: Array, product_starts: Array,
    products: Array, group_starts: Array, groups: Array, type_starts: Array, types: Array,
    indptr: Array, nums: Array, weights: Array, intercepts: Array, factors: Array, wanted: Array,
    is_seed: Array, is_shown: Array, group: Array, kind: Array, most: Array, n_groups: int,
    first_look: int, out_nums: Array, out_scores: Array, out_because: Array, sizes: Array,
) -> None:  # fmt: skip
    """Write the lists of customers `start` to `stop`."""
    n_products, k = len(is_shown), out_nums.shape[1]
    total = np.zeros(len(intercepts))
    largest = np.zeros(len(intercepts))
    speaker = np.full(len(intercepts), -1, np.int32)
    is_touched = np.zeros(len(intercepts), np.bool_)
    touched = np.empty(len(intercepts), np.int32)
    no_product = np.zeros(n_products, np.bool_)
    no_group = np.zeros(n_groups, np.bool_)
    no_kind = np.zeros(len(most), np.bool_)
    held = np.zeros(len(most), np.int64)
    places = np.empty(k, np.int64)
    for row in range(start, stop):
        n_touched = 0
        for i in range(owned_starts[row], owned_starts[row + 1]):
            h = owned[i]
            no_product[h] = True
            if not is_seed[h]:
                continue
            for j in range(indptr[h], indptr[h + 1]):
                c = nums[j]
                weight = np.float64(weights[j])
                if not is_touched[c]:
                    is_touched[c] = True
                    touched[n_touched] = c
                    n_touched += 1
                    largest[c] = weight
                    speaker[c] = h
                elif weight > largest[c]:
                    largest[c] = weight
                    speaker[c] = h
                total[c] += weight
        n_linked = 0
        for i in range(n_touched):
            c = touched[i]
            if total[c] + np.float64(intercepts[c]) > 0.0 and not no_product[c]:
                n_linked += 1
        if n_touched and n_linked >= k:
            for c in wanted:
                if not is_touched[c]:
                    is_touched[c] = True
                    touched[n_touched] = c
                    n_touched += 1
                    largest[c] = 0.0
        for i in range(product_starts[row], product_starts[row + 1]):
            no_product[products[i]] = True
        for i in range(group_starts[row], group_starts[row + 1]):
            no_group[groups[i]] = True
        for i in range(type_starts[row], type_starts[row + 1]):
            no_kind[types[i]] = True
        found = touched[:n_touched]
        scores = np.empty(n_touched)
        n = 0
        for i in range(n_touched):
            c = found[i]
            score = total[c] + np.float64(intercepts[c])
            if score > 0.0 and is_shown[c] and not no_product[c]:
                found[n] = c
                scores[n] = score * np.float64(factors[c])
                n += 1
            total[c] = 0.0
            is_touched[c] = False
        scores = scores[:n]
        bar = -np.inf
        if n > 2 * first_look:
            bar = np.partition(scores, n - first_look)[n - first_look]
        n_placed = 0
        for look in range(2):  # the best first; the others only if the guards leave room
            part = np.flatnonzero(scores >= bar) if look == 0 else np.flatnonzero(scores < bar)
            part = part[np.argsort(found[part], kind="mergesort")]
            part = part[np.argsort(-scores[part], kind="mergesort")]
            n_placed = fill(
                part, found, False, is_shown, group, kind, most, no_product, no_group, no_kind,
                held, places, n_placed, k,
            )  # fmt: skip
            if n_placed >= k:
                break
        sizes[row - start] = n_placed
        for i in range(n_placed):
            c = found[places[i]]
            out_nums[row - start, i] = c
            out_scores[row - start, i] = scores[places[i]]
            out_because[row - start, i] = speaker[c] if largest[c] > 0.0 else -1
            no_product[c] = False
            if group[c] >= 0:
                no_group[group[c]] = False
            if kind[c] >= 0:
                held[kind[c]] = 0
        for i in range(owned_starts[row], owned_starts[row + 1]):
            no_product[owned[i]] = False
        for i in range(product_starts[row], product_starts[row + 1]):
            no_product[products[i]] = False
        for i in range(group_starts[row], group_starts[row + 1]):
            no_group[groups[i]] = False
        for i in range(type_starts[row], type_starts[row + 1]):
            no_kind[types[i]] = False


follow = compiled(_follow, uses=(fill,))


def follow_up(
    histories: Histories, guards: Guards, products: Association, demand: Demand, k: int
) -> Filled:
    """Return what comes next for each customer, as far as the history alone can say.

    Parameters
    ----------
    histories : Histories
        Of n customers.
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

    def work(start: int, stop: int) -> Filled:
        shape = (stop - start, k)
        out = Filled(
            np.zeros(shape, np.int32),
            np.zeros(shape),
            np.full(shape, -1, np.int32),
            np.zeros(stop - start, np.int64),
        )
        follow(
            start, stop, *histories.owned, *histories.products, *histories.groups,
            *histories.types, products.next_indptr, products.next_nums, products.next_weights,
            products.next_intercepts, demand.factors, guards.wanted, guards.is_seed,
            guards.is_shown, guards.group, guards.kind, guards.most, guards.n_groups,
            FIRST_LOOK, *out,
        )  # fmt: skip
        return out

    size = max(1, min(_BLOCK, -(-n // n_threads())))
    return Filled(*(np.concatenate(part) for part in zip(*in_blocks(work, n, size), strict=True)))
