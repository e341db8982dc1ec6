"""The neighbourhood ridge: what customers buy besides what they own."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from personalize.association.counting import (
    MAX_ROW,
    Groups,
    rows_in_blocks,
    strongest_pairs,
)
from personalize.compiled import compiled
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.sorting import row_starts, stable_order

Array = np.ndarray[Any, np.dtype[Any]]

GRAM_PER_NEIGHBOUR: Final = 10
"""Pairs kept per product in the Gram matrix, for each neighbour asked for: bounds its memory."""
TARGETS_PER_NEIGHBOUR: Final = 5
"""Weights kept per owned product in `next`, the largest of either sign, for each neighbour asked
for: bounds the time of a question about something that everybody owns."""


@compiled
def ridge_rows(
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


def ridge_table(interactions: Interactions, config: EngineConfig) -> tuple[Array, Array, Array]:
    """Return the neighbourhood ridge on customers x products: starts, numbers, weights."""
    indptr, products = _latest(interactions)
    n_products, n_customers = interactions.n_products, interactions.n_customers
    owners = np.bincount(products, minlength=n_products).astype(np.float64)
    gram_indptr, nums, gram, _ = strongest_pairs(
        Groups(indptr, products, np.arange(n_customers, dtype=np.int32), None),
        1.0 / np.sqrt(np.maximum(owners, 1.0)),
        config.min_customers,
        config.n_neighbours * GRAM_PER_NEIGHBOUR,
    )
    keep = min(config.n_neighbours, n_products)

    def work(start: int, stop: int) -> tuple[Array, ...]:
        shape = (stop - start, keep)
        sources, weights = np.empty(shape, np.int32), np.empty(shape)
        lengths = np.zeros(stop - start, np.int64)
        ridge_rows(
            start, stop, gram_indptr, nums, gram, owners, float(config.ridge),
            sources, weights, lengths,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return lengths, sources[used], weights[used].astype(np.float32)

    lengths, sources, weights = rows_in_blocks(work, n_products, keep)
    targets = np.repeat(np.arange(n_products, dtype=np.int32), lengths)
    use = _largest(sources, weights, config.n_neighbours * TARGETS_PER_NEIGHBOUR, n_products)
    order = use[stable_order(sources[use], n_products)]  # targets stay ascending
    starts = row_starts(np.bincount(sources[order], minlength=n_products))
    return starts, targets[order], weights[order]


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
    return row_starts(np.minimum(sizes, MAX_ROW)), products[use]


def _largest(rows: Array, weights: Array, most: int, n_rows: int) -> Array:
    """Return the places of the `most` weights of each row that are largest in size, ascending."""
    sizes = np.bincount(rows, minlength=n_rows)
    is_long = np.flatnonzero((sizes > most)[rows])
    by_size = is_long[np.lexsort((-np.abs(weights[is_long]), rows[is_long]))]
    starts = row_starts(np.where(sizes > most, sizes, 0))
    too_many = by_size[np.arange(len(by_size)) - starts[rows[by_size]] >= most]
    return np.delete(np.arange(len(rows)), too_many)
