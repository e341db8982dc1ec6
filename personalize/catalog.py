"""Catalog: what is known of each product.

This file decides what a catalogue is and how one is laid over another. How rows of a table or a
product feed become products, and which rows are bad, is decided in `personalize.shelf`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import pandas as pd

from personalize.errors import Problem
from personalize.reading import ReadOptions
from personalize.schema import normalise_type
from personalize.shelf import gather_products, tidy_frame
from personalize.tables import Rejects, Source


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


@dataclass(frozen=True, eq=False, repr=False)
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
        return cls(*gather_products(df, ReadOptions(columns=columns, strict=strict)))

    @classmethod
    def empty(cls) -> Self:
        """Return a catalogue that knows no product."""
        return cls(tidy_frame([]))

    @classmethod
    def from_products(cls, products: Sequence[Product]) -> Self:
        """Return the catalogue of some products; the last of one id counts.

        Category paths come out in their one spelling.
        """
        by_id = {product.product_id: _in_one_spelling(product) for product in products}
        return cls(tidy_frame(list(by_id.values())))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {product_id: n for n, product_id in enumerate(self.frame["product_id"])}

    @cached_property
    def _columns(self) -> list[list[Any]]:
        columns = (self.frame[name] for name in Product._fields)
        return [c.astype(object).where(c.notna(), None).tolist() for c in columns]

    def __repr__(self) -> str:
        return f"Catalog({len(self):,} products, {len(self.problems)} problems)"

    def __len__(self) -> int:
        return len(self.frame)

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._positions

    def product(self, product_id: str) -> Product | None:
        """Return one product, or None if the catalogue does not know it."""
        position = self._positions.get(product_id)
        if position is None:
            return None
        return Product(*(column[position] for column in self._columns))

    def products(self) -> Iterator[Product]:
        """Yield every product, sorted by id."""
        return (Product(*cells) for cells in zip(*self._columns, strict=True))

    def overlaid(self, other: Catalog) -> Catalog:
        """Return this catalogue with the rows of `other` in place of its own, product by product.

        The problems and rejected rows of both are left behind.
        """
        mine = self.frame[~self.frame["product_id"].isin(other.frame["product_id"])]
        both = [frame for frame in (mine, other.frame) if len(frame)]
        return Catalog(tidy_frame(pd.concat(both, ignore_index=True))) if both else Catalog.empty()


def _in_one_spelling(product: Product) -> Product:
    if product.product_type is None:
        return product
    return product._replace(product_type=normalise_type(product.product_type) or None)


def read_catalog(
    source: Source,
    columns: Mapping[str, str] | None = None,
    *,
    strict: bool = False,
    encoding: str = "utf-8",
) -> Catalog:
    """Return the catalogue of a table or Google product feed, with a report of its bad rows.

    Parameters
    ----------
    source : path, sequence of paths, or DataFrame, one row per product
        Parquet, CSV or JSON lines by file ending, or a Google product feed as it stands (.tsv,
        .txt, .csv, or .xml, RSS or Atom). Needs ``product_id`` (of a feed ``id``); may have
        ``item_group_id``, ``title``, ``product_type``, ``brand``, ``price`` (``49.90 GBP`` is
        fine), ``currency``, ``availability``, ``link``, ``image_link`` and ``sensitive``.
    columns : mapping of str to str, optional
        Name in the source to our name.
    strict : bool
        Refuse the catalogue for any faulty row.
    encoding : str
        Of CSV files.

    Raises
    ------
    InvalidCatalogError
        If a column is missing or a file cannot be read; with `strict`, for any faulty row, with
        all problems.
    """
    options = ReadOptions(columns=columns, strict=strict, encoding=encoding)
    return Catalog(*gather_products(source, options))
