"""Our engine under the protocol: through its public calls only, on the training lines only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

import personalize as pz
from benchmarks.guards import (
    baskets_of,
    count_variants,
    count_violations,
    histories_of,
    long_lists,
)
from benchmarks.protocol import NOTHING, BoolArray, FloatArray, IntArray, K, Queries, Split
from personalize.times import DAY, to_datetime

STALE_DAYS = 60
"""In `made_up_catalog`: what did not sell for so long is out of stock."""


@dataclass(frozen=True)
class Ours:
    """A fitted engine with the orders it answers from.

    Parameters
    ----------
    engine : Engine
    orders : Orders
        Everything before the cutoff.
    split : Split
    catalog : DataFrame or None
        What the engine was given.
    """

    engine: pz.Engine
    orders: pz.Orders
    split: Split
    catalog: pd.DataFrame | None = None

    @property
    def as_of(self) -> dt.datetime:
        """The moment of every question: the cutoff."""
        return to_datetime(self.split.cutoff)

    def complements(self, anchors: IntArray) -> IntArray:
        """Return task A's list for each anchor: what completes a basket of this one product."""
        ids = self.split.product_ids[anchors]
        baskets = pd.DataFrame({"basket_id": ids, "product_id": ids}, dtype="str")
        found = self.engine.complements(baskets, K)
        return self._lists(ids, found["basket_id"], found)

    def follow_up(self, customers: IntArray) -> IntArray:
        """Return task B's list for each customer: nothing they ever bought."""
        ids = self.split.customer_ids[customers]
        found = self.engine.recommend(self.orders, list(ids), K, self.as_of)
        return self._lists(ids, found["customer_id"], found)

    def check(self, customers: IntArray, products: IntArray) -> tuple[BoolArray, FloatArray]:
        """Return whether each pair is suppressed at the cutoff, and its repurchase probability."""
        pairs = pd.DataFrame(
            {
                "customer_id": self.split.customer_ids[customers],
                "product_id": self.split.product_ids[products],
            },
            dtype="str",
        )
        found = self.engine.check(pairs, self.orders, self.as_of)
        return (
            found["suppress"].to_numpy(np.bool_),
            found["repurchase_probability"].to_numpy(np.float64),
        )

    def suppressed_types(self) -> pd.DataFrame:
        """Return whom which one-per-need type is kept from: ``customer_id``, ``product_type``."""
        rows = self.engine.suppress(self.orders, as_of=self.as_of)
        rows = rows[rows["scope"] == "product_type"]
        return rows[["customer_id", "target_id"]].rename(columns={"target_id": "product_type"})

    def _lists(self, ids: np.ndarray, asked: pd.Series, found: pd.DataFrame) -> IntArray:
        lists = np.full((len(ids), K), NOTHING, dtype=np.int64)
        rows = pd.Index(ids).get_indexer(pd.Index(asked))
        ranks = found["rank"].to_numpy(np.int64)
        lists[rows, ranks - 1] = self.split.product_codes(found["product_id"])
        return lists


def training_orders(split: Split) -> pz.Orders:
    """Return the training lines as orders, by the same path as a shop's own table."""
    train = split.train
    frame = pd.DataFrame(
        {
            "order_id": split.order_ids[train.order],
            "customer_id": split.customer_ids[train.customer],
            "product_id": split.product_ids[train.product],
            "ordered_at": pd.to_datetime(train.time, unit="us", utc=True),
            "quantity": train.quantity,
        }
    )
    return pz.Orders.from_frame(frame)


def fit_ours(split: Split, config: pz.EngineConfig, catalog: pd.DataFrame | None = None) -> Ours:
    """Return our engine, fitted as of the cutoff; `catalog` as in `personalize.Catalog`."""
    orders = training_orders(split)
    known = None if catalog is None else pz.Catalog.from_frame(catalog)
    engine = pz.Engine.fit(orders, known, config, to_datetime(split.cutoff))
    return Ours(engine, orders, split, catalog)


def made_up_catalog(split: Split, titles: pd.DataFrame) -> pd.DataFrame:
    """Return a catalogue for the guards, derived from the orders alone.

    The set has no catalogue, so this one is a stand-in that makes every guard bite: the group is
    the stock code without its letter, the type is the last word of the title, and what was not
    ordered in the last `STALE_DAYS` days before the cutoff is out of stock.

    Parameters
    ----------
    titles : DataFrame
        ``product_id``, ``title``: str; any number of rows per product, the first counts.
    """
    ids = pd.Series(split.product_ids, dtype="str")
    first = titles.drop_duplicates("product_id").set_index("product_id")["title"]
    last_word = first.reindex(ids).str.upper().str.extract(r"([A-Z]{3,})[^A-Z]*$")[0]
    is_recent = split.train.time >= split.cutoff - STALE_DAYS * DAY
    in_stock = np.isin(np.arange(split.n_products), split.train.product[is_recent])
    return pd.DataFrame(
        {
            "product_id": ids,
            "item_group_id": ids.str.slice(0, 5),
            "title": first.reindex(ids).to_numpy(),
            "product_type": last_word.to_numpy(),
            "availability": np.where(in_stock, "in_stock", "out_of_stock"),
        }
    )


def all_guards(ours: Ours, baskets: Queries, customers: Queries) -> dict[str, dict[str, int]]:
    """Return every guard's count over every list that our engine shows in tasks A and B.

    Of A the distinct anchors are counted, of B the customers.
    """
    split, catalog = ours.split, ours.catalog
    types = None if catalog is None else ours.suppressed_types()
    anchors, people = np.unique(baskets.asked), np.unique(customers.asked)
    shown_a = long_lists(anchors, ours.complements(anchors), split)
    held_a = baskets_of(anchors, split)
    lists_b = ours.follow_up(people)
    shown_b, held_b = long_lists(people, lists_b, split), histories_of(people, split)
    needs_a = needs_b = None
    if catalog is not None and types is not None:
        needs_a = held_a.merge(catalog, on="product_id")[["key", "product_type"]]
        needs_a = needs_a[needs_a["product_type"].isin(types["product_type"])]
        needs_b = types.assign(key=split.customer_codes(types["customer_id"]))
    counts = {
        "A": count_violations(shown_a, held_a, catalog=catalog, one_per_need=needs_a),
        "B": count_violations(shown_b, held_b, catalog=catalog, one_per_need=needs_b),
    }
    if catalog is not None:
        counts["A"]["variants of the basket"] = count_variants(shown_a, held_a, catalog)
    who, what = np.repeat(people, K), lists_b.ravel()
    suppressed, _ = ours.check(who[what >= 0], what[what >= 0])
    counts["B"]["suppressed"] = int(suppressed.sum())
    return counts
