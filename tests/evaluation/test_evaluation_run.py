"""Whole evaluations: of shops of any size, with and without catalogue, guests and history."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import small_shop

import personalize as pz
from personalize.evaluation import Evaluation, Protocol, evaluate
from personalize.evaluation.protocol import OURS, PLAIN
from personalize.evaluation.text import evaluation_lines

START = pd.Timestamp("2026-01-01", tz="UTC")


def shop(n_orders: int, *, guests: float = 0.3, days: int = 120, returns: float = 0.1) -> pz.Orders:
    """Return random orders of 25 products by 60 customers, some lines returned or given away."""
    rng = np.random.default_rng(n_orders)
    rows = []
    for order in range(n_orders):
        at = START + pd.Timedelta(days=int(rng.integers(days)), minutes=order)
        customer = None if rng.random() < guests else f"c{rng.integers(60)}"
        for product in rng.choice(25, size=int(rng.integers(1, 5)), replace=False).tolist():
            back, gift = int(rng.random() < returns), bool(rng.random() < 0.05)
            rows.append((f"o{order}", customer, f"p{product:02}", at, 1, back, gift))
    names = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    table = pd.DataFrame(rows, columns=[*names, "returned_quantity", "gift"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pz.PersonalizeWarning)
        return pz.Orders.from_frame(table)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    """Return what is found on a shop of 200 orders, beside all peers."""
    return evaluate(shop(200))


class TestSmallShops:
    def test_every_peer_answers(self, found: Evaluation) -> None:
        """Fifteen methods in A, sixteen in B, seven in S; the best peer is chosen afterwards."""
        assert [len(found.tasks[task].methods) for task in "AB"] == [15, 16]
        assert len(found.repurchase.methods) == 7
        for result in found.tasks.values():
            peers = {n: row["ndcg"] for n, row in result.methods.items() if n != OURS}
            assert result.best_peer == max(peers, key=lambda name: peers[name])
            ratio = result.ratios[OURS]
            assert ratio.low <= ratio.value <= ratio.high
            assert ratio == result.to_peers[result.best_peer or ""]

    def test_no_guard_is_broken(self, found: Evaluation) -> None:
        """Without a catalogue there are five guards, all of them at 0."""
        assert found.n_violations == 0
        assert [len(counts) for counts in found.guards["without a catalogue"].values()] == [2, 3]

    def test_what_was_just_bought_is_suppressed(self, found: Evaluation) -> None:
        """All of it, while the lowest probabilities would show some of it."""
        just_bought = found.repurchase.just_bought
        assert just_bought is not None
        assert just_bought.n_pairs > 0
        assert just_bought.suppressed == 1.0
        assert just_bought.shown_by_ranking is not None
        assert just_bought.shown_by_ranking > 0

    def test_the_horizon_fits_the_test_period(self, found: Evaluation) -> None:
        """24 of the 120 days are test, so S asks for 24 days, and says so."""
        assert found.repurchase.horizon_days == 24
        assert found.facts.config["repurchase_horizon_days"] == 24
        assert "S asks for 24 days, not 30: the test period is no longer than that" in found.notes

    def test_it_repeats(self, found: Evaluation) -> None:
        """The same orders give the same figures."""
        assert evaluate(shop(200)).to_dict() == found.to_dict()

    def test_only_guests(self) -> None:
        """Without customers there is A; B and S say why they are empty."""
        result = evaluate(shop(200, guests=1.0))
        assert result.tasks["A"].n_queries > 0
        assert not result.tasks["B"].methods
        assert result.repurchase.n_pairs == 0
        told = "\n".join(result.notes)
        assert "B is empty: no known customer bought something new" in told
        assert "S is empty: no known customer bought anything before the cutoff" in told
        assert "peers that learn from customers are left out" in told
        assert "no pairs" in "\n".join(evaluation_lines(result))

    def test_a_handful_of_orders(self) -> None:
        """Three orders hold no question; that is said, and nothing fails."""
        result = evaluate(shop(3, returns=0.0))
        assert [result.tasks[task].n_queries for task in "AB"] == [0, 0]
        assert "A is empty: no test order holds two products" in "\n".join(result.notes)

    def test_the_hand_written_shop(self) -> None:
        """With a catalogue: measured with it and without, scored by item group too."""
        setup = Protocol(min_lines=1)
        result = evaluate(
            small_shop.orders(), small_shop.catalog(), small_shop.day(45), protocol=setup
        )
        assert set(result.guards) == {"without a catalogue", "with the catalogue"}
        assert result.n_violations == 0
        assert {OURS, PLAIN} <= set(result.tasks["A"].methods)
        assert result.tasks["A"].by_group is not None
        assert {gap.name for gap in result.gaps} >= {small_shop.COATS, small_shop.COFFEE}
