"""Task S as a whole: what a suppression saves and loses, and what the ranking would do."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from small_log import CUTOFF, LOG, orders_of

import personalize as pz
from personalize.evaluation import Protocol
from personalize.evaluation.comparing import _loss_by_customer
from personalize.evaluation.decision import (
    Preview,
    RepurchaseTask,
    Trade,
    calibration,
    preview_rows,
    saved_and_lost,
    trade,
    with_threshold,
)
from personalize.evaluation.repurchase import boosted, taken_share
from personalize.evaluation.split import Split, split_at
from personalize.evaluation.subject import Subject
from personalize.times import DAY, to_micros


class TestTrades:
    def test_by_hand(self) -> None:
        """Three of four pairs suppressed; of the two bought again one."""
        again = np.array([True, False, True, False])
        found = trade(again, np.array([True, True, False, True]))
        assert (found.saved, found.lost) == (0.75, 0.5)

    def test_nothing_bought_again_is_nothing_lost(self) -> None:
        """Without repurchases none is lost."""
        assert trade(np.zeros(2, bool), np.ones(2, bool)).lost == 0.0

    def test_a_tie_is_taken_in_parts(self) -> None:
        """Half of four pairs: the lowest wholly, of the two that tie half each."""
        assert taken_share(np.array([0.2, 0.1, 0.2, 0.9]), 0.5).tolist() == [0.5, 1.0, 0.5, 0.0]

    def test_the_curve_runs_from_nothing_to_all(self) -> None:
        """Suppressing nothing loses nothing, suppressing all loses all; it never falls."""
        rng = np.random.default_rng(0)
        curve = saved_and_lost(rng.random(100) < 0.3, rng.random(100))
        assert (curve[0].saved, curve[0].lost) == (0.0, 0.0)
        assert (curve[-1].saved, curve[-1].lost) == (1.0, pytest.approx(1.0))
        lost = [point.lost for point in curve]
        assert lost == sorted(lost)

    def test_calibration_bins_by_hand(self) -> None:
        """Forty pairs in twenty bins of two; the last: (.39 + .40) / 2, one of two came."""
        probability = np.arange(1, 41) / 100
        bins = calibration(np.arange(40) == 39, probability)
        assert len(bins) == 20
        assert (bins[-1].predicted, bins[-1].seen, bins[-1].n_pairs) == (
            pytest.approx(0.395),
            0.5,
            2,
        )

    def test_fewer_pairs_than_bins(self) -> None:
        """Empty bins are left out."""
        assert len(calibration(np.array([True, False, True]), np.array([0.1, 0.2, 0.3]))) == 3

    def test_a_policy_with_another_threshold(self) -> None:
        """The shop's other decisions stay as they are."""
        shop = pz.Policy(rules={"returned": False}, thresholds={"min_cooldown_days": 3})
        found = with_threshold(shop, "due_quantile", 0.4)
        assert found.rules == {"returned": False}
        assert found.thresholds == {"min_cooldown_days": 3, "due_quantile": 0.4}
        assert with_threshold(None, "due_quantile", 0.4).thresholds == {"due_quantile": 0.4}


