"""Orders of rows by small whole numbers: stable, and in time that grows with the rows alone.

Twenty million order lines are put in order by customer, product or basket half a dozen times in
one fit. Their numbers are codes below a known bound, so one pass that counts and one that places
do what comparing would take twenty-five passes for.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from personalize.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]

_FEW: Final = 4_096
"""Up to so many rows, sorting is faster than loading what was compiled."""


@compiled
def place_rows(codes: Array, rows: Array, starts: Array, order: Array) -> None:
    """Write `rows` into `order`, each where the rows of its code begin; `starts` is used up."""
    for i in range(len(rows)):
        row = rows[i]
        code = codes[row]
        order[starts[code]] = row
        starts[code] += 1


def stable_order(codes: Array, n_codes: int, rows: Array | None = None) -> Array:
    """Return the rows by code ascending, equal ones in the order they came.

    Parameters
    ----------
    codes : int, shape (n,)
        From 0 to ``n_codes - 1``.
    n_codes : int
    rows : int, shape (n,), optional
        The order in which the rows come; default: as they stand. By the last key first, several
        keys make one order.

    Returns
    -------
    int32, or int64 beyond 2**31 rows, shape (n,)

    Examples
    --------
    >>> stable_order(np.array([1, 0, 1, 0]), 2).tolist()
    [1, 3, 0, 2]
    """
    n = len(codes)
    dtype = np.result_type(np.int32, np.min_scalar_type(n))
    if n <= _FEW:
        found = np.argsort(codes if rows is None else codes[rows], kind="stable")
        return (found if rows is None else rows[found]).astype(dtype, copy=False)
    rows = np.arange(n, dtype=dtype) if rows is None else rows.astype(dtype, copy=False)
    order = np.empty(n, dtype)
    place_rows(codes, rows, row_starts(np.bincount(codes, minlength=n_codes)), order)
    return order


@compiled
def place_within(starts: Array, keys: Array, order: Array, room: Array) -> None:
    """Write the rows of each group by key, equal ones in the order they came.

    Sixteen at a time by insertion, then merged: most groups are a customer's few lines, and what
    is looked at stays in the processor's cache. `room` holds as many rows as the largest group.
    """
    for group in range(len(starts) - 1):
        first, end = starts[group], starts[group + 1]
        for low in range(first, end, 16):
            for i in range(low, min(low + 16, end)):
                place = i
                while place > low and keys[order[place - 1]] > keys[i]:
                    order[place] = order[place - 1]
                    place -= 1
                order[place] = i
        width = 16
        while width < end - first:
            for low in range(first, end, 2 * width):
                right, high = min(low + width, end), min(low + 2 * width, end)
                n_left = right - low
                for i in range(n_left):
                    room[i] = order[low + i]
                left, place = 0, low
                while left < n_left:
                    if right < high and keys[order[right]] < keys[room[left]]:
                        order[place] = order[right]
                        right += 1
                    else:
                        order[place] = room[left]
                        left += 1
                    place += 1
            width *= 2


def order_within(starts: Array, keys: Array) -> Array:
    """Return the rows by group, then key, equal ones in the order they came.

    Parameters
    ----------
    starts : int, shape (n_groups + 1,)
        Where the rows of each group start.
    keys : int, shape (n,)

    Returns
    -------
    int32, or int64 beyond 2**31 rows, shape (n,)

    Examples
    --------
    >>> order_within(np.array([0, 3, 5]), np.array([2, 1, 2, 9, 0])).tolist()
    [1, 0, 2, 4, 3]
    """
    n, sizes = len(keys), np.diff(starts)
    dtype = np.result_type(np.int32, np.min_scalar_type(n))
    if n <= _FEW:
        groups = np.repeat(np.arange(len(sizes)), sizes)
        return np.lexsort((keys, groups)).astype(dtype, copy=False)
    order, room = np.empty(n, dtype), np.empty(int(sizes.max()), dtype)
    place_within(starts, keys, order, room)
    return order


def row_starts(counts: Array) -> Array:
    """Return where each row starts, given its length: int64, shape (n_rows + 1,)."""
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def side_by_side(first: Array, sizes: Array) -> tuple[Array, Array]:
    """Return where runs of rows start once they lie side by side, and the rows themselves.

    Parameters
    ----------
    first, sizes : int, shape (n,)
        The first row of each run, and how many there are.

    Examples
    --------
    >>> starts, rows = side_by_side(np.array([7, 2]), np.array([2, 1]))
    >>> starts.tolist(), rows.tolist()
    ([0, 2, 3], [7, 8, 2])
    """
    starts = row_starts(sizes)
    rows = np.arange(starts[-1], dtype=np.int64)
    rows += np.repeat(first - starts[:-1], sizes)
    return starts, rows


def distinct(values: Array) -> Array:
    """Return the distinct whole numbers, ascending.

    What `numpy.unique` returns; but that hashes, and sorting is five times as fast.
    """
    values = np.sort(values)
    is_new = np.ones(len(values), dtype=bool)
    is_new[1:] = values[1:] != values[:-1]
    return values[is_new]


def is_among(values: Array, ascending: Array) -> Array:
    """Return whether each value is among others that ascend; `numpy.isin` would sort both.

    Examples
    --------
    >>> is_among(np.array([5, 2, 9]), np.array([2, 2, 5])).tolist()
    [True, True, False]
    """
    if not len(ascending):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[place] == values)


def is_ascending(values: Array) -> bool:
    """Return whether no value is below the one before."""
    return bool((values[1:] >= values[:-1]).all())
