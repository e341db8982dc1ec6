"""How wanted each product is now, against its own past."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.config import EngineConfig
from personalize.demand import (
    FEW_LINES,
    FLOOR,
    FLOOR_ORDERS,
    N_PERIODS,
    PERIOD,
    PLAIN,
    SEASON_EXPONENT,
    Demand,
    Mix,
    Sales,
)
from personalize.times import DAY, MISSING

AS_OF = 100 * DAY


def fit(lines: list[tuple[int, float]], n_products: int = 3, **config: float) -> Demand:
    """Return the demand of lines given as (product, days before now)."""
    nums = np.array([num for num, _ in lines], dtype=np.int32)
    times = np.array([AS_OF - int(days * DAY) for _, days in lines], dtype=np.int64)
    settings = {"demand_window_days": 7.0, "demand_exponent": 1.0, **config}
    made = EngineConfig(**settings)  # type: ignore[arg-type]
    return Demand.of_sales(Sales.of_lines(nums, times, n_products, made, AS_OF), made, AS_OF)


OLD = 7 / (2 ** (1 / 3) - 1)
"""Days at which a sale counts one eighth where it counts half after 7."""


def test_the_factor_worked_by_hand() -> None:
    """Share of the fading sales now over the share of all sales, a tenth of a line of doubt."""
    # now: product 0 has 1/2 + 1/8, product 1 has 1/8; together 3/4. Ever: 2 of 3 and 1 of 3 lines.
    found = fit([(0, 7), (0, OLD), (1, OLD)])
    np.testing.assert_allclose(found.factors[0], [0.725 / 0.6, 0.225 / 0.35, 1.0], rtol=1e-6)
    np.testing.assert_allclose(
        found.popularity, [(5 / 8 + 1 / 15) / 0.85, (1 / 8 + 1 / 30) / 0.85, 0.0], rtol=1e-6
    )


def test_the_season_worked_by_hand() -> None:
    """Complements: the last 30 days at half-life, and the share of all sales to -specificity."""
    # Faded: product 0 has 1/2 + 1/4, product 1 has 1/4; ever 2 and 1 lines, product 2 none.
    found = fit([(0, 30), (0, 60), (1, 60)], specificity=0.5)
    turn = np.array([0.85 / (2 / 3 + 0.1), 0.35 / (1 / 3 + 0.1), 1.0])
    size = np.array([2.1, 1.1, 0.1]) / (1.5 + 0.1)
    np.testing.assert_allclose(found.season_factors, turn**SEASON_EXPONENT / size**0.5, rtol=1e-6)
    season = np.array([(3 / 4 + 1 / 15) / 1.1, (1 / 4 + 1 / 30) / 1.1, 0.0])
    np.testing.assert_allclose(found.season, season, rtol=1e-6)
    scores = found.of_complements(np.array([1, 0]), np.array([0.25, 0.5]), 90.0)
    floor = FLOOR * FLOOR_ORDERS / (FLOOR_ORDERS + 90.0)
    expected = (np.array([0.25, 0.5]) + floor * season[[1, 0]]) * found.season_factors[[1, 0]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_the_mix_worked_by_hand() -> None:
    """The exponent multiplies the configuration's; the most popular product pulls by the share."""
    lines = np.array([0, 0, 1]), AS_OF - np.array([7 * DAY, OLD * DAY, OLD * DAY], np.int64)
    config = EngineConfig(demand_window_days=7.0, demand_exponent=1.0)
    sales = Sales.of_lines(*lines, 3, config, AS_OF)
    plain = Demand.of_sales(sales, config, AS_OF)
    mixed = Demand.of_sales(sales, config, AS_OF, Mix(2.0, 0.5, 0.0))
    assert not plain.pull.any()
    np.testing.assert_allclose(mixed.factors, plain.factors[:1] ** 2, rtol=1e-6)
    np.testing.assert_allclose(mixed.popularity, plain.popularity)
    ratio = (1 / 8 + 1 / 30) / (5 / 8 + 1 / 15)
    np.testing.assert_allclose(mixed.pull, [0.5, 0.5 * ratio, 0.0], rtol=1e-6)
    scores = mixed.pulled(np.array([1, 2]), np.array([2.0, 3.0]), 3.0)
    assert scores.tolist() == pytest.approx([2.0 + 3.0 * 0.5 * ratio, 3.0])


