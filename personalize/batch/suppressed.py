"""Suppression lists as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize.columns import taken
from personalize.repurchase import BASES, RULE
from personalize.sorting import order_within, row_starts, stable_order
from personalize.suppression import REASONS, SCOPES, ManyCustomers
from personalize.times import FOREVER, MISSING
from personalize.view import View

Ints = NDArray[np.int64]


class _Rows(NamedTuple):
    """Rows of a suppression list as parallel arrays: whose by code, and of what in all words."""

    customer: Ints
    level: NDArray[np.int8]
    target: Ints
    reason: NDArray[np.int8]
    since: Ints
    until: Ints
    basis: NDArray[np.int8]
    chance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SuppressionTable:
    """What all rows of one table have in common.

    Parameters
    ----------
    view : View
    ids : large_string, shape (n,)
        The customers asked about.
    as_of : int, microseconds UTC
    words : large_string, shape (n_products + n_groups + n_types,)
        The targets of all scopes.
    ranks : int64, the same shape
        The place of each in sorted order.
    """

    view: View
    ids: pa.Array
    as_of: int
    words: pa.Array
    ranks: Ints

    @classmethod
    def of(cls, view: View, ids: pa.Array, as_of: int) -> Self:
        """Return the table about some customers."""
        return cls(view, ids, as_of, *_ranked(view.space.ids, view.space.groups, view.space.types))

    def of_block(
        self, many: ManyCustomers, places: Ints, codes: Ints
    ) -> tuple[Ints, dict[str, Any]]:
        """Return the rows of a block as columns, by customer and target.

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
            Its columns by name.
        """
        place = np.full(len(many.purchases.customer_ids) + 1, -1, dtype=np.int64)
        place[codes] = places
        rows = self._rows(many, place[:-1] >= 0)
        until = np.where(rows.until == FOREVER, MISSING, rows.until)
        owner = place[rows.customer]
        return owner, {
            "customer_id": taken(self.ids, owner),
            "scope": taken(SCOPES, rows.level),
            "target_id": taken(self.words, rows.target),
            "reason": taken(REASONS, rows.reason),
            "since": rows.since.view("datetime64[us]"),
            "until": until.view("datetime64[us]"),
            "basis": taken(BASES, rows.basis),
            "repurchase_probability": rows.chance,
        }

    def _rows(self, many: ManyCustomers, is_asked: NDArray[np.bool_]) -> _Rows:
        space, n = self.view.space, len(is_asked)
        shifts = (0, len(space.ids), len(space.ids) + len(space.groups))
        parts = [self._suppressed(many, level, is_asked, shifts[level]) for level in range(3)]
        parts.append(self._sent_back(many, is_asked))
        columns: list[NDArray[Any]] = [np.concatenate(each) for each in zip(*parts, strict=True)]
        rows = _Rows(*columns)
        order = stable_order(rows.customer, n)
        keys = rows.level * np.int64(len(self.ranks)) + self.ranks[rows.target]
        starts = row_starts(np.bincount(rows.customer, minlength=n))
        order = order[order_within(starts, keys[order])]
        return _Rows(*(column[order] for column in columns))

    def _suppressed(
        self, many: ManyCustomers, level: int, is_asked: NDArray[np.bool_], shift: int
    ) -> _Rows:
        table, until = many.owned[level], many.until[level]
        rows = np.flatnonzero((until > self.as_of) & is_asked[table.customer])
        target = table.target[rows]
        return _Rows(
            customer=table.customer[rows],
            level=np.full(len(rows), level, dtype=np.int8),
            target=target + shift,
            reason=np.full(len(rows), level, dtype=np.int8),
            since=table.last_at[rows],
            until=until[rows],
            basis=self.view.rules.levels[level].basis[target].astype(np.int8),
            chance=many.chance(level, rows, self.as_of),
        )

    def _sent_back(self, many: ManyCustomers, is_asked: NDArray[np.bool_]) -> _Rows:
        table, until = many.returned, many.returned_until
        rows = np.flatnonzero((until > self.as_of) & is_asked[table.customer])
        return _Rows(
            customer=table.customer[rows],
            level=np.zeros(len(rows), dtype=np.int8),
            target=table.target[rows],
            reason=np.full(len(rows), 3, dtype=np.int8),
            since=table.last_at[rows],
            until=until[rows],
            basis=np.full(len(rows), RULE, dtype=np.int8),
            chance=np.full(len(rows), np.nan),
        )


def _ranked(*vocabularies: Sequence[str]) -> tuple[pa.Array, Ints]:
    """Return the words of all vocabularies in one, and the place of each in sorted order."""
    words = pa.concat_arrays([pa.array(each, pa.large_string()) for each in vocabularies])
    ranks = np.empty(len(words), dtype=np.int64)
    ranks[pc.array_sort_indices(words).to_numpy()] = np.arange(len(words))
    return words, ranks
