"""Words of titles that name substitutes, where there are no product types.

Two sport coats share words. If products that share a word are found in one order less often than
chance would have it, one of them replaces the other, and neither completes the other. Counted over
all products of a word, since one pair alone is too rare to say so; what a shop sells side by side
(gift-ware in several colours, socks) is far above chance and stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from personalize.catalog import Product
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.likeness.nearest import Index, entries

if TYPE_CHECKING:
    from scipy import sparse

Array = np.ndarray[Any, np.dtype[Any]]

QUANTILE: Final = 0.99
"""Of the upper bound: thousands of words are asked at once."""
MAX_ROW: Final = 1_000
"""A larger order says nothing of what goes with what."""
MAX_LINES: Final = 2_000_000
"""More lines than that teach nothing new: then every second order is read, or every third."""
_AT_ONCE: Final = 200_000


class WordPairs(NamedTuple):
    """Pairs of different products that share a word, in one order; shape (n_keys,) each."""

    seen: Array
    expected: Array
    """By chance: as often as any two products that are bought as often."""

    def upper(self) -> Array:
        """Return the upper bound of the ratio to chance; infinite where nothing is expected.

        That of a Poisson rate under Jeffreys' prior, as for product types.
        """
        from scipy.special import gammaincinv

        bound = gammaincinv(self.seen + 0.5, QUANTILE)
        known = self.expected > 0
        return np.where(known, bound / np.where(known, self.expected, 1.0), np.inf)


def fit_replaced(
    index: Index, products: Sequence[Product], baskets: Interactions, config: EngineConfig
) -> tuple[Array, Array, Array]:
    """Return the words whose products replace one another: keys, row starts, product numbers.

    Products with a product type are left to what is learned of their types.
    """
    from scipy import sparse

    untyped = np.fromiter((product.product_type is None for product in products), bool)
    words = np.where(untyped[:, None], index.words, -1)
    place, column = np.nonzero(words >= 0)
    shape = (len(products), len(index.key_hashes))
    holds = sparse.csr_array((np.ones(len(place)), (place, words[place, column])), shape=shape)
    pairs = count_word_pairs(holds, baskets)
    keys = np.flatnonzero(pairs.upper() < config.one_per_need_ratio)
    members = sparse.csc_array(holds)[:, keys]
    members.sort_indices()
    return (
        keys.astype(np.int32),
        members.indptr.astype(np.int64),
        members.indices.astype(np.int32),
    )


def count_word_pairs(holds: sparse.csr_array, baskets: Interactions) -> WordPairs:
    """Return how often products that share a word share an order, and how often by chance.

    Parameters
    ----------
    holds : csr_array of float64, shape (n_products, n_keys)
        1 where a title holds a word.
    baskets : Interactions

    Notes
    -----
    With L orders of product p, n products in an order, and sums over orders,
    expected = sum over pairs p < q of the word of L(p) L(q) * sum n (n - 1) / (sum n)^2.
    """
    from scipy import sparse

    sizes = np.diff(baskets.basket_indptr)
    step = max(1, -(-len(baskets.basket_products) // MAX_LINES))
    use = np.flatnonzero((sizes <= MAX_ROW) & (np.arange(len(sizes)) % step == 0))
    n_keys = holds.shape[1]
    seen, lines = np.zeros(n_keys), np.zeros(holds.shape[0])
    if not holds.nnz or not len(use):
        return WordPairs(seen, np.zeros(n_keys))
    ends = np.cumsum(sizes[use])
    for part in np.split(use, np.searchsorted(ends, np.arange(_AT_ONCE, ends[-1], _AT_ONCE))):
        starts = np.concatenate([[0], np.cumsum(sizes[part])])
        nums = baskets.basket_products[entries(baskets.basket_indptr[part], sizes[part])]
        lines += np.bincount(nums, minlength=len(lines))
        shape = (len(part), len(lines))
        together = sparse.csr_array((np.ones(len(nums)), nums, starts), shape=shape) @ holds
        n_held = together.data
        seen += np.bincount(together.indices, n_held * (n_held - 1.0) / 2.0, minlength=n_keys)
    n = sizes[use].astype(np.float64)
    share = float((n * (n - 1.0)).sum() / max(n.sum(), 1.0) ** 2)
    expected = ((lines @ holds) ** 2 - (lines**2) @ holds) / 2.0 * share
    return WordPairs(seen, np.asarray(expected))
