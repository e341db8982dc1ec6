"""Made-up shops of any size, written straight to Parquet: what growth is measured on.

Not the sample of `data/sample`, whose history is planted to be found again: here only the shape
matters that decides what work there is. Popularity is long-tailed, customers have a few kinds of
product that they like, kinds go together, some are used up and bought again, some customers buy
fifty times as often as others, one order line in thirty comes back and one order in twenty is a
guest's. The file is written order by order in time, a row group at a time, and every row group
draws from a seed of its own, so that the memory this takes does not grow with the shop.

``python -m benchmarks.shops FOLDER LINES CUSTOMERS PRODUCTS`` makes one and prints its two files.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Array = npt.NDArray[Any]

VERSION: Final = 1
"""In the name of every file: one that an older generator wrote is not taken for ours."""
ORDERS_PER_GROUP: Final = 100_000
LINES_PER_ORDER: Final = 4.25
"""As they come out of `lines_of`, distinct."""
_PER_KIND: Final = 100
"""Products of one kind."""
_LIKED: Final = 4
"""Kinds that one customer likes."""
_FIRST: Final = 1_577_836_800_000_000
"""2020-01-01 in microseconds."""
_SPAN: Final = 730 * 86_400_000_000
_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How large a shop is.

    Parameters
    ----------
    lines : int
        Order lines, about.
    customers, products : int
    """

    lines: int
    customers: int
    products: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"shop-{VERSION}-{self.lines}-{self.customers}-{self.products}"


