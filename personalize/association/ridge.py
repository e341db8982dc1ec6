"""The neighbourhood ridge: what customers buy besides what they own."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from personalize.association.counting import rows_in_blocks
from personalize.association.owning import Owning
from personalize.compiled import compiled
from personalize.config import EngineConfig
from personalize.sorting import order_within, row_starts, stable_order

Array = np.ndarray[Any, np.dtype[Any]]

TARGETS_PER_NEIGHBOUR: Final = 5
"""Weights kept per owned product in `next`, the largest of either sign, for each neighbour asked
for: bounds the time of a question about something that everybody owns."""


class Ridge(NamedTuple):
    """Weights of owned products, by the product owned; rows ascend by target."""

    indptr: Array
    nums: Array
    weights: Array
    intercepts: Array
    """float32, shape (n_products,): each target's score of a customer who owns nothing near it."""


@compiled
def ridge_rows(
    start: int, stop: int, indptr: Array, nums: Array, gram: Array, owners: Array,
    n_customers: float, ridge: float, sources: Array, weights: Array, lengths: Array,
    intercepts: Array,
) -> None:  # fmt: skip
    """Write the ridge weights of targets `start` to `stop` on their nearest products.

    Solves (G - o o' / N + ridge) w = g - o o_c / N on the neighbours, o their owners, by
    elimination of G + ridge without pivoting for the right-hand sides g and o, and the formula of
    Sherman and Morrison (1950) for the rest: G has many zeros, the centred matrix none. With rare
    pairs counted as 0 the matrix may not be positive definite: then the ridge of that one product
    is doubled until it is.
    """
    keep = sources.shape[1]
    place = np.full(len(owners), -1, np.int32)
    small = np.empty((keep, keep))
    work = np.empty((keep, keep))
    pivots, seconds = np.empty(keep), np.empty(keep)
    solution = np.empty(keep)
    mean = np.empty(keep)
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
            small[i, i] = owners[nums[first + i]]
        penalty = ridge
        is_solved = n == 0
        along = 0.0
        while not is_solved:
            for i in range(n):
                for j in range(i, n):
                    work[i, j] = small[i, j]
                work[i, i] += penalty
                solution[i] = gram[first + i]
                mean[i] = small[i, i]
            is_solved = True
            for k in range(0, n, 2):  # two pivots at a time: each row is fetched half as often
                pivots[k:n] = work[k, k:n]
                if pivots[k] <= 1e-9 * small[k, k]:
                    is_solved = False
                    break
                if k + 1 == n:
                    break
                factor = pivots[k + 1] / pivots[k]
                for j in range(k + 1, n):
                    seconds[j] = work[k + 1, j] - factor * pivots[j]
                work[k + 1, k + 1 : n] = seconds[k + 1 : n]
                solution[k + 1] -= factor * solution[k]
                mean[k + 1] -= factor * mean[k]
                if seconds[k + 1] <= 1e-9 * small[k + 1, k + 1]:
                    is_solved = False
                    break
                for i in range(k + 2, n):
                    factor, second = pivots[i] / pivots[k], seconds[i] / seconds[k + 1]
                    if factor != 0.0 or second != 0.0:
                        of_i = work[i]
                        for j in range(i, n):
                            of_i[j] = of_i[j] - factor * pivots[j] - second * seconds[j]
                        solution[i] = solution[i] - factor * solution[k] - second * solution[k + 1]
                        mean[i] = mean[i] - factor * mean[k] - second * mean[k + 1]
            if is_solved:
                along = 0.0
                for i in range(n - 1, -1, -1):
                    value, value_of_mean = solution[i], mean[i]
                    for j in range(i + 1, n):
                        value -= work[i, j] * solution[j]
                        value_of_mean -= work[i, j] * mean[j]
                    solution[i] = value / work[i, i]
                    mean[i] = value_of_mean / work[i, i]
                    along += small[i, i] * mean[i]
                is_solved = along < n_customers * (1.0 - 1e-9)
            penalty *= 2.0
        share = owners[target] / max(n_customers, 1.0)
        shift = -share
        for i in range(n):
            shift += small[i, i] * (solution[i] - mean[i] * share) / (n_customers - along)
        left = share
        for i in range(n):
            weight = solution[i] + mean[i] * shift
            weights[row, i] = weight
            left -= weight * small[i, i] / n_customers
        intercepts[row] = left


def ridge_table(owning: Owning, config: EngineConfig) -> Ridge:
    """Return the neighbourhood ridge of what customers own.

    Each product's ownership is regressed on that of its nearest products, with an intercept: the
    closed-form linear model of Steck (EASE, WWW 2019) on centred columns and a few neighbours.
    """
    n_products = len(owning.owners)
    keep = min(config.ridge_neighbours, n_products)

    def work(start: int, stop: int) -> tuple[Array, ...]:
        shape = (stop - start, keep)
        sources, weights = np.empty(shape, np.int32), np.empty(shape)
        lengths, intercepts = np.zeros(stop - start, np.int64), np.zeros(stop - start)
        ridge_rows(
            start, stop, owning.indptr, owning.nums, owning.shared, owning.owners,
            float(owning.n_customers), float(config.ridge), sources, weights, lengths, intercepts,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return (
            lengths,
            sources[used],
            weights[used].astype(np.float32),
            intercepts.astype(np.float32),
        )

    lengths, sources, weights, intercepts = rows_in_blocks(work, n_products, keep)
    targets = np.repeat(np.arange(n_products, dtype=np.int32), lengths)
    order = stable_order(sources, n_products)  # targets stay ascending
    most = config.n_neighbours * TARGETS_PER_NEIGHBOUR
    order = order[_is_among_largest(sources[order], weights[order], most, n_products)]
    starts = row_starts(np.bincount(sources[order], minlength=n_products))
    return Ridge(starts, targets[order], weights[order], intercepts)


def _is_among_largest(rows: Array, weights: Array, most: int, n_rows: int) -> Array:
    """Return whether each weight is among the `most` of its row that are largest in size.

    Rows ascend; of equal weights the first ones are.
    """
    starts = row_starts(np.bincount(rows, minlength=n_rows))
    by_size = order_within(starts, -np.abs(weights))
    is_kept = np.zeros(len(rows), dtype=bool)
    is_kept[by_size[np.arange(len(rows)) - starts[rows] < most]] = True
    return is_kept