class TestTask:
    @pytest.fixture
    def subject(self, split: Split) -> Subject:
        """Return the default engine on the log, as of 1 March."""
        return Subject.fit(orders_of(LOG), split, pz.EngineConfig(repurchase_horizon_days=60))

    def test_what_was_just_bought(self, split: Split, subject: Subject) -> None:
        """Bob bought b and c seconds before the cutoff: two pairs, both suppressed."""
        task = RepurchaseTask(split, Protocol(), 60)
        found = task.result(subject)
        assert found.just_bought is not None
        assert (found.just_bought.days, found.just_bought.n_pairs) == (7, 2)
        assert found.just_bought.suppressed == 1.0
        assert (found.n_pairs, found.n_again) == (5, 1)

    def test_seven_days_are_not_just_bought(self) -> None:
        """Bought exactly seven days before the cutoff the cooldown is over; a second later not."""
        rows = [("o1", "ann", "a", "2020-02-23", 1), ("o2", "ann", "b", "2020-02-23T00:00:01", 1)]
        rows += [("o3", "ann", "a", "2020-03-20", 1)]
        split = split_at(orders_of(rows), CUTOFF, min_lines=0)
        subject = Subject.fit(orders_of(rows), split, pz.EngineConfig())
        found = RepurchaseTask(split, Protocol(), 10).result(subject)
        assert found.just_bought is not None
        assert found.just_bought.n_pairs == 1

    def test_a_suppression_that_ended_lost_nothing(self) -> None:
        """A fixed gap of 40 days: a came back after 20 days, b after 60; one of two was lost."""
        rows = [
            ("o1", "ann", "a", "2020-02-29", 1),
            ("o1", "ann", "b", "2020-02-29", 1),
            ("o2", "ann", "a", "2020-03-20", 1),
            ("o3", "ann", "b", "2020-04-29", 1),
            ("o4", "ann", "b", "2020-04-30", 1),
        ]
        split = split_at(orders_of(rows), CUTOFF, min_lines=0)
        policy = pz.Policy(thresholds={"default_cooldown_days": 40})
        subject = Subject.fit(orders_of(rows), split, pz.EngineConfig(), None, policy)
        found = RepurchaseTask(split, Protocol(), 60).result(subject)
        assert found.in_force is not None
        assert (found.in_force.saved, found.in_force.lost) == (1.0, 1.0)
        assert found.still_suppressed == 0.5

    def test_another_threshold_ends_a_suppression_elsewhere(self) -> None:
        """Gaps of 2 to 21 days, then one of 12: too early for a quantile of 0.9, not for 0.1."""
        rows = [
            (f"o{n}-{again}", f"c{n:02}", "a", str(day)[:10], 1)
            for n in range(1, 21)
            for again, day in enumerate(
                np.datetime64("2020-02-27") + np.cumsum([-n - 1, n + 1, 12])
            )
        ]
        split = split_at(orders_of(rows), CUTOFF, min_lines=0)
        subject = Subject.fit(orders_of(rows), split, pz.EngineConfig(curve_strength=1))
        found = RepurchaseTask(split, Protocol(), 20).result(subject)
        told = {
            each.value: (each.trade.lost, each.still_suppressed)
            for each in found.previews
            if each.threshold == "due_quantile"
        }
        assert told[0.1][1] == 0.0
        assert told[0.9] == (1.0, 1.0)

    def test_values_that_decide_the_same_are_one_row(self) -> None:
        """Neighbours printed alike are one row, which names the value in force."""
        same, other = Trade(0.9631, 0.5), Trade(0.9, 0.5)
        found = [
            Preview("due_quantile", 0.25, True, same, 0.2),
            Preview("repurchase_threshold", 0.0, False, other, 0.2),
            Preview("repurchase_threshold", 0.05, False, same, 0.2),
            Preview("repurchase_threshold", 0.1, True, Trade(0.9632, 0.5), 0.2),
            Preview("repurchase_threshold", 0.2, False, same, 0.2),
            Preview("repurchase_threshold", 0.6, False, same, None),
        ]
        assert list(preview_rows(found)) == [
            ("due_quantile", "0.25 (in force)", ("96.3%", "50.0%", "20.0%"), True),
            ("repurchase_threshold", "0", ("90.0%", "50.0%", "20.0%"), False),
            (
                "repurchase_threshold",
                "0.05 to 0.2 (0.1 in force)",
                ("96.3%", "50.0%", "20.0%"),
                True,
            ),
            ("repurchase_threshold", "0.6", ("96.3%", "50.0%", ""), False),
        ]

    def test_previews_and_the_one_in_force(self, split: Split, subject: Subject) -> None:
        """Every threshold is tried, the one in force is marked and not tried again."""
        found = RepurchaseTask(split, Protocol(), 60).result(subject)
        marked = [(each.threshold, each.value) for each in found.previews if each.is_in_force]
        assert marked == [("due_quantile", 0.25), ("repurchase_threshold", 0.1)]
        assert all(each.trade == found.in_force for each in found.previews if each.is_in_force)
        still = [each.still_suppressed for each in found.previews if each.is_in_force]
        assert still == [found.still_suppressed] * 2
        assert len(found.previews) == 10 + 7

    def test_peers_are_left_out_with_a_word(self, split: Split) -> None:
        """Four rules of thumb are scored; boosting has nothing to learn from, and says so."""
        task = RepurchaseTask(split, Protocol(), 60)
        assert [told.partition(" is ")[0] for told in task.add_peers()] == ["gradient boosting"]
        assert len(task.methods) == 4

    def test_without_probabilities_there_is_no_ranking(
        self, split: Split, subject: Subject
    ) -> None:
        """The decision is measured all the same; the curve and the bins are empty."""

        class Unsure:
            def __getattr__(self, name: str) -> object:
                return getattr(subject, name)

            def check(self, customer: np.ndarray, *_: object) -> tuple[np.ndarray, np.ndarray]:
                return np.ones(len(customer), bool), np.full(len(customer), np.nan)

        found = RepurchaseTask(split, Protocol(), 60).result(Unsure())  # type: ignore[arg-type]
        assert found.in_force is not None
        assert (found.methods, found.curve, found.calibration) == ({}, (), ())
        assert found.just_bought is not None
        assert found.just_bought.shown_by_ranking is None
        bench = SimpleNamespace(repurchase=RepurchaseTask(split, Protocol(), 60))
        assert _loss_by_customer(bench, Unsure()) is None  # type: ignore[arg-type]
        empty = SimpleNamespace(repurchase=RepurchaseTask(split, Protocol(), 0))
        assert _loss_by_customer(empty, Unsure()) is None  # type: ignore[arg-type]

    def test_no_horizon_no_task(self, split: Split, subject: Subject) -> None:
        """Where the test period is shorter than a day nothing is measured."""
        task = RepurchaseTask(split, Protocol(), 0)
        assert task.is_empty
        assert list(task.add_peers()) == []
        assert task.result(subject).in_force is None

    def test_customers_are_sampled(self) -> None:
        """With room for three pairs one of two customers is drawn, and only their lines stay."""
        split = split_at(orders_of(LOG), CUTOFF, min_lines=0)
        task = RepurchaseTask(split, Protocol(max_pairs=3), 60)
        assert task.customers_share == 0.5
        assert len(np.unique(task.pairs.customer)) == 1
        assert len(task.pairs) <= 3
        assert RepurchaseTask(split, Protocol(max_pairs=5), 60).customers_share == 1.0

    def test_nothing_to_learn_from(self, split: Split) -> None:
        """Boosting needs earlier pairs that were bought again and some that were not."""
        told = list(boosted(split, np.zeros((1, 14)), horizon_days=1))
        assert len(told) == 1
        assert str(told[0]).endswith("of 5 earlier pairs 0 were bought again")

    def test_lightgbm_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its row is left out with a word; scikit-learn's stays."""
        rows = [
            (f"o{day}-{n}", f"c{n}", "a" if n % 2 else "b", f"2020-01-{day:02}", 1)
            for n in range(20)
            for day in ((1, 20) if n % 3 else (1,))
        ]
        split = split_at(orders_of(rows), to_micros("2020-01-21"), min_lines=0)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        told = list(boosted(split, np.zeros((3, 14)), horizon_days=10))
        assert told[1] == "LightGBM is left out: it is not installed (pip install lightgbm)"
        assert told[0][0] == "gradient boosting"
        assert split.cutoff == 20 * DAY + to_micros("2020-01-01")
