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
    CUSTOMER_FEATURES,
    EDGES,
    FEATURES,
    LOYALTY,
    PAIR_FEATURES,
    TARGET_FEATURES,
    Curves,
    Habits,
    Level,
    Logistic,
    added,
    chance_of,
    curve_odds,
    customer_features,
    earlier_habits,
    fit_curves,
    fit_logistic,
    log_days,
    pair_features,
    place_of,
    probability,
    target_features,
)
from personalize.repurchase.drift import level_now
from personalize.repurchase.features import GRID, features_of, fill_features
from personalize.repurchase.habits import fill_customers, fill_habits
from personalize.repurchase.probability import NOTHING_LEARNED, earlier_cutoffs
from personalize.times import DAY

Buys = list[tuple[int, int, float]]
"""Customer, target and day of one purchase each."""


def level_of(buys: Buys, n_targets: int = 1, types: list[int] | None = None) -> Level:
    """Return these purchases as a level of product types, or of groups of these types."""
    customer, target = (np.array([buy[i] for buy in buys], dtype=np.int64) for i in (0, 1))
    at = np.array([round(buy[2] * DAY) for buy in buys], dtype=np.int64)
    one, nothing = np.ones(len(buys), dtype=np.int64), np.zeros(len(buys), dtype=np.int64)
    return Level(
        Occasion.from_lines(customer, target, at, one, n_targets),
        Occasion.from_lines(customer, nothing, at, one, 1),
        None,
        None if types is None else np.array(types),
        max(types or [-1]) + 1,
    )


def fit(level: Level, as_of: float, **config: float) -> tuple[Logistic, dict[str, float]]:
    """Return the fitted weights of a level."""
    end, settings = round(as_of * DAY), EngineConfig.from_dict(config)
    return fit_logistic(level, earlier_habits(level, end, settings), end, settings)


# --- features ---


def test_features_of_a_customer() -> None:
    """Five orders, two of them recent; four products, one of them bought four times."""
    found = customer_features(5, 2, 80 * DAY, 100 * DAY, 4, 7, 1)
    log = math.log
    expected = (
        log(5),
        log(21),  # twenty days since any order
        log(3),
        log(4),
        log(7 / 4),
        log(1.05 / 5),  # one product of four came back
        log(5) * log(7 / 4),
    )
    assert found == pytest.approx(expected)
    assert len(found) == len(CUSTOMER_FEATURES)
    assert found[LOYALTY] == log(7 / 4)


def test_features_of_a_regular_purchase() -> None:
    """Bought on days 10, 40 and 70, six units, asked about on day 100; one unit is usual."""
    found = pair_features(3, 10 * DAY, 70 * DAY, 2, 6, 100 * DAY, 999.0, 1.0, 0.5, -2.0)
    log = math.log
    expected = (
        log(3),
        log(31),  # thirty days since
        0.0,  # the own mean gap is thirty days: just due; the typical one does not matter
        0.0,
        log(2),
        log(91),
        0.0,
        -2.0,
    )
    assert found == pytest.approx(expected)
    assert len(found) == len(PAIR_FEATURES)


def test_features_of_a_single_purchase() -> None:
    """Bought once: the thing's typical gap takes the place of the own one."""
    found = pair_features(1, 10 * DAY, 10 * DAY, 4, 4, 20 * DAY, 30.0, 4.0, 0.5, 0.0)
    overdue = math.log(11) - math.log(31)
    assert found[2:4] == pytest.approx((overdue, overdue**2))
    assert found[4] == 0
    assert found[6] == pytest.approx(overdue / 2)
    assert (found[0], found[1]) == (0, found[5])


@pytest.mark.parametrize(("last", "factor"), [(1, 1), (3, 3), (9, 4)])
def test_a_large_pack_lasts_longer(last: int, factor: float) -> None:
    """Bought once, three units where one is usual: due after three gaps, and after four at most."""
    found = pair_features(1, 0, 0, last, last, 20 * DAY, 30.0, 1.0, 0.0, 0.0)
    assert found[2] == pytest.approx(math.log(21) - math.log1p(30 * factor))


