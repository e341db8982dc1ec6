"""Rows that were left out, as they stood, each with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from personalize.tables.parts import Part, Rows, TableError, as_texts
from personalize.tables.writing import write_batches

_EMPTY = pa.large_string()


class Rejects:
    """The rows of a table that are not used.

    Their cells are read again from the source when they are asked for, so that they take no
    memory meanwhile; rows of a DataFrame are copied at once.

    Parameters
    ----------
    parts : sequence of (int, Part)
        The sources, each with the number of its first row.
    rows : int64, shape (n,)
        Data row numbers across the parts, ascending.
    reasons : object, shape (n,)
        The rules each row broke, joined by ``"; "``.
    invalid : callable
        From a message to the error to raise when a file was changed since it was read.
    """

    def __init__(
        self,
        parts: Sequence[tuple[int, Part]],
        rows: Rows,
        reasons: npt.NDArray[np.object_],
        invalid: Callable[[str], Exception] = TableError,
    ) -> None:
        self._invalid = invalid
        self.rows = rows
        self.reasons = reasons
        ends = [first for first, _ in parts[1:]] + [np.iinfo(np.int64).max]
        self._parts: list[tuple[int, Part]] = []
        for (first, part), end in zip(parts, ends, strict=True):
            here = rows[(rows >= first) & (rows < end)] - first
            if len(here):
                self._parts.append((first, part.pinned(here)))
        names = [name for _, part in self._parts for name in part.columns]
        self.columns = list(dict.fromkeys(names))

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows as text: ``row``, the columns of the source, and ``reason``.

        Raises
        ------
        InvalidOrdersError or InvalidCatalogError
            If a file was changed since it was read.
        """
        for first, part in self._parts:
            try:
                part.check_unchanged()
            except TableError as error:
                raise self._invalid(f"rejected rows: {error}") from error
            for batch in part.batches(list(dict.fromkeys(part.columns)), raw=True):
                readable = np.isin(batch.rows + first, self.rows)
                table = batch.table.filter(pa.array(readable))
                if len(table):
                    yield self._told(table, batch.rows[readable] + first, [])
                if batch.unreadable:
                    rows = np.array([row for row, _ in batch.unreadable], np.int64) + first
                    yield self._told(table[:0], rows, [seen for _, seen in batch.unreadable])

    def _told(self, table: pa.Table, rows: Rows, seen: Sequence[str]) -> pa.Table:
        reasons: Sequence[str] = list(self.reasons[np.searchsorted(self.rows, rows)])
        if seen:
            reasons = [f"{reason}: {text}" for reason, text in zip(reasons, seen, strict=True)]
        cells = {
            name: as_texts(table[name])
            if name in table.column_names and not seen
            else pa.nulls(len(rows), _EMPTY)
            for name in self.columns
        }
        return pa.table(
            {_free("row", self.columns): pa.array(rows)}
            | cells
            | {_free("reason", self.columns): pa.array(reasons, _EMPTY)}
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as text: ``row``, the columns of the source, and ``reason``.

        Raises
        ------
        InvalidOrdersError or InvalidCatalogError
            If a file was changed since it was read.
        """
        tables = list(self.batches())
        if not tables:
            return pd.DataFrame({"row": pd.array([], "int64"), "reason": pd.array([], "str")})
        frame = pa.concat_tables(tables).to_pandas()
        return frame.sort_values(frame.columns[0], ignore_index=True)

    def write(self, path: str | Path) -> None:
        """Write the rows to a file, its format by its ending, without holding them in memory.

        Raises
        ------
        InvalidOrdersError or InvalidCatalogError
            If a file was changed since it was read.
        InvalidConfigError
            If the ending says no format.
        """
        write_batches(self.batches(), path)


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
