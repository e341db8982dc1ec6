"""Which products are alike: an index of titles, types, brands and prices, and its nearest.

The likeness of two products is the weighted mean of what is known of both: the cosine of their
titles (TF-IDF), whether they are of one type, of one brand, and how close their prices are.
Candidates come from blocks: the best sellers that share a key, rare keys first, up to a budget. So
the cost of a product does not depend on how many there are, and one that is new is looked up as
those of the index were.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Self

import numpy as np

from personalize.catalog import Product
from personalize.likeness.words import PAIR, Facts, facts_of, hashed

Array = np.ndarray[Any, np.dtype[Any]]

N_WORDS: Final = 16
"""Words and pairs of words of a title that are compared, the rarest first."""
BLOCK: Final = 64
"""Products of one key that are looked at, the best sellers first."""
BUDGET: Final = 256
"""Products that one product is compared with."""
N_ALIKE: Final = 10
LEAST: Final = 0.1
"""Below this likeness two products are not alike."""
NEAR: Final = 0.5
"""Less like than this share of the nearest is not alike: of a bicycle not a helmet, where there are
other bicycles."""
TITLE, TYPE, BRAND, PRICE = 0.55, 0.25, 0.05, 0.15
"""Weight of each fact in the likeness."""
SAME_PARENT: Final = 0.5
"""Likeness of two types beneath one type."""
PAIR_SHARE: Final = 0.7
"""Weight of a pair of words beside that of a word as rare."""
STRANGE: Final = -2
"""A key that the index does not have: known to differ from all of them."""
_AT_ONCE: Final = 256


class Rows(NamedTuple):
    """Products as the index compares them; -1 for no key, `STRANGE` for one of no number."""

    words: Array
    """int32, shape (n, N_WORDS)."""
    weights: Array
    """float32, shape (n, N_WORDS): TF-IDF, of length 1 over the whole title."""
    types: Array
    """int32, shape (n, 2): the type and the one above it."""
    brand: Array
    """int32, shape (n,)."""
    log_price: Array
    """float32, shape (n,); NaN unknown."""


class Alike(NamedTuple):
    """Pairs of like products, by row, then likeness descending, then number."""

    row: Array
    nums: Array
    scores: Array


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The products of a model as they are compared, and where to find those with a key.

    Parameters
    ----------
    key_hashes : uint64, ascending, shape (n_keys,)
    key_weights : float32, shape (n_keys,)
        Inverse document frequency of words.
    block_indptr : int64, shape (n_keys + 1,)
    block_nums : int32
        The best sellers of each key, `BLOCK` at most.
    words, weights, types, brand, log_price
        As in `Rows`, one row per product of the model.
    """

    key_hashes: Array
    key_weights: Array
    block_indptr: Array
    block_nums: Array
    words: Array
    weights: Array
    types: Array
    brand: Array
    log_price: Array

    @property
    def rows(self) -> Rows:
        """The products of the model."""
        return Rows(self.words, self.weights, self.types, self.brand, self.log_price)

    @classmethod
    def fit(cls, products: Sequence[Product], orders: Array) -> Self:
        """Return the index of products.

        Parameters
        ----------
        products : sequence of Product, length n
        orders : int, shape (n,)
            Orders that hold each: who sells best stands first in a block, who never sold in none.
        """
        every = [facts_of(product) for product in products]
        count: dict[str, int] = {}
        for facts in every:
            for key in (*facts.words, *facts.types, *facts.brand):
                count[key] = count.get(key, 0) + 1
        keys = [key for key, n in count.items() if n > 1 or not key.startswith(PAIR)]
        hashes = hashed(keys)
        order = np.argsort(hashes, kind="stable")
        frequency = np.array([count[key] for key in keys], dtype=np.float64)[order]
        weights = np.log((len(products) + 1.0) / np.maximum(frequency, 1.0))
        is_pair = np.array([key.startswith(PAIR) for key in keys], dtype=bool)[order]
        weights = np.where(is_pair, PAIR_SHARE, 1.0) * weights
        nums = {keys[old]: new for new, old in enumerate(order.tolist())}
        rows = _rows(every, nums, weights.astype(np.float32), float(np.log(len(products) + 1.0)))
        blocks = _blocks(rows, len(keys), orders)
        return cls(hashes[order], weights.astype(np.float32), *blocks, *rows)

    def look_up(self, products: Sequence[Product]) -> Rows:
        """Return products that the model does not know as rows of its index."""
        every = [facts_of(product) for product in products]
        keys = list(dict.fromkeys(k for f in every for k in (*f.words, *f.types, *f.brand)))
        wanted = hashed(keys)
        place = np.searchsorted(self.key_hashes, wanted)
        inside = np.minimum(place, max(len(self.key_hashes) - 1, 0))
        nums = {}
        if len(self.key_hashes):
            found = np.flatnonzero(self.key_hashes[inside] == wanted)
            nums = {keys[each]: int(place[each]) for each in found}
        return _rows(every, nums, self.key_weights, float(np.log(len(self.words) + 1.0)))

    def alike(self, asked: Rows, own: Array, keep: int = N_ALIKE) -> Alike:
        """Return the nearest products of the model to each row.

        Parameters
        ----------
        asked : Rows
        own : int, shape (n,)
            Number of each row in the model, which is no answer; -1 for a new product.
        """
        starts = range(0, len(own) if len(self.key_hashes) else 0, _AT_ONCE)

        def work(start: int) -> Alike:
            part = Rows(*(array[start : start + _AT_ONCE] for array in asked))
            row, nums, scores = self._alike(part, own[start : start + _AT_ONCE], keep)
            return Alike(row + start, nums, scores)

        parts = [Alike(*(np.array([], dtype=t) for t in (np.int64, np.int32, np.float32)))]
        if len(starts) > 1:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                parts += pool.map(work, starts)
        else:
            parts += map(work, starts)  # a thread costs as much as a look-up
        return Alike(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _alike(self, asked: Rows, own: Array, keep: int) -> Alike:
        row, nums = self._candidates(asked)
        use = nums != own[row]
        row, nums = row[use], nums[use]
        scores = self._scores(asked, row, nums)
        use = scores >= LEAST
        row, nums, scores = row[use], nums[use], scores[use]
        order = np.argsort(2.0 * row - scores, kind="stable")  # numbers stay ascending
        row, nums, scores = row[order], nums[order], scores[order]
        first = np.searchsorted(row, row)
        use = np.arange(len(row)) - first < keep
        use &= scores >= NEAR * scores[first]
        return Alike(row[use], nums[use].astype(np.int32), scores[use].astype(np.float32))

    def _candidates(self, asked: Rows) -> tuple[Array, Array]:
        """Return distinct (row, number) pairs that share a key, ascending."""
        keys = np.concatenate([asked.words, asked.types], axis=1).astype(np.int64)
        known = np.maximum(keys, 0)
        sizes = np.where(keys >= 0, self.block_indptr[known + 1] - self.block_indptr[known], 0)
        rare_first = np.argsort(np.where(keys >= 0, sizes, BLOCK + 1), axis=1, kind="stable")
        keys = np.take_along_axis(keys, rare_first, axis=1)
        sizes = np.take_along_axis(sizes, rare_first, axis=1)
        before = np.cumsum(sizes, axis=1) - sizes
        sizes = np.clip(BUDGET - before, 0, sizes).ravel()
        starts = np.where(keys >= 0, self.block_indptr[keys], 0).ravel()
        row = np.repeat(np.arange(len(keys)), keys.shape[1])
        nums = self.block_nums[entries(starts, sizes)]
        n = max(len(self.words), 1)
        pairs = np.repeat(row, sizes) * n + nums
        pairs.sort()
        is_new = np.ones(len(pairs), dtype=bool)
        is_new[1:] = pairs[1:] != pairs[:-1]
        return np.divmod(pairs[is_new], n)

    def _scores(self, asked: Rows, row: Array, nums: Array) -> Array:
        """Return the likeness of pairs: float64, shape (n_pairs,), 0 to 1."""
        title = self._titles(asked, row, nums)
        types, other = asked.types[row], self.types[nums]
        same = (types[:, 0] == other[:, 0]).astype(np.float64)
        kin = (types[:, 1] >= 0) & (types[:, 1] == other[:, 1])
        kin |= (types[:, 0] == other[:, 1]) | (types[:, 1] == other[:, 0])
        kind = np.maximum(same, SAME_PARENT * kin)
        apart = np.abs(asked.log_price[row] - self.log_price[nums])
        brand, brands = asked.brand[row], self.brand[nums]
        facts = (
            (TITLE, title, (asked.words[row, 0] != -1) & (self.words[nums, 0] != -1)),
            (TYPE, kind, (types[:, 0] != -1) & (other[:, 0] != -1)),
            (BRAND, brand == brands, (brand != -1) & (brands != -1)),
            (PRICE, np.exp(-np.nan_to_num(apart)), ~np.isnan(apart)),
        )
        total, known = np.zeros(len(nums)), np.zeros(len(nums))
        for weight, value, is_known in facts:
            total += weight * np.where(is_known, value, 0.0)
            known += weight * is_known
        return np.minimum(total / np.maximum(known, 1e-12), 1.0)

    def _titles(self, asked: Rows, row: Array, nums: Array) -> Array:
        """Return the cosine of the titles of pairs."""
        mine = np.unique(asked.words[asked.words >= 0])
        local = np.zeros(len(self.key_hashes) + 2, dtype=np.int32)  # -1 and -2 find a 0 as well
        local[mine] = np.arange(1, len(mine) + 1)
        table = np.zeros((len(asked.words), len(mine) + 1), dtype=np.float32)
        np.put_along_axis(table, local[asked.words].astype(np.int64), asked.weights, axis=1)
        table[:, 0] = 0.0
        shared = table[row[:, None], local[self.words[nums]]]
        return np.asarray(np.einsum("ij,ij->i", shared, self.weights[nums], dtype=np.float64))

    def arrays(self) -> dict[str, Array]:
        """Return every array by name, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the index of `arrays`."""
        return cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})


