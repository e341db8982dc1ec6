"""A shop in a store, written straight into its tables, and a model that knows its products.

Shaped like the shops of `benchmarks.shops`, customer by customer: the tables are clustered by
customer, so that tens of millions of lines are written in minutes. Bought in the two years before
the store was made, so that much of it is still to be suppressed. A store is made once and kept.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

import personalize as pz
from benchmarks import shops
from benchmarks.serving.postgres import connect
from personalize.store.layout import order_lines, orders

VERSION: Final = 2
CUSTOMERS_AT_ONCE: Final = 20_000
_SPAN: Final = 730 * 86_400_000_000
_DAY: Final = 86_400_000_000
_BYTES_PER_LINE: Final = 250
"""On disk, with the order that it is part of, and room to spare."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a shop is.

    Parameters
    ----------
    customers : int
    purchases : int
        Order lines, about.
    products : int
    learned : int
        Order lines that the model learns from, about.
    """

    customers: int
    purchases: int
    products: int
    learned: int

    @property
    def name(self) -> str:
        """What its store is called."""
        return f"shop-{VERSION}-{self.customers}-{self.purchases}-{self.products}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The orders of some customers, in the order of both tables.

    Parameters
    ----------
    orders, lines : pyarrow Table
        Columns as in `personalize.store.layout`.
    """

    orders: pa.Table
    lines: pa.Table


def chunks(size: Size, now: int, seed: int = 0) -> Iterator[Chunk]:
    """Yield the shop's orders by customer; `now` in microseconds UTC is when its history ends."""
    taste = _taste(size, seed)
    rng = np.random.default_rng([seed, 2])
    activity = np.exp(rng.normal(0.0, 1.0, size.customers))
    more = max(size.purchases / shops.LINES_PER_ORDER / size.customers - 1.0, 0.0)
    counts = 1 + rng.poisson(activity / activity.mean() * more)
    first_order = 0
    for number, start in enumerate(range(0, size.customers, CUSTOMERS_AT_ONCE)):
        some = counts[start : start + CUSTOMERS_AT_ONCE]
        who = np.repeat(np.arange(start, start + len(some)), some)
        yield _chunk(taste, who, (first_order, now), np.random.default_rng([seed, 3, number]))
        first_order += len(who)


def _taste(size: Size, seed: int = 0) -> shops.Taste:
    return shops.Taste(shops.Size(size.purchases, size.customers, size.products), seed)


def _chunk(taste: shops.Taste, who: Any, span: tuple[int, int], rng: Any) -> Chunk:
    first_order, now = span
    at = now - _DAY - (rng.random(len(who)) * _SPAN).astype(np.int64)
    at = at[np.lexsort((at, who))] // 1_000_000 * 1_000_000
    order, product = shops.lines_of(taste, who, rng)
    number = taste.id_of[product]
    ranked = np.lexsort((number, order))
    order, product, number = order[ranked], product[ranked], number[ranked]
    n = len(order)
    quantity = np.minimum(rng.geometric(0.7, n), 20).astype(np.int32)
    is_back = rng.random(n) < 1 / 30
    sent = pa.array(quantity, mask=~is_back)
    back_at = pa.array(np.minimum(at[order] + 5 * _DAY, now), mask=~is_back)
    customers = shops.ids_of("C", who, 8)
    order_ids = shops.ids_of("O", first_order + np.arange(len(who)), 9)
    hashes = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(32), len(who), [None, pa.py_buffer(rng.bytes(32 * len(who)))]
    )
    lines = (
        customers.take(pa.array(order)),
        at[order],
        order_ids.take(pa.array(order)),
        shops.ids_of("P", number, 7),
        quantity,
        np.where(is_back, quantity, 0).astype(np.int32),
        back_at,
        pa.repeat(False, n),
        taste.price[product],
        sent,
        back_at,
    )
    heads = (
        order_ids, customers, at, at, hashes, pa.repeat("EUR", len(who)), pa.nulls(len(who)),
    )  # fmt: skip
    return Chunk(
        pa.table(dict(zip(orders.columns.keys(), heads, strict=True))),
        pa.table(dict(zip(order_lines.columns.keys(), lines, strict=True))),
    )


