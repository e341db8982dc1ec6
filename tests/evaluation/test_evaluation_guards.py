"""Guards, worked out again by joins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from small_log import LOG, A, D, orders_of

import personalize as pz
from personalize.evaluation import guards
from personalize.evaluation.queries import basket_queries, follow_up_queries
from personalize.evaluation.split import Split
from personalize.evaluation.subject import Subject, count_guards, without_stock


class TestGuards:
    CATALOG = pd.DataFrame(
        {
            "product_id": ["a", "b", "c", "d"],
            "item_group_id": ["g", "g", None, None],
            "product_type": ["Coats", "Coats", "Coats", "Ties"],
            "availability": ["in_stock", "in_stock", "out_of_stock", "in_stock"],
        }
    )

    def test_every_violation_is_counted(self) -> None:
        """One of each: c twice and unavailable, d held, a beside its variant b, coats enough."""
        shown = pd.DataFrame({"key": [1, 1, 1, 1, 1], "product_id": list("abccd")})
        held = pd.DataFrame({"key": [1, 2], "product_id": ["d", "a"]})
        enough = pd.DataFrame({"key": [1], "product_type": ["Coats"]})
        counts = guards.count_violations(shown, held, catalog=self.CATALOG, one_per_need=enough)
        assert counts == {
            "repeated": 1,
            "held": 1,
            "out of stock": 2,
            "two of a group": 1,
            "one-per-need type": 4,
        }

    def test_without_a_catalogue_two_remain(self) -> None:
        """What needs no catalogue is counted all the same."""
        shown = pd.DataFrame({"key": [1], "product_id": ["a"]})
        held = pd.DataFrame({"key": [2], "product_id": ["a"]})
        assert guards.count_violations(shown, held) == {"repeated": 0, "held": 0}

    def test_types_count_only_where_they_are_named(self) -> None:
        """Without one-per-need types the other guards of a catalogue remain."""
        shown = pd.DataFrame({"key": [1], "product_id": ["c"]})
        counts = guards.count_violations(shown, shown.iloc[:0], catalog=self.CATALOG)
        assert counts == {"repeated": 0, "held": 0, "out of stock": 1, "two of a group": 0}

    def test_variants_of_what_is_held(self) -> None:
        """Product b is a variant of a; products without a group are nobody's variant."""
        shown = pd.DataFrame({"key": [1, 1, 2], "product_id": ["b", "c", "b"]})
        held = pd.DataFrame({"key": [1, 1], "product_id": ["a", "d"]})
        assert guards.count_variants(shown, held, self.CATALOG) == 1

    def test_lists_as_tables(self, split: Split) -> None:
        """A history names every product once; the basket of an anchor holds the anchor."""
        assert guards.histories_of(np.array([1]), split)["product_id"].tolist() == ["b", "c"]
        assert guards.baskets_of(np.array([D]), split).to_numpy().tolist() == [[D, "d"]]


class TestCounting:
    def test_a_broken_engine_is_caught(self, split: Split) -> None:
        """An engine that shows what is out of stock, owned or suppressed is counted, list by list.

        Product new is only in the catalogue, and out of stock: every list shows it, and a.
        """
        catalog = pz.Catalog.from_frame(
            pd.DataFrame({"product_id": ["new"], "availability": ["out_of_stock"]})
        )

        class Broken:
            def __init__(self, engine: pz.Engine) -> None:
                self.engine = engine
                self.catalog = catalog

            def complements(self, baskets: pd.DataFrame, k: int, **_: object) -> pd.DataFrame:
                return self._shown(baskets["basket_id"], "basket_id")

            def recommend(self, orders: object, ids: list[str], *_: object, **__: object) -> object:
                return self._shown(ids, "customer_id")

            def _shown(self, keys: object, name: str) -> pd.DataFrame:
                rows = [(key, each, at + 1) for key in keys for at, each in enumerate(["new", "a"])]
                return pd.DataFrame(rows, columns=[name, "product_id", "rank"])

            def __getattr__(self, name: str) -> object:
                return getattr(self.engine, name)

        orders = orders_of(LOG)
        subject = Subject.fit(orders, split, pz.EngineConfig())
        broken = replace(subject, engine=Broken(subject.engine))  # type: ignore[arg-type]
        counts = count_guards(broken, basket_queries(split), follow_up_queries(split))
        n_anchors = len(np.unique(basket_queries(split).asked))
        assert counts["A"]["out of stock"] == n_anchors
        assert counts["B"]["out of stock"] == 2
        assert counts["A"]["held"] == int(A in basket_queries(split).asked)
        assert counts["B"]["held"] == 1  # Ann owns a; Bob buys it later
        assert counts["B"]["suppressed"] == 1

    def test_stock_is_left_out_of_the_fit(self) -> None:
        """The catalogue is as it was, only nobody says what is in stock."""
        catalog = pz.Catalog.from_frame(TestGuards.CATALOG)
        found = without_stock(catalog).frame
        assert found["availability"].isna().all()
        assert found["item_group_id"].tolist() == catalog.frame["item_group_id"].tolist()