def entries(starts: Array, lengths: Array) -> Array:
    """Return the places of the entries of some rows of a CSR, row after row."""
    ends = np.cumsum(lengths)
    shift = np.repeat(starts - ends + lengths, lengths)
    return np.asarray(np.arange(len(shift)) + shift)


def _rows(every: Sequence[Facts], nums: Mapping[str, int], weights: Array, unseen: float) -> Rows:
    """Return facts as rows; a word without a number counts `unseen` in the length of its title."""
    n = len(every)
    words = np.full((n, N_WORDS), -1, dtype=np.int32)
    shares = np.zeros((n, N_WORDS), dtype=np.float32)
    types = np.full((n, 2), -1, dtype=np.int32)
    brand = np.full(n, -1, dtype=np.int32)
    weight_of = weights.tolist()
    for place, facts in enumerate(every):
        known = [(-weight_of[nums[k]], nums[k]) for k in facts.words if k in nums]
        strange = sum(k not in nums and not k.startswith(PAIR) for k in facts.words)
        square = sum(weight * weight for weight, _ in known) + strange * unseen**2
        best = sorted(known)[:N_WORDS]
        words[place, 0] = STRANGE if strange else -1
        for column, (weight, num) in enumerate(best):
            words[place, column] = num
            shares[place, column] = -weight / max(square, 1e-12) ** 0.5
        for column, key in enumerate(facts.types):
            types[place, column] = nums.get(key, STRANGE)
        for key in facts.brand:
            brand[place] = nums.get(key, STRANGE)
    price = np.array([facts.log_price for facts in every], dtype=np.float32)
    return Rows(words, shares, types, brand, price)


def _blocks(rows: Rows, n_keys: int, orders: Array) -> tuple[Array, Array]:
    """Return starts and numbers of the best sellers of each key; none that never sold."""
    keys = np.concatenate([rows.words, rows.types], axis=1)
    keys[np.asarray(orders) == 0] = -1
    num = np.repeat(np.arange(len(keys), dtype=np.int64), keys.shape[1])
    key = keys.ravel().astype(np.int64)
    num, key = num[key >= 0], key[key >= 0]
    order = np.lexsort((num, -np.asarray(orders)[num], key))
    num, key = num[order], key[order]
    first = np.searchsorted(key, key)
    use = np.arange(len(key)) - first < BLOCK
    counts = np.bincount(key[use], minlength=n_keys)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return starts, num[use].astype(np.int32)
