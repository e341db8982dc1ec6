"""JSON lines, plain or gzipped: one object per line."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson

from personalize.tables.parts import Batch, FilePart, TableError, readable, to_arrow

_BLOCK: Final = 1 << 24
_GZIP_FACTOR: Final = 8
_EXACT: Final = 2.0**53


class JsonLinesPart(FilePart):
    """A file of JSON objects, one per line; blank lines do not count.

    Such a file does not say its columns, and one may first appear on its last line: the names
    somebody may ask for are looked for in all of it.
    """

    def __init__(self, path: Path, names: Sequence[str] = ()) -> None:
        super().__init__(path)
        found: dict[str, None] = {}
        wanted = {name: json.dumps(name).encode() for name in names}
        n_lines = 0
        for n, block in enumerate(self._blocks()):
            n_lines += block.count(b"\n")
            if n == 0:
                found.update(dict.fromkeys(_keys(block)))
            found.update({k: None for k, quoted in wanted.items() if quoted in block})
            wanted = {k: quoted for k, quoted in wanted.items() if k not in found}
        if not n_lines:
            raise TableError(f"{self.name} is empty; it holds one JSON object per line")
        self.columns = list(found)
        self.expected_rows = n_lines

    def _open(self) -> IO[bytes]:
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rb")  # type: ignore[return-value]
        return self.path.open("rb")

    def _blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole lines, each line ended, blank ones left out."""
        rest = b""
        with readable(self.name), self._open() as stream:
            rest = stream.read(_BLOCK).removeprefix(b"\xef\xbb\xbf")
            while chunk := stream.read(_BLOCK):
                lines, found, rest_of_chunk = chunk.rpartition(b"\n")
                if found:
                    yield _without_blanks(rest + lines)
                    rest = rest_of_chunk
                else:
                    rest += chunk
        if rest.strip():
            yield _without_blanks(rest)

    def batches(
        self,
        columns: Sequence[str],
        *,
        raw: bool = False,  # noqa: ARG002 - every cell is read as it stands
    ) -> Iterator[Batch]:
        """Yield the rows of some columns; lines that are no object are unreadable."""
        start = 0
        for block in self._blocks():
            n_lines = block.count(b"\n")
            table = _by_arrow(block, columns)
            if table is not None:
                yield Batch(table, np.arange(start, start + n_lines, dtype=np.int64))
            else:
                yield _by_line(block, columns, start)
            start += n_lines


def _without_blanks(lines: bytes) -> bytes:
    if b"\n\n" in lines or b"\r" in lines or lines[:1] in b"\n ":
        lines = b"\n".join(line for line in lines.splitlines() if line.strip())
    return lines if lines.endswith(b"\n") else lines + b"\n"


def _keys(block: bytes) -> list[str]:
    """Return the keys of the objects of a block, as far as they can be read."""
    keys: dict[str, None] = {}
    for line in block.splitlines()[:1000]:
        found = _object(line)
        if isinstance(found, dict):
            keys.update(dict.fromkeys(found))
    return list(keys)


def _object(line: bytes) -> dict[str, Any] | str:
    """Return the object of a line, or what is wrong with the line."""
    try:
        found = json.loads(line)
    except UnicodeDecodeError:
        return "is not UTF-8"
    except (ValueError, RecursionError) as error:
        return f"is no JSON ({str(error)[:80]})"
    return found if isinstance(found, dict) else "is no JSON object"


def _by_arrow(block: bytes, columns: Sequence[str]) -> pa.Table | None:
    """Return the columns as Arrow reads them, or None where it might read them wrongly."""
    try:
        table = _parsed(block, [])
        # Text that looks like a time is text all the same: it may be an id.
        found = [name for name in columns if name in table.column_names]
        times = [name for name in found if pa.types.is_timestamp(table[name].type)]
        if times:
            table = _parsed(block, times)
    except pa.ArrowException:
        return None
    if table.num_rows != block.count(b"\n"):
        return None
    arrays = [
        table[name].combine_chunks()
        if name in table.column_names
        else pa.nulls(table.num_rows, pa.string())
        for name in columns
    ]
    if any(not _is_exact(array) for array in arrays):
        return None
    return pa.Table.from_arrays(arrays, names=list(columns))


def _parsed(block: bytes, texts: Sequence[str]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in texts])
    return pajson.read_json(
        io.BytesIO(block),
        read_options=pajson.ReadOptions(block_size=len(block) + 1),
        parse_options=pajson.ParseOptions(explicit_schema=schema),
    )


def _is_exact(array: pa.Array) -> bool:
    """Return whether Arrow's reading lost nothing: long whole numbers become inexact floats."""
    if pa.types.is_nested(array.type):
        return False
    if not pa.types.is_floating(array.type):
        return True
    largest = pc.max(pc.abs(array)).as_py()
    return largest is None or largest < _EXACT


def _by_line(block: bytes, columns: Sequence[str], start: int) -> Batch:
    """Return the rows of a block read line by line: slower, exact, and past bad lines."""
    values: list[list[Any]] = [[] for _ in columns]
    rows, unreadable = [], []
    for number, line in enumerate(block.splitlines(), start):
        found = _object(line)
        if isinstance(found, str):
            unreadable.append((number, f"{found}: {line.decode('utf-8', 'replace')}"))
            continue
        rows.append(number)
        for name, column in zip(columns, values, strict=True):
            column.append(found.get(name))
    table = pa.Table.from_arrays([to_arrow(column) for column in values], names=list(columns))
    return Batch(table, np.array(rows, np.int64), unreadable)
