"""From rows to orders (first cut; the whole of it follows)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from personalize.errors import InvalidOrdersError
from personalize.times import MISSING


def gather_orders(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    timezone: str = "UTC",
    returns: str = "columns",
    not_products: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Return the fields of `Orders`."""
    if isinstance(source, (str, Path)):
        path = str(source)
        source = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
    df = source.rename(columns=dict(columns or {}))
    missing = [
        c
        for c in ("order_id", "customer_id", "product_id", "ordered_at", "quantity")
        if c not in df.columns
    ]
    if missing:
        raise InvalidOrdersError(f"orders: no column {missing}")
    df = pd.DataFrame(df)
    if not_products:
        df = df[~df["product_id"].astype(str).str.fullmatch(not_products)]
    df = df[df["quantity"] > 0].copy()

    def ids(s: pd.Series) -> pd.Series:
        if pd.api.types.is_float_dtype(s.dtype):
            s = s.astype("Int64")
        return s.astype("string").replace("", None)

    for c in ("order_id", "customer_id", "product_id"):
        df[c] = ids(df[c])

    def times(s: pd.Series) -> np.ndarray:
        t = pd.to_datetime(s, utc=True).dt.as_unit("us")
        out = t.astype("int64").to_numpy(copy=True)
        out[t.isna().to_numpy()] = MISSING
        return out

    n = len(df)
    df["t"] = times(df["ordered_at"])
    df["rq"] = df["returned_quantity"].fillna(0).astype(int) if "returned_quantity" in df else 0
    df["ra"] = times(df["returned_at"]) if "returned_at" in df else np.full(n, MISSING)
    df.loc[(df.rq > 0) & (df.ra == MISSING), "ra"] = df["t"]
    df["g"] = df["gift"].fillna(False).astype(bool) if "gift" in df else False
    df["p"] = df["unit_price"].astype(float) if "unit_price" in df else np.nan
    df["u"] = times(df["updated_at"]) if "updated_at" in df else np.maximum(df["t"], df["ra"])
    for c in ("currency", "channel"):
        if c not in df:
            df[c] = None
    orders = df.groupby("order_id", as_index=False).agg(
        c=("customer_id", "first"),
        t=("t", "min"),
        u=("u", "max"),
        currency=("currency", "first"),
        channel=("channel", "first"),
    )
    lines = df.groupby(["order_id", "product_id"], as_index=False).agg(
        q=("quantity", "sum"), rq=("rq", "sum"), ra=("ra", "max"), g=("g", "min"), p=("p", "mean")
    )
    customers = pd.Index(sorted(orders["c"].dropna().unique(), key=lambda s: s.encode()))
    products = pd.Index(sorted(lines["product_id"].unique(), key=lambda s: s.encode()))
    return {
        "customer_ids": pa.array(list(customers), pa.large_string()),
        "product_ids": pa.array(list(products), pa.large_string()),
        "order_ids": pa.array(orders["order_id"].tolist(), pa.large_string()),
        "order_customer": customers.get_indexer(orders["c"]).astype(np.int32),
        "order_time": orders["t"].to_numpy(np.int64),
        "order_updated": orders["u"].to_numpy(np.int64),
        "order_currency": pa.array(
            [c if isinstance(c, str) else None for c in orders["currency"]], pa.large_string()
        ).dictionary_encode(),
        "order_channel": pa.array(
            [c if isinstance(c, str) else None for c in orders["channel"]], pa.large_string()
        ).dictionary_encode(),
        "line_order": pd.Index(orders["order_id"]).get_indexer(lines["order_id"]).astype(np.int32),
        "line_product": products.get_indexer(lines["product_id"]).astype(np.int32),
        "quantity": lines["q"].to_numpy(np.int32),
        "returned_quantity": lines["rq"].to_numpy(np.int32),
        "returned_at": lines["ra"].to_numpy(np.int64),
        "gift": lines["g"].to_numpy(bool),
        "unit_price": lines["p"].to_numpy(float),
        "carries_returns": "returned_quantity" in df,
    }
