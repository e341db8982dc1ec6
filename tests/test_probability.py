"""The chance of buying again: features and weights by hand, compiled against plain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.config import EngineConfig
from personalize.purchases import Occasion
from personalize.repurchase import (
    FEATURES,
    PAIR_FEATURES,
    TARGET_FEATURES,
    Level,
    Logistic,
    fit_curves,
    fit_logistic,
    pair_features,
    probability,
    repurchase_probability,
    target_features,
)
from personalize.repurchase.probability import (
    NOTHING_LEARNED,
    features_of,
    fill_features,
)
from personalize.times import DAY

Buys = list[tuple[int, int, float]]
"""Customer, target and day of one purchase each."""


def level_of(buys: Buys, n_targets: int = 1) -> Level:
    """Return these purchases as a level of product types."""
    customer, target = (np.array([buy[i] for buy in buys], dtype=np.int64) for i in (0, 1))
    at = np.array([round(buy[2] * DAY) for buy in buys], dtype=np.int64)
    one, nothing = np.ones(len(buys), dtype=np.int64), np.zeros(len(buys), dtype=np.int64)
    return Level(
        Occasion.from_lines(customer, target, at, one, n_targets),
        Occasion.from_lines(customer, nothing, at, one, 1),
        None,
        None,
        0,
    )


def fit(level: Level, as_of: float, **config: float) -> tuple[Logistic, dict[str, float]]:
    """Return the fitted weights of a level."""
    return fit_logistic(level, round(as_of * DAY), EngineConfig.from_dict(config))


# --- features ---


def test_features_of_a_regular_customer() -> None:
    """Bought on days 10, 40 and 70, asked about on day 100, as one of five orders to day 80."""
    found = pair_features(3, 10 * DAY, 70 * DAY, 100 * DAY, 5, 0, 80 * DAY, 999.0)
    log = math.log
    expected = (
        log(3),
        log(31),  # thirty days since
        log(31) ** 2,
        log(5),
        log(21),  # twenty days since any order
        log(81),  # ordering for eighty days
        log(31),  # the own mean gap, thirty days; the typical one does not matter
        0.0,  # just due
        0.0,
        0.0,
    )
    assert found == pytest.approx(expected)
    assert len(found) == len(PAIR_FEATURES)


def test_features_of_a_single_purchase() -> None:
    """Bought once: the thing's typical gap takes the place of the own one."""
    found = pair_features(1, 10 * DAY, 10 * DAY, 20 * DAY, 1, 10 * DAY, 10 * DAY, 30.0)
    overdue = math.log(11) - math.log(31)
    assert found[6:] == pytest.approx((math.log(31), overdue, overdue**2, 1.0))
    assert (found[0], found[3], found[5]) == (0, 0, 0)


@pytest.mark.parametrize("gap", [3650.0, 1e9, math.inf])
def test_typical_gaps_end_after_ten_years(gap: float) -> None:
    """What is never bought again counts as every ten years."""
    assert pair_features(1, 0, 0, DAY, 1, 0, 0, gap)[6] == math.log1p(3650)


def test_a_purchase_after_the_question_is_now() -> None:
    """An order dated ahead by a wrong clock is as good as now: no logarithm of the negative."""
    found = pair_features(1, 9 * DAY, 9 * DAY, 2 * DAY, 1, 9 * DAY, 9 * DAY, 5.0)
    assert (found[1], found[4]) == (0, 0)


def test_features_of_the_thing() -> None:
    """Sales of the last 30 and 14 days stand against what is usual in so many days."""
    # 100 days; target 0 sold 10 times, once each on days 5, 15, .. 95; target 1 on day 95 only.
    buys: Buys = [(n, 0, 5 + 10 * n) for n in range(10)] + [(50, 1, 95), (60, 2, 0)]
    level = level_of(buys, 3)
    curves = fit_curves(level, 100 * DAY, EngineConfig())
    found = target_features(level.occasions, 100 * DAY, curves)
    assert found.shape == (4, len(TARGET_FEATURES))
    np.testing.assert_allclose(found[:, 0], curves.repeat_log_odds)
    # Target 0: usual 0.1 a day. Last 30 days: 3 sold (75, 85, 95), 3 usual; 14 days: 1 (95), 1.4.
    np.testing.assert_allclose(found[0, 1:], [0, math.log(2 / 2.4)])
    # Target 1: usual 0.01 a day, one sold in either window.
    np.testing.assert_allclose(found[1, 1:], [math.log(2 / 1.3), math.log(2 / 1.14)])
    # What stands for all is at its usual.
    np.testing.assert_array_equal(found[-1, 1:], [0, 0])


def test_a_window_begins_with_its_first_moment() -> None:
    """A sale exactly 30 days ago is within the last 30 days."""
    level = level_of([(0, 0, 0), (1, 0, 70)])
    curves = fit_curves(level, 100 * DAY, EngineConfig())
    assert target_features(level.occasions, 100 * DAY, curves)[0, 1] == math.log(2 / 1.6)