def test_what_was_passed_over_worked_by_hand() -> None:
    """Who came when a product led the sales, and left it, is shown less of it."""
    # The moment is 16 days into a period: 20 days before it is in the period before.
    days = [1.0] * 3 + [5.0] * 6 + [20.0] * 8
    nums = [0] * 3 + [1] * 6 + [2] * 8
    lines = np.array(nums), AS_OF - np.array([int(each * DAY) for each in days])
    config = EngineConfig(passed_over=0.5)
    sales = Sales.of_lines(*lines, 3, config, AS_OF)
    assert sales.periods[:2].tolist() == [[3.0, 6.0, 0.0], [0.0, 0.0, 8.0]]
    assert not sales.periods[2:].any()
    found = Demand.of_sales(sales, config, AS_OF)
    rows = [found.came(AS_OF - int(each * DAY)) for each in (-90.0, 0.0, 15.9, 16.1, 43.9, 44.1)]
    assert rows == [1, 1, 1, 2, 2, 3]
    oldest = (AS_OF // PERIOD - N_PERIODS + 1) * PERIOD
    assert found.came(np.array([oldest, oldest - 1, MISSING])).tolist() == [N_PERIODS, 0, 0]
    left = found.factors / found.factors[0]
    np.testing.assert_allclose(
        left[1], [1 / (1 + 0.5 * 3 / (6 + FEW_LINES)), 1 / (1 + 0.5 * 6 / (6 + FEW_LINES)), 1.0],
        rtol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(left[2], [1.0, 1.0, 1 / (1 + 0.5 * 8 / (8 + FEW_LINES))], rtol=1e-6)
    assert (left[3:] == 1.0).all()
    twice = Demand.of_sales(sales, config, AS_OF, PLAIN._replace(passed_over=2.0))
    np.testing.assert_allclose(twice.factors[1, 1] / twice.factors[0, 1], 1 / (1 + 6 / 16), 1e-6)
    scores = found.of_next(np.array([2, 0]), np.array([1.0, 1.0]), 2)
    assert scores.tolist() == found.factors[2, [2, 0]].tolist()


@pytest.mark.parametrize("config", [{"passed_over": 0.0}, {}])
def test_nothing_is_passed_over_where_it_is_off(config: dict[str, float]) -> None:
    """By the configuration or by what was learned: one row of factors, for everybody."""
    mix = PLAIN if config else PLAIN._replace(passed_over=0.0)
    made = EngineConfig(**config)  # type: ignore[arg-type]
    sales = Sales.of_lines(np.array([0]), np.array([AS_OF - DAY]), 1, made, AS_OF)
    found = Demand.of_sales(sales, made, AS_OF, mix)
    assert found.factors.shape == (1, 1)
    assert found.came(np.array([AS_OF, AS_OF - DAY, MISSING])).tolist() == [0, 0, 0]


def test_what_comes_next_moves_with_demand() -> None:
    """A score of the history is multiplied with the product's factor."""
    found = fit([(0, 7), (0, OLD), (1, OLD)])
    scores = found.of_next(np.array([1]), np.array([2.0]))
    assert scores.tolist() == pytest.approx([2.0 * 0.225 / 0.35])


def test_exponent_zero_switches_it_off() -> None:
    """With exponent 0 every factor is 1."""
    assert fit([(0, 1), (1, 90)], demand_exponent=0.0).factors[0].tolist() == [1.0, 1.0, 1.0]


def test_exponent_is_a_power() -> None:
    """Exponent 2 squares the factors."""
    lines = [(0, 1.0), (0, 50.0), (1, 2.0), (2, 80.0)]
    np.testing.assert_allclose(
        fit(lines, demand_exponent=2.0).factors[0], fit(lines).factors[0] ** 2, rtol=1e-5
    )


def test_no_factor_is_nothing() -> None:
    """However strongly demand is followed, a product nobody wants any more keeps a score."""
    lines = [(0, 3000.0)] * 500 + [(1, 0.5)] * 500
    assert fit(lines, demand_exponent=4.0, demand_window_days=1.0).factors[:, 0].min() > 0.0
    nums, times = np.repeat([0, 1], 500), np.repeat([AS_OF - 3000 * DAY, AS_OF - DAY], 500)
    config = EngineConfig(demand_exponent=4.0)
    sales = Sales.of_lines(nums, times, 2, config, AS_OF)
    assert Demand.of_sales(sales, config, AS_OF, Mix(3.0, 0.0, 1.0)).factors.min() > 0.0


def test_a_rare_product_does_not_explode() -> None:
    """One sale today moves a product without a past, but never more than 11-fold."""
    common = [(0, 60.0)] * 100 + [(0, 1.0)] * 10 + [(1, 60.0)] * 1000
    found = fit([*common, (2, 0.5)])
    assert 1.0 < found.factors[0, 2] < 11.0


def test_no_sale_at_all_is_demand_as_ever() -> None:
    """Without a line every factor is 1 and nothing is popular."""
    found = fit([], n_products=2)
    assert (found.factors == 1.0).all()
    assert found.popularity.tolist() == [0.0, 0.0]


def test_arrays_come_back_the_same() -> None:
    """What `arrays` gives makes the same demand."""
    found = fit([(0, 1), (1, 9)])
    again = Demand.from_arrays(found.arrays())
    assert again.arrays().keys() == {
        "factors", "newest_period", "popularity", "pull", "season", "season_factors",
    }  # fmt: skip
    for name, array in found.arrays().items():
        assert again.arrays()[name].tobytes() == array.tobytes()
        assert array.dtype == (np.int64 if name == "newest_period" else np.float32)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0.001, 3000)), max_size=30),
    st.floats(1, 365),
    st.floats(0, 4),
)
def test_demand_is_finite_and_shares_sum_to_one(
    lines: list[tuple[int, float]], window: float, exponent: float
) -> None:
    """Every factor is above 0 and finite; the shares sum to 1; the order of lines is irrelevant."""
    found = fit(lines, 5, demand_window_days=window, demand_exponent=exponent)
    assert np.isfinite(found.factors).all()
    assert (found.factors > 0).all()
    assert (found.popularity >= 0).all()
    if lines:
        assert found.popularity.sum() == pytest.approx(1.0, abs=1e-5)
    backwards = fit(lines[::-1], 5, demand_window_days=window, demand_exponent=exponent)
    np.testing.assert_allclose(backwards.factors, found.factors, rtol=1e-5)
