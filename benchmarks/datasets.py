"""Real orders as plain tables: what every method of a benchmark is given to see.

The row filters of the protocol are applied here, before anything else sees a row.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from personalize.times import to_micros

DATA_VARIABLE: Final = "PERSONALIZE_REAL_DATA"
RETAIL_FILE: Final = "online-retail-2009-2010.parquet"
RETAIL_CUTOFF: Final = "2010-10-01"
TA_FENG_FILE: Final = "ta-feng-baskets.json"
TA_FENG_CUTOFF: Final = "2001-03-01"
"""The set has no dates; any moment serves."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set and how it is cut.

    Parameters
    ----------
    name : str
    lines : DataFrame, one row per order line
        ``order_id``, ``customer_id``, ``product_id``, ``title`` (where there is one): str;
        ``ordered_at``: datetime64[us, UTC]; ``quantity``: int64.
    cutoff : int, microseconds since 1970 UTC
    min_lines : int
        Products with fewer training lines are in no query and no truth.
    has_repurchases : bool
        Whether times mean enough for task S.
    """

    name: str
    lines: pd.DataFrame
    cutoff: int
    min_lines: int
    has_repurchases: bool


def data_folder(given: Path | None) -> Path | None:
    """Return `given`, else the folder that the environment names, else None."""
    if given is not None:
        return given
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def read_online_retail(folder: Path, *, cutoff: str = RETAIL_CUTOFF) -> Dataset:
    """Return Online Retail 2009-2010 without guests, returns, corrections and non-products."""
    return clean_retail(pd.read_parquet(folder / RETAIL_FILE), cutoff=cutoff)


def clean_retail(table: pd.DataFrame, *, cutoff: str = RETAIL_CUTOFF) -> Dataset:
    """Return the protocol's rows of the Online Retail table.

    Kept are rows with a customer, ``Quantity > 0``, ``Price > 0``, a stock code that begins with
    five digits, and an invoice that does not begin with C.
    """
    keep = (
        table["Customer ID"].notna()
        & (table["Quantity"] > 0)
        & (table["Price"] > 0)
        & table["StockCode"].astype("str").str.match(r"\d{5}")
        & ~table["Invoice"].astype("str").str.startswith("C")
    )
    rows = table[keep]
    lines = pd.DataFrame(
        {
            "order_id": rows["Invoice"].astype("str"),
            "customer_id": rows["Customer ID"].astype("int64").astype("str"),
            "product_id": rows["StockCode"].astype("str"),
            "ordered_at": rows["InvoiceDate"].dt.as_unit("us").dt.tz_localize("UTC"),
            "quantity": rows["Quantity"].astype("int64"),
            "title": rows["Description"].astype("str"),
        }
    ).reset_index(drop=True)
    return Dataset("Online Retail 2009-2010", lines, to_micros(cutoff), 5, True)


def read_ta_feng(folder: Path) -> Dataset:
    """Return Ta-Feng: the last basket at the cutoff, the j-th before it 7 j days earlier."""
    baskets = json.loads((folder / TA_FENG_FILE).read_text(encoding="utf-8"))
    return date_baskets(baskets)


def date_baskets(baskets: dict[str, list[list[int]]]) -> Dataset:
    """Return undated baskets, oldest first, as weekly orders that end at the cutoff.

    Product numbers are padded with zeros, so that ids order like the numbers.
    """
    largest = max(product for theirs in baskets.values() for basket in theirs for product in basket)
    width = len(str(largest))
    rows = [
        (f"{customer}-{number}", customer, f"{product:0{width}}", len(theirs) - 1 - number)
        for customer, theirs in baskets.items()
        for number, basket in enumerate(theirs)
        for product in basket
    ]
    lines = pd.DataFrame(rows, columns=["order_id", "customer_id", "product_id", "weeks"])
    age = pd.to_timedelta(7 * lines.pop("weeks"), unit="D")
    end = pd.Timestamp(TA_FENG_CUTOFF, tz="UTC")
    lines["ordered_at"] = (end - age).astype("datetime64[us, UTC]")
    lines["quantity"] = 1
    return Dataset("Ta-Feng", lines, to_micros(TA_FENG_CUTOFF), 1, False)
