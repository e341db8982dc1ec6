"""Who owns what with what: the customers who bought two products, in whatever orders."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

import numpy as np

from personalize.association.counting import MAX_ROW, Groups, strongest_pairs
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.sorting import row_starts

Array = np.ndarray[Any, np.dtype[Any]]

PAIRS_PER_NEIGHBOUR: Final = 10
"""Pairs kept per product, for each neighbour asked for: bounds the memory."""


class Owning(NamedTuple):
    """The Gram matrix of customers x products, rare pairs left out; rows nearest by cosine first.

    Parameters
    ----------
    indptr : int64, shape (n_products + 1,)
    nums : int32
        The other product of each pair.
    counts : int32
        Customers who own both; at least ``min_customers``.
    owners : float64, shape (n_products,)
        Customers who own each product.
    n_customers : int
    """

    indptr: Array
    nums: Array
    counts: Array
    owners: Array
    n_customers: int

    @classmethod
    def of(cls, interactions: Interactions, config: EngineConfig) -> Self:
        """Return the pairs that at least ``min_customers`` customers own."""
        indptr, products = _latest(interactions)
        n_products, n_customers = interactions.n_products, interactions.n_customers
        owners = np.bincount(products, minlength=n_products).astype(np.float64)
        starts, nums, counts, _ = strongest_pairs(
            Groups(indptr, products, np.arange(n_customers, dtype=np.int32), None),
            1.0 / np.sqrt(np.maximum(owners, 1.0)),
            config.min_customers,
            max(config.n_neighbours * PAIRS_PER_NEIGHBOUR, config.ridge_neighbours),
        )
        return cls(starts, nums, counts, owners, n_customers)


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
