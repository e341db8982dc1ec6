"""An engine under the protocol: through its public calls only, on what lies before the cutoff."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from personalize.catalog import Catalog
from personalize.config import EngineConfig
from personalize.engine import Engine
from personalize.evaluation.guards import (
    baskets_of,
    count_variants,
    count_violations,
    histories_of,
)
from personalize.evaluation.metrics import K
from personalize.evaluation.queries import Queries
from personalize.evaluation.split import NOTHING, BoolArray, FloatArray, IdArray, IntArray, Split
from personalize.orders import Orders
from personalize.policy import Policy
from personalize.times import FOREVER, to_datetime

Guards = dict[str, dict[str, int]]
"""Task, then guard, then how often it was broken."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An engine with the orders it answers from.

    Parameters
    ----------
    engine : Engine
    orders : Orders
        Everything before the cutoff.
    split : Split
    catalog : Catalog or None
        What is laid over the engine's own catalogue when it is asked.
    policy : Policy or None
        In force.
    """

    engine: Engine
    orders: Orders
    split: Split
    catalog: Catalog | None = None
    policy: Policy | None = None

    @classmethod
    def fit(
        cls,
        orders: Orders,
        split: Split,
        config: EngineConfig,
        catalog: Catalog | None = None,
        policy: Policy | None = None,
    ) -> Self:
        """Return the engine fitted as of the cutoff, without today's stock.

        Which products were in stock at the cutoff is not known: today's availability would keep
        out of the lists what could be bought then. The guards are counted with it, see `stocked`.
        """
        past = orders.before(split.cutoff)
        known = None if catalog is None else without_stock(catalog)
        engine = Engine.fit(past, known, config, to_datetime(split.cutoff))
        return cls(engine, past, split, policy=policy)

    def stocked(self, catalog: Catalog) -> Subject:
        """Return the same engine, asked with a catalogue as it stands."""
        return replace(self, catalog=catalog)

    @property
    def as_of(self) -> dt.datetime:
        """The moment of every question: the cutoff."""
        return to_datetime(self.split.cutoff)

    def threshold(self, name: str) -> float:
        """Return a threshold as it is in force: the policy's, else the configuration's."""
        decided = {} if self.policy is None else self.policy.thresholds
        return float({**self.engine.config.to_dict(), **decided}[name])

    def complement_rows(self, anchors: IntArray, k: int = K) -> pd.DataFrame:
        """Return what completes a basket of each anchor alone: ``key``, ``product_id``, ``rank``.

        ``key`` is the code of the anchor. A product may be one that only a catalogue knows.
        """
        ids = self.split.product_ids[anchors]
        baskets = pd.DataFrame({"basket_id": ids, "product_id": ids}, dtype="str")
        found = self.engine.complements(baskets, k, catalog=self.catalog, policy=self.policy)
        return _rows(anchors, ids, found["basket_id"], found)

    def follow_up_rows(self, customers: IntArray, k: int = K) -> pd.DataFrame:
        """Return what each customer is shown: ``key`` (their code), ``product_id``, ``rank``."""
        ids = self.split.customer_ids[customers]
        found = self.engine.recommend(
            self.orders, list(ids), k, self.as_of, catalog=self.catalog, policy=self.policy
        )
        return _rows(customers, ids, found["customer_id"], found)

    def complements(self, anchors: IntArray, k: int = K) -> IntArray:
        """Return task A's list for each distinct, sorted anchor, as product codes."""
        return self._lists(anchors, self.complement_rows(anchors, k), k)

    def follow_up(self, customers: IntArray, k: int = K) -> IntArray:
        """Return task B's list for each distinct, sorted customer: nothing they ever bought."""
        return self._lists(customers, self.follow_up_rows(customers, k), k)

    def check(
        self, customers: IntArray, products: IntArray, policy: Policy | None = None
    ) -> tuple[BoolArray, FloatArray]:
        """Return whether each pair is suppressed at the cutoff, and its repurchase probability."""
        found = self.decisions(self._pairs(customers, products), policy)
        return (
            found["suppress"].to_numpy(np.bool_),
            found["repurchase_probability"].to_numpy(np.float64),
        )

    def until(
        self, customers: IntArray, products: IntArray, policy: Policy | None = None
    ) -> IntArray:
        """Return when the suppression of each pair ends, microseconds UTC; `FOREVER` for never."""
        found = self.decisions(self._pairs(customers, products), policy)["until"]
        micros = found.dt.as_unit("us").astype("int64").to_numpy()
        return np.where(found.isna(), np.int64(FOREVER), micros)

    def _pairs(self, customers: IntArray, products: IntArray) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "customer_id": self.split.customer_ids[customers],
                "product_id": self.split.product_ids[products],
            },
            dtype="str",
        )

    def decisions(self, pairs: pd.DataFrame, policy: Policy | None = None) -> pd.DataFrame:
        """Return the engine's decisions about ``customer_id`` and ``product_id``."""
        pairs = pairs[["customer_id", "product_id"]].astype("str")
        return self.engine.check(
            pairs, self.orders, self.as_of, policy=policy or self.policy, catalog=self.catalog
        )

    def suppressed_types(self, customers: IntArray) -> pd.DataFrame:
        """Return whom which one-per-need type is kept from: ``customer_id``, ``product_type``."""
        ids = list(self.split.customer_ids[customers])
        rows = self.engine.suppress(
            self.orders, ids, self.as_of, policy=self.policy, catalog=self.catalog
        )
        rows = rows[rows["scope"] == "product_type"]
        return rows[["customer_id", "target_id"]].rename(columns={"target_id": "product_type"})

    def _lists(self, keys: IntArray, rows: pd.DataFrame, k: int) -> IntArray:
        lists = np.full((len(keys), k), NOTHING, dtype=np.int64)
        at = np.searchsorted(keys, rows["key"].to_numpy())
        lists[at, rows["rank"].to_numpy() - 1] = self.split.product_codes(rows["product_id"])
        return lists


