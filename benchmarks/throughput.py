"""The process that answers: batch questions over all customers, and one decision at a time.

Run by `benchmarks.speed`; ``python -m benchmarks.throughput MODELS ORDERS [reading]`` prints one
JSON object. Reading and loading are timed on their own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import personalize as pz
from personalize.artifact import ModelsDirectory
from personalize.times import to_datetime

N_SINGLE = {1: 20_000, 100: 2_000}
"""Decisions asked for, by how many products each is about."""
N_STATES = 200
N_WARM = 1_000
"""Customers asked about, and ten times as many pairs, before the clock starts."""


class Clock:
    """Seconds of named pieces of work, and what they come to per unit."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def time(self, name: str, work: Callable[[], Any], n: Callable[[Any], int]) -> Any:
        """Return what `work` returns; `n` says how many units that was."""
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        units = n(result)
        per_second = units / seconds
        self.found[name] = {"seconds": seconds, "n": units, "per_second": per_second}
        return result


def pairs_like(orders: pz.Orders, seed: int = 0) -> pd.DataFrame:
    """Return as many pairs as order lines: half of them owned, half of them drawn at random."""
    rng = np.random.default_rng(seed)
    customer = orders.order_customer[orders.line_order]
    known = np.flatnonzero(customer >= 0)
    drawn = known[rng.integers(len(known), size=len(known))]
    product = orders.line_product[drawn]
    n_random = len(drawn) // 2
    product[:n_random] = rng.integers(len(orders.product_ids), size=n_random)
    return pa.table(
        {
            "customer_id": orders.customer_ids.take(pa.array(customer[drawn])),
            "product_id": orders.product_ids.take(pa.array(product)),
        }
    ).to_pandas()


def single_decisions(
    engine: pz.Engine, orders: pz.Orders, pairs: pd.DataFrame, n_products: int = 1
) -> dict[str, float]:
    """Return microseconds of one decision about so many products, the state at hand."""
    customers = pairs["customer_id"].unique()[:N_STATES]
    as_of = to_datetime(engine.as_of)
    theirs = orders.for_customers(customers)
    states = [pz.PurchaseState.from_orders(theirs, name, as_of) for name in customers]
    few = pairs.iloc[: n_products * N_SINGLE[n_products]]["product_id"].tolist()
    products = [few[at : at + n_products] for at in range(0, len(few), n_products)]
    for state in states:
        engine.decide(state, products[0], as_of)
    taken = np.empty(len(products))
    for place, product_ids in enumerate(products):
        state = states[place % len(states)]
        started = time.perf_counter_ns()
        engine.decide(state, product_ids, as_of)
        taken[place] = (time.perf_counter_ns() - started) / 1000.0
    median, slow = np.quantile(taken, (0.5, 0.99))
    return {"median_us": float(median), "p99_us": float(slow)}


def main(models: str, path: str, reading: str = "{}", n_lists: str = "") -> dict[str, Any]:
    """Ask everything once and return the seconds.

    `reading` holds read_orders' arguments; of `n_lists` customers lists are asked for, of all
    without a number.
    """
    clock = Clock()
    engine = clock.time("load", lambda: pz.Engine.load(ModelsDirectory(models).path()), lambda _: 1)
    orders = clock.time(
        "read", lambda: pz.read_orders(path, **json.loads(reading)), lambda found: found.n_lines
    )
    pairs = pairs_like(orders)
    few = orders.for_customers(orders.customer_ids[:N_WARM].to_pylist())
    for ask in (engine.suppress, engine.recommend):  # loads what is compiled, for check too
        ask(few)
    engine.check(pairs.iloc[: 10 * N_WARM], few)
    clock.time("check", lambda: engine.check(pairs, orders), len)
    clock.time("suppress", lambda: engine.suppress(orders), lambda _: orders.n_customers)
    asked = None if not n_lists else orders.customer_ids[: int(n_lists)].to_pylist()
    n_asked = orders.n_customers if asked is None else len(asked)
    clock.time("recommend", lambda: engine.recommend(orders, asked, k=10), lambda _: n_asked)
    for n_products, name in ((1, "decide"), (100, "decide_100")):
        clock.found[name] = single_decisions(engine, orders, pairs, n_products)
    clock.found |= {"lines": orders.n_lines, "customers": orders.n_customers}
    return clock.found


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:5]), sys.stdout)
