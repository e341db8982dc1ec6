"""Catalog: what is known of each product.

This file decides what a catalogue is and how one is laid over another. How rows of a table or a
product feed become products, and which rows are bad, is decided in `personalize.shelf`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import pandas as pd

from personalize.errors import Problem
from personalize.shelf import gather_products, tidy_frame
from personalize.tables import Rejects


class Product(NamedTuple):
    """One product of the catalogue; None is unknown."""

    product_id: str
    item_group_id: str | None = None
    title: str | None = None
    product_type: str | None = None
    brand: str | None = None
    price: float | None = None
    currency: str | None = None
    availability: str | None = None
    link: str | None = None
    image_link: str | None = None
    sensitive: bool = False

    @property
    def is_available(self) -> bool:
        """Whether it can be bought; unknown availability counts as available."""
        return self.availability != "out_of_stock"


@dataclass(frozen=True, eq=False)
class Catalog:
    """What is known of each product, one row each, frozen.

    Parameters
    ----------
    frame : DataFrame, one row per product, sorted by ``product_id`` (UTF-8 bytes)
        ``product_id``, ``item_group_id``, ``title``, ``product_type``, ``brand``, ``currency``,
        ``availability``, ``link``, ``image_link``: text, null where unknown; ``price``: float64,
        NaN where unknown; ``sensitive``: bool.
    problems : tuple of Problem
        What was wrong with the table, if it came from one.
    rejected : Rejects or None
        The rows that were left out, each with its reasons.
    """

    frame: pd.DataFrame
    problems: tuple[Problem, ...] = ()
    rejected: Rejects | None = None

    @classmethod
    def from_frame(
        cls,
        df: pd.DataFrame,
        *,
        columns: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> Self:
        """Return the catalogue of a DataFrame, which is not changed; see `read_catalog`.

        Raises
        ------
        InvalidCatalogError
            For a missing column; with `strict`, for any bad row.
        """
        return cls(*gather_products(df, columns=columns, strict=strict))

    @classmethod
    def empty(cls) -> Self:
        """Return a catalogue that knows no product."""
        return cls(tidy_frame([]))

    @classmethod
    def from_products(cls, products: Sequence[Product]) -> Self:
        """Return the catalogue of some products; the last of one id counts."""
        return cls(tidy_frame(list({p.product_id: p for p in products}.values())))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {product_id: n for n, product_id in enumerate(self.frame["product_id"])}

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._positions

    def product(self, product_id: str) -> Product | None:
        """Return one product, or None if the catalogue does not know it."""
        position = self._positions.get(product_id)
        if position is None:
            return None
        return next(_products(self.frame.iloc[position : position + 1]))

    def products(self) -> Iterator[Product]:
        """Yield every product, sorted by id."""
        return _products(self.frame)

    def overlaid(self, other: Catalog) -> Catalog:
        """Return this catalogue with the rows of `other` in place of its own, product by product."""
        mine = self.frame[~self.frame["product_id"].isin(other.frame["product_id"])]
        both = [frame for frame in (mine, other.frame) if len(frame)]
        if not both:
            return self
        return Catalog(tidy_frame(pd.concat(both, ignore_index=True)))


def _products(frame: pd.DataFrame) -> Iterator[Product]:
    filled = (frame[name].astype(object).where(frame[name].notna(), None) for name in frame)
    return (Product(*row) for row in zip(*filled, strict=True))


def read_catalog(
    source: str | Path | Sequence[str | Path] | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    strict: bool = False,
) -> Catalog:
    """Return the catalogue of a table or Google product feed, with a report of its bad rows."""
    return Catalog(*gather_products(source, columns=columns, strict=strict))
