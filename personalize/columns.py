"""Columns of the tables that answers are asked with and given as: ids in, texts and times out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from personalize.cells import Coded, ColumnTypeError, read_ids
from personalize.errors import InvalidConfigError
from personalize.tables import from_series
from personalize.times import FOREVER, MISSING

Ints = NDArray[np.int64]


def coded_ids(values: Iterable[Any], argument: str) -> Coded:
    """Return ids, each distinct one once, read as the tables read them.

    Raises
    ------
    InvalidConfigError
        If one is missing, or no id.
    """
    series = values if isinstance(values, pd.Series) else pd.Series(list(values), dtype=object)
    try:
        found = read_ids(from_series(series))
    except ColumnTypeError as error:
        raise InvalidConfigError(f"{argument}: {error}", field=argument) from error
    not_whole = found.faults.get("not_whole", np.zeros(len(series), dtype=bool))
    for bad, what in ((not_whole, "are no whole numbers"), (found.codes < 0, "are missing")):
        if bad.any():
            raise InvalidConfigError(
                f"{argument}: {int(bad.sum())} of {len(series)} ids {what} "
                f"(first: row {int(np.argmax(bad))}); leave those rows out",
                field=argument,
            )
    return found


def texts(values: Iterable[Any], argument: str) -> list[str]:
    """Return ids as strings, read as the tables read them: whole numbers lose their point.

    Raises
    ------
    InvalidConfigError
        If one is missing, or no id.
    """
    return _listed(coded_ids(values, argument))


def coded_column(table: pd.DataFrame, name: str, argument: str) -> Coded:
    """Return an id column of an argument, each distinct id once.

    Raises
    ------
    InvalidConfigError
        If `table` is no DataFrame, has no such column or two, or an id is missing or none.
    """
    present = list(table.columns) if isinstance(table, pd.DataFrame) else type(table).__name__
    if not isinstance(table, pd.DataFrame) or present.count(name) != 1:
        raise InvalidConfigError(
            f"{argument}: column {name!r} is missing or there twice (present: {present}); "
            "give a DataFrame that has it once",
            field=argument,
        )
    return coded_ids(table[name], f"{argument}.{name}")


def column(table: pd.DataFrame, name: str, argument: str) -> list[str]:
    """Return an id column of an argument as strings; `coded_column` says what it raises."""
    return _listed(coded_column(table, name, argument))


def _listed(ids: Coded) -> list[str]:
    words = np.array(ids.words.to_pylist(), dtype=object)
    found: list[str] = words[ids.codes].tolist()
    return found


def listed(chosen: Collection[str] | pd.DataFrame, name: str, argument: str) -> list[str]:
    """Return a list of ids, or the column `name` of a table, as strings.

    Raises
    ------
    InvalidConfigError
        If it is one text, or an id is missing or none.
    """
    if isinstance(chosen, str):
        raise InvalidConfigError(
            f"{argument}: {chosen!r} is one text; give a list of ids", field=argument
        )
    if isinstance(chosen, pd.DataFrame):
        return column(chosen, name, argument)
    return texts(chosen, argument)


def moments(micros: Ints) -> pd.Series:
    """Return times as datetime64[us, UTC]; none and for good are NaT."""
    is_for_good = micros == FOREVER
    if is_for_good.any():
        micros = np.where(is_for_good, MISSING, micros)
    return pd.Series(micros.view("datetime64[us]"), dtype="datetime64[us, UTC]")


def strings(values: Sequence[str | None] | NDArray[Any]) -> pd.Series:
    """Return texts as a string column, nulls kept."""
    return pd.Series(values, dtype="str")


def worded(words: Sequence[str | None] | pa.Array, codes: NDArray[Any]) -> pd.Series:
    """Return a string column of codes; code -1 is the last word."""
    return text_column([taken(words, codes)])


def taken(words: Sequence[str | None] | pa.Array, codes: NDArray[Any]) -> pa.Array:
    """Return the texts of codes; code -1 is the last word."""
    # Arrow keeps its texts where they are: no object is made of any.
    return pa.array(words, pa.large_string()).take(pa.array(codes % len(words)))


def text_column(parts: Sequence[pa.Array]) -> pd.Series:
    """Return a string column of texts, part after part, none of them copied."""
    return pd.Series(pd.array(pa.chunked_array(parts, pa.large_string()), dtype="str"))


def stacked(blocks: Sequence[Mapping[str, pa.Array | NDArray[Any]]]) -> dict[str, Any]:
    """Return the columns of blocks one below the other: texts, times in UTC, and numbers."""
    found: dict[str, Any] = {}
    for name, first in blocks[0].items():
        parts = [block[name] for block in blocks]
        if isinstance(first, pa.Array):
            found[name] = text_column(parts)
        else:
            column = np.concatenate(parts)
            found[name] = moments(column.view(np.int64)) if column.dtype.kind == "M" else column
    return found


def by_key(
    keys: Sequence[str], product_ids: Sequence[str], wanted: Sequence[str]
) -> list[list[str]]:
    """Return the products of each wanted key, in the order given."""
    found: dict[str, list[str]] = {key: [] for key in wanted}
    for key, product_id in zip(keys, product_ids, strict=True):
        if key in found:
            found[key].append(product_id)
    return [found[key] for key in wanted]
