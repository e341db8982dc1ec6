"""What is bought with what, and what is bought next: two learned tables of product pairs.

`together` is the chance that an order with one product holds the other: old orders fade, large
ones say less, and a share of `next` evens it out. `next` are weights from what a customer owns to
what they buy besides, by the neighbourhood ridge: for each product the linear model on its nearest
products, solved exactly (the closed form of EASE, Steck 2019, restricted to neighbours). Every
pair in either, and every pair that the ridge looks at, was made by at least `min_customers`
different customers.

Fitting compiles loops with numba and spreads rows over threads; scoring is numpy only. What is
shown, suppressed or kept out is decided elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Self

import numpy as np

from personalize.compiled import compiled
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]

MAX_ROW: Final = 1_000
"""Products of one order or customer that pairs are counted from. A larger order says nothing of
what goes with what and is left out; of a customer's products the latest count. It bounds the work
that one reseller makes."""
GRAM_PER_NEIGHBOUR: Final = 20
"""Pairs kept per product in the Gram matrix, for each neighbour asked for: bounds its memory."""
DAMPING_ORDERS: Final = 2.0
"""Orders of doubt: a product seen in so many orders speaks half as loud in a basket of several."""
POWER: Final = 4
"""How several anchors add up: the root of the sum of powers. At 1 popular complements of all win
over the one that belongs to something in the basket; endlessly large, only the best anchor counts.
Chosen on earlier months: with 8 anchors NDCG@10 is .269 at 1, .337 at 2, .347 at 4, .344 beyond."""
_BLOCK: Final = 4_000_000


class Scored(NamedTuple):
    """Candidates of one question, ascending by number, every score above 0."""

    nums: Array
    """int32, shape (n,): product numbers."""
    scores: Array
    """float64, shape (n,): comparable within this answer only."""
    because: Array
    """int32, shape (n,): the product asked about that adds most."""
    support: Array
    """int32, shape (n,): orders that hold both (0 for `next`)."""
    lift: Array
    """float32, shape (n,): ratio to chance of the two (NaN for `next`)."""


@compiled
def _pair_rows(
    start: int, stop: int, of_indptr: Array, of_groups: Array, indptr: Array, products: Array,
    weight: Array, customer: Array, scale: Array, min_customers: int,
    nums: Array, weights: Array, counts: Array, lengths: Array,
) -> None:  # fmt: skip
    """Write the strongest pairs of products `start` to `stop`, counted over groups.

    A group is a basket or a customer; groups ascend by customer. Row i of `nums`, `weights`
    (summed group weights) and `counts` (groups) holds ``lengths[i]`` pairs of product start + i,
    by weight x scale descending, then number.
    """
    n_products = len(scale)
    keep = nums.shape[1]
    total = np.zeros(n_products)
    n_groups = np.zeros(n_products, np.int32)
    n_customers = np.zeros(n_products, np.int32)
    last_customer = np.zeros(n_products, np.int32)
    touched = np.empty(n_products, np.int32)
    heap = np.empty(keep + 1, np.int32)  # the weakest of the strongest is at its root
    strength = np.empty(keep + 1)
    for a in range(start, stop):
        row = a - start
        n_touched = 0
        for i in range(of_indptr[a], of_indptr[a + 1]):
            group = of_groups[i]
            who = customer[group]
            of_group = weight[group]
            for j in range(indptr[group], indptr[group + 1]):
                c = products[j]
                if n_groups[c] == 0:
                    touched[n_touched] = c
                    n_touched += 1
                    n_customers[c] = 1
                elif last_customer[c] != who:
                    n_customers[c] += 1
                last_customer[c] = who
                n_groups[c] += 1
                total[c] += of_group
        size = 0
        for step in range(n_touched + keep):
            if step < n_touched:  # take it in, unless it is too rare or too weak
                c = touched[step]
                if c == a or n_customers[c] < min_customers:
                    continue
                value = total[c] * scale[c]
                if size < keep:  # sift up from the end
                    place = size
                    size += 1
                    while place > 0:
                        above = (place - 1) >> 1
                        if strength[above] < value or (
                            strength[above] == value and heap[above] > c
                        ):
                            break
                        heap[place] = heap[above]
                        strength[place] = strength[above]
                        place = above
                    heap[place] = c
                    strength[place] = value
                    continue
                if value < strength[0] or (value == strength[0] and c > heap[0]):
                    continue
            else:  # hand out the weakest left, from the end of the row
                if step == n_touched:
                    lengths[row] = size
                if size == 0:
                    break
                size -= 1
                out = heap[0]
                nums[row, size] = out
                weights[row, size] = total[out]
                counts[row, size] = n_groups[out]
                c = heap[size]
                value = strength[size]
            place = 0  # sift down from the root
            while True:
                below = 2 * place + 1
                if below >= size:
                    break
                if below + 1 < size and (
                    strength[below + 1] < strength[below]
                    or (strength[below + 1] == strength[below] and heap[below + 1] > heap[below])
                ):
                    below += 1
                if value < strength[below] or (value == strength[below] and c > heap[below]):
                    break
                heap[place] = heap[below]
                strength[place] = strength[below]
                place = below
            heap[place] = c
            strength[place] = value
        for i in range(n_touched):
            total[touched[i]] = 0.0
            n_groups[touched[i]] = 0


@compiled
def _ridge_rows(
    start: int, stop: int, indptr: Array, nums: Array, gram: Array, diagonal: Array, ridge: float,
    sources: Array, weights: Array, lengths: Array,
) -> None:  # fmt: skip
    """Write the ridge weights of targets `start` to `stop` on their nearest products.

    Solves (G + ridge) w = g on the neighbours by elimination without pivoting. With rare pairs
    counted as 0 the small Gram matrix may not be positive definite: then the ridge of that one
    product is doubled until it is.
    """
    keep = sources.shape[1]
    place = np.full(len(diagonal), -1, np.int32)
    small = np.empty((keep, keep))
    work = np.empty((keep, keep))
    pivots = np.empty(keep)
    solution = np.empty(keep)
    for target in range(start, stop):
        row = target - start
        first = indptr[target]
        n = min(keep, indptr[target + 1] - first)
        lengths[row] = n
        for i in range(n):
            sources[row, i] = nums[first + i]
            place[nums[first + i]] = i
            small[i, :n] = 0.0
        for i in range(n):
            near = nums[first + i]
            for j in range(indptr[near], indptr[near + 1]):
                other = place[nums[j]]
                if other >= 0:
                    small[min(i, other), max(i, other)] = gram[j]
        for i in range(n):
            place[nums[first + i]] = -1
            small[i, i] = diagonal[nums[first + i]]
        penalty = ridge
        is_solved = False
        while not is_solved:
            for i in range(n):
                for j in range(i, n):
                    work[i, j] = small[i, j]
                work[i, i] += penalty
                solution[i] = gram[first + i]
            is_solved = True
            for k in range(n):
                pivots[k:n] = work[k, k:n]
                if pivots[k] <= 1e-9 * small[k, k]:
                    is_solved = False
                    break
                for i in range(k + 1, n):
                    factor = pivots[i] / pivots[k]
                    if factor != 0.0:
                        of_i = work[i]
                        for j in range(i, n):
                            of_i[j] -= factor * pivots[j]
                        solution[i] -= factor * solution[k]
            penalty *= 2.0
        for i in range(n - 1, -1, -1):
            value = solution[i]
            for j in range(i + 1, n):
                value -= work[i, j] * solution[j]
            solution[i] = value / work[i, i]
            weights[row, i] = solution[i]


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """The two tables of pairs, one row per product, each by weight descending, then number.

    Parameters
    ----------
    together_indptr : int64, shape (n_products + 1,)
        Row starts of the other ``together_*`` arrays, shape (n_pairs,).
    together_nums : int32
        The complement.
    together_weights : float32
        Score of the complement given the product, above 0: its conditional probability and the
        ridge's share, damped where the product is rare.
    together_support : int32, orders
        Orders that hold both.
    together_lift : float32
        Ratio to chance.
    next_indptr : int64, shape (n_products + 1,)
        Row starts of ``next_nums`` and ``next_weights``.
    next_nums : int32
        What is bought besides.
    next_weights : float32
        Ridge weight, may be negative.
    """

    together_indptr: Array
    together_nums: Array
    together_weights: Array
    together_support: Array
    together_lift: Array
    next_indptr: Array
    next_nums: Array
    next_weights: Array

    @property
    def n_products(self) -> int:
        """Products that have a row."""
        return len(self.together_indptr) - 1

    @classmethod
    def fit(cls, interactions: Interactions, config: EngineConfig, as_of: int) -> Self:
        """Return the tables learned from what was bought before `as_of` (microseconds).

        Cost grows with the sum of squared row lengths (`MAX_ROW` bounds it) and linearly with
        products; rows are independent, so the result does not depend on the number of threads.
        """
        ridge = _ridge_table(interactions, config)
        together = _together_table(interactions, config, as_of, ridge)
        return cls(*_by_weight(*together), *_by_weight(*ridge))

    def complement_scores(self, anchor_nums: Array) -> Scored:
        """Return what goes with the products of one basket.

        Parameters
        ----------
        anchor_nums : int, shape (n,), distinct
            The basket. The anchors themselves may come back among the candidates.
        """
        rows = _rows(self.together_indptr, anchor_nums)
        nums, weights = self.together_nums[rows.entries], self.together_weights[rows.entries]
        parts = weights.astype(np.float64)
        if len(anchor_nums) > 1:
            parts **= POWER
        found, scores, best = _summed(nums, parts, self.n_products)
        if len(anchor_nums) > 1:
            scores **= 1.0 / POWER
        entry = rows.entries[best]
        return Scored(
            found,
            scores,
            anchor_nums[rows.asked[best]].astype(np.int32),
            self.together_support[entry],
            self.together_lift[entry],
        )

    def next_scores(self, history_nums: Array, history_weights: Array | None = None) -> Scored:
        """Return what goes with a history.

        Parameters
        ----------
        history_nums : int, shape (n,), distinct
            What the customer owns. It may come back among the candidates.
        history_weights : float, shape (n,), optional
            How much each counts; default 1.
        """
        rows = _rows(self.next_indptr, history_nums)
        weights = self.next_weights[rows.entries].astype(np.float64)
        if history_weights is not None:
            weights *= np.asarray(history_weights, dtype=np.float64)[rows.asked]
        nums, scores, best = _summed(self.next_nums[rows.entries], weights, self.n_products)
        because = history_nums[rows.asked[best]].astype(np.int32)
        nothing = np.zeros(len(nums), dtype=np.int32)
        return Scored(nums, scores, because, nothing, np.full(len(nums), np.nan, np.float32))

    def next_parts(self, history_nums: Array, num: int) -> Array:
        """Return the weight of each product of a history for one candidate; 0 where none.

        Returns
        -------
        float64, shape (len(history_nums),); may be negative. They sum to the score.
        """
        rows = _rows(self.next_indptr, history_nums)
        is_it = np.flatnonzero(self.next_nums[rows.entries] == num)
        parts = np.zeros(len(history_nums))
        parts[rows.asked[is_it]] = self.next_weights[rows.entries[is_it]]
        return parts

    def arrays(self) -> dict[str, Array]:
        """Return every array by name, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the tables of `arrays`."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


