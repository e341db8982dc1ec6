"""From the rows of a catalogue or product feed to products.

This file decides what a row says of its product. A product with a bad price is still a product:
only a bad id, or an id that an earlier row has, leaves a row out; every other bad cell counts as
unknown and is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from personalize.cells import (
    Cells,
    Coded,
    Mask,
    read_flags,
    read_ids,
    read_numbers,
    read_texts,
    read_words,
    split_money,
)
from personalize.errors import InvalidCatalogError, Problem
from personalize.feeds import aliases, is_xml, open_feed
from personalize.reading import Reader, ReadOptions, telling
from personalize.schema import AVAILABILITIES, CATALOG, normalise_type
from personalize.tables import Part, Rejects, Source, open_parts

_COLUMNS: Final = CATALOG.column_names
_TEXTS: Final = tuple(name for name in _COLUMNS if name not in ("price", "sensitive"))
_SCHEMA: Final = pa.schema(
    [
        (name, {"price": pa.float64(), "sensitive": pa.bool_()}.get(name, pa.large_string()))
        for name in _COLUMNS
    ]
)
_SPELLINGS: Final = {word.replace("_", ""): word for word in AVAILABILITIES}


def tidy_frame(products: pd.DataFrame | Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return products as the frame of a catalogue: typed, and sorted by id."""
    frame = pd.DataFrame(products, columns=list(_COLUMNS))
    for name in _TEXTS:
        frame[name] = frame[name].astype("str")
    frame["price"] = frame["price"].astype(np.float64)
    frame["sensitive"] = frame["sensitive"].astype(bool)
    ids = pa.array(frame["product_id"], pa.large_string(), from_pandas=True)
    by_bytes = pc.array_sort_indices(ids).to_numpy()
    return frame.iloc[by_bytes].reset_index(drop=True)


def gather_products(
    source: Source, options: ReadOptions
) -> tuple[pd.DataFrame, tuple[Problem, ...], Rejects | None]:
    """Return the frame of a catalogue, its problems, and the rows left out.

    Raises
    ------
    InvalidCatalogError
        If the table as a whole cannot be accepted; when strict, for any faulty row.
    """
    with telling(CATALOG, InvalidCatalogError):
        parts = _parts(source, options)
    reader = Reader.of_parts(parts, CATALOG, InvalidCatalogError, options, aliases)
    frames = [tidy_frame([]).assign(row=pd.Series([], dtype=np.int64))]
    for rows, columns in reader.batches():
        told = _with_money_split(columns)
        frames.append(_products(reader, rows, columns, reader.cells_read(told, _READERS)))
    whole = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    frame = _once_each(reader, whole)
    problems, rejected = reader.finished()
    return tidy_frame(frame.drop(columns="row")), problems, rejected


def _parts(source: Source, options: ReadOptions) -> list[Part]:
    if isinstance(source, (str, Path)) and is_xml(Path(source)):
        return [open_feed(Path(source))]
    if isinstance(source, (list, tuple)) and source:
        return [part for each in source for part in _parts(each, options)]
    # A feed of JSON lines names its products by id.
    names = [*_COLUMNS, "id", *(options.columns or {})]
    return open_parts(source, names, options.encoding)


def _availability(text: str) -> str | None:
    letters = re.sub("[^a-z]", "", text.lower().rpartition("/")[2])
    return _SPELLINGS.get(letters)


def _currency(text: str) -> str | None:
    code = text.upper()
    return code if re.fullmatch("[A-Z]{3}", code) else None


_READERS: Final[Mapping[str, Callable[..., object]]] = {
    "product_id": read_ids,
    "item_group_id": read_ids,
    "price": read_numbers,
    "currency": partial(read_words, normalise=_currency, fault="not_iso4217"),
    "availability": partial(read_words, normalise=_availability, fault="unknown"),
    "product_type": partial(
        read_words, normalise=lambda text: normalise_type(text) or None, fault="empty"
    ),
    "sensitive": read_flags,
    "title": read_texts,
    "brand": read_texts,
    "link": read_texts,
    "image_link": read_texts,
}


def _with_money_split(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns with ``49.90 GBP`` taken apart; a currency column of its own wins."""
    if "price" not in columns:
        return dict(columns)
    price, currency = split_money(columns["price"])
    told = dict(columns) | {"price": price}
    if currency.null_count == len(currency):
        return told
    if "currency" in columns:
        own = read_texts(columns["currency"])
        currency = pc.coalesce(own, currency)
    return told | {"currency": currency}


def _products(
    reader: Reader,
    rows: npt.NDArray[np.int64],
    columns: Mapping[str, pa.ChunkedArray],
    cells: Mapping[str, Any],
) -> pd.DataFrame:
    """Return the good rows of a batch as products, noting what is wrong with any."""
    is_good = np.ones(len(rows), bool)
    for name, found in cells.items():
        for fault, mask in _faults(name, found).items():
            rule = reader.schema.rules.get(f"{name}_{fault}")
            if rule is not None:
                reader.note(rule.slug, rows, mask, columns.get(name))
                is_good &= ~mask | (rule.effect != "rejects")
    arrays = {}
    for field in _SCHEMA:
        found = cells.get(field.name)
        if found is None:
            empty = pa.array(np.zeros(len(rows), bool))
            arrays[field.name] = (
                empty if field.name == "sensitive" else pa.nulls(len(rows), field.type)
            )
        else:
            arrays[field.name] = _values(field.name, found)
    frame: pd.DataFrame = pa.table(arrays, schema=_SCHEMA).to_pandas()
    return frame.assign(row=rows)[is_good]


def _faults(name: str, cells: Any) -> dict[str, Mask]:
    if isinstance(cells, pa.Array):
        return {}
    faults: dict[str, Mask] = dict(cells.faults)
    if name == "product_id":
        faults["missing"] = (cells.codes < 0) & ~np.logical_or.reduce(
            [np.zeros(len(cells.codes), bool), *cells.faults.values()]
        )
    if name == "price":
        faults["below_0"] = cells.values < 0
    return faults


def _values(name: str, cells: Cells | Coded | pa.Array) -> pa.Array:
    """Return what a column says as an Arrow array, null where it is unknown or at fault."""
    if isinstance(cells, Coded):
        is_none = cells.codes < 0
        for mask in cells.faults.values():
            is_none = is_none | mask
        return cells.words.take(pa.array(np.where(is_none, 0, cells.codes), mask=is_none))
    if isinstance(cells, Cells) and name == "price":
        return pa.array(np.where(cells.values < 0, np.nan, cells.values))
    if isinstance(cells, Cells):
        # What may be sensitive is treated so until somebody says that it is not.
        return pa.array(np.logical_or.reduce([cells.values, *cells.faults.values()]))
    return cells


def _once_each(reader: Reader, products: pd.DataFrame) -> pd.DataFrame:
    """Return the first row of every product; sensitive if any of its rows says so."""
    ids = products["product_id"]
    again = ids.duplicated().to_numpy()
    if not again.any():
        return products
    is_same = products.drop(columns="row").duplicated().to_numpy()
    rows = products["row"].to_numpy()
    for slug, mask in (("duplicate_row", again & is_same), ("duplicate_product", again & ~is_same)):
        some = ids[mask].tolist()
        reader.report.add(slug, rows[mask], some.__getitem__)
    sensitive = products["sensitive"].groupby(ids).transform("any")
    return products.assign(sensitive=sensitive)[~again]
