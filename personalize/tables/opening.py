"""Which kind of table a source is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pandas as pd

from personalize.tables.delimited import DelimitedPart
from personalize.tables.jsonlines import JsonLinesPart
from personalize.tables.parquet import ParquetPart
from personalize.tables.parts import FramePart, Part, TableError

Source: TypeAlias = str | Path | Sequence[str | Path] | pd.DataFrame
"""Where a table may come from: a path, several, or a DataFrame."""

_PARQUET: Final = (".parquet", ".pq")
_DELIMITED: Final = (".csv", ".tsv", ".txt")
_JSON: Final = (".jsonl", ".ndjson")


def open_parts(source: Source, names: Sequence[str] = (), encoding: str = "utf-8") -> list[Part]:
    """Return the parts of a source, in its order.

    Parameters
    ----------
    source : path, sequence of paths, or DataFrame
        What a file is, its ending says: .parquet, .csv, .tsv, .txt, .jsonl or .ndjson, the text
        formats also with .gz behind it.
    names : sequence of str
        Columns somebody may ask for; only files that do not list theirs need it.
    encoding : str
        Of CSV files.

    Raises
    ------
    TableError
        If there is no source, or one cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return [FramePart(source)]
    if isinstance(source, (str, os.PathLike)):
        return [_open_file(Path(source), names, encoding)]
    if not isinstance(source, Sequence) or not source:
        raise TableError(f"{source!r} is no table; give a path, a list of paths or a DataFrame")
    return [part for each in source for part in open_parts(each, names, encoding)]


def _open_file(path: Path, names: Sequence[str], encoding: str) -> Part:
    endings = [ending.lower() for ending in path.suffixes]
    last = endings[-2] if endings[-1:] == [".gz"] and len(endings) > 1 else (endings or [""])[-1]
    if path.is_dir():
        raise TableError(f"{path} is a folder; name its files")
    if endings[-1:] and endings[-1] in _PARQUET:
        return ParquetPart(path)
    if last in _DELIMITED:
        return DelimitedPart(path, encoding)
    if last in _JSON:
        return JsonLinesPart(path, names)
    raise TableError(
        f"{path} ends in none of {', '.join((*_PARQUET, *_DELIMITED, *_JSON))} (.gz may follow "
        "the text ones); rename or convert it"
    )