@pytest.mark.parametrize(("last", "factor"), [(1, 0.5), (3, 1.5)])
def test_a_customers_own_packs_count(last: int, factor: float) -> None:
    """Bought twice, two units on average: a last one of three lasts half as long again."""
    found = pair_features(2, 0, 30 * DAY, last, 4, 50 * DAY, 999.0, 9.0, 0.0, 0.0)
    assert found[2] == pytest.approx(math.log(21) - math.log1p(30 * factor))


@pytest.mark.parametrize("gap", [3650.0, 1e9, math.inf])
def test_typical_gaps_end_after_ten_years(gap: float) -> None:
    """What is never bought again counts as every ten years."""
    assert pair_features(1, 0, 0, 1, 1, 0, gap, 1.0, 0.0, 0.0)[2] == -math.log1p(3650)


def test_a_purchase_after_the_question_is_now() -> None:
    """An order dated ahead by a wrong clock is as good as now: no logarithm of the negative."""
    found = pair_features(1, 9 * DAY, 9 * DAY, 1, 1, 2 * DAY, 5.0, 1.0, 0.0, 0.0)
    assert (found[1], found[5]) == (0, 0)
    assert customer_features(1, 1, 9 * DAY, 2 * DAY, 1, 1, 0)[1] == 0


def test_habits_by_hand() -> None:
    """Products, purchases and products that came back, of each customer, before a moment."""
    # Customer 2 buys target 0 on days 1, 5 and 9, target 1 on day 5; customer 0 target 1 on day 2;
    # customer 1 nothing.
    buys: Buys = [(2, 0, 1), (2, 0, 5), (2, 0, 9), (2, 1, 5), (0, 1, 2)]
    level = level_of(buys, 2)
    whole = Habits.of(level.occasions, 3)
    assert [each.tolist() for each in whole] == [[1, 0, 2], [1, 0, 4], [0, 0, 1]]
    early = Habits.of(level.occasions, 3, 5 * DAY)
    assert [each.tolist() for each in early] == [[1, 0, 1], [1, 0, 1], [0, 0, 0]]
    # As of day 64, the recent orders are those from day 4 on.
    found = whole.features(level.orders, 64 * DAY)
    assert found[2] == pytest.approx(customer_features(3, 2, 9 * DAY, 64 * DAY, 2, 4, 1))
    assert found[0] == pytest.approx(customer_features(1, 0, 2 * DAY, 64 * DAY, 1, 1, 0))
    assert not found[1].any()
    before = early.features(level.orders, 64 * DAY, 5 * DAY)
    assert before[2] == pytest.approx(customer_features(1, 0, DAY, 64 * DAY, 1, 1, 0))


def test_odds_of_a_curve_by_hand() -> None:
    """Half buy again between days 30 and 32: certain odds before, none after."""
    again = np.zeros((1, len(EDGES) - 1), dtype=np.float32)
    again[0, 19:] = 0.5  # bin 19 is [30, 32)
    nothing = np.zeros(1, dtype=np.float32)
    curves = Curves(again, nothing, nothing.astype(np.int8), nothing, nothing, 0, 0)
    odds = curve_odds(curves, 30.0)
    assert odds.shape == (1, GRID + 1)
    days = np.expm1(np.arange(GRID + 1) * 0.1845)
    # From day 0 to 30 nobody has bought; from day 2 to 30 all have within the horizon: one half.
    np.testing.assert_allclose(odds[0, days < 1e-9], math.log(0.001 / 0.999))
    np.testing.assert_allclose(odds[0, (days > 2) & (days < 30)], 0, atol=1e-6)
    np.testing.assert_allclose(odds[0, days > 32], math.log(0.001 / 0.999))
    # In between, in proportion: 0.25 of all by day 31.
    (between,) = np.flatnonzero((days > 0.5) & (days < 1))
    share = 0.5 * days[between] / 2
    assert odds[0, between] == pytest.approx(math.log(share / (1 - share)), abs=1e-6)


@pytest.mark.parametrize(
    ("days", "step", "share"), [(0, 0, 0), (math.expm1(0.1845 * 3.25), 3, 0.25), (9999, 31, 1)]
)
def test_places_on_the_grid(days: float, step: int, share: float) -> None:
    """The grid is even in log(1 + days); beyond a year, its end."""
    found = place_of(log_days(0, round(days * DAY)))
    assert found == (step, pytest.approx(share, abs=1e-6))
    assert place_of(log_days(DAY, 0)) == (0, 0)


