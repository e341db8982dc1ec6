"""What every kind of table source has in common: named columns, read in batches of rows."""

from __future__ import annotations

import datetime as dt
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Rows = npt.NDArray[np.int64]

BATCH_ROWS: Final = 1 << 19
_EXACT: Final = 2.0**53


class TableError(Exception):
    """A table as a whole cannot be read; readers raise their own error from it."""


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what the file system and Arrow raise about a file into a `TableError`.

    Raises
    ------
    TableError
        With the name, what was seen and what to do.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise TableError(f"{name} does not exist; check the path") from error
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        seen = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TableError(
            f"{name} cannot be read ({seen}); it may be cut short or of another format than its "
            "ending says: write or fetch it anew"
        ) from error


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a table.

    Parameters
    ----------
    table : pyarrow Table
        The columns asked for, under the names of the source.
    rows : int64, shape (table.num_rows,)
        Their 0-based data row numbers within the part, ascending.
    unreadable : sequence of (int, str)
        Rows that have no cells: their number, and what was seen.
    """

    table: pa.Table
    rows: Rows
    unreadable: Sequence[tuple[int, str]] = field(default=())


class Part(ABC):
    """One file, or one DataFrame, of a table.

    Parameters
    ----------
    name : str
        For messages.
    columns : sequence of str
        Its columns, in its own words.
    n_rows : int or None
        How many rows it has, if it tells.
    expected_rows : int
        The same, estimated where it does not.
    """

    name: str
    columns: Sequence[str]
    n_rows: int | None
    expected_rows: int

    @abstractmethod
    def batches(self, columns: Sequence[str], *, raw: bool = False) -> Iterator[Batch]:
        """Yield the rows of some columns; `raw` reads every cell, legal or not, as it stands.

        Raises
        ------
        TableError
            If the part cannot be read.
        """

    @abstractmethod
    def pinned(self, rows: Rows) -> Part:
        """Return a part that still has `rows` when the caller has changed its data."""

    @abstractmethod
    def check_unchanged(self) -> None:
        """Raise if the part no longer holds what was read from it.

        Raises
        ------
        TableError
            If it was changed, or is gone.
        """


class FramePart(Part):
    """A DataFrame; its index is ignored."""

    def __init__(
        self, frame: pd.DataFrame, rows: Rows | None = None, name: str = "the DataFrame"
    ) -> None:
        self.name = name
        self.columns = [str(name) for name in frame.columns]
        self.n_rows = len(frame)
        self.expected_rows = len(frame)
        self._frame = frame
        self._rows = np.arange(len(frame), dtype=np.int64) if rows is None else rows

    def batches(
        self,
        columns: Sequence[str],
        *,
        raw: bool = False,  # noqa: ARG002 - nothing is converted here
    ) -> Iterator[Batch]:
        """Yield slices of the frame as Arrow columns."""
        positions = [self.columns.index(name) for name in columns]
        for start in range(0, len(self._frame), BATCH_ROWS):
            piece = self._frame.iloc[start : start + BATCH_ROWS]
            arrays = [from_series(piece.iloc[:, position]) for position in positions]
            table = pa.Table.from_arrays(arrays, names=list(columns))
            yield Batch(table, self._rows[start : start + BATCH_ROWS])

    def pinned(self, rows: Rows) -> Part:
        """Return a copy of those rows."""
        chosen = self._frame.iloc[np.searchsorted(self._rows, rows)].copy()
        return FramePart(chosen, rows, self.name)

    def check_unchanged(self) -> None:
        """Do nothing: what is read again was copied."""


class FilePart(Part):
    """A file; knows when it is no longer the one that was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.n_rows = None
        with readable(self.name):
            self._seen = self._state()

    def _state(self) -> tuple[int, int]:
        state = self.path.stat()
        return state.st_size, state.st_mtime_ns

    @property
    def n_bytes(self) -> int:
        """The size of the file."""
        return self._seen[0]

    def pinned(self, rows: Rows) -> Part:  # noqa: ARG002 - a file keeps all of its rows
        """Return this file."""
        return self

    def check_unchanged(self) -> None:
        """Raise if the file was written to since it was opened.

        Raises
        ------
        TableError
            If it was, or is gone.
        """
        with readable(self.name):
            now = self._state()
        if now != self._seen:
            raise TableError(f"{self.name} was changed since it was read; read it again")


def from_series(series: pd.Series) -> pa.Array:
    """Return a column of a DataFrame as one Arrow array."""
    if series.dtype == object:
        return to_arrow(series.tolist())
    array = pa.Array.from_pandas(series)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def to_arrow(values: Sequence[Any]) -> pa.Array:
    """Return Python values as one Arrow array: of their type if they share one, else as text.

    Examples
    --------
    >>> to_arrow([1, 2.0, "x", None]).to_pylist()
    ['1', '2', 'x', None]
    """
    kinds: set[type] = {
        type(value) for value in values if value is not None and value is not pd.NaT
    }
    if len(kinds) <= 1 and kinds <= {str, bytes, int, bool, float}:
        try:
            return pa.array([None if v is pd.NaT else v for v in values], from_pandas=True)
        except (pa.ArrowException, OverflowError, UnicodeError):
            # Whole numbers beyond 64 bits, or text that is no Unicode.
            return pa.array([_text(value) for value in values], pa.large_string())
    return pa.array([_text(value) for value in values], pa.large_string())


def _text(value: Any) -> str | None:
    if isinstance(value, (list, dict, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    if value is None or pd.isna(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < _EXACT else repr(number)
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value).encode("utf-8", "backslashreplace").decode()


def as_texts(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of any type as text, for people to read."""
    array = column.combine_chunks()
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        texts = [v.decode("utf-8", "replace") if v is not None else None for v in array.to_pylist()]
        return pa.array(texts, pa.large_string())
    if pa.types.is_nested(array.type):
        return pa.array([_text(value) for value in array.to_pylist()], pa.large_string())
    return array.cast(pa.large_string())
