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
SIZE_EXPONENT: Final = 0.25
"""A customer of so many products counts as that number to minus this power: who buys everything
says less of what belongs together. Chosen with ``ridge`` on four earlier months of retail, where
NDCG@10 of what comes next is 1.1% higher than at 0, and two of groceries, where it is the same."""


class Owning(NamedTuple):
    """The Gram matrix of customers x products, rare pairs left out; rows nearest by cosine first.

    Customers are weighted by how few products they own (`SIZE_EXPONENT`); all weights together are
    the number of customers, so that everything here is on the scale of customers.

    Parameters
    ----------
    indptr : int64, shape (n_products + 1,)
    nums : int32
        The other product of each pair.
    shared : float32
        Weight of the customers who own both, of whom there are at least ``min_customers``.
    owners : float64, shape (n_products,)
        Weight of the customers who own each product.
    n_customers : int
    """

    indptr: Array
    nums: Array
    shared: Array
    owners: Array
    n_customers: int

    @classmethod
    def of(cls, interactions: Interactions, config: EngineConfig) -> Self:
        """Return the pairs that at least ``min_customers`` customers own."""
        indptr, products = _latest(interactions)
        n_products, n_customers = interactions.n_products, interactions.n_customers
        sizes = np.diff(indptr)
        weight = np.maximum(sizes, 1.0) ** -SIZE_EXPONENT
        weight *= n_customers / max(weight.sum(), 1e-300)
        owners = np.bincount(products, weights=np.repeat(weight, sizes), minlength=n_products)
        starts, nums, _, shared = strongest_pairs(
            Groups(indptr, products, np.arange(n_customers, dtype=np.int32), weight),
            1.0 / np.sqrt(np.maximum(owners, 1e-9)),
            config.min_customers,
            max(config.n_neighbours * PAIRS_PER_NEIGHBOUR, config.ridge_neighbours),
        )
        return cls(starts, nums, shared, owners, n_customers)


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