def test_features_of_nothing() -> None:
    """Nothing sold at all: all that is left is what is usual."""
    level = level_of([])
    curves = fit_curves(level, 100 * DAY, EngineConfig())
    np.testing.assert_array_equal(target_features(level.occasions, 100 * DAY, curves)[:, 1:], 0)


def test_rows_of_features() -> None:
    """The rows asked for have their customer's and their target's features side by side."""
    level = level_of([(4, 0, 10), (4, 1, 40), (7, 1, 20), (7, 1, 50)], 2)
    as_of, owned = 100 * DAY, level.occasions.owned()
    curves = fit_curves(level, as_of, EngineConfig())
    targets = target_features(level.occasions, as_of, curves)
    found = features_of(owned, np.array([0, 2]), level.orders.owned(), as_of, curves, targets)
    assert found.shape == (2, len(FEATURES))
    gap = float(curves.gaps(0.5)[0])
    first = pair_features(1, 10 * DAY, 10 * DAY, as_of, 2, 10 * DAY, 40 * DAY, gap)
    last = pair_features(2, 20 * DAY, 50 * DAY, as_of, 2, 20 * DAY, 50 * DAY, gap)
    np.testing.assert_array_equal(found[0], [*first, *targets[0]])
    np.testing.assert_array_equal(found[1], [*last, *targets[1]])


# --- the chance ---

ONLY_TIMES_BOUGHT = (2.0, *[0.0] * (len(PAIR_FEATURES) - 1))


def test_the_chance_by_hand() -> None:
    """Weight 2 on the logarithm of times bought, offset -1: 3 ** 2 / (3 ** 2 + e)."""
    found = repurchase_probability(ONLY_TIMES_BOUGHT, -1.0, 3, 0, 60, 90, 3, 0, 60, 30.0)
    assert found == pytest.approx(9 / (9 + math.e))


@pytest.mark.parametrize(("offset", "chance"), [(1e9, 1.0), (-1e9, 0.0), (0.0, 0.5)])
def test_the_chance_is_one(offset: float, chance: float) -> None:
    """However large the sum, the chance is between nothing and certain."""
    weights = (0.0,) * len(PAIR_FEATURES)
    found = repurchase_probability(weights, offset, 1, 0, 0, 1, 1, 0, 0, 30.0)
    assert found == pytest.approx(chance)
    assert 0 <= found <= 1


def test_nothing_learned_is_not_a_number() -> None:
    """Without anything to learn from there is no chance to tell, from either form."""
    found = repurchase_probability(NOTHING_LEARNED.pair, math.nan, 1, 0, 0, 1, 1, 0, 0, 30.0)
    assert math.isnan(found)
    assert np.isnan(NOTHING_LEARNED.offsets(np.zeros((2, len(TARGET_FEATURES))))).all()


def test_offsets_by_hand() -> None:
    """A thing adds its features times their weights to the intercept."""
    weights = Logistic(0.5, (0.0,) * len(PAIR_FEATURES), (1.0, 2.0, 4.0))
    targets = np.array([[1.0, 1.0, 1.0], [0.0, -1.0, 0.25]])
    assert weights.offsets(targets).tolist() == [7.5, -0.5]


def test_weights_and_back() -> None:
    """What is written into an artifact comes back."""
    row = np.arange(1.0 + len(FEATURES))
    weights = Logistic.from_array(row)
    np.testing.assert_array_equal(weights.array(), row)
    assert (weights.intercept, weights.pair[0], weights.target[-1]) == (0, 1, len(FEATURES))


# --- fitting ---


def test_without_earlier_windows_nothing_is_learned() -> None:
    """The first purchase is younger than the horizon: there is no window to learn from."""
    for buys in ([], [(0, 0, 80)]):
        assert fit(level_of(buys), 100)[1] == {"rows": 0.0, "bought_again": 0.0}
        assert math.isnan(fit(level_of(buys), 100)[0].intercept)


def test_windows_by_hand() -> None:
    """Cutoffs lie a horizon before the end and every 30 days before that."""
    # As of day 100, horizon 20: cutoffs on days 80, 50, 20 and -10; of the last nothing is known.
    # Day 80: pairs (0, 0), (1, 0) and (1, 1); in [80, 100) customer 0 buys again.
    # Day 50: (0, 0), (1, 0); in [50, 70) customer 1 buys target 1, which he did not have: none.
    # Day 20: (0, 0) and (1, 0); in [20, 40) customer 0 buys again.
    buys: Buys = [(0, 0, 10), (1, 0, 15), (0, 0, 20), (1, 1, 60), (0, 0, 99)]
    _, facts = fit(level_of(buys, 2), 100, repurchase_horizon_days=20)
    assert facts == {"rows": 7.0, "bought_again": pytest.approx(2 / 7)}
    # With one window only the newest counts.
    _, facts = fit(level_of(buys, 2), 100, repurchase_horizon_days=20, n_repurchase_windows=1)
    assert facts == {"rows": 3.0, "bought_again": pytest.approx(1 / 3)}


