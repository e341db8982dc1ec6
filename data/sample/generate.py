"""Write the sample shop: orders.parquet, products.parquet and truth.json.

Without options it reproduces the committed files, byte for byte. With other sizes the same code
makes data for benchmarks::

    python data/sample/generate.py --out DIR --customers 1000000 --products 100000 --lines 20000000

Same options and seed: same files. README.md says what is planted and how it is written down.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import history
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shop as planted
from history import Chunk, Lines, Simulation
from shop import END_DAY, FIRST_DAY, N_DAYS, ONE, SIDE, TYPES, USED, Ints, Shop

DEFAULTS = {"customers": 2_000, "products": planted.N_BASE_PRODUCTS, "lines": 34_500, "seed": 1}
CUSTOMERS_PER_CHUNK = 50_000
LINES_PER_CUSTOMER = (6, 100)
DAY_US = 86_400_000_000
END_US = int(END_DAY.astype("datetime64[us]").astype(np.int64))
FIRST_US = int(FIRST_DAY.astype("datetime64[us]").astype(np.int64))
UTC_TIME = pa.timestamp("us", tz="UTC")
ORDERS_SCHEMA = pa.schema(
    [
        pa.field("order_id", pa.string(), nullable=False),
        pa.field("customer_id", pa.string()),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("ordered_at", UTC_TIME, nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("returned_quantity", pa.int64(), nullable=False),
        pa.field("returned_at", UTC_TIME),
        pa.field("unit_price", pa.float64()),
        pa.field("currency", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("gift", pa.bool_(), nullable=False),
    ]
)

# What the customer of the story did: (days before the end, type, "" or "gift" or "returned").
# All are of the best-selling group of their type.
STORY_COAT, STORY_USED = "SC", "CB"
STORY = (
    (216, "CM", ""), (216, "CB", ""), (216, "DC", ""), (187, "CB", ""), (155, "CB", ""),
    (126, "CB", ""), (126, "DC", ""), (95, "CB", ""), (66, "CB", ""), (37, "CB", ""),
    (37, "DC", ""), (30, "RS", "returned"), (22, "SC", ""), (15, "NE", "gift"), (8, "CB", ""),
)  # fmt: skip
STORY_RETURN_DAYS = 16


def story_lines(shop: Shop) -> Lines:
    """Return the order lines of the customer of the story."""
    codes = [t.code for t in TYPES]
    of_type = np.array([codes.index(code) for _, code, _ in STORY])
    lines = history.new_lines(
        np.full(len(STORY), history.STORY_CUSTOMER),
        N_DAYS - np.array([days for days, _, _ in STORY]),
        of_type,
    )
    group = shop.group_start[of_type]
    size = shop.product_start[group + 1] - shop.product_start[group]
    colours = shop.n_colours[group]
    lines.product = shop.product_start[group] + size // colours // 2 * colours
    lines.quantity = np.ones_like(of_type)
    return lines


def plan(customers: int, lines: int) -> list[Chunk]:
    """Return the chunks of customers whose orders make about so many lines.

    Raises
    ------
    ValueError
        If a customer would have too few or too many lines.
    """
    low, high = LINES_PER_CUSTOMER
    if customers < 1 or not low * customers <= lines <= high * customers:
        raise ValueError(
            f"lines: {lines:,} for {customers:,} customers; give at least 1 customer"
            f" and {low} to {high} lines for each"
        )
    n_orders = round(lines / history.LINES_PER_ORDER)
    per_customer = n_orders / customers
    refills = min(1.0, per_customer / history.ORDERS_PER_CUSTOMER)
    own = per_customer * (1.0 - history.GUEST_SHARE) - history.USED_PER_CUSTOMER * refills
    trips = max(1.0, own / history.ORDERS_PER_TRIP)
    chunks = []
    for number, first in enumerate(range(0, customers, CUSTOMERS_PER_CHUNK)):
        until = min(first + CUSTOMERS_PER_CHUNK, customers)
        share = n_orders * until // customers - n_orders * first // customers
        share -= len({days for days, _, _ in STORY}) if number == 0 else 0
        chunks.append(Chunk(number, first, until - first, max(share, 0), trips, refills))
    return chunks


class OrderWriter:
    """Turns the lines of chunk after chunk into rows; order numbers run on."""

    def __init__(self, shop: Shop, chunks: list[Chunk], seed: int) -> None:
        self.shop, self.chunks, self.seed = shop, chunks, seed
        self.n_orders = self.n_guest_orders = 0
        self.n_lines = self.n_gift_lines = self.n_returned_lines = 0
        last = chunks[-1]
        self.customer_width = max(5, len(str(last.first + last.n_customers)))
        self.order_width = max(6, len(str(2 * sum(c.n_orders for c in chunks))))
        self.product_ids = pa.array(shop.products["product_id"], pa.string())
        self.story: dict[str, Any] = {}

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows of each chunk, sorted by time."""
        for chunk in self.chunks:
            simulation = Simulation(self.shop, chunk, self.seed)
            lines = simulation.run()
            if chunk.number == 0:
                lines = Lines.join([lines, story_lines(self.shop)])
            table = self._rows(simulation.rng, chunk, lines)
            if chunk.number == 0:
                self.story = self._tell(table)
            yield table

    def _rows(self, rng: np.random.Generator, chunk: Chunk, lines: Lines) -> pa.Table:
        keys, of_line = np.unique(lines.customer * N_DAYS + lines.day, return_inverse=True)
        customer, day = np.divmod(keys, N_DAYS)
        time = FIRST_US + day * DAY_US + history.second_of_day(rng, len(keys)) * 1_000_000
        by_time = np.argsort(time, kind="stable")
        rank = np.empty_like(by_time)
        rank[by_time] = np.arange(len(by_time))
        channel = history.channel(rng, customer, chunk.n_customers)
        order = np.lexsort((lines.product, rank[of_line]))
        lines, of_line = lines.take(order), of_line[order]
        state = history.outcome(self.shop, rng, lines, time[of_line], END_US)
        if chunk.number == 0:
            self._script(lines, time[of_line], state)
        price = self.shop.price[lines.product]
        sale = np.where(rng.random(len(price)) < history.SALE_SHARE, history.SALE, 1.0)
        guest = lines.customer >= chunk.n_customers
        number = pa.array(1 + self.n_orders + rank[of_line])
        returned_at = pa.array(state.returned_at, mask=state.returned == 0)
        columns = [
            _ids("order-", number, self.order_width),
            _ids("cust-", pa.array(1 + chunk.first + lines.customer, mask=guest),
                 self.customer_width),
            self.product_ids.take(pa.array(lines.product)),
            pa.array(time[of_line]).cast(UTC_TIME),
            pa.array(state.quantity),
            pa.array(state.returned),
            returned_at.cast(UTC_TIME),
            pa.array(np.round(price * sale, 2)),
            pa.repeat(planted.CURRENCY, len(price)),
            pa.array(history.CHANNELS, pa.string()).take(pa.array(channel[of_line])),
            pa.array(state.gift),
        ]  # fmt: skip
        self.n_orders += len(keys)
        self.n_guest_orders += int((customer >= chunk.n_customers).sum())
        self.n_lines += len(price)
        self.n_gift_lines += int(state.gift.sum())
        self.n_returned_lines += int((state.returned > 0).sum())
        return pa.Table.from_arrays(columns, schema=ORDERS_SCHEMA)

    def _script(self, lines: Lines, time: Ints, state: history.Outcome) -> None:
        """Overwrite the outcome of the lines of the story."""
        told = story_lines(self.shop)
        mine = lines.customer == history.STORY_CUSTOMER
        state.gift[mine], state.returned[mine], state.quantity[mine] = False, 0, 1
        for i, (_, _, what) in enumerate(STORY):
            row = mine & (lines.product == told.product[i]) & (lines.day == told.day[i])
            if what == "gift":
                state.gift[row] = True
            elif what == "returned":
                state.returned[row] = 1
                state.returned_at[row] = time[row] + STORY_RETURN_DAYS * DAY_US

    def _tell(self, table: pa.Table) -> dict[str, Any]:
        """Return the ids of the story, as they stand in the rows."""
        customer = "cust-" + str(1 + history.STORY_CUSTOMER).zfill(self.customer_width)
        rows = table.filter(pc.equal(table["customer_id"], customer)).to_pandas()
        lines = story_lines(self.shop)
        ids = self.shop.products["product_id"].to_numpy()[lines.product]
        told = {"customer_id": customer}
        for (_, code, what), product in zip(STORY, ids.tolist(), strict=True):
            name = {STORY_COAT: "sport_coat", STORY_USED: "consumable"}.get(code, what)
            if name:
                newest = rows[rows["product_id"] == product].iloc[-1]
                told[f"{name}_product_id"] = product
                told[f"{name}_order_id"] = str(newest["order_id"])
        return told