def make_sqlite(size: Size, folder: Path) -> str:
    """Return the URL of the shop's SQLite store, made if it is not there yet.

    Raises
    ------
    OSError
        If the disk has too little room.
    """
    file = folder / f"{size.name}.db"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        needed = size.purchases * _BYTES_PER_LINE
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OSError(f"{folder}: {free:,} bytes free, {needed:,} needed; make room")
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        _fill_sqlite(part, size)
        part.replace(file)
    return f"sqlite:///{file}"


def _fill_sqlite(file: Path, size: Size) -> None:
    with pz.Store.open(f"sqlite:///{file}") as store:
        store.put_products(_products(size))
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for chunk in chunks(size, pz.system_clock()):
            for name, table in (("orders", chunk.orders), ("order_lines", chunk.lines)):
                marks = ", ".join("?" * table.num_columns)
                columns = (column.to_pylist() for column in table.columns)
                connection.executemany(
                    f"INSERT INTO {name} VALUES ({marks})", zip(*columns, strict=True)
                )
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    with pz.Store.open(f"sqlite:///{file}") as store:
        store.repair()


def make_postgresql(size: Size, url: str) -> str:
    """Return `url`, whose database holds the shop, filled if it was empty.

    Raises
    ------
    ValueError
        If the database holds something else.
    """
    with pz.Store.open(url) as store:
        is_new = not store.customers(limit=1)
        if is_new:
            store.put_products(_products(size))
    with connect(url) as connection:
        found = connection.execute(
            "SELECT obj_description('order_lines'::regclass, 'pg_class')"
        ).fetchone()
        told = found[0] if found else None
        if told == size.name:
            return url
        if not is_new:
            raise ValueError(
                f"the database at {connection.info.host}/{connection.info.dbname} holds "
                f"{told or 'a shop that is not ours'}, not {size.name}; give an empty one"
            )
        for chunk in chunks(size, pz.system_clock()):
            for name, table in (("orders", chunk.orders), ("order_lines", chunk.lines)):
                _copy(connection, name, table)
        connection.commit()
        with pz.Store.open(url) as store:
            store.repair()
        connection.execute(f"COMMENT ON TABLE order_lines IS '{size.name}'")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE orders, order_lines")
    return url


def _copy(connection: Any, name: str, table: pa.Table) -> None:
    hashes = [
        i for i, field in enumerate(table.schema) if pa.types.is_fixed_size_binary(field.type)
    ]
    for place in hashes:
        shown = [f"\\x{value.hex()}" for value in table.column(place).to_pylist()]
        table = table.set_column(place, table.schema.names[place], pa.array(shown))
    written = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=False)
    pyarrow.csv.write_csv(table, written, options)
    names = ", ".join(table.column_names)
    with connection.cursor().copy(f"COPY {name} ({names}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(memoryview(written.getvalue()))


def _products(size: Size) -> list[pz.Product]:
    table = shops.catalogue(_taste(size))
    return [
        pz.Product(
            row["product_id"],
            item_group_id=row["item_group_id"],
            title=f"Product {row['product_id'][1:]}",
            product_type=row["product_type"],
            price=row["price"],
            currency="EUR",
            availability="in_stock",
            link=f"https://shop.example/{row['product_id']}",
            image_link=f"https://shop.example/{row['product_id']}.jpg",
        )
        for row in table.to_pylist()
    ]


def make_models(size: Size, folder: Path) -> Path:
    """Return a models directory whose current version knows every product of the shop."""
    models = folder / f"models-{VERSION}-{size.learned}-{size.products}"
    directory = pz.ModelsDirectory(models)
    if directory.current() is None:
        learned = shops.Size(size.learned, max(size.learned // 30, 10), size.products)
        orders_file, products_file = shops.make_shop(learned, folder)
        learned_orders = pz.read_orders(orders_file)
        engine = pz.Engine.fit(learned_orders, pz.read_catalog(products_file))
        engine.save(models / "v1")
        directory.use("v1")
    return models