class _Rows(NamedTuple):
    entries: Array
    asked: Array


def _rows(indptr: Array, nums: Array) -> _Rows:
    """Return the places of the entries of some rows, and which row each comes from."""
    starts = indptr[nums]
    lengths = indptr[np.asarray(nums) + 1] - starts
    ends = np.cumsum(lengths)
    asked = np.repeat(np.arange(len(lengths)), lengths)
    return _Rows(np.arange(len(asked)) + (starts - ends + lengths)[asked], asked)


def _summed(nums: Array, weights: Array, n_products: int) -> tuple[Array, Array, Array]:
    """Return distinct numbers, their sums above 0, and the place of the largest part of each."""
    sums = np.bincount(nums, weights=weights, minlength=n_products)
    found = np.flatnonzero(sums > 0.0)
    largest = np.full(n_products, -np.inf)
    np.maximum.at(largest, nums, weights)
    is_largest = np.flatnonzero(weights == largest[nums])[::-1]
    best = np.empty(n_products, dtype=np.int64)
    best[nums[is_largest]] = is_largest  # reversed: the first of equals stays
    return found.astype(np.int32), sums[found].astype(np.float64, copy=False), best[found]


def _in_blocks(work: Callable[[int, int], tuple[Array, ...]], n_rows: int, width: int) -> Any:
    """Return the concatenated answers of `work` on blocks of rows, in row order, by threads."""
    n_threads = os.cpu_count() or 1
    size = max(1, min(_BLOCK // max(width, 1), -(-n_rows // (4 * n_threads))))
    starts = range(0, max(n_rows, 1), size)  # no rows are one empty block
    with ThreadPoolExecutor(n_threads) as pool:
        done = list(pool.map(lambda start: work(start, min(start + size, n_rows)), starts))
    return tuple(np.concatenate(parts) for parts in zip(*done, strict=True))


def _transposed(indptr: Array, nums: Array, n_columns: int) -> tuple[Array, Array]:
    """Return row starts and row numbers of the transposed pattern, rows ascending."""
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    return _indptr(np.bincount(nums, minlength=n_columns)), rows[np.argsort(nums, kind="stable")]


def _indptr(counts: Array) -> Array:
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _pairs(
    indptr: Array, products: Array, weight: Array, customer: Array, scale: Array,
    min_customers: int, keep: int,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Return the CSR of the `keep` strongest pairs: starts, numbers, weights, counts."""
    n_products = len(scale)
    keep = min(keep, n_products)
    of_indptr, of_groups = _transposed(indptr, products, n_products)

    def work(start: int, stop: int) -> tuple[Array, ...]:
        shape = (stop - start, keep)
        nums, weights = np.empty(shape, np.int32), np.empty(shape)
        counts, lengths = np.empty(shape, np.int32), np.zeros(stop - start, np.int64)
        _pair_rows(
            start, stop, of_indptr, of_groups, indptr, products, weight, customer, scale,
            min_customers, nums, weights, counts, lengths,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return lengths, nums[used], weights[used], counts[used]

    lengths, nums, weights, counts = _in_blocks(work, n_products, keep)
    return _indptr(lengths), nums, weights, counts


def _by_weight(indptr: Array, nums: Array, weights: Array, *more: Array) -> tuple[Array, ...]:
    """Return a table whose rows ascend by number with its rows by weight descending instead."""
    source = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    order = np.lexsort((-weights, source))  # stable: equal weights stay ascending by number
    return indptr, nums[order], weights[order], *(array[order] for array in more)


def _latest(interactions: Interactions) -> tuple[Array, Array]:
    """Return customers x products, each customer cut to the `MAX_ROW` products bought latest."""
    indptr, products = interactions.customer_indptr, interactions.customer_products
    sizes = np.diff(indptr)
    if not (sizes > MAX_ROW).any():
        return indptr, products
    use = np.ones(len(products), dtype=bool)
    for row in np.flatnonzero(sizes > MAX_ROW):
        span = slice(indptr[row], indptr[row + 1])
        latest_first = np.lexsort((products[span], -interactions.customer_time[span]))
        use[span][latest_first[MAX_ROW:]] = False
    return _indptr(np.minimum(sizes, MAX_ROW)), products[use]


def _ridge_table(interactions: Interactions, config: EngineConfig) -> tuple[Array, Array, Array]:
    """Return the neighbourhood ridge on customers x products: starts, numbers, weights."""
    indptr, products = _latest(interactions)
    n_products, n_customers = interactions.n_products, interactions.n_customers
    owners = np.bincount(products, minlength=n_products).astype(np.float64)
    gram_indptr, nums, gram, _ = _pairs(
        indptr, products, np.ones(n_customers), np.arange(n_customers, dtype=np.int32),
        1.0 / np.sqrt(np.maximum(owners, 1.0)), config.min_customers,
        config.n_neighbours * GRAM_PER_NEIGHBOUR,
    )  # fmt: skip
    keep = min(config.n_neighbours, n_products)

    def work(start: int, stop: int) -> tuple[Array, ...]:
        shape = (stop - start, keep)
        sources, weights = np.empty(shape, np.int32), np.empty(shape)
        lengths = np.zeros(stop - start, np.int64)
        _ridge_rows(
            start, stop, gram_indptr, nums, gram, owners, float(config.ridge),
            sources, weights, lengths,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return lengths, sources[used], weights[used].astype(np.float32)

    lengths, sources, weights = _in_blocks(work, n_products, keep)
    targets = np.repeat(np.arange(n_products, dtype=np.int32), lengths)
    order = np.argsort(sources, kind="stable")  # targets stay ascending
    starts = _indptr(np.bincount(sources, minlength=n_products))
    return starts, targets[order], weights[order]


def _together_table(
    interactions: Interactions,
    config: EngineConfig,
    as_of: int,
    ridge: tuple[Array, Array, Array],
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the pairs of orders: starts, numbers, weights, support, lift."""
    n_products, n_baskets = interactions.n_products, interactions.n_baskets
    products, sizes = interactions.basket_products, np.diff(interactions.basket_indptr)
    half_lives = (interactions.basket_time - as_of) / (config.half_life_days * DAY)
    weight = np.exp2(np.maximum(half_lives, -1000.0)) / np.sqrt(np.maximum(sizes, 1))
    is_small = np.repeat(sizes <= MAX_ROW, sizes)
    orders = np.bincount(products, minlength=n_products).astype(np.float64)
    total = np.bincount(products, weights=np.repeat(weight, sizes), minlength=n_products)
    starts, nums, weights, support = _pairs(
        _indptr(np.where(sizes <= MAX_ROW, sizes, 0)), products[is_small], weight,
        interactions.basket_customer, np.ones(n_products), config.min_customers,
        config.n_neighbours,
    )  # fmt: skip
    source = np.repeat(np.arange(n_products, dtype=np.int64), np.diff(starts))
    order = np.lexsort((nums, source))
    nums, weights, support = nums[order], weights[order], support[order]
    share = config.ridge_share
    score = (1.0 - share) * weights / total[source] + share * _found(ridge, source, nums)
    score = (score * (orders / (orders + DAMPING_ORDERS))[source]).astype(np.float32)
    lift = (support * (n_baskets / (orders[source] * orders[nums]))).astype(np.float32)
    use = score > 0.0
    starts = _indptr(np.bincount(source[use], minlength=n_products))
    return starts, nums[use], score[use], support[use], lift[use]


def _found(table: tuple[Array, Array, Array], rows: Array, nums: Array) -> Array:
    """Return the weights of some entries of a table whose rows ascend by number; 0 where none."""
    indptr, columns, weights = table
    if not len(columns):
        return np.zeros(len(nums))
    n = len(indptr) - 1
    keys = np.repeat(np.arange(n, dtype=np.int64), np.diff(indptr)) * n + columns
    asked = rows * n + nums
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, weights[place], 0.0)
