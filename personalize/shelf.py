"""From rows to products (first cut; the whole of it follows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from personalize.errors import InvalidCatalogError, Problem
from personalize.tables import Rejects

TEXTS = (
    "product_id", "item_group_id", "title", "product_type", "brand", "currency", "availability",
    "link", "image_link",
)  # fmt: skip
COLUMNS = (
    "product_id", "item_group_id", "title", "product_type", "brand", "price", "currency",
    "availability", "link", "image_link", "sensitive",
)  # fmt: skip


def tidy_frame(products: pd.DataFrame | Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return products as the frame of a catalogue: typed, and sorted by id."""
    frame = pd.DataFrame(products, columns=list(COLUMNS))
    for name in TEXTS:
        frame[name] = frame[name].astype("str")
    frame["price"] = frame["price"].astype(np.float64)
    frame["sensitive"] = frame["sensitive"].astype(bool)
    keys = frame["product_id"].map(lambda text: text.encode())
    return frame.iloc[np.argsort(keys.to_numpy(object), kind="stable")].reset_index(drop=True)


def gather_products(
    source: Any, *, columns: Mapping[str, str] | None = None, strict: bool = False
) -> tuple[pd.DataFrame, tuple[Problem, ...], Rejects | None]:
    """Return the frame of a catalogue, its problems and the rows left out."""
    if isinstance(source, (str, Path)):
        path = str(source)
        source = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
    df = source.rename(columns=dict(columns or {}))
    if "product_id" not in df:
        raise InvalidCatalogError("catalog: no column product_id")
    df = df.drop_duplicates("product_id")
    frame = pd.DataFrame({name: df.get(name) for name in COLUMNS}, index=df.index)
    frame["sensitive"] = df["sensitive"].fillna(False).astype(bool) if "sensitive" in df else False
    for name in TEXTS:
        frame[name] = frame[name].where(frame[name].isna(), frame[name].astype(str))
    types = frame["product_type"]
    frame["product_type"] = [
        " > ".join(part.strip() for part in t.split(">")) if isinstance(t, str) else None
        for t in types
    ]
    return tidy_frame(frame), (), None