class Taste:
    """What is popular, what goes together, and who likes what; the same for every row group."""

    def __init__(self, size: Size, seed: int) -> None:
        rng = np.random.default_rng([seed, 0])
        self.n_products = size.products
        self.n_kinds = max(size.products // _PER_KIND, 4)
        self.kind_of = np.sort(rng.permutation(np.arange(size.products) % self.n_kinds))
        self.first = np.searchsorted(self.kind_of, np.arange(self.n_kinds + 1))
        self.id_of = rng.permutation(size.products)
        by_rank = 1.0 / (np.arange(size.products) - self.first[self.kind_of] + 2.0) ** 0.9
        self.within = _running(by_rank)
        share = rng.permutation(1.0 / (np.arange(self.n_kinds) + 3.0) ** 0.6)
        self.kinds = _running(share)
        self.partner = rng.integers(self.n_kinds, size=(self.n_kinds, 2))
        self.is_used_up = rng.random(self.n_kinds) < 0.4
        self.price = np.round(np.exp(rng.normal(2.7, 1.0, size.products)), 2) + 0.5
        liked = np.searchsorted(self.kinds, rng.random((size.customers, _LIKED)), side="right")
        self.liked = liked.astype(np.int32)
        self.activity = _running(np.exp(rng.normal(0.0, 1.0, size.customers)))

    def products(self, kinds: Array, draws: Array) -> Array:
        """Return a product of each kind, the popular ones more often; draws are in [0, 1)."""
        low = np.where(self.first[kinds] > 0, self.within[self.first[kinds] - 1], 0.0)
        high = self.within[self.first[kinds + 1] - 1]
        found = np.searchsorted(self.within, low + draws * (high - low), side="right")
        return np.asarray(np.clip(found, self.first[kinds], self.first[kinds + 1] - 1))


def _running(weights: Array) -> Array:
    total = np.cumsum(weights)
    return np.asarray(total / total[-1])


def make_shop(size: Size, folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Return the files of orders and products of a shop, made if they are not there yet.

    Parameters
    ----------
    size : Size
    folder : Path
        Every size has a folder of its own in it.
    seed : int
    """
    own = folder / size.name
    orders, products = own / "orders.parquet", own / "products.parquet"
    if orders.exists() and products.exists():
        return orders, products
    own.mkdir(parents=True, exist_ok=True)
    taste = Taste(size, seed)
    pq.write_table(catalogue(taste), products)
    part = own / "orders.part"
    n_orders = max(round(size.lines / LINES_PER_ORDER), 1)
    firsts = range(0, n_orders, ORDERS_PER_GROUP)
    with pq.ParquetWriter(part, _SCHEMA, compression="snappy") as writer:
        for number, first in enumerate(firsts):
            span = (first, min(first + ORDERS_PER_GROUP, n_orders), n_orders)
            rng = np.random.default_rng([seed, 1, number])
            writer.write_table(_row_group(taste, size, span, rng))
    part.replace(orders)
    return orders, products


_SCHEMA: Final = pa.schema(
    {
        "order_id": pa.string(),
        "customer_id": pa.string(),
        "product_id": pa.string(),
        "ordered_at": pa.timestamp("us", "UTC"),
        "quantity": pa.int32(),
        "returned_quantity": pa.int32(),
        "returned_at": pa.timestamp("us", "UTC"),
        "unit_price": pa.float64(),
    }
)


def _customers(taste: Taste, size: Size, span: tuple[int, int, int], rng: Any) -> Array:
    """Return who places each order: new customers once each, the others as they are active."""
    first, end, n_orders = span
    n = end - first
    joined, join = (int(size.customers * at / n_orders) for at in (first, end))
    active = rng.random(n) * taste.activity[max(join, 1) - 1]
    who = np.searchsorted(taste.activity, active, side="right")
    new = np.arange(joined, join)
    who[rng.permutation(n)[: len(new)]] = new[:n]
    return np.asarray(np.minimum(who, size.customers - 1))


def lines_of(taste: Taste, who: Array, rng: Any) -> tuple[Array, Array]:
    """Return order and product of every line, distinct and ascending."""
    n_lines = 1 + rng.geometric(0.25, len(who)) - rng.integers(0, 2, len(who))
    n_lines = np.clip(n_lines, 1, 60)
    order = np.repeat(np.arange(len(who)), n_lines)
    n = len(order)
    liked = taste.liked[who, np.minimum(rng.geometric(0.5, len(who)) - 1, _LIKED - 1)]
    kind, draw = liked[order], rng.random(n)
    partner = taste.partner[kind, (rng.random(n) < 0.3).astype(int)]
    other = taste.liked[who[order], rng.integers(_LIKED, size=n)]
    anyone = np.searchsorted(taste.kinds, rng.random(n), side="right")
    kind = np.select([draw < 0.35, draw < 0.7, draw < 0.9], [kind, partner, other], anyone)
    # What a customer uses up comes from a few products of theirs: these draws are the same always.
    own = _hashed(who[order] * 8 + rng.integers(3, size=n), kind)
    again = taste.is_used_up[kind] & (rng.random(n) < 0.6)
    product = taste.products(kind, np.where(again, own, rng.random(n)))
    cells = np.unique(order * taste.n_products + product)
    return cells // taste.n_products, cells % taste.n_products


def _hashed(first: Array, second: Array) -> Array:
    """Return numbers in [0, 1) that look random and depend on two numbers alone (splitmix64)."""
    with np.errstate(over="ignore"):
        x = first.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + second.astype(np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(((x ^ (x >> np.uint64(31))) >> np.uint64(11)) / 2.0**53)


def _row_group(taste: Taste, size: Size, span: tuple[int, int, int], rng: Any) -> pa.Table:
    first, end, n_orders = span
    who = _customers(taste, size, span, rng)
    at = np.sort(rng.random(end - first)) * (end - first) + first
    at = _FIRST + (at / n_orders * _SPAN).astype(np.int64) // 1_000_000 * 1_000_000
    order, product = lines_of(taste, who, rng)
    n = len(order)
    quantity = np.minimum(rng.geometric(0.7, n), 20).astype(np.int32)
    is_back = rng.random(n) < 1 / 30
    back_at = at[order] + rng.integers(3, 25, n) * _DAY
    guests = rng.random(end - first) < 1 / 20
    names = ids_of("C", who, 8)
    return pa.table(
        {
            "order_id": ids_of("O", first + order, 9),
            "customer_id": names.take(
                pa.array(np.where(guests, 0, np.arange(len(who))), mask=guests).take(
                    pa.array(order)
                )
            ),
            "product_id": ids_of("P", taste.id_of[product], 7),
            "ordered_at": pa.array(at[order], pa.timestamp("us", "UTC")),
            "quantity": quantity,
            "returned_quantity": np.where(is_back, quantity, 0).astype(np.int32),
            "returned_at": pa.array(back_at, pa.timestamp("us", "UTC"), mask=~is_back),
            "unit_price": taste.price[product],
        },
        schema=_SCHEMA,
    )


def ids_of(letter: str, numbers: Array, width: int) -> pa.Array:
    """Return ids such as C00000042."""
    digits = numbers[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10
    cells = np.empty((len(numbers), width + 1), np.uint8)
    cells[:, 0], cells[:, 1:] = ord(letter), digits + ord("0")
    ends = np.arange(len(numbers) + 1, dtype=np.int32) * (width + 1)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(cells))


def catalogue(taste: Taste) -> pa.Table:
    """Return every product, its kind as its type; every third is a variant of the one before."""
    numbers = np.arange(taste.n_products)
    ids = ids_of("P", taste.id_of, 7)
    kinds = [f"Kind {kind // 25:03} > Kind {kind:04}" for kind in range(taste.n_kinds)]
    return pa.table(
        {
            "product_id": ids,
            "item_group_id": ids_of("G", numbers - (numbers % 3 == 2), 7),
            "product_type": pa.array(kinds).take(pa.array(taste.kind_of)),
            "price": taste.price,
        }
    )


if __name__ == "__main__":
    print(*make_shop(Size(*(int(size) for size in sys.argv[2:5])), Path(sys.argv[1])))
