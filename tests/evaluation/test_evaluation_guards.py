"""Guards, worked out again by joins."""

from __future__ import annotations

import numpy as np
import pandas as pd
from small_log import D

from personalize.evaluation import guards
from personalize.evaluation.split import Split


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

    def test_variants_of_what_is_held(self) -> None:
        """Product b is a variant of a; products without a group are nobody's variant."""
        shown = pd.DataFrame({"key": [1, 1, 2], "product_id": ["b", "c", "b"]})
        held = pd.DataFrame({"key": [1, 1], "product_id": ["a", "d"]})
        assert guards.count_variants(shown, held, self.CATALOG) == 1

    def test_lists_as_tables(self, split: Split) -> None:
        """A history names every product once; the basket of an anchor holds the anchor."""
        assert guards.histories_of(np.array([1]), split)["product_id"].tolist() == ["b", "c"]
        assert guards.baskets_of(np.array([D]), split).to_numpy().tolist() == [[D, "d"]]