def _ids(prefix: str, number: pa.Array, width: int) -> pa.Array:
    text = pc.utf8_lpad(number.cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, text, "")


def _types(shop: Shop) -> dict[str, Any]:
    """Return what is planted about each type, by its full path."""
    return {
        path: {
            "kind": of.kind,
            "item_groups": int(shop.group_start[i + 1] - shop.group_start[i]),
            "per_basket": of.per_basket,
            "cycle_days": of.cycle_days or None,
            "season": of.season or None,
            "return_rate": of.returned,
            "sensitive": of.sensitive,
        }
        for i, (path, of) in enumerate(zip(shop.paths, [TYPES[b] for b in shop.base], strict=True))
    }


def _complements(shop: Shop) -> list[dict[str, Any]]:
    """Return the planted families: an anchor type and what completes it."""
    return [
        {
            "type": shop.paths[anchor],
            "complements": [
                {"type": shop.paths[of], "rate": float(rate)}
                for of, rate in zip(
                    shop.complement[anchor], shop.complement_rate[anchor], strict=True
                )
                if of >= 0
            ],
        }
        for anchor in np.flatnonzero(shop.is_sought)
    ]


def truth(shop: Shop, writer: OrderWriter, options: dict[str, int]) -> dict[str, Any]:
    """Return what is planted and what was written; see README.md."""
    types = _types(shop)
    trend = shop.products["item_group_id"].to_numpy()[shop.product_start[shop.trend_group]]
    return {
        "options": options,
        "period": {"first_day": str(FIRST_DAY), "end": str(END_DAY)},
        "counts": {
            "customers": options["customers"],
            "products": len(shop.products),
            "item_groups": shop.n_groups,
            "product_types": shop.n_types,
            "orders": writer.n_orders,
            "guest_orders": writer.n_guest_orders,
            "lines": writer.n_lines,
            "gift_lines": writer.n_gift_lines,
            "returned_lines": writer.n_returned_lines,
        },
        "complements": _complements(shop),
        "same_basket_share": history.SAME_BASKET_SHARE,
        "later_days": list(history.LATER_DAYS),
        "one_per_need": [path for path, of in types.items() if of["kind"] == ONE],
        "side_by_side": [path for path, of in types.items() if of["kind"] == SIDE],
        "consumed": {path: of["cycle_days"] for path, of in types.items() if of["kind"] == USED},
        "continue_rate": history.CONTINUE_RATE,
        "gap_sigma": history.GAP_SIGMA,
        "per_basket": {path: of["per_basket"] for path, of in types.items()},
        "seasons": {path: of["season"] for path, of in types.items() if of["season"]},
        "trend": {
            "type": shop.paths[planted.TREND_TYPE],
            "item_group_id": str(trend),
            "from": str(END_DAY - planted.TREND_DAYS),
        },
        "story": writer.story,
        "types": types,
    }