def test_features_of_the_thing() -> None:
    """Sales of the last 30 days, and of the last 14 against what is usual in so many days."""
    # 100 days; target 0 sold 10 times, once each on days 5, 15, .. 95; target 1 on day 95 only.
    buys: Buys = [(n, 0, 5 + 10 * n) for n in range(10)] + [(50, 1, 95), (60, 2, 0)]
    level = level_of(buys, 3)
    curves = fit_curves(level, 100 * DAY, EngineConfig())
    found = target_features(level, 100 * DAY, curves)
    assert found.shape == (4, len(TARGET_FEATURES))
    np.testing.assert_allclose(found[:, 0], curves.repeat_log_odds)
    # Target 0: usual 0.1 a day. Last 30 days: 3 sold (75, 85, 95); 14 days: 1 (95), 1.4 usual.
    np.testing.assert_allclose(found[0, 1:], [math.log(4), math.log(2 / 2.4)])
    # Target 1: usual 0.01 a day, one sold in either window. Target 2: none.
    np.testing.assert_allclose(found[1, 1:], [math.log(2), math.log(2 / 1.14)])
    # What stands for all sells like the mean of the three, and as usual.
    np.testing.assert_allclose(found[3, 1:], [(math.log(4) + math.log(2)) / 3, 0])


def test_a_type_stands_for_things_never_seen() -> None:
    """Such a thing sells like the mean of its type's; of an unknown type, like that of all."""
    buys: Buys = [(0, 0, 99), (1, 1, 0), (2, 2, 99), (3, 2, 98), (4, 2, 97)]
    level = level_of(buys, 4, [0, 0, 1, 2])  # target 3 and its type never sold
    curves = fit_curves(level, 100 * DAY, EngineConfig())
    found = target_features(level, 100 * DAY, curves)[:, 1]
    # Sold 1, 0 and 3 times: logs 2, 1 and 4, rows 0 to 2; types are rows 4 to 6, all is row 7.
    log = math.log
    expected = [log(2), 0, log(4), 0, log(2) / 2, log(4), 0, (log(2) + log(4)) / 3]
    np.testing.assert_allclose(found, expected)


def test_a_window_begins_with_its_first_moment() -> None:
    """A sale exactly 30 days ago is within the last 30 days."""
    level = level_of([(0, 0, 0), (1, 0, 70)])
    curves = fit_curves(level, 100 * DAY, EngineConfig())
    assert target_features(level, 100 * DAY, curves)[0, 1] == math.log(2)


def test_features_of_nothing() -> None:
    """Nothing sold at all: all that is left is what is usual."""
    level = level_of([])
    curves = fit_curves(level, 100 * DAY, EngineConfig())
    np.testing.assert_array_equal(target_features(level, 100 * DAY, curves)[:, 1:], 0)


def test_rows_of_features() -> None:
    """A row has the features of its customer, of the purchases and of the thing side by side."""
    level = level_of([(4, 0, 10), (4, 1, 40), (7, 1, 20), (7, 1, 50)], 2)
    as_of, owned = 100 * DAY, level.occasions.owned()
    curves = fit_curves(level, as_of, EngineConfig())
    targets = target_features(level, as_of, curves)
    customers = Habits.of(level.occasions, 8).features(level.orders, as_of)
    found = features_of(owned, customers, as_of, curves, targets, 30.0)
    assert found.shape == (3, len(FEATURES))
    gap, usual = float(curves.gaps(0.5)[0]), float(curves.usual_quantity[0])
    odds = curve_odds(curves, 30.0)

    def soon(target: int, last: int) -> float:
        step, share = place_of(log_days(last * DAY, as_of))
        low: float = odds[target, step]
        return low + share * (odds[target, step + 1] - low)

    first = pair_features(1, 10 * DAY, 10 * DAY, 1, 1, as_of, gap, usual, 0.0, soon(0, 10))
    last = pair_features(2, 20 * DAY, 50 * DAY, 1, 2, as_of, gap, usual, math.log(2), soon(1, 50))
    np.testing.assert_array_equal(found[0], [*customers[4], *first, *targets[0]])
    np.testing.assert_array_equal(found[2], [*customers[7], *last, *targets[1]])


