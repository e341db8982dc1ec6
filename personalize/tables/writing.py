"""Write tables, their format by file ending: whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from personalize.errors import InvalidConfigError

_ENDINGS: Final = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")


def table_endings() -> tuple[str, ...]:
    """Return the file endings that `write_table` knows."""
    return _ENDINGS


def write_table(df: pd.DataFrame, path: str | Path) -> None:
    """Write a DataFrame, its format by the ending of `path`; its index is left out.

    The file appears whole or not at all. Times are RFC 3339 in the text formats.

    Parameters
    ----------
    df : DataFrame
    path : str or Path
        Ends in .parquet, .csv, .csv.gz, .jsonl, .ndjson, or the last two with .gz.

    Raises
    ------
    InvalidConfigError
        If the ending is another, or the folder cannot be written to.
    """
    write_batches([pa.Table.from_pandas(df, preserve_index=False)], path)


def write_batches(tables: Iterable[pa.Table], path: str | Path) -> None:
    """Write tables of the same columns to one file, as `write_table` does.

    Raises
    ------
    InvalidConfigError
        If the ending says no format, or the folder cannot be written to.
    """
    path = Path(path)
    lower = path.name.lower()
    ending = next((end for end in sorted(_ENDINGS, key=len)[::-1] if lower.endswith(end)), None)
    if ending is None:
        raise InvalidConfigError(
            f"path: {str(path)!r} ends in none of {', '.join(_ENDINGS)}; name it by its format",
            field="path",
            value=str(path),
        )
    write = _FORMATS[ending.removesuffix(".gz")]
    with _whole(path) as part, _sink(part, ending) as sink:
        write(tables, sink)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a sibling to write to, and put it in the place of `path` when that went well."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise InvalidConfigError(
            f"path: {str(path)!r} cannot be written ({error.strerror or error}); "
            "name a folder that exists and may be written to",
            field="path",
            value=str(path),
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _sink(path: Path, ending: str) -> Any:
    return pa.output_stream(path, compression="gzip" if ending.endswith(".gz") else None)


def _write_parquet(tables: Iterable[pa.Table], sink: Any) -> None:
    writer = None
    for table in tables:
        writer = writer or pq.ParquetWriter(sink, table.schema)
        writer.write_table(table)
    if writer is None:
        pq.write_table(pa.table({}), sink)
    else:
        writer.close()


def _write_csv(tables: Iterable[pa.Table], sink: Any) -> None:
    writer = None
    for table in tables:
        told = _with_text_times(table)
        writer = writer or pacsv.CSVWriter(sink, told.schema)
        writer.write_table(told)
    if writer is not None:
        writer.close()


def _write_json(tables: Iterable[pa.Table], sink: Any) -> None:
    for table in tables:
        for batch in _with_text_times(table).to_batches(max_chunksize=1 << 16):
            names = batch.schema.names
            columns = [_without_nan(column.to_pylist()) for column in batch.columns]
            for row in zip(*columns, strict=True):
                record = dict(zip(names, row, strict=True))
                sink.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


_FORMATS: Final[dict[str, Callable[[Iterable[pa.Table], Any], None]]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_json,
    ".ndjson": _write_json,
}


def _without_nan(values: list[Any]) -> list[Any]:
    return [None if value != value else value for value in values]


def _with_text_times(table: pa.Table) -> pa.Table:
    for position, name in enumerate(table.column_names):
        if pa.types.is_timestamp(table[name].type):
            table = table.set_column(position, name, _rfc3339(table[name]))
        elif pa.types.is_floating(table[name].type):
            # An unknown number is an empty cell, not the word nan.
            known = pa.array(table[name].to_numpy(), from_pandas=True)
            table = table.set_column(position, name, known)
    return table


def _rfc3339(column: pa.ChunkedArray) -> pa.Array:
    micros = column.cast(pa.timestamp("us", "UTC"), safe=False).to_numpy().astype("M8[us]")
    return pa.array(_texts(micros), pa.string(), mask=np.isnat(micros))


def _texts(micros: npt.NDArray[np.datetime64]) -> npt.NDArray[Any]:
    seconds = np.datetime_as_string(micros.astype("M8[s]")).astype(object) + "Z"
    is_whole = micros == micros.astype("M8[s]")
    if is_whole.all():
        return seconds
    return np.where(is_whole, seconds, np.datetime_as_string(micros).astype(object) + "Z")
