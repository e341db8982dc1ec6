"""What the engine learned: gaps and strong pairs, on the sample shop with its planted answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_shop

import personalize as pz
from personalize.evaluation.learned import Gap, StrongPair, learned_gaps, strong_pairs
from personalize.evaluation.split import cutoff_of, split_at
from personalize.evaluation.subject import Subject

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture(scope="module")
def subject() -> Subject:
    """Return the default engine on four fifths of the sample shop."""
    orders = pz.read_orders(SAMPLE / "orders.parquet")
    split = split_at(orders, cutoff_of(orders, None))
    catalog = pz.read_catalog(SAMPLE / "products.parquet")
    return Subject.fit(orders, split, pz.EngineConfig(), catalog)


class TestGaps:
    def test_planted_types(self, subject: Subject) -> None:
        """Coffee comes back within the month; of sport coats one is enough."""
        gaps = {gap.name: gap for gap in learned_gaps(subject)}
        coffee, coats = gaps["Food > Coffee > Coffee beans"], gaps["Apparel > Suits > Sport coats"]
        assert coffee.gap_days is not None
        assert 20 < coffee.gap_days <= coffee.typical_days < 40
        assert not coffee.is_one_per_need
        assert coats.is_one_per_need
        n_lines = [gap.n_lines for gap in learned_gaps(subject)]
        assert n_lines == sorted(n_lines, reverse=True)

    def test_the_shop_has_the_last_word(self, subject: Subject) -> None:
        """A fixed number of days for a type is the gap, and rests on the rule."""
        orders, split = subject.orders, subject.split
        kind = "Food > Coffee > Coffee beans"
        policy = pz.Policy(types={kind: pz.TypeRule(cooldown_days=11, one_per_need=True)})
        decided = Subject(subject.engine, orders, split, policy=policy)
        gaps = {gap.name: gap for gap in learned_gaps(decided)}
        assert (gaps[kind].gap_days, gaps[kind].basis) == (11, "rule")
        assert gaps[kind].is_one_per_need

    def test_products_where_there_are_no_types(self) -> None:
        """Without a catalogue the gaps are of products."""
        orders = small_shop.orders()
        split = split_at(orders, orders.newest + 1, min_lines=1)
        found = learned_gaps(Subject.fit(orders, split, pz.EngineConfig()))
        # Three lines of ann's, two of bob's and a guest's.
        assert found[0] == Gap(
            "coffee", 6, found[0].gap_days, found[0].typical_days, "default", False
        )


class TestPairs:
    def test_planted_complements(self, subject: Subject) -> None:
        """Dress trousers go with sport coats, more often than chance."""
        found = {(pair.name, pair.complement): pair for pair in strong_pairs(subject)}
        pair = found["Apparel > Suits > Sport coats", "Apparel > Suits > Dress trousers"]
        assert 0.3 < pair.confidence < 0.6
        assert pair.lift > 5
        assert pair.n_orders > 20
        assert 0 < pair.shown <= 1

    def test_of_two_directions_the_stronger(self, subject: Subject) -> None:
        """No pair is told twice."""
        pairs = [frozenset((pair.name, pair.complement)) for pair in strong_pairs(subject)]
        assert len(set(pairs)) == len(pairs)

    def test_confidence_and_lift_by_hand(self) -> None:
        """A and b share 6 of 8 orders with a, of 20 in all 6 hold b: 6/8, and 6/8 : 6/20."""
        rows = [(f"o{n}", f"c{n}", "a") for n in range(8)] + [
            (f"o{n}", f"c{n}", "b") for n in range(6)
        ]
        rows += [(f"o{n}", f"c{n}", "x") for n in range(8, 20)]
        orders = _orders(rows)
        split = split_at(orders, orders.newest + 1)
        subject = Subject.fit(orders, split, pz.EngineConfig(min_customers=1))
        assert strong_pairs(subject)[0] == StrongPair(
            "b", "a", pytest.approx(0.5), 6, 1.0, pytest.approx(20 / 8)
        )

    def test_nothing_together(self) -> None:
        """Orders of one product have no pairs."""
        orders = _orders([(f"o{n}", "c", "a") for n in range(3)])
        split = split_at(orders, orders.newest + 1)
        assert strong_pairs(Subject.fit(orders, split, pz.EngineConfig())) == ()


def _orders(rows: list[tuple[str, str, str]]) -> pz.Orders:
    import pandas as pd

    table = pd.DataFrame(rows, columns=["order_id", "customer_id", "product_id"])
    table["ordered_at"] = pd.Timestamp("2026-01-01", tz="UTC")
    table["quantity"] = 1
    return pz.Orders.from_frame(table, strict=True)
