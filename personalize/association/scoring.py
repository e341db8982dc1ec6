"""The two tables as one value: scores of a basket and of a history, in numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Self

import numpy as np

from personalize.association.counting import by_weight
from personalize.association.owning import Owning
from personalize.association.ridge import ridge_table
from personalize.association.together import together_table
from personalize.config import EngineConfig
from personalize.interactions import Interactions

Array = np.ndarray[Any, np.dtype[Any]]

POWER: Final = 4
"""How several anchors add up: the root of the sum of powers. At 1 popular complements of all win
over the one that belongs to something in the basket; endlessly large, only the best anchor counts.
Chosen on earlier months: with 8 anchors NDCG@10 is .269 at 1, .337 at 2, .347 at 4, .344 beyond."""


_NOTHING: Final = np.array([], dtype=np.int32)


class Scored(NamedTuple):
    """Candidates of one question, ascending by number, every score above 0."""

    nums: Array
    """int32, shape (n,): product numbers."""
    scores: Array
    """float64, shape (n,): comparable within this answer only."""
    because: Array
    """int32, shape (n,): the product asked about that adds most; -1 where none adds anything."""
    support: Array
    """int32, shape (n,): orders that hold both (0 for `next`)."""
    lift: Array
    """float32, shape (n,): ratio to chance of the two (NaN for `next`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """The two tables of pairs, one row per product, each by weight descending, then number.

    Parameters
    ----------
    together_indptr : int64, shape (n_products + 1,)
        Row starts of the other ``together_*`` arrays, shape (n_pairs,).
    together_nums : int32
        The complement.
    together_weights : float32
        Score of the complement given the product, above 0: its conditional probability, with
        shares of co-ownership and of the ridge, damped where the product is rare.
    together_support : int32, orders
        Orders that hold both.
    together_lift : float32
        Ratio to chance.
    together_orders : float32, shape (n_products,)
        Orders that hold each product.
    next_indptr : int64, shape (n_products + 1,)
        Row starts of ``next_nums`` and ``next_weights``.
    next_nums : int32
        What is bought besides.
    next_weights : float32
        Ridge weight, may be negative.
    next_intercepts : float32, shape (n_products,)
        What each product's score begins with, whatever the history.
    """

    together_indptr: Array
    together_nums: Array
    together_weights: Array
    together_support: Array
    together_lift: Array
    together_orders: Array
    next_indptr: Array
    next_nums: Array
    next_weights: Array
    next_intercepts: Array

    @property
    def n_products(self) -> int:
        """Products that have a row."""
        return len(self.together_indptr) - 1

    @classmethod
    def fit(cls, interactions: Interactions, config: EngineConfig, as_of: int) -> Self:
        """Return the tables learned from what was bought before `as_of` (microseconds).

        Cost grows with the sum of squared row lengths (`MAX_ROW` bounds it) and linearly with
        products; rows are independent, so the result does not depend on the number of threads.
        """
        owning = Owning.of(interactions, config)
        ridge = ridge_table(owning, config)
        together = together_table(interactions, config, as_of, owning, ridge)
        by_source = by_weight(ridge.indptr, ridge.nums, ridge.weights)
        orders = np.bincount(interactions.basket_products, minlength=interactions.n_products)
        tables = (
            *by_weight(*together), orders.astype(np.float32), *by_source, ridge.intercepts,
        )  # fmt: skip
        return cls(**dict(zip((field.name for field in fields(cls)), tables, strict=True)))

    def complement_scores(self, anchor_nums: Array) -> Scored:
        """Return what goes with the products of one basket.

        Parameters
        ----------
        anchor_nums : int, shape (n,), distinct
            The basket. The anchors themselves may come back among the candidates.
        """
        rows = _Rows.of(self.together_indptr, anchor_nums)
        parts = rows.gather(self.together_weights).astype(np.float64)
        if len(anchor_nums) > 1:
            parts **= POWER
        nums, scores, best = _summed(rows.gather(self.together_nums), parts, self.n_products)
        if len(anchor_nums) > 1:
            scores **= 1.0 / POWER
        asked, entry = rows.origin(best)
        return Scored(
            nums,
            scores,
            anchor_nums[asked].astype(np.int32),
            self.together_support[entry],
            self.together_lift[entry],
        )

    def next_scores(self, history_nums: Array, wanted: Array = _NOTHING, least: int = 0) -> Scored:
        """Return what goes with a history: linked to some of it, with a score above 0.

        Parameters
        ----------
        history_nums : int, shape (n,), distinct
            What the customer owns. It may come back among the candidates.
        wanted : int, shape (m,), distinct, optional
            Products with an intercept above 0 that are candidates without a link too, for their
            intercept alone, if the history speaks for enough others.
        least : int
            So many others, not of the history, are enough.
        """
        rows = _Rows.of(self.next_indptr, history_nums)
        parts = rows.gather(self.next_weights).astype(np.float64)
        nums, sums, best = _summed(rows.gather(self.next_nums), parts, self.n_products)
        because = history_nums[rows.origin(best)[0]].astype(np.int32)
        because[parts[best] <= 0.0] = -1
        scores = sums + self.next_intercepts[nums]
        use = scores > 0.0
        more = wanted[:0]
        if len(wanted) and len(history_nums):
            n_others = np.count_nonzero(use) - np.isin(history_nums, nums[use]).sum()
            if n_others >= least:
                more = wanted[~np.isin(wanted, nums)].astype(np.int32)
        nums, scores, because = nums[use], scores[use], because[use]
        if len(more):
            nums = np.concatenate([nums, more])
            order = np.argsort(nums)
            nums = nums[order]
            scores = np.concatenate([scores, self.next_intercepts[more].astype(np.float64)])[order]
            because = np.concatenate([because, np.full(len(more), -1, np.int32)])[order]
        nothing = np.zeros(len(nums), dtype=np.int32)
        return Scored(nums, scores, because, nothing, np.full(len(nums), np.nan, np.float32))

    def next_parts(self, history_nums: Array, num: int) -> Array:
        """Return the weight of each product of a history for one candidate; 0 where none.

        Returns
        -------
        float64, shape (len(history_nums),); may be negative. With the product's intercept they
        sum to the score.
        """
        rows = _Rows.of(self.next_indptr, history_nums)
        asked, entry = rows.origin(np.flatnonzero(rows.gather(self.next_nums) == num))
        parts = np.zeros(len(history_nums))
        parts[asked] = self.next_weights[entry]
        return parts

    def arrays(self) -> dict[str, Array]:
        """Return every array by name, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the tables of `arrays`."""
        # A slice of a memory map costs ten times that of the plain array over the same memory.
        return cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})