# --- the chance ---


def test_the_chance_by_hand() -> None:
    """Weight 2 on the logarithm of three, on top of -1: 3 ** 2 / (3 ** 2 + e)."""
    values = (math.log(3), *[5.0] * 6)
    found = chance_of(added(-1.0, (2.0, *[0.0] * 6), values))
    assert found == pytest.approx(9 / (9 + math.e))


@pytest.mark.parametrize(("odds", "chance"), [(1e9, 1.0), (-1e9, 0.0), (0.0, 0.5)])
def test_the_chance_is_one(odds: float, chance: float) -> None:
    """However large the sum, the chance is between nothing and certain."""
    found = chance_of(odds)
    assert found == pytest.approx(chance)
    assert 0 <= found <= 1


def test_nothing_learned_is_not_a_number() -> None:
    """Without anything to learn from there is no chance to tell, from either form."""
    assert math.isnan(chance_of(added(math.nan, NOTHING_LEARNED.pair, (1.0,) * 8)))
    assert np.isnan(NOTHING_LEARNED.offsets(np.zeros((2, len(TARGET_FEATURES))))).all()


def test_offsets_by_hand() -> None:
    """A thing adds its features times their weights to the intercept."""
    nothing = (0.0,) * 8
    weights = Logistic(0.5, nothing, nothing, (1.0, 2.0, 4.0))
    targets = np.array([[1.0, 1.0, 1.0], [0.0, -1.0, 0.25]])
    assert weights.offsets(targets).tolist() == [7.5, -0.5]


def test_weights_and_back() -> None:
    """What is written into an artifact comes back."""
    row = np.arange(1.0 + len(FEATURES))
    weights = Logistic.from_array(row)
    np.testing.assert_array_equal(weights.array(), row)
    assert (weights.intercept, weights.customer[0]) == (0, 1)
    assert (weights.pair[0], weights.target[-1]) == (8, len(FEATURES))


# --- where the rate stands now ---


def now(levels: list[float], positive: list[float], days: list[float], today: float) -> float:
    """Return the level of the log odds now."""
    return level_now(np.array(levels), np.array(positive), np.array(days), today)


def test_one_window_is_all_there_is() -> None:
    """One window's level is the level now."""
    assert now([0.3], [10], [100], 200) == pytest.approx(0.3)


def test_a_level_that_stands_still_stays() -> None:
    """Equal levels go on, whatever their evidence."""
    assert now([0.3, 0.3, 0.3], [10, 1, 99], [300, 270, 240], 330) == pytest.approx(0.3)


def test_a_young_shop_goes_on_as_it_went() -> None:
    """A clear fall over the log of the days goes on: one unit per doubling, almost."""
    levels = [0.0, 1.0, 2.0, 3.0]
    found = now(levels, [1e6] * 4, [160, 80, 40, 20], 320)
    assert found == pytest.approx(-1, abs=0.1)


def test_an_old_shop_stays_near_its_newest_level() -> None:
    """After ten years four months say nothing of a trend: the newest counts, seasons fade."""
    found = now([0.0, 0.1, 0.2, 0.3], [1e6] * 4, [3590, 3560, 3530, 3500], 3650)
    assert 0 < found < 0.15


def test_what_is_hardly_seen_is_hardly_believed() -> None:
    """A newest window with one repurchase leaves the word to those with many."""
    sure = now([0.0, 1.0], [1e6, 1e6], [3590, 3560], 3650)
    unsure = now([0.0, 1.0], [1, 1e6], [3590, 3560], 3650)
    assert sure < 0.5 < unsure < 1.0


