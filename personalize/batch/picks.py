"""Lists of picks as one table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from personalize.columns import strings, taken
from personalize.following import Filled, Guards, Histories, follow_up
from personalize.purchases import OwnedTable
from personalize.ranking import OFTEN_NEXT, PICK_REASONS, Barred, Pick
from personalize.sorting import side_by_side
from personalize.suppression import REASONS, ManyCustomers
from personalize.times import MISSING
from personalize.view import Question, View

Ints = NDArray[np.int64]

COMPLEMENT_COLUMNS = (
    "basket_id",
    "product_id",
    "rank",
    "score",
    "reason",
    "because_product_id",
    "support",
    "lift",
)


@dataclass(frozen=True, eq=False)
class PickTable:
    """What all lists of one table have in common.

    Parameters
    ----------
    view : View
    ids : large_string, shape (n,)
        The customers asked about.
    k : int
    as_of : int, microseconds UTC
    anchors : sequence of int64 arrays, one per customer, optional
        What each one's message is about; default: about nothing.
    excluded : sequence of collections of str, one per customer, optional
        What must not be shown to each.
    never : collection of str
        What must be shown to nobody.
    include_due, fill : bool
        As in `View.recommend`.
    """

    view: View
    ids: pa.Array
    k: int
    as_of: int
    anchors: Sequence[Ints] | None
    excluded: Sequence[Collection[str]] | None
    never: Collection[str]
    include_due: bool
    fill: bool

    @cached_property
    def words(self) -> pa.Array:
        """Product ids by number, and none behind them."""
        return pa.array([*self.view.space.ids, None], pa.large_string())

    @cached_property
    def guards(self) -> Guards | None:
        """The guards of lists that the history alone may fill; None if none of these may be."""
        view, space = self.view, self.view.space
        if self.anchors is not None or self.excluded is not None or self.include_due:
            return None
        if not view.is_plain(self.k):
            return None
        is_shown = view.is_shown.copy()
        is_shown[view.numbers(self.never)] = False
        return Guards(
            view.wanted,
            (np.arange(len(space)) < space.n_model) & ~view.is_sensitive,
            is_shown,
            space.array("group"),
            space.array("type"),
            view.max_per_type,
            len(space.groups),
        )

    def of_block(
        self, many: ManyCustomers, places: Ints, codes: Ints
    ) -> tuple[Ints, dict[str, Any]]:
        """Return the picks of a block as columns, list after list.

        Parameters
        ----------
        many : ManyCustomers
        places : int, shape (n,)
            In `ids`.
        codes : int, shape (n,), ascending
            Of the same customers in the block; an unknown one's is beyond the last.

        Returns
        -------
        int, shape (n_rows,)
            The customer's place.
        dict
            The columns by name.
        """
        picks = _Picks.room_for(len(places), self.k)
        left, came = np.arange(len(places)), self._came(many, codes)
        if self.guards is not None:
            products = self.view.model.products
            histories = self._histories(many, codes)
            demand = self.view.model.demand
            found = follow_up(histories, came, self.guards, products, demand, self.k)
            picks.take(found)
            left = np.flatnonzero(found.sizes < self.k) if self.fill else left[:0]
        questions = self._questions(many, places[left], codes[left], came[left])
        for row, question in zip(left.tolist(), questions, strict=True):
            picks.put(row, self._answer(question, places[row]), self.view)
        rows, at = np.nonzero(picks.reasons >= 0)
        owner = places[rows]
        return owner, {
            "customer_id": taken(self.ids, owner),
            "product_id": taken(self.words, picks.nums[rows, at]),
            "rank": at + 1,
            "score": picks.scores[rows, at],
            "reason": taken(PICK_REASONS, picks.reasons[rows, at]),
            "because_product_id": taken(self.words, picks.because[rows, at]),
        }

    def _answer(self, question: Question, place: int) -> list[Pick]:
        away = self.never if self.excluded is None else self.excluded[place]
        return self.view.answer(question, self.k, exclude=away, fill=self.fill)

    def _barring(self, many: ManyCustomers) -> tuple[tuple[OwnedTable, NDArray[np.bool_]], ...]:
        """Return what keeps products, groups and types out, and which rows of it still do."""
        product, group, kind = many.owned
        return (
            (product, np.ones(len(product), dtype=bool)),  # what is owned is never shown again
            (many.returned, many.returned_until > self.as_of),
            (group, many.until[1] > self.as_of),
            (kind, many.until[2] > self.as_of),
        )

    def _histories(self, many: ManyCustomers, codes: Ints) -> Histories:
        return Histories(
            *(
                _rows_of(table.customer[lasts], table.target[lasts], codes)
                for table, lasts in self._barring(many)
            )
        )

    def _came(self, many: ManyCustomers, codes: Ints) -> Ints:
        """Return each customer's row of `Demand.factors`."""
        last_at = np.full(len(many.purchases.customer_ids) + 1, MISSING)
        np.maximum.at(last_at, many.purchases.customer, many.purchases.at)
        return np.asarray(self.view.model.demand.came(last_at[codes]))

    def _questions(
        self, many: ManyCustomers, places: Ints, codes: Ints, came: Ints
    ) -> Iterator[Question]:
        """Yield what each customer's list is about."""
        if not len(places):
            return
        histories = self._histories(many, codes)
        starts, owned = histories.owned
        due = self._due(many, codes, histories) if self.include_due else None
        nothing = self.view.numbers(())
        for i, place in enumerate(places):
            own, away, groups, kinds = (
                targets[first[i] : first[i + 1]] for first, targets in histories
            )
            barred = Barred(
                {*own.tolist(), *away.tolist()}, set(groups.tolist()), set(kinds.tolist())
            )
            ready: list[tuple[int, float]] = []
            if due is not None:
                rows = starts[i] + np.flatnonzero(due[0][starts[i] : starts[i + 1]])
                ready = list(zip(owned[rows].tolist(), due[1][rows].tolist(), strict=True))
            anchors = nothing if self.anchors is None else self.anchors[place]
            yield Question(anchors, own, ready, barred, int(came[i]))

    def _due(
        self, many: ManyCustomers, codes: Ints, histories: Histories
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return for each owned product whether it is due and known, and its chance."""
        starts, owned = histories.owned
        found = many.decide(np.repeat(codes, np.diff(starts)), owned, self.as_of)
        is_known = ~np.asarray(self.view.space.is_stray, dtype=bool)
        is_due = (found.reason == len(REASONS) - 1) & is_known[owned]
        return is_due, np.nan_to_num(found.chance)


def _rows_of(customer: Ints, target: Ints, codes: Ints) -> tuple[Ints, Ints]:
    """Return the targets of each code's rows side by side: row starts, targets."""
    first = np.searchsorted(customer, codes)
    starts, rows = side_by_side(first, np.searchsorted(customer, codes, "right") - first)
    return starts, target[rows]


class _Picks(NamedTuple):
    """Lists as arrays, one row per customer and one column per place; the reason -1 is no pick."""

    nums: Ints
    scores: NDArray[np.float64]
    reasons: NDArray[np.int8]
    because: Ints

    @classmethod
    def room_for(cls, n: int, k: int) -> Self:
        """Return `n` empty lists of `k` places."""
        nothing = np.full((n, k), -1)
        return cls(nothing, np.zeros((n, k)), nothing.astype(np.int8), nothing.copy())

    def take(self, found: Filled) -> None:
        """Write what histories filled."""
        self.nums[:], self.scores[:], self.because[:] = found.nums, found.scores, found.because
        used = np.arange(found.nums.shape[1]) < found.sizes[:, None]
        self.reasons[used] = PICK_REASONS.index(OFTEN_NEXT)

    def put(self, row: int, picks: Sequence[Pick], view: View) -> None:
        """Write one list."""
        nums = view.space.nums
        self.reasons[row] = -1
        for place, pick in enumerate(picks):
            self.nums[row, place] = nums[pick.product_id]
            self.scores[row, place] = pick.score
            self.reasons[row, place] = PICK_REASONS.index(pick.reason)
            seed = pick.because_product_id
            self.because[row, place] = -1 if seed is None else nums[seed]


def pick_table(keys: Sequence[str], lists: Iterable[list[Pick]], key: str) -> pd.DataFrame:
    """Return lists as one long table, a row per pick, keyed by `key`."""
    owners: list[str] = []
    picks: list[Pick] = []
    for owner, each in zip(keys, lists, strict=True):
        owners.extend([owner] * len(each))
        picks.extend(each)
    return pd.DataFrame(
        {
            key: strings(owners),
            "product_id": strings([p.product_id for p in picks]),
            "rank": np.array([p.rank for p in picks], dtype=np.int64),
            "score": np.array([p.score for p in picks], dtype=np.float64),
            "reason": strings([p.reason for p in picks]),
            "because_product_id": strings([p.because_product_id for p in picks]),
            "support": np.array(
                [np.nan if p.support is None else p.support for p in picks], dtype=np.float64
            ),
            "lift": np.array(
                [np.nan if p.lift is None else p.lift for p in picks], dtype=np.float64
            ),
        }
    )
