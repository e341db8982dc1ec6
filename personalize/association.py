"""What is bought with what, and what is bought next: two learned tables of product pairs.

`together` is the chance that an order with one product holds the other, old orders fading. `next`
are weights from what a customer owns to what they buy besides, by the neighbourhood ridge: for
each product the small linear model on its nearest products, solved exactly. Every pair in either,
and every pair that the ridge looks at, was made by at least `min_customers` different customers.

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
"""Products of one basket or customer that pairs are counted from; beyond it, the latest (a
customer's) or the first (a basket's). It bounds the work of a reseller with everything."""
GRAM_PER_NEIGHBOUR: Final = 20
"""Pairs kept per product in the Gram matrix, for each neighbour asked for: bounds its memory."""
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
    weight: Array, customer: Array, scale: Array, min_customers: int, keep: int,
    nums: Array, weights: Array, counts: Array, lengths: Array,
) -> None:  # fmt: skip
    """Write the strongest pairs of products `start` to `stop`, counted over groups.

    A group is a basket or a customer; groups ascend by customer. Row i of `nums`, `weights`
    (summed group weights) and `counts` (groups) holds ``lengths[i]`` pairs of product start + i,
    by weight x scale descending, then number.
    """
    n_products = len(scale)
    total = np.zeros(n_products)
    n_groups = np.zeros(n_products, np.int32)
    n_customers = np.zeros(n_products, np.int32)
    seen = np.full(n_products, -1, np.int32)
    touched = np.empty(n_products, np.int32)
    for a in range(start, stop):
        n_touched = 0
        for i in range(of_indptr[a], of_indptr[a + 1]):
            group = of_groups[i]
            for j in range(indptr[group], indptr[group + 1]):
                c = products[j]
                if n_groups[c] == 0:
                    touched[n_touched] = c
                    n_touched += 1
                    seen[c] = -1
                n_groups[c] += 1
                total[c] += weight[group]
                if seen[c] != customer[group]:
                    seen[c] = customer[group]
                    n_customers[c] += 1
        n_ok = 0
        ok = np.sort(touched[:n_touched])
        for c in ok:
            if c != a and n_customers[c] >= min_customers:
                ok[n_ok] = c
                n_ok += 1
        ok = ok[:n_ok]
        by_strength = np.argsort(-(total[ok] * scale[ok]), kind="mergesort")
        n_kept = min(keep, n_ok)
        row = a - start
        lengths[row] = n_kept
        for i in range(n_kept):
            c = ok[by_strength[i]]
            nums[row, i] = c
            weights[row, i] = total[c]
            counts[row, i] = n_groups[c]
        for i in range(n_touched):
            c = touched[i]
            total[c] = 0.0
            n_groups[c] = 0
            n_customers[c] = 0


@compiled
def _ridge_rows(
    start: int, stop: int, indptr: Array, nums: Array, gram: Array, diagonal: Array, ridge: float,
    keep: int, sources: Array, weights: Array, lengths: Array,
) -> None:  # fmt: skip
    """Write the ridge weights of targets `start` to `stop` on their `keep` nearest products.

    Solves (G + ridge) w = g on the neighbours by Cholesky. With rare pairs counted as 0 the small
    Gram matrix may not be positive definite: then the ridge of that one product is doubled until
    it is.
    """
    place = np.full(len(diagonal), -1, np.int32)
    for target in range(start, stop):
        row = target - start
        first = indptr[target]
        n = min(keep, indptr[target + 1] - first)
        near = nums[first : first + n]
        small = np.zeros((n, n))
        for i in range(n):
            place[near[i]] = i
        for i in range(n):
            for j in range(indptr[near[i]], indptr[near[i] + 1]):
                other = place[nums[j]]
                if other >= 0:
                    small[i, other] = gram[j]
                    small[other, i] = gram[j]
        for i in range(n):
            place[near[i]] = -1
        penalty = ridge
        solved = False
        work = np.empty((n, n))
        solution = np.empty(n)
        while not solved:
            work[:] = small
            for i in range(n):
                work[i, i] = diagonal[near[i]] + penalty
                solution[i] = gram[first + i]
            solved = True
            # Right-looking, on the upper triangle: rows are updated whole, so the compiler can
            # use wide registers without changing the order of any sum.
            for k in range(n):
                pivot = work[k, k]
                if pivot <= 1e-9 * diagonal[near[k]]:
                    solved = False
                    break
                for i in range(k + 1, n):
                    factor = work[k, i] / pivot
                    if factor != 0.0:
                        work[i, i:] -= factor * work[k, i:]
                        solution[i] -= factor * solution[k]
            penalty *= 2.0
        for i in range(n - 1, -1, -1):
            value = solution[i]
            for j in range(i + 1, n):
                value -= work[i, j] * solution[j]
            solution[i] = value / work[i, i]
        lengths[row] = n
        for i in range(n):
            sources[row, i] = near[i]
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
        Score of the complement given the product: its faded conditional probability, with the
        ridge's share.
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
        ridge = _fit_next(interactions, config)
        return cls(*_fit_together(interactions, config, as_of, ridge), *ridge)

    def complement_scores(self, anchor_nums: Array) -> Scored:
        """Return what goes with the products of one basket.

        Parameters
        ----------
        anchor_nums : int, shape (n,), distinct
            The basket. The anchors themselves may come back among the candidates.
        """
        rows = _rows(self.together_indptr, anchor_nums)
        weights = self.together_weights[rows.entries].astype(np.float64)
        nums, scores, best = _summed(self.together_nums[rows.entries], weights, self.n_products)
        entry = rows.entries[best]
        return Scored(
            nums,
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
    return found.astype(np.int32), sums[found], best[found]


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
            min_customers, keep, nums, weights, counts, lengths,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return lengths, nums[used], weights[used], counts[used]

    lengths, nums, weights, counts = _in_blocks(work, n_products, keep)
    return _indptr(lengths), nums, weights, counts


def _fit_next(interactions: Interactions, config: EngineConfig) -> tuple[Array, Array, Array]:
    """Return the neighbourhood ridge on customers x products: starts, numbers, weights."""
    indptr, products = interactions.customer_indptr, interactions.customer_products
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
            start, stop, gram_indptr, nums, gram, owners, float(config.ridge), keep,
            sources, weights, lengths,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return lengths, sources[used], weights[used].astype(np.float32)

    lengths, sources, weights = _in_blocks(work, n_products, keep)
    targets = np.repeat(np.arange(n_products, dtype=np.int32), lengths)
    order = np.lexsort((targets, -weights, sources))
    starts = _indptr(np.bincount(sources, minlength=n_products))
    return starts, targets[order], weights[order]


def _fit_together(
    interactions: Interactions,
    config: EngineConfig,
    as_of: int,
    ridge: tuple[Array, Array, Array],
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the pairs of baskets: starts, numbers, weights, support, lift."""
    n_products, n_baskets = interactions.n_products, interactions.n_baskets
    indptr, products = interactions.basket_indptr, interactions.basket_products
    fade = np.exp2((interactions.basket_time - as_of) / (config.half_life_days * DAY))
    starts, nums, weights, support = _pairs(
        indptr, products, fade, interactions.basket_customer, np.ones(n_products),
        config.min_customers, config.n_neighbours,
    )  # fmt: skip
    of_line = np.repeat(fade, np.diff(indptr))
    total = np.bincount(products, weights=of_line, minlength=n_products)
    orders = np.bincount(products, minlength=n_products).astype(np.float64)
    source = np.repeat(np.arange(n_products, dtype=np.int32), np.diff(starts))
    lift = support * (n_baskets / np.maximum(orders[source] * orders[nums], 1.0))
    score = ((1.0 - config.ridge_share) * weights / total[source]).astype(np.float32)
    order = np.lexsort((nums, -score, source))
    return starts, nums[order], score[order], support[order], lift.astype(np.float32)[order]
