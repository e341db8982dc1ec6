"""Whole evaluations: of shops of any size, with and without catalogue, guests and history."""

from __future__ import annotations

import pytest
import small_shop
from random_orders import shop

import personalize as pz
from personalize.evaluation import Evaluation, Protocol, evaluate, guards_of
from personalize.evaluation.protocol import OURS, PLAIN
from personalize.evaluation.text import evaluation_lines


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


class TestArguments:
    def test_peers_are_three_words(self) -> None:
        """Another word is refused with those there are."""
        with pytest.raises(pz.InvalidConfigError, match="'some' is none of all, best, none"):
            evaluate(shop(20), peers="some")

    def test_orders_are_orders(self) -> None:
        """A DataFrame is refused with how to make orders of it."""
        with pytest.raises(pz.InvalidOrdersError, match="DataFrame is no Orders; make one with"):
            evaluate(small_shop.frame())  # type: ignore[arg-type]

    def test_everything_sent_back(self) -> None:
        """Where every line before the cutoff was sent back there is nothing to learn from."""
        frame = small_shop.frame()
        frame["gift"] = frame["ordered_at"] < small_shop.day(40)
        with pytest.raises(pz.InvalidOrdersError, match="was sent back or given away"):
            evaluate(pz.Orders.from_frame(frame), cutoff=small_shop.day(40))

    @pytest.mark.parametrize(
        ("name", "value"), [("min_lines", 0), ("horizon_days", 0.5), ("seed", -1)]
    )
    def test_ranges(self, name: str, value: float) -> None:
        """What is out of range is refused by name."""
        with pytest.raises(pz.InvalidConfigError, match=f"{name}: {value}"):
            Protocol(**{name: value})  # type: ignore[arg-type]

    def test_a_given_horizon_stands(self) -> None:
        """Longer than the test period it is kept, with a warning word."""
        found = evaluate(shop(200), peers="none", protocol=Protocol(horizon_days=60))
        assert found.repurchase.horizon_days == 60
        assert "and the test period has" in " ".join(found.notes)

    def test_without_suppression(self) -> None:
        """Task S is left out when that is asked."""
        found = evaluate(shop(200), peers="none", protocol=Protocol(with_suppression=False))
        assert found.repurchase.in_force is None
        assert "S is left out, as asked" in found.notes

    def test_a_test_period_of_hours(self) -> None:
        """Less than a day of orders after the cutoff is too short for S."""
        found = evaluate(shop(200, days=3), cutoff="2026-01-03", peers="none")
        assert "S is left out: the test period is shorter than a day" in found.notes

    def test_customers_are_sampled(self) -> None:
        """With room for 50 pairs S says which share of the customers it looks at."""
        found = evaluate(shop(200), peers="none", protocol=Protocol(max_pairs=50))
        assert found.repurchase.n_pairs <= 50
        assert "of the customers, drawn at random" in " ".join(found.notes)

    def test_guards_under_a_catalogue(self) -> None:
        """They can be counted by themselves, with a catalogue and without."""
        orders, cutoff = small_shop.orders(), small_shop.day(45)
        setup = Protocol(min_lines=1)
        with_it = guards_of(orders, small_shop.catalog(), cutoff, protocol=setup)
        without = guards_of(orders, None, cutoff, protocol=setup)
        assert set(with_it["A"]) > set(without["A"]) == {"repeated", "held"}
