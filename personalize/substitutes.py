"""Which product types are one-per-need, and how many of a type go into one basket.

A type is one-per-need if people who bought from it come back to it less often than chance would
have it for those same people: the number of their later orders that hold the type, against the
number to expect from how many orders they placed and how common the type is. Coming back for the
same product counts too: what is used up is needed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from personalize.compiled import compiled
from personalize.config import EngineConfig
from personalize.purchases import Occasion
from personalize.sorting import row_starts
from personalize.times import DAY

_UPPER = 0.9
_MOST = 0.9
_MIN_EXPECTED = 3.0
"""Below so many expected returns, too little is known to call a type one-per-need."""


@dataclass(frozen=True, eq=False)
class Substitutes:
    """What is learned about each product type.

    Parameters
    ----------
    is_one_per_need : bool, shape (n_types,)
    come_back, expected : float32, shape (n_types,)
        Later orders with the type by its buyers: seen, and expected by chance.
    upper : float32, shape (n_types,)
        90% upper bound of the ratio of the two; NaN where nothing was expected.
    per_basket : int32, shape (n_types,)
        Different products of the type in a basket that holds any: the median; at least 1.
    per_list : int32, shape (n_types,)
        How many a list may hold: what 90% of these baskets do with.
    """

    is_one_per_need: NDArray[np.bool_]
    come_back: NDArray[np.float32]
    expected: NDArray[np.float32]
    upper: NDArray[np.float32]
    per_basket: NDArray[np.int32]
    per_list: NDArray[np.int32]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by the names they have in an artifact."""
        return {f"types_{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return what `arrays` gave."""
        return cls(**{name: arrays[f"types_{name}"] for name in cls.__dataclass_fields__})


def fit_substitutes(
    types: Occasion,
    orders: Occasion,
    basket_types: tuple[NDArray[Any], NDArray[Any]],
    as_of: int,
    config: EngineConfig,
) -> Substitutes:
    """Return what is learned about each type.

    Parameters
    ----------
    types : Occasion
        Purchases of known customers, targets are types.
    orders : Occasion
        The same customers' orders as a whole (one target).
    basket_types : pair of int arrays, shape (n_lines,)
        Basket and type (-1 for none) of every distinct product in every basket, guests included.
    as_of : int, microseconds UTC
    config : EngineConfig

    Notes
    -----
    The upper bound is that of a Poisson rate under Jeffreys' prior:
    gamma quantile(0.9; seen + 1/2) / expected.
    """
    n_types = types.n_targets
    per_basket, per_list = _per_basket(*basket_types, n_types)
    window = round(config.one_per_need_window_days * DAY)
    first = np.flatnonzero(types.is_first)
    start = types.at[first]
    end = np.minimum(start + window, as_of)
    n_orders_later = _count_between(orders, types.customer[first], start, end)
    seen_later = _count_rows_between(types, first, end)
    n_occasions = max(len(orders.at), 1)
    share = np.bincount(types.target, minlength=n_types) / n_occasions
    expected = np.bincount(types.target[first], n_orders_later, minlength=n_types) * share
    come_back = np.bincount(types.target[first], seen_later, minlength=n_types).astype(float)
    from scipy.special import gammaincinv

    bound = gammaincinv(come_back + 0.5, _UPPER)
    upper = np.divide(bound, expected, out=np.full(n_types, np.nan), where=expected > 0)
    known = expected >= _MIN_EXPECTED
    return Substitutes(
        is_one_per_need=known & (np.nan_to_num(upper, nan=np.inf) < config.one_per_need_ratio),
        come_back=come_back.astype(np.float32),
        expected=expected.astype(np.float32),
        upper=upper.astype(np.float32),
        per_basket=per_basket,
        per_list=per_list,
    )


def _fill_between(
    starts: NDArray[Any],
    at: NDArray[Any],
    customer: NDArray[Any],
    start: NDArray[Any],
    end: NDArray[Any],
    counts: NDArray[Any],
) -> None:
    for i in range(len(customer)):
        theirs = at[starts[customer[i]] : starts[customer[i] + 1]]
        after = np.searchsorted(theirs, start[i], "right")
        counts[i] = max(np.searchsorted(theirs, end[i]) - after, 0)


fill_between = compiled(_fill_between)


def _count_between(
    orders: Occasion, customer: NDArray[Any], start: NDArray[Any], end: NDArray[Any]
) -> NDArray[np.int64]:
    """Return how many orders each customer placed after `start` and before `end`."""
    counts = np.zeros(len(customer), dtype=np.int64)
    most = max(int(orders.customer.max(initial=-1)), int(customer.max(initial=-1))) + 1
    starts = row_starts(np.bincount(orders.customer, minlength=most))
    fill_between(starts, orders.at, customer, start, end, counts)
    return counts


def _count_rows_between(
    types: Occasion, first: NDArray[Any], end: NDArray[Any]
) -> NDArray[np.int64]:
    """Return how many later rows of the same customer and type lie before `end`."""
    n_rows = np.diff(np.append(first, len(types.at)))
    within = types.at < np.repeat(end, n_rows)
    counted = np.concatenate([[0], np.cumsum(within)])
    return np.asarray(counted[first + n_rows] - counted[first] - 1, dtype=np.int64).clip(0)


def _per_basket(
    basket: NDArray[Any], type_num: NDArray[Any], n_types: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return how many different products of a type a basket holds that holds any.

    Returns
    -------
    pair of int32 arrays, shape (n_types,)
        What half of these baskets, and what a share `_MOST` of them do with; 1 without any.
    """
    use = type_num >= 0
    cells, products = np.unique(basket[use] * np.int64(n_types) + type_num[use], return_counts=True)
    kind = cells % max(n_types, 1)
    held = np.bincount(kind, minlength=n_types)
    by_size = np.append(products[np.lexsort((products, kind))], 1)
    first = np.cumsum(held) - held

    def at(share: float) -> NDArray[np.int32]:
        place = np.where(held > 0, first + np.ceil(share * held).astype(np.int64) - 1, -1)
        return np.asarray(by_size[place], dtype=np.int32)

    return at(0.5), at(_MOST)
