"""What goes with what: faded chances of sharing an order, with co-ownership and the ridge."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from personalize.association.counting import MAX_ROW, Groups, rows_in_blocks, strongest_pairs
from personalize.association.owning import Owning
from personalize.association.ridge import Ridge
from personalize.compiled import compiled
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.sorting import row_starts
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]

DAMPING_ORDERS: Final = 2.0
"""Orders of doubt: a product seen in so many orders speaks half as loud in a basket of several."""


@compiled
def mixed_rows(
    start: int, stop: int, shares: Array, base: Array, orders: Array, owners: Array,
    basket_indptr: Array, basket_nums: Array, basket_support: Array, basket_weights: Array,
    owning_indptr: Array, owning_nums: Array, owning_shared: Array,
    ridge_indptr: Array, ridge_nums: Array, ridge_weights: Array, n_baskets: float,
    nums: Array, scores: Array, support: Array, lift: Array, lengths: Array,
) -> None:  # fmt: skip
    """Write the best complements of products `start` to `stop`, by score, then number.

    ``shares`` weighs orders, owners and ridge; ``base`` is the faded weight of each product's
    orders. Only pairs that shared enough orders come in: what is merely owned by the same
    customers is no complement.
    """
    n_products = len(orders)
    keep = nums.shape[1]
    total = np.zeros(n_products)
    together = np.zeros(n_products, np.int32)
    is_touched = np.zeros(n_products, np.bool_)
    touched = np.empty(n_products, np.int32)
    for a in range(start, stop):
        n_touched = 0
        for i in range(basket_indptr[a], basket_indptr[a + 1]):
            c = basket_nums[i]
            touched[n_touched] = c
            n_touched += 1
            is_touched[c] = True
            together[c] = basket_support[i]
            total[c] = shares[0] * basket_weights[i] / base[a]
        for i in range(owning_indptr[a], owning_indptr[a + 1]):
            c = owning_nums[i]
            if is_touched[c]:
                total[c] += shares[1] * owning_shared[i] / owners[a]
        for i in range(ridge_indptr[a], ridge_indptr[a + 1]):
            c = ridge_nums[i]
            if is_touched[c]:
                total[c] += shares[2] * ridge_weights[i]
        found = np.sort(touched[:n_touched])
        doubt = orders[a] / (orders[a] + DAMPING_ORDERS)
        written = (total[found] * doubt).astype(np.float32)  # equal once rounded: by number
        order = np.argsort(-written, kind="mergesort")[:keep]
        size = 0
        for i in order:
            c = found[i]
            if total[c] <= 0.0:
                break
            nums[a - start, size] = c
            scores[a - start, size] = total[c] * doubt
            support[a - start, size] = together[c]
            lift[a - start, size] = together[c] * (n_baskets / (orders[a] * orders[c]))
            size += 1
        lengths[a - start] = size
        for i in range(n_touched):
            c = touched[i]
            total[c] = 0.0
            together[c] = 0
            is_touched[c] = False


def together_table(
    interactions: Interactions, config: EngineConfig, as_of: int, owning: Owning, ridge: Ridge
) -> tuple[Array, Array, Array, Array, Array]:
    """Return what goes with each product: starts, numbers, weights, support, lift."""
    n_products, n_baskets = interactions.n_products, interactions.n_baskets
    products, sizes = interactions.basket_products, np.diff(interactions.basket_indptr)
    half_lives = (interactions.basket_time - as_of) / (config.half_life_days * DAY)
    weight = np.exp2(np.maximum(half_lives, -1000.0)) / np.sqrt(np.maximum(sizes, 1))
    is_small = np.repeat(sizes <= MAX_ROW, sizes)
    orders = np.bincount(products, minlength=n_products).astype(np.float64)
    base = np.bincount(products, weights=np.repeat(weight, sizes), minlength=n_products)
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
    of_orders, of_owners = 1.0 - config.owners_share, config.owners_share
    shares = np.array([of_orders, of_owners, 0.0]) * (1.0 - config.ridge_share)
    shares[2] = config.ridge_share
    keep = min(config.n_neighbours, n_products)

    def work(start: int, stop: int) -> tuple[Array, ...]:
        shape = (stop - start, keep)
        found, score = np.empty(shape, np.int32), np.empty(shape, np.float32)
        backed, lift = np.empty(shape, np.int32), np.empty(shape, np.float32)
        lengths = np.zeros(stop - start, np.int64)
        mixed_rows(
            start, stop, shares, base, orders, owning.owners, starts, nums, support, weights,
            owning.indptr, owning.nums, owning.shared, ridge.indptr, ridge.nums, ridge.weights,
            float(n_baskets), found, score, backed, lift, lengths,
        )  # fmt: skip
        used = np.arange(keep) < lengths[:, None]
        return lengths, found[used], score[used], backed[used], lift[used]

    lengths, found, score, backed, lift = rows_in_blocks(work, n_products, keep)
    return row_starts(lengths), found, score, backed, lift
