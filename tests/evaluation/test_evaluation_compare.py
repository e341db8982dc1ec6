"""Two configurations, or two trained engines, on the same questions."""

from __future__ import annotations

import pytest
from random_orders import shop

import personalize as pz
from personalize.evaluation import Comparison, Protocol, compare
from personalize.evaluation.comparing import _loss_ratio
from personalize.evaluation.text import comparison_lines

ORDERS = shop(300, guests=0.1, days=240)
QUICK = Protocol(n_resamples=100)
CUTOFF = pz.to_datetime(pz.to_micros("2026-07-01"))


@pytest.fixture(scope="module")
def engine() -> pz.Engine:
    """Return an engine that learned up to July."""
    return pz.Engine.fit(ORDERS, as_of=CUTOFF)


@pytest.fixture(scope="module")
def found(engine: pz.Engine, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Return a saved engine beside another configuration."""
    path = tmp_path_factory.mktemp("models") / "july"
    engine.save(path)
    quick = pz.EngineConfig(half_life_days=5, ridge_share=1.0)
    return compare(ORDERS, path, quick, names=("july", "quick"), protocol=QUICK)


class TestCompare:
    def test_the_cutoff_is_what_the_engine_learned_up_to(self, found: Comparison) -> None:
        """Without a cutoff the test period begins where the artifact ends."""
        assert found.facts.cutoff == "2026-07-01T00:00:00Z"

    def test_both_are_asked_the_same(self, found: Comparison) -> None:
        """Lists, decisions and guards of both, and the second's ratio to the first."""
        for task in ("A", "B"):
            assert list(found.tasks[task].methods) == ["july", "quick"]
            assert found.tasks[task].best_peer == "july"
            assert list(found.tasks[task].ratios) == ["quick"]
        assert list(found.repurchase) == ["july", "quick"]
        assert all(list(found.repurchase[name].methods) == [name] for name in found.repurchase)
        assert not any(
            count for guards in found.guards.values() for each in guards.values()
            for count in each.values()
        )  # fmt: skip
        assert found.log_loss_ratio is not None
        assert found.log_loss_ratio.low <= found.log_loss_ratio.value
        text = "\n".join(comparison_lines(found))
        assert "quick is compared with july, on the same questions: a ratio of" in text
        assert "NDCG@10 of quick to july: " in text
        assert "best peer" not in text
        assert "log loss of quick to july" in text
        assert found.to_dict()["first"] == "july"

    def test_the_same_twice_is_level(self, engine: pz.Engine) -> None:
        """An engine beside the configuration that made it: 1, with no doubt."""
        found = compare(ORDERS, engine, pz.EngineConfig(), protocol=QUICK)
        for result in found.tasks.values():
            ratio = result.ratios["second"]
            assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)
        assert found.log_loss_ratio is not None
        assert found.log_loss_ratio.value == pytest.approx(1.0)

    def test_configurations_have_the_default_cutoff(self) -> None:
        """Two configurations are split as in an evaluation; a short horizon is for both."""
        told: list[str] = []
        found = compare(
            shop(60), pz.EngineConfig(), pz.EngineConfig(seed=1), protocol=QUICK, tell=told.append
        )
        assert told == ["first", "second"]
        assert found.facts.config["repurchase_horizon_days"] < 30


class TestRefusals:
    def test_an_engine_that_has_seen_the_test(self, engine: pz.Engine) -> None:
        """It learned from orders after the cutoff."""
        with pytest.raises(
            pz.InvalidConfigError,
            match=r"cutoff: first \(unsaved-\w+\) learned from orders up to 2026-07-01T00:00:00Z, "
            r"which is after the cutoff \(2026-05-01T00:00:00Z\): it has seen what it would be",
        ):
            compare(ORDERS, engine, pz.EngineConfig(), cutoff="2026-05-01")

    def test_an_engine_that_learned_from_all_there_is(self) -> None:
        """Nothing is left to ask about: it says so, not that a cutoff was given."""
        engine = pz.Engine.fit(ORDERS)
        with pytest.raises(
            pz.InvalidConfigError,
            match=r"cutoff: no order lies after .*, up to which first learned; bring newer orders, "
            r"or train with as_of at an earlier moment and give that as the cutoff",
        ):
            compare(ORDERS, engine, pz.EngineConfig())

    def test_two_horizons(self) -> None:
        """Probabilities of different horizons are no match."""
        with pytest.raises(
            pz.InvalidConfigError,
            match=r"repurchase_horizon_days: first speaks of 30 days and second of 60",
        ):
            compare(ORDERS, pz.EngineConfig(), pz.EngineConfig(repurchase_horizon_days=60))

    def test_a_test_period_shorter_than_the_engine_speaks_of(self, engine: pz.Engine) -> None:
        """An engine's horizon cannot be shortened."""
        with pytest.raises(pz.InvalidConfigError, match=r"speaks of 30 days, and S would ask for"):
            compare(ORDERS, engine, pz.EngineConfig(), cutoff="2026-08-20")

    def test_what_is_no_candidate(self) -> None:
        """Only configurations, engines and folders."""
        with pytest.raises(pz.InvalidConfigError, match="int is nothing to compare; give an"):
            compare(ORDERS, 3, pz.EngineConfig())  # type: ignore[arg-type]

    @pytest.mark.parametrize("names", ["ab", ("a",), ("a", "a")])
    def test_names_are_two(self, names: object) -> None:
        """Two different names, or it is said."""
        with pytest.raises(pz.InvalidConfigError, match="are not two different names"):
            compare(ORDERS, pz.EngineConfig(), pz.EngineConfig(), names=names)  # type: ignore[arg-type]

    def test_no_ratio_without_probabilities(self) -> None:
        """Where one has no probabilities there is no ratio of log losses."""
        assert _loss_ratio([None, None], QUICK) is None
