"""Catalog: what is known of each product.

This file decides what a catalogue is and how one is laid over another. How rows of a table or a
product feed become products, and which rows are bad, is decided in `personalize.shelf`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

from personalize.errors import Problem
from personalize.schema import normalise_type

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

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


class Catalog:
    """What is known of each product, one row each; it never changes.

    A catalogue is made from a frame, or from rows: the other form is laid out when it is asked
    for, so that a process that only serves never needs pandas.

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

    problems: tuple[Problem, ...]
    rejected: Rejects | None

    def __init__(
        self,
        frame: pd.DataFrame,
        problems: tuple[Problem, ...] = (),
        rejected: Rejects | None = None,
    ) -> None:
        vars(self).update(frame=frame, problems=problems, rejected=rejected)

    @classmethod
    def _of_rows(cls, rows: list[Product]) -> Self:
        """Return the catalogue of products in their one spelling, sorted by id, each once."""
        self = cls.__new__(cls)
        vars(self).update(_rows=rows, problems=(), rejected=None)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name}: a catalogue does not change; make another one")

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
        from personalize.reading import ReadOptions
        from personalize.shelf import gather_products

        return cls(*gather_products(df, ReadOptions(columns=columns, strict=strict)))

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return the catalogue of a pyarrow table that was a catalogue's frame."""
        columns = (table[name].to_pylist() for name in Product._fields)
        return cls._of_rows(list(map(Product, *columns)))

    @classmethod
    def empty(cls) -> Self:
        """Return a catalogue that knows no product."""
        return cls._of_rows([])

    @classmethod
    def from_products(cls, products: Sequence[Product]) -> Self:
        """Return the catalogue of some products; the last of one id counts.

        Category paths come out in their one spelling.
        """
        by_id = {product.product_id: _in_one_spelling(product) for product in products}
        return cls._of_rows([_with_nulls(by_id[product_id]) for product_id in sorted(by_id)])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The products as a DataFrame; its columns are listed on the class."""
        from personalize.shelf import tidy_frame

        return tidy_frame(self._rows)

    @cached_property
    def _rows(self) -> list[Product]:
        columns = (self.frame[name] for name in Product._fields)
        cells = [c.astype(object).where(c.notna(), None).tolist() for c in columns]
        return [Product(*row) for row in zip(*cells, strict=True)]

    @cached_property
    def _by_id(self) -> dict[str, Product]:
        return {product.product_id: product for product in self._rows}

    def __repr__(self) -> str:
        return f"Catalog({len(self):,} products, {len(self.problems)} problems)"

    def __len__(self) -> int:
        return len(self._rows if "_rows" in vars(self) else self.frame)

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._by_id

    def product(self, product_id: str) -> Product | None:
        """Return one product, or None if the catalogue does not know it."""
        return self._by_id.get(product_id)

    def products(self) -> Iterator[Product]:
        """Yield every product, sorted by id."""
        return iter(self._rows)

    def overlaid(self, other: Catalog) -> Catalog:
        """Return this catalogue with the rows of `other` in place of its own, product by product.

        The problems and rejected rows of both are left behind.
        """
        both = {product.product_id: product for each in (self, other) for product in each._rows}
        return Catalog._of_rows([both[product_id] for product_id in sorted(both)])


def _with_nulls(product: Product) -> Product:
    """Return a product whose price is a number or unknown, and whose flag is one."""
    price = product.price
    is_number = price is None or (type(price) is float and price == price)
    if is_number and type(product.sensitive) is bool:
        return product
    return product._replace(
        price=None if price is None or price != price else float(price),
        sensitive=bool(product.sensitive),
    )


def _in_one_spelling(product: Product) -> Product:
    path = product.product_type
    spelt = path and (normalise_type(path) or None)
    return product if spelt == path else product._replace(product_type=spelt)


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
    from personalize.reading import ReadOptions
    from personalize.shelf import gather_products

    options = ReadOptions(columns=columns, strict=strict, encoding=encoding)
    return Catalog(*gather_products(source, options))
