"""Read a table of a known schema batch by batch, keeping account of what is wrong with it.

This file decides how a source is opened, its columns found, and its problems handed over; it is
shared by the readers of orders and of catalogues, which decide what its rows mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from personalize.cells import ColumnTypeError, Mask
from personalize.errors import InvalidCatalogError, InvalidOrdersError, Problem
from personalize.memory import available_memory
from personalize.report import Report, refusal
from personalize.schema import TableSchema, resolve, table_problem
from personalize.tables import Part, Rejects, Source, TableError, as_texts, open_parts

Rows = npt.NDArray[np.int64]
Progress = Callable[[int, int | None], None]
Invalid = type[InvalidOrdersError] | type[InvalidCatalogError]

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a table is read.

    Parameters
    ----------
    columns : mapping of str to str, or None
        Name in the source to our name.
    strict : bool
        Refuse the table for any faulty row.
    encoding : str
        Of CSV files.
    progress : callable or None
        Called with rows read, and rows in all where known.
    memory_limit : int or None, bytes
        None: what the machine has available.
    """

    columns: Mapping[str, str] | None = None
    strict: bool = False
    encoding: str = "utf-8"
    progress: Progress | None = None
    memory_limit: int | None = None


@dataclass(slots=True)
class Reader:
    """A table being read: its parts, where our columns are in each, and the report.

    Raises
    ------
    InvalidOrdersError or InvalidCatalogError
        As `invalid` says, when the table as a whole cannot be accepted.
    """

    schema: TableSchema
    invalid: Invalid
    options: ReadOptions
    parts: list[tuple[Part, dict[str, str]]]
    report: Report
    _firsts: list[int] = field(default_factory=list)

    @classmethod
    def opened(
        cls,
        source: Source,
        schema: TableSchema,
        invalid: Invalid,
        options: ReadOptions,
    ) -> Reader:
        """Return the reader of a source, its columns found."""
        with telling(schema, invalid):
            names = [*schema.column_names, *(options.columns or {})]
            parts = open_parts(source, names, options.encoding)
        return cls.of_parts(parts, schema, invalid, options)

    @classmethod
    def of_parts(
        cls,
        parts: Sequence[Part],
        schema: TableSchema,
        invalid: Invalid,
        options: ReadOptions,
        aliases: Callable[[Part], Mapping[str, str]] = lambda _: {},
    ) -> Reader:
        """Return the reader of some parts, their columns found by name, mapping or alias."""
        problems: list[Problem] = []
        found = []
        for part in parts:
            asked = dict(options.columns or {})
            known = {t: o for t, o in aliases(part).items() if o not in asked.values()}
            mapping = known | asked
            found.append((part, resolve(schema, part.columns, mapping, part.name, problems)))
        if problems:
            raise invalid(refusal(schema, problems), tuple(problems))
        return cls(schema, invalid, options, found, Report(schema))

    @property
    def names(self) -> frozenset[str]:
        """Our columns that any part has."""
        return frozenset(name for _, found in self.parts for name in found)

    @property
    def n_rows(self) -> int | None:
        """The rows of all parts, where all of them tell."""
        counts = [part.n_rows for part, _ in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)

    def batches(self) -> Iterator[tuple[Rows, dict[str, pa.ChunkedArray]]]:
        """Yield row numbers and our columns; columns that a part lacks are left out."""
        first = 0
        for part, found in self.parts:
            self._firsts.append(first)
            end = first
            with telling(self.schema, self.invalid):
                for batch in part.batches(list(found.values())):
                    unreadable = batch.unreadable
                    numbers = np.array([row for row, _ in unreadable], np.int64) + first
                    self.report.n_rows += len(batch.rows) + len(unreadable)
                    self.report.add(
                        "row_unreadable", numbers, [s for _, s in unreadable].__getitem__
                    )
                    end += len(batch.rows) + len(unreadable)
                    names = {ours: batch.table[theirs] for ours, theirs in found.items()}
                    yield batch.rows + first, names
                    if self.options.progress is not None:
                        self.options.progress(self.report.n_rows, self.n_rows)
            first = end

    def cells_read(
        self, columns: Mapping[str, pa.ChunkedArray], readers: Mapping[str, Callable[..., object]]
    ) -> dict[str, object]:
        """Return what the columns say, or refuse all columns of a wrong type at once."""
        cells: dict[str, object] = {}
        problems: list[Problem] = []
        for name, column in columns.items():
            try:
                cells[name] = readers[name](column)
            except ColumnTypeError as error:
                told = f"column {name} {error}"
                problems.append(table_problem(self.schema, "column_type", told, name))
        if problems:
            raise self.invalid(refusal(self.schema, problems), tuple(problems))
        return cells

    def note(self, slug: str, rows: Rows, mask: Mask, column: pa.ChunkedArray | None) -> None:
        """Add the rows of `mask` to the report, telling what `column` held there."""
        places = np.flatnonzero(mask)

        def value(position: int) -> object:
            if column is None:
                return None
            return as_texts(column.slice(int(places[position]), 1))[0].as_py()

        self.report.add(slug, rows[places], value)

    def other_cells(self, rows: Rows) -> npt.NDArray[np.int64] | None:
        """Return for ascending `rows` a number that is equal where all unmapped columns are.

        None if there are no columns but ours.
        """
        frames = []
        for (part, found), first in zip(self.parts, self._firsts, strict=True):
            others = [name for name in dict.fromkeys(part.columns) if name not in found.values()]
            if not others:
                continue
            with telling(self.schema, self.invalid):
                for batch in part.batches(others, raw=True):
                    chosen = np.isin(batch.rows + first, rows)
                    table = batch.table.filter(pa.array(chosen))
                    frame = pd.DataFrame({n: as_texts(table[n]).to_pandas() for n in others})
                    frame.index = batch.rows[chosen] + first
                    frames.append(frame)
        if not frames:
            return None
        whole = pd.concat(frames).reindex(rows)
        numbers: npt.NDArray[np.int64] = (
            whole.groupby(list(whole.columns), dropna=False, sort=False).ngroup().to_numpy()
        )
        return numbers

    def check_memory(self, n_rows: int, bytes_per_row: int, n_more: int = 0) -> None:
        """Refuse a table that would not fit into memory, before it fills it."""
        limit = self.options.memory_limit
        left = available_memory() if limit is None else limit
        needed = n_rows * bytes_per_row + n_more
        if left is not None and needed > left:
            problem = table_problem(
                self.schema,
                "too_large",
                f"about {n_rows:,} rows need {needed / _GIB:,.1f} GiB of memory, and "
                f"{left / _GIB:,.1f} GiB are available; read fewer months, drop columns that are "
                "not needed, or use a machine with more memory",
            )
            raise self.invalid(problem.message, (problem,))

    def finished(self) -> tuple[tuple[Problem, ...], Rejects | None]:
        """Return the problems and the rows left out; when strict, refuse what is at fault."""
        problems = self.report.problems()
        if not self.report.n_rows:
            name = self.parts[0][0].name
            told = f"{name} has columns but no rows; check the export"
            problems = (table_problem(self.schema, "no_rows", told),)
        faults = [p for p in problems if self.schema.rules[p.rule].is_fault]
        if self.options.strict and faults:
            raise self.invalid(refusal(self.schema, faults), problems)
        rows, reasons = self.report.left_out()
        if not len(rows):
            return problems, None
        firsts = zip(self._firsts, (part for part, _ in self.parts), strict=True)
        return problems, Rejects(list(firsts), rows, reasons, self.invalid)


@contextmanager
def telling(schema: TableSchema, invalid: Invalid) -> Iterator[None]:
    """Turn a table that cannot be read into the reader's own error."""
    try:
        yield
    except TableError as error:
        problem = table_problem(schema, "unreadable", str(error))
        raise invalid(problem.message, (problem,)) from error
