"""Pairs of products counted over baskets or customers, rare ones left out.

The one place where pairs are counted: whatever names two products comes through the threshold of
different customers here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from personalize.blocks import in_blocks, n_threads
from personalize.compiled import compiled
from personalize.sorting import order_within, row_starts, stable_order

Array = np.ndarray[Any, np.dtype[Any]]

MAX_ROW: Final = 1_000
"""Products of one order or customer that pairs are counted from. A larger order says nothing of
what goes with what and is left out; of a customer's products the latest count. It bounds the work
that one reseller makes."""
_BLOCK: Final = 4_000_000


class Groups(NamedTuple):
    """Baskets or customers x products; groups ascend by customer."""

    indptr: Array
    products: Array
    customer: Array
    weight: Array


@compiled
def pair_rows(
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


def strongest_pairs(
    groups: Groups, scale: Array, min_customers: int, keep: int
) -> tuple[Array, Array, Array, Array]:
    """Return the CSR of the `keep` strongest pairs: starts, numbers, counts, weights.

    Strongest is by weight x scale; counts are int32, weights float32.
    """
    n_products = len(scale)
    keep = min(keep, n_products)
    indptr, products, customer, weight = groups
    of_indptr, of_groups = _transposed(indptr, products, n_products)

    def work(start: int, stop: int) -> tuple[Array, ...]:
        shape = (stop - start, keep)
        nums, weights = np.empty(shape, np.int32), np.empty(shape)
        counts, lengths = np.empty(shape, np.int32), np.zeros(stop - start, np.int64)
        pair_rows(
            start, stop, of_indptr, of_groups, indptr, products, weight, customer, scale,
            min_customers, nums, weights, counts, lengths,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return lengths, nums[used], counts[used], weights[used].astype(np.float32)

    lengths, nums, counts, weights = rows_in_blocks(work, n_products, keep)
    return row_starts(lengths), nums, counts, weights


def rows_in_blocks(work: Callable[[int, int], tuple[Array, ...]], n_rows: int, width: int) -> Any:
    """Return the concatenated answers of `work` on blocks of rows of some width, by threads."""
    size = max(1, min(_BLOCK // max(width, 1), -(-n_rows // (4 * n_threads()))))
    done = in_blocks(work, n_rows, size)
    return tuple(np.concatenate(parts) for parts in zip(*done, strict=True))


def _transposed(indptr: Array, nums: Array, n_columns: int) -> tuple[Array, Array]:
    """Return row starts and row numbers of the transposed pattern, rows ascending."""
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    return row_starts(np.bincount(nums, minlength=n_columns)), rows[stable_order(nums, n_columns)]


def by_weight(indptr: Array, nums: Array, weights: Array, *more: Array) -> tuple[Array, ...]:
    """Return a table with its rows by weight descending, equal ones in the order they came."""
    order = order_within(indptr, -weights)
    return indptr, nums[order], weights[order], *(array[order] for array in more)
