"""Work on rows in blocks, spread over threads: the answer does not depend on their number.

Only what releases the interpreter lock gains: compiled loops, numpy's and Arrow's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_blocks(work: Callable[[int, int], T], n_rows: int, size: int) -> list[T]:
    """Return what `work` makes of each block of rows, from its start to its end, in row order.

    Parameters
    ----------
    work : callable
        Of the first row and the one after the last.
    n_rows : int
        No rows are one empty block.
    size : int, rows
        Of a block, at most.

    Examples
    --------
    >>> in_blocks(lambda start, stop: (start, stop), 5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    starts = range(0, max(n_rows, 1), size)
    if len(starts) == 1:
        return [work(0, n_rows)]
    with ThreadPoolExecutor(n_threads()) as pool:
        return list(pool.map(lambda start: work(start, min(start + size, n_rows)), starts))


def n_threads() -> int:
    """Return how many threads there is work for."""
    return os.cpu_count() or 1
