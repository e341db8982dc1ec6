"""What is borrowed from products alike: for those that are new or rare, and for new ones to show.

A product that hardly sold has no complements of its own. What goes with its alikes goes with it;
and where its alikes go, it may go too. Only products are compared here; who bought what comes in
as a table of pairs that holds no rare one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Self

import numpy as np

from personalize.catalog import Product
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.likeness.nearest import Alike, Index, entries
from personalize.likeness.replaced import fit_replaced
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]

_PREFIX: Final = "likeness_"
_INDEX: Final = "likeness_index_"
SHARPNESS: Final = 3
"""Power of the likeness: the nearest count most."""
EVIDENCE: Final = 20.0
"""Orders that make an alike half trustworthy, and a product half independent of its alikes."""
NEW_DAYS: Final = 30.0
"""A product that first sold so long ago is no longer new."""
N_ASKED: Final = 20
"""Products of one question that borrow, the least known first."""
N_LEADING: Final = 50
"""Candidates whose place a new product may take beside them, the best first."""


class Pairs(NamedTuple):
    """What goes with each product of the model, as a CSR."""

    indptr: Array
    nums: Array
    weights: Array


class Borrowed(NamedTuple):
    """Candidates of one question, ascending by number, every score above 0."""

    nums: Array
    """int64, shape (n,): product numbers."""
    scores: Array
    """float64, shape (n,): comparable within this answer only."""
    because: Array
    """int64, shape (n,): the product asked about that adds most."""


_NONE: Final = Borrowed(np.array([], np.int64), np.array([]), np.array([], np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """The products alike, and what may be concluded from it.

    Parameters
    ----------
    index : Index
        Finds the alikes of a product that the model does not know.
    orders : int32, shape (n_products,)
        Orders that hold each product.
    alike_indptr : int64, shape (n_products + 1,)
        Row starts of ``alike_nums``, int32, and ``alike_scores``, float32, the nearest first.
    new_indptr : int64, shape (n_products + 1,)
        Row starts of ``new_nums`` and ``new_scores``: the new products alike to each.
    replaced_keys : int32, ascending, shape (n_words,)
        Words whose products replace one another.
    replaced_indptr : int64, shape (n_words + 1,)
        Row starts of ``replaced_nums``, int32: the products with each of these words.
    """

    index: Index
    orders: Array
    alike_indptr: Array
    alike_nums: Array
    alike_scores: Array
    new_indptr: Array
    new_nums: Array
    new_scores: Array
    replaced_keys: Array
    replaced_indptr: Array
    replaced_nums: Array

    @classmethod
    def fit(
        cls, products: Sequence[Product], baskets: Interactions, config: EngineConfig, as_of: int
    ) -> Self:
        """Return what the catalogue says of likeness, and the baskets of substitutes.

        Parameters
        ----------
        products : sequence of Product
            In the order of their numbers in `baskets`.
        baskets : Interactions
        config : EngineConfig
        as_of : int, microseconds UTC
        """
        n = len(products)
        nums, times = baskets.lines()
        orders = np.bincount(nums, minlength=n).astype(np.int32)
        index = Index.fit(products, orders)
        alike = index.alike(index.rows, np.arange(n))
        first = np.full(n, as_of, dtype=np.int64)
        np.minimum.at(first, nums, times)
        hardly = (orders < config.min_customers) & (first >= as_of - round(NEW_DAYS * DAY))
        back = np.flatnonzero(hardly[alike.row])
        back = back[np.argsort(alike.nums[back], kind="stable")]
        return cls(
            index,
            orders,
            _starts(alike.row, n),
            alike.nums,
            alike.scores,
            _starts(alike.nums[back], n),
            alike.row[back].astype(np.int32),
            alike.scores[back],
            *fit_replaced(index, products, baskets, config),
        )

    def alike(self, nums: Array, products: Sequence[Product]) -> Alike:
        """Return the nearest products of the model to some products, row by row.

        Parameters
        ----------
        nums : int, shape (n,)
            Their numbers; at or above the model's own, the product is looked up.
        products : sequence of Product, length n
        """
        known = nums < len(self.orders)
        inside = np.where(known, nums, 0)
        starts = self.alike_indptr[inside]
        lengths = np.where(known, self.alike_indptr[inside + 1] - starts, 0)
        take = entries(starts, lengths)
        row = np.repeat(np.arange(len(nums)), lengths)
        found = Alike(row, self.alike_nums[take], self.alike_scores[take])
        strange = np.flatnonzero(~known)
        if not len(strange):
            return found
        asked = self.index.look_up([products[place] for place in strange.tolist()])
        row, others, scores = self.index.alike(asked, np.full(len(strange), -1))
        return Alike(
            np.concatenate([found.row, strange[row]]),
            np.concatenate([found.nums, others]),
            np.concatenate([found.scores, scores]),
        )

    def borrowed(
        self, nums: Array, products: Sequence[Product], pairs: Pairs, may_lend: Array
    ) -> Borrowed:
        """Return what goes with the alikes of some products.

        Parameters
        ----------
        nums : int, shape (n,), distinct
            Numbers of the products asked about.
        products : sequence of Product
            Every product by number.
        pairs : Pairs
            What goes with each product of the model.
        may_lend : bool, shape (n_products,)
            Products of the model that may stand for another.

        Notes
        -----
        ``v(a, b) = likeness(a, b)^3 * N(b) / (N(b) + 20)`` for N orders; then
        ``score(c) = sum over a of 20 / (N(a) + 20) * mean over b of pair(b, c)``, the mean over
        the alikes b of a, weighted by v, c itself left out: a product says nothing of how well it
        goes with its like.
        """
        if not len(self.index.key_hashes):  # no catalogue: nobody is like anybody
            return _NONE
        doubt = EVIDENCE / (EVIDENCE + self._orders(nums))
        least_known = np.sort(np.lexsort((nums, -doubt))[:N_ASKED])
        nums, doubt = nums[least_known], doubt[least_known]
        row, others, likeness = self.alike(nums, [products[num] for num in nums.tolist()])
        orders = self.orders[others].astype(np.float64)
        value = likeness.astype(np.float64) ** SHARPNESS * (orders / (orders + EVIDENCE))
        value *= may_lend[others]
        starts = pairs.indptr[others]
        lengths = pairs.indptr[others + 1] - starts
        take = entries(starts, lengths)
        n = len(self.orders)
        cells = np.repeat(row * n, lengths) + pairs.nums[take]
        cell, place = np.unique(cells, return_inverse=True)
        total = np.bincount(place, np.repeat(value, lengths) * pairs.weights[take])
        mass = np.bincount(row, value, minlength=len(nums))[cell // n]
        mass = mass - _at(cell, row * n + others, value)
        use = (total > 0.0) & (mass > 1e-12)
        asked, candidate = cell[use] // n, cell[use] % n
        return _added_up(candidate, doubt[asked] * total[use] / mass[use], nums[asked])

    def beside(self, nums: Array, scores: Array) -> Borrowed:
        """Return the new products that are alike to candidates of a list.

        A new product has the best of likeness^3 * score over its alikes.

        Parameters
        ----------
        nums : int, shape (n,), distinct
            The candidates.
        scores : float64, shape (n,)

        Returns
        -------
        Borrowed
            ``because`` is the place of the candidate in `nums`.
        """
        if not len(self.new_nums):
            return _NONE
        best = np.lexsort((nums, -scores))[:N_LEADING]
        inside = best[nums[best] < len(self.orders)]
        starts = self.new_indptr[nums[inside]]
        lengths = self.new_indptr[nums[inside] + 1] - starts
        take = entries(starts, lengths)
        place = np.repeat(inside, lengths)
        value = self.new_scores[take].astype(np.float64) ** SHARPNESS * scores[place]
        found = self.new_nums[take].astype(np.int64)
        order = np.lexsort((place, -value, found))
        first = order[np.flatnonzero(np.diff(found[order], prepend=-1))]
        return Borrowed(found[first], value[first], place[first])

    def replaced_by(self, nums: Array, products: Sequence[Product]) -> Array:
        """Return the products that replace some products, themselves included: their substitutes.

        Parameters
        ----------
        nums : int, shape (n,)
            Only those without a product type have any.
        products : sequence of Product
            Every product by number.

        Returns
        -------
        int32, distinct, ascending
        """
        if not len(self.replaced_keys):
            return self.replaced_nums
        untyped = [num for num in nums.tolist() if products[num].product_type is None]
        own = [num for num in untyped if num < len(self.orders)]
        strange = [products[num] for num in untyped if num >= len(self.orders)]
        words = np.append(self.index.words[own], self.index.look_up(strange).words)
        rows = np.flatnonzero(np.isin(self.replaced_keys, words))
        parts = [self.replaced_nums[slice(*self.replaced_indptr[r : r + 2])] for r in rows]
        return np.unique(np.concatenate([self.replaced_nums[:0], *parts]))

    def _orders(self, nums: Array) -> Array:
        known = nums < len(self.orders)
        return np.where(known, self.orders[np.where(known, nums, 0)], 0)

    def arrays(self) -> dict[str, Array]:
        """Return every array by name, for the artifact."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "index"}
        out = {_PREFIX + name: array for name, array in own.items()}
        return out | {_INDEX + name: array for name, array in self.index.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the likeness of `arrays`."""
        index = {
            name.removeprefix(_INDEX): array
            for name, array in arrays.items()
            if name.startswith(_INDEX)
        }
        own = (np.asarray(arrays[_PREFIX + f.name]) for f in fields(cls) if f.name != "index")
        return cls(Index.from_arrays(index), *own)


def _added_up(candidate: Array, parts: Array, asked: Array) -> Borrowed:
    """Return the sum of the parts of each candidate, and who adds most to it."""
    order = np.lexsort((asked, -parts, candidate))
    candidate, parts, asked = candidate[order], parts[order], asked[order]
    first = np.flatnonzero(np.diff(candidate, prepend=-1))
    if not len(first):
        return _NONE
    return Borrowed(
        candidate[first].astype(np.int64),
        np.add.reduceat(parts, first),
        asked[first].astype(np.int64),
    )


def _at(cells: Array, keys: Array, values: Array) -> Array:
    """Return the value of each cell; 0 where it is none of `keys`. Cells ascend."""
    out = np.zeros(len(cells))
    if len(cells):
        place = np.minimum(np.searchsorted(cells, keys), len(cells) - 1)
        hit = cells[place] == keys
        out[place[hit]] = values[hit]
    return out


def _starts(rows: Array, n_rows: int) -> Array:
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))]).astype(np.int64)