class _Rows(NamedTuple):
    """Some rows of a CSR, side by side."""

    starts: Array
    lengths: Array

    @classmethod
    def of(cls, indptr: Array, nums: Array) -> Self:
        """Return the rows `nums`."""
        starts = indptr[nums]
        return cls(starts, indptr[nums + 1] - starts)

    def gather(self, values: Array) -> Array:
        """Return the values of all entries, row after row."""
        spans = zip(self.starts.tolist(), (self.starts + self.lengths).tolist(), strict=True)
        parts = [values[start:stop] for start, stop in spans]
        return np.concatenate(parts) if parts else values[:0]

    def origin(self, places: Array) -> tuple[Array, Array]:
        """Return of gathered entries which of the rows they are from, and where in the CSR."""
        ends = np.cumsum(self.lengths)
        row = np.searchsorted(ends, places, side="right")
        return row, places - (ends - self.lengths)[row] + self.starts[row]


def summed(
    own: Array, is_seed: Array, indptr: Array, nums: Array, weights: Array,
    total: Array, is_touched: Array, touched: Array,
) -> int:  # fmt: skip
    """Add up what a history says of each product; return how many products it speaks of."""
    n = 0
    for h in own:
        if is_seed[h]:
            for j in range(indptr[h], indptr[h + 1]):
                c = nums[j]
                touched[n] = c  # no branch: no processor foresees which come up again
                n += not is_touched[c]
                is_touched[c] = True
                total[c] += np.float64(weights[j])
    return n


def _summed(nums: Array, weights: Array, n_products: int) -> tuple[Array, Array, Array]:
    """Return distinct numbers, their sums, and the place of the largest part of each."""
    nums = nums.astype(np.intp)  # once, not in each of the steps below
    sums = np.bincount(nums, weights=weights, minlength=n_products)
    largest = np.full(n_products, -np.inf)
    np.maximum.at(largest, nums, weights)
    found = np.flatnonzero(largest > -np.inf)
    is_largest = np.flatnonzero(weights == largest[nums])[::-1]
    best = np.empty(n_products, dtype=np.int64)
    best[nums[is_largest]] = is_largest  # reversed: the first of equals stays
    return found.astype(np.int32), sums[found].astype(np.float64, copy=False), best[found]