def write(out: Path, options: dict[str, int]) -> None:
    """Write the three files into a folder, which is made if it is missing.

    Raises
    ------
    ValueError
        If the sizes do not make a shop.
    """
    if options["seed"] < 0:
        raise ValueError(f"seed: {options['seed']} is below 0; give 0 or more")
    chunks = plan(options["customers"], options["lines"])
    shop = planted.build_shop(options["products"], options["seed"])
    out.mkdir(parents=True, exist_ok=True)
    writer = OrderWriter(shop, chunks, options["seed"])
    part = out / "orders.parquet.part"
    with pq.ParquetWriter(part, ORDERS_SCHEMA, compression="zstd", compression_level=9) as file:
        for done, table in enumerate(writer.tables(), 1):
            file.write_table(table)
            if sys.stderr.isatty():
                end = "\n" if done == len(chunks) else ""
                print(f"\r{writer.n_lines:,} lines", end=end, file=sys.stderr, flush=True)
    part.replace(out / "orders.parquet")
    catalogue = pa.Table.from_pandas(shop.products, preserve_index=False)
    catalogue = catalogue.replace_schema_metadata(None)
    pq.write_table(catalogue, out / "products.parquet", compression="zstd", compression_level=9)
    text = json.dumps(truth(shop, writer, options), indent=2, ensure_ascii=False)
    (out / "truth.json").write_text(text + "\n", encoding="utf-8")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2 after one line."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(description="Write a sample shop: orders, products and what is true of them.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder")
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value:,}")
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    try:
        write(out, given)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