def _rows(keys: IntArray, ids: IdArray, asked: pd.Series, found: pd.DataFrame) -> pd.DataFrame:
    places = pd.Index(ids).get_indexer(pd.Index(asked))
    return pd.DataFrame(
        {
            "key": keys[places],
            "product_id": found["product_id"].to_numpy(),
            "rank": found["rank"].to_numpy(np.int64),
        }
    )


def without_stock(catalog: Catalog) -> Catalog:
    """Return the catalogue as if nobody had said what is in stock."""
    return Catalog.from_frame(catalog.frame.assign(availability=None))


def count_guards(subject: Subject, baskets: Queries, customers: Queries) -> Guards:
    """Return every guard's count over every list that the engine shows in tasks A and B.

    Of A the distinct anchors are counted, of B the customers. With a catalogue (of the question,
    else of the engine) its guards are counted too.
    """
    split = subject.split
    catalog = subject.engine.catalog if subject.catalog is None else subject.catalog
    table = catalog.frame if _says_something(catalog.frame) else None
    anchors, people = np.unique(baskets.asked), np.unique(customers.asked)
    shown_a, held_a = subject.complement_rows(anchors), baskets_of(anchors, split)
    shown_b, held_b = subject.follow_up_rows(people), histories_of(people, split)
    needs_a = needs_b = None
    if table is not None:
        types = subject.suppressed_types(people)
        needs_a = held_a.merge(table, on="product_id")[["key", "product_type"]]
        needs_a = needs_a[needs_a["product_type"].isin(types["product_type"])]
        needs_b = types.assign(key=split.customer_codes(types["customer_id"]))
    counts = {
        "A": count_violations(shown_a, held_a, catalog=table, one_per_need=needs_a),
        "B": count_violations(shown_b, held_b, catalog=table, one_per_need=needs_b),
    }
    if table is not None:
        counts["A"]["variants of the basket"] = count_variants(shown_a, held_a, table)
    pairs = shown_b.assign(customer_id=split.customer_ids[shown_b["key"].to_numpy()])
    counts["B"]["suppressed"] = int(subject.decisions(pairs)["suppress"].sum())
    return counts


def _says_something(frame: pd.DataFrame) -> bool:
    """Return whether a catalogue knows more than ids."""
    return bool(frame[["item_group_id", "product_type", "availability"]].notna().to_numpy().any())
