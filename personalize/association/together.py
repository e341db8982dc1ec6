"""What orders hold together: faded chances, with the ridge's share."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from personalize.association.counting import MAX_ROW, Groups, strongest_pairs
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.sorting import row_starts
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]

DAMPING_ORDERS: Final = 2.0
"""Orders of doubt: a product seen in so many orders speaks half as loud in a basket of several."""


def together_table(
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
    starts, nums, support, weights = strongest_pairs(
        Groups(
            row_starts(np.where(sizes <= MAX_ROW, sizes, 0)),
            products[is_small],
            interactions.basket_customer,
            weight,
        ),
        np.ones(n_products),
        config.min_customers,
        config.n_neighbours,
    )
    source = np.repeat(np.arange(n_products, dtype=np.int64), np.diff(starts))
    order = np.lexsort((nums, source))
    nums, weights, support = nums[order], weights[order], support[order]
    share = config.ridge_share
    score = (1.0 - share) * weights / total[source] + share * _found(ridge, source, nums)
    score = (score * (orders / (orders + DAMPING_ORDERS))[source]).astype(np.float32)
    lift = (support * (n_baskets / (orders[source] * orders[nums]))).astype(np.float32)
    use = score > 0.0
    starts = row_starts(np.bincount(source[use], minlength=n_products))
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