def test_a_purchase_on_the_last_moment_of_a_window_is_outside() -> None:
    """A window ends just before its end; what is bought on its first moment is within it."""
    for day, share in ((80, 1.0), (99.9, 1.0), (79.9, 0.0)):
        buys: Buys = [(0, 0, 10), (0, 0, day)]
        _, facts = fit(level_of(buys), 100, repurchase_horizon_days=20, n_repurchase_windows=1)
        assert facts["bought_again"] == share
    _, facts = fit(
        level_of([(0, 0, 10), (0, 0, 70)]), 100, repurchase_horizon_days=20, n_repurchase_windows=2
    )
    assert facts["bought_again"] == 0.0  # day 70 ends the window that begins on day 50


@pytest.mark.parametrize(("again", "rate"), [(False, 0.5 / 41), (True, 40.5 / 41)])
def test_one_class_alone_gives_its_rate(again: bool, rate: float) -> None:
    """If nobody, or everybody, bought again, the smoothed share is the chance of all."""
    buys: Buys = [(n, 0, 10 + n / 10) for n in range(40)]
    if again:
        buys += [(n, 0, 90) for n in range(40)]
    learned, facts = fit(level_of(buys), 100, repurchase_horizon_days=20, n_repurchase_windows=1)
    assert facts["rows"] == 40
    assert 1 / (1 + math.exp(-learned.intercept)) == pytest.approx(rate)
    assert set(learned.pair) | set(learned.target) == {0.0}


def test_who_comes_monthly_is_told_from_who_never_does() -> None:
    """Half of the customers buy every 30 days, half bought once: the chance knows who is who."""
    buys: Buys = [(n, 0, n % 30 + 30 * times) for n in range(60) for times in range(10)]
    buys += [(100 + n, 0, n % 30) for n in range(60)]
    level, as_of = level_of(buys), 300
    learned, facts = fit(level, as_of)
    assert facts["rows"] == 5 * 120
    curves = fit_curves(level, as_of * DAY, EngineConfig())
    targets = target_features(level.occasions, as_of * DAY, curves)
    (offset,) = learned.offsets(targets)[:1]
    typical = float(curves.gaps(0.5)[0])

    def chance(n_orders: int, first: float, last: float) -> float:
        facts = (n_orders, round(first * DAY), round(last * DAY))
        return repurchase_probability(learned.pair, offset, *facts, as_of * DAY, *facts, typical)

    assert chance(10, 5, 275) > 0.9
    assert chance(1, 5, 5) < 0.1
    # Over everybody, the mean chance is the share who do.
    x = features_of(
        level.occasions.owned(), np.arange(120), level.orders.owned(), as_of * DAY, curves, targets
    )
    z = learned.intercept + x @ np.array([*learned.pair, *learned.target])
    assert np.mean(1 / (1 + np.exp(-z))) == pytest.approx(0.5, abs=0.05)


def test_a_large_shop_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many pairs a sample is learned from, the same for the same seed."""
    buys: Buys = [(n, 0, n % 30 + 30 * times) for n in range(60) for times in range(1 + n % 9)]
    level = level_of(buys)
    monkeypatch.setattr(probability, "_MAX_ROWS", 20)
    one, facts = fit(level, 300, seed=1)
    assert facts["rows"] == 5 * 20
    np.testing.assert_array_equal(one.array(), fit(level, 300, seed=1)[0].array())
    assert (one.array() != fit(level, 300, seed=2)[0].array()).any()


# --- compiled against plain ---


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 50),  # orders
            st.integers(0, 700 * DAY),  # first
            st.integers(0, 700 * DAY),  # from first to last
            st.sampled_from([0, 1, 2]),  # customer
            st.floats(0, 1e9),  # typical gap
        ),
        min_size=1,
        max_size=20,
    ),
    as_of=st.integers(0, 1500 * DAY),
)
def test_compiled_features_are_the_plain_ones(
    rows: list[tuple[int, int, int, int, float]], as_of: int
) -> None:
    """The compiled loop gives what the interpreter gives, to the bit."""
    n, first, span, customer = (np.array(column) for column in list(zip(*rows, strict=True))[:4])
    typical = np.array([row[4] for row in rows])
    arguments = (
        n, first, first + span, as_of, customer, np.array([1, 7, 90]),
        np.array([0, DAY, 5]), np.array([9 * DAY, DAY, 800 * DAY]), typical,
    )  # fmt: skip
    fast, plain = (np.empty((len(rows), len(PAIR_FEATURES))) for _ in range(2))
    fill_features(fast, *arguments)
    fill_features.py(plain, *arguments)
    np.testing.assert_array_equal(fast, plain)
