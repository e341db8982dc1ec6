"""How often the same was bought again after how many days: whole numbers, counted in one pass."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from personalize.compiled import compiled
from personalize.purchases import Occasion
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]


class Gaps(NamedTuple):
    """Counts of one row per target, float64 that hold whole numbers.

    ``again`` and ``censored``, shape (n_targets, n_columns): purchases followed by another after
    so long, and those only followed for so long. ``buyers``, ``repeaters`` (who bought it more than
    once) and ``purchases``, shape (n_targets,).
    """

    again: Array
    censored: Array
    buyers: Array
    repeaters: Array
    purchases: Array


def _fill_gaps(
    customer: Array, target: Array, at: Array, as_of: int, day: int, column_of_day: Array,
    again: Array, censored: Array, buyers: Array, repeaters: Array, purchases: Array,
) -> None:  # fmt: skip
    n = len(at)
    longest = len(column_of_day) - 1
    is_first = True
    for i in range(n):
        t = target[i]
        is_last = i + 1 == n or target[i + 1] != t or customer[i + 1] != customer[i]
        end = as_of if is_last else at[i + 1]
        column = column_of_day[max(min((end - at[i]) // day, longest), 0)]
        if is_last:
            censored[t, column] += 1.0
        else:
            again[t, column] += 1.0
        if is_first:
            buyers[t] += 1.0
            if not is_last:
                repeaters[t] += 1.0
        purchases[t] += 1.0
        is_first = is_last


fill_gaps: Final = compiled(_fill_gaps)


def count_gaps(occasions: Occasion, as_of: int, edges: Array) -> Gaps:
    """Return the gaps after each purchase of each target.

    Parameters
    ----------
    occasions : Occasion
    as_of : int, microseconds UTC
        Where the last gap of a customer and target is cut off.
    edges : float64, whole days, ascending from 0, shape (n_columns,)
        Column i holds gaps from ``edges[i]`` to below ``edges[i + 1]``, the last one all longer.
    """
    column_of_day = np.searchsorted(edges, np.arange(edges[-1] + 1), side="right") - 1
    shape = (occasions.n_targets, len(edges))
    gaps = Gaps(np.zeros(shape), np.zeros(shape), *np.zeros((3, occasions.n_targets)))
    fill_gaps(
        occasions.customer, occasions.target, occasions.at, as_of, DAY, column_of_day, *gaps
    )  # fmt: skip
    return gaps