def test_level_by_hand() -> None:
    """Two windows, worked out: weights from a 2 x 2 system, summing to one."""
    # Days 50 and 100, now 200: logs -1.3863 and -0.6931 from now. Covariances with WANDERING 0.2
    # and MEMORY_DAYS 60: 1.9218 + 0.04 + 1/100; 0.9609 + 0.04 exp(-5/6); 0.4805 + 0.04 + 1/50.
    a, b, c = 1.9218 + 0.05, 0.9609 + 0.04 * 0.43460, 0.4805 + 0.06
    p, q = 0.04 * math.exp(-2.5), 0.04 * math.exp(-5 / 3)
    # Weights w, 1 - w that leave the least variance of w x + (1 - w) y - now.
    w = (c - b + p - q) / (a + c - 2 * b)
    assert now([1.0, 0.0], [100, 50], [50, 100], 200) == pytest.approx(w, abs=1e-3)


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
    assert {*learned.customer, *learned.pair, *learned.target} == {0.0}


def test_who_comes_monthly_is_told_from_who_never_does() -> None:
    """Half of the customers buy every 30 days, half bought once: the chance knows who is who."""
    buys: Buys = [(n, 0, n % 30 + 30 * times) for n in range(60) for times in range(10)]
    buys += [(100 + n, 0, n % 30) for n in range(60)]
    level, as_of = level_of(buys), 300
    learned, facts = fit(level, as_of)
    assert facts["rows"] == 5 * 120
    curves = fit_curves(level, as_of * DAY, EngineConfig())
    targets = target_features(level, as_of * DAY, curves)
    customers = Habits.of(level.occasions, 160).features(level.orders, as_of * DAY)
    owned = level.occasions.owned()
    x = features_of(owned, customers, as_of * DAY, curves, targets, 30.0)
    z = learned.intercept + x @ np.array([*learned.customer, *learned.pair, *learned.target])
    chance = 1 / (1 + np.exp(-z))
    assert chance[owned.n_orders == 10].min() > 0.9
    assert chance[owned.n_orders == 1].max() < 0.1
    # Over everybody, the mean chance is the share who do.
    assert np.mean(chance) == pytest.approx(0.5, abs=0.05)


def test_cutoffs_are_a_month_apart() -> None:
    """A horizon ago, and every 30 days before that."""
    config = EngineConfig(repurchase_horizon_days=20.0, n_repurchase_windows=3)
    assert earlier_cutoffs(100 * DAY, config) == [80 * DAY, 50 * DAY, 20 * DAY]


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
            st.integers(1, 50),  # units of the last
            st.integers(50, 900),  # units
            st.floats(0, 1e9),  # typical gap
            st.floats(0, 50),  # usual units
            st.floats(0, 3),  # loyalty
        ),
        min_size=1,
        max_size=20,
    ),
    as_of=st.integers(0, 1500 * DAY),
)
def test_compiled_features_are_the_plain_ones(
    rows: list[tuple[int, int, int, int, int, float, float, float]], as_of: int
) -> None:
    """The compiled loop gives what the interpreter gives, to the bit."""
    n, first, span, last, units, typical, usual, loyalty = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    odds, target = np.linspace(-3, 3, 2 * GRID + 2).reshape(2, GRID + 1), np.arange(len(n)) % 2
    fast, plain = (np.empty((len(rows), len(PAIR_FEATURES))) for _ in range(2))
    for fill, out in ((fill_features, fast), (fill_features.py, plain)):
        fill(out, n, first, first + span, last, units, as_of, typical, usual, loyalty, odds, target)
    np.testing.assert_array_equal(fast, plain)


@settings(deadline=None, max_examples=60)
@given(
    buys=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 99)), max_size=30),
    before=st.integers(0, 110),
)
def test_compiled_habits_are_the_plain_ones(buys: Buys, before: int) -> None:
    """The compiled loops give what the interpreter gives, to the bit."""
    level, end = level_of(buys, 3), before * DAY
    of, orders = level.occasions, level.orders
    fast, plain = (np.zeros((3, 4), dtype=np.int64) for _ in range(2))
    fill_habits(of.customer, of.target, of.at, end, *fast)
    fill_habits.py(of.customer, of.target, of.at, end, *plain)
    np.testing.assert_array_equal(fast, plain)
    one, other = (np.zeros((4, len(CUSTOMER_FEATURES))) for _ in range(2))
    for fill, out in ((fill_customers, one), (fill_customers.py, other)):
        fill(out, orders.customer, orders.at, end, end, end - 60 * DAY, *plain)
    np.testing.assert_array_equal(one, other)
