"""CSV files and their kin, plain or gzipped, every cell as text."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from personalize.tables.parts import Batch, FilePart, Rows, TableError, readable

_BLOCK: Final = 1 << 24
_HEAD: Final = 1 << 18
_DELIMITERS: Final = (",", "\t", ";", "|")
# How much larger text is than its gzip, when nothing is known; only for the memory estimate.
_GZIP_FACTOR: Final = 8


class DelimitedPart(FilePart):
    """A CSV file; the delimiter is the one that splits its first row most."""

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        super().__init__(path)
        self.encoding = encoding
        head = self._head()
        self._delimiter, self.columns = _header(head, self.name)
        # Arrow takes a header without a line end for no table at all.
        self._is_header_only = len(head) < _HEAD // 4 and len(head.strip().splitlines()) == 1
        rows = max(head.count("\n"), 1)
        inflation = _GZIP_FACTOR if path.suffix == ".gz" else 1
        whole = max(self.n_bytes * inflation, 1)
        self.expected_rows = int(rows * max(whole / max(len(head), 1), 1.0))

    def _open(self) -> IO[bytes]:
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rb")  # type: ignore[return-value]
        return self.path.open("rb")

    def _head(self) -> str:
        with readable(self.name), self._open() as stream:
            head = stream.read(_HEAD)
        if not head.strip():
            raise TableError(f"{self.name} is empty; a table begins with a row of column names")
        try:
            text = codecs.getincrementaldecoder(self.encoding)("replace").decode(head)
        except (LookupError, UnicodeError) as error:
            raise TableError(
                f"{self.name} cannot be read as {self.encoding!r} ({error}); "
                "give its encoding, such as utf-8 or latin-1"
            ) from error
        return text.removeprefix("\ufeff")

    def batches(self, columns: Sequence[str], *, raw: bool = False) -> Iterator[Batch]:
        """Yield the rows of some columns as text; rows of another length are unreadable."""
        ragged: list[tuple[int, str]] = []

        def skip(row: Any) -> str:
            # The header is row 1 of Arrow's count, which leaves out blank lines as we do.
            told = f"{row.actual_columns} cells where {row.expected_columns} are expected"
            ragged.append((row.number - 2, f"{told}: {row.text.strip()}"))
            return "skip"

        kind = pa.binary() if raw else pa.string()
        convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(columns, kind), include_columns=list(columns)
        )
        start = 0
        with self._explained():
            for batch in self._arrow_batches(skip, convert):
                rows, start, between = _numbered(start, len(batch), ragged)
                yield Batch(pa.Table.from_batches([batch]), rows, between)
        if ragged:
            nothing = pa.table({name: pa.array([], kind) for name in columns})
            yield Batch(nothing, np.empty(0, np.int64), ragged)

    def _arrow_batches(
        self, skip: Callable[[Any], str], convert: pacsv.ConvertOptions
    ) -> Iterator[pa.RecordBatch]:
        if self._is_header_only:
            return
        yield from pacsv.open_csv(
            str(self.path),
            # One thread: only then are the numbers of ragged rows known.
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=_BLOCK, encoding=self.encoding
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=convert,
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with readable(self.name):
                yield
        except TableError as error:
            seen = str(error.__cause__)
            if "UTF8" in seen or isinstance(error.__cause__, UnicodeError):
                raise TableError(self._bad_byte()) from error
            if "straddl" in seen:
                raise TableError(
                    f"{self.name} has a row of more than {_BLOCK:,} characters; "
                    'a quote (") that is opened and never closed makes one: close or double it'
                ) from error
            raise

    def _bad_byte(self) -> str:
        """Return where the file stops being in its encoding, and what to do."""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        line, n_read = 1, 0
        with self._open() as stream:
            while chunk := stream.read(_HEAD):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    # What the decoder had left over from the chunk before comes first in its data.
                    inside = error.start - (len(error.object) - len(chunk))
                    line += chunk[: max(inside, 0)].count(b"\n")
                    byte = error.object[error.start]
                    return (
                        f"{self.name} is not {self.encoding}: byte 0x{byte:02x} at offset "
                        f"{n_read + inside:,}, line {line:,}; convert the file, for example "
                        f"iconv -f latin1 -t utf-8, or give its encoding"
                    )
                line += chunk.count(b"\n")
                n_read += len(chunk)
        return f"{self.name} ends within a character; it may be cut short: fetch it anew"


def _header(text: str, name: str) -> tuple[str, list[str]]:
    """Return the delimiter and the column names of the first row that is not blank."""
    best: list[str] = []
    delimiter = ","
    for candidate in _DELIMITERS:
        try:
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=candidate)
            names = next((row for row in rows if row), [])
        except csv.Error as error:
            raise TableError(
                f"{name} does not begin with a row of column names ({error})"
            ) from error
        if len(names) > len(best):
            best, delimiter = names, candidate
    return delimiter, best


def _numbered(
    start: int, n_rows: int, ragged: list[tuple[int, str]]
) -> tuple[Rows, int, list[tuple[int, str]]]:
    """Return the numbers of the next rows, where the count stands, and the ragged ones between.

    Arrow may know ragged rows a block ahead, so those behind the last row stay in `ragged`.
    """
    numbers = np.arange(start, start + n_rows + len(ragged), dtype=np.int64)
    if ragged:
        numbers = np.setdiff1d(numbers, [number for number, _ in ragged], assume_unique=True)
    numbers = numbers[:n_rows]
    end = int(numbers[-1]) + 1 if n_rows else start
    passed = [entry for entry in ragged if entry[0] < end]
    ragged[:] = [entry for entry in ragged if entry[0] >= end]
    return numbers, end, passed
