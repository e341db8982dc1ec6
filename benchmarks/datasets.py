"""Real orders as plain tables: what every method of a benchmark is given to see.

The row filters of the protocol are applied here, before anything else sees a row.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

import personalize as pz
from personalize.times import DAY, to_micros

DATA_VARIABLE: Final = "PERSONALIZE_REAL_DATA"
RETAIL_FILE: Final = "online-retail-2009-2010.parquet"
RETAIL_CUTOFF: Final = "2010-10-01"
TA_FENG_FILE: Final = "ta-feng-baskets.json"
TA_FENG_CUTOFF: Final = "2001-03-01"
"""The set has no dates; any moment serves."""
STALE_DAYS: Final = 60
"""In `made_up_catalog`: what did not sell for so long is out of stock."""


LINE_COLUMNS: Final = ("order_id", "customer_id", "product_id", "ordered_at", "quantity")


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

    def orders(self) -> pz.Orders:
        """Return the lines as a shop's own table: every row counts, also one that repeats."""
        return orders_of(self.lines)


def orders_of(lines: pd.DataFrame) -> pz.Orders:
    """Return `lines` as orders; rows of one product in one order are summed, equal ones too.

    Parameters
    ----------
    lines : DataFrame, one row per order line
        `LINE_COLUMNS`; an order has the time of its first row.
    """
    table = lines[list(LINE_COLUMNS)].copy()
    table["ordered_at"] = table.groupby("order_id")["ordered_at"].transform("min")
    keys = [name for name in LINE_COLUMNS if name != "quantity"]
    return pz.Orders.from_frame(
        table.groupby(keys, as_index=False, dropna=False)["quantity"].sum(), strict=True
    )


def made_up_catalog(dataset: Dataset) -> pz.Catalog:
    """Return a catalogue for the guards, derived from the orders alone.

    The set has no catalogue, so this one is a stand-in that makes every guard bite: the group is
    the stock code without its letter, the type is the last word of the title, and what was not
    ordered in the last `STALE_DAYS` days before the cutoff is out of stock.
    """
    lines = dataset.lines
    first = lines.drop_duplicates("product_id").set_index("product_id")["title"].sort_index()
    last_word = first.str.upper().str.extract(r"([A-Z]{3,})[^A-Z]*$")[0]
    micros = lines["ordered_at"].dt.as_unit("us").astype("int64")
    since = dataset.cutoff - STALE_DAYS * DAY
    recent = lines.loc[(micros >= since) & (micros < dataset.cutoff), "product_id"]
    table = pd.DataFrame(
        {
            "product_id": first.index,
            "item_group_id": first.index.str.slice(0, 5),
            "title": first.to_numpy(),
            "product_type": last_word.to_numpy(),
            "availability": np.where(first.index.isin(recent), "in_stock", "out_of_stock"),
        }
    )
    return pz.Catalog.from_frame(table)


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
