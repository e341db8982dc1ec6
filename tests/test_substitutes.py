"""Which types are one-per-need: returns to the type against chance, by hand and by a naive loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from personalize.config import EngineConfig
from personalize.purchases import Occasion
from personalize.substitutes import Substitutes, fill_between, fit_substitutes
from personalize.times import DAY

Buys = list[tuple[int, int, float]]
"""Customer, type (-1 for none) and day of one purchase each."""
NO_BASKETS = (np.array([], dtype=np.int64), np.array([], dtype=np.int64))


def fit(
    buys: Buys,
    n_types: int,
    as_of: float,
    baskets: tuple[NDArray[np.int64], NDArray[np.int64]] = NO_BASKETS,
    *,
    origin: int = 0,
    **config: float,
) -> Substitutes:
    """Return what these purchases teach about types; days count from `origin` microseconds."""
    customer, kind = (np.array([buy[i] for buy in buys], dtype=np.int64) for i in (0, 1))
    at = np.array([origin + round(buy[2] * DAY) for buy in buys], dtype=np.int64)
    one = np.ones(len(buys), dtype=np.int64)
    types = Occasion.from_lines(customer, kind, at, one, n_types)
    orders = Occasion.from_lines(customer, np.zeros_like(customer), at, one, 1)
    settings = EngineConfig.from_dict({"one_per_need_window_days": 100.0, **config})
    return fit_substitutes(types, orders, baskets, origin + round(as_of * DAY), settings)


def naive(buys: Buys, n_types: int, as_of: float, window: float) -> list[tuple[int, float]]:
    """Return what was seen and what was to expect, by plain loops over each type and customer."""
    orders = {(customer, day) for customer, _, day in buys}
    found = []
    for kind in range(n_types):
        occasions = {(customer, day) for customer, of, day in buys if of == kind}
        seen = later = 0
        for customer in {each for each, _ in occasions}:
            first = min(day for each, day in occasions if each == customer)
            end = min(first + window, as_of)
            seen += sum(1 for c, day in occasions if c == customer and first < day < end)
            later += sum(1 for c, day in orders if c == customer and first < day < end)
        found.append((seen, later * len(occasions) / max(len(orders), 1)))
    return found


def test_returns_and_chance_by_hand() -> None:
    """Seen and expected returns are those worked out by hand."""
    buys: Buys = [
        (0, 0, 0),  # first of type 0: followed to day 100
        (0, 0, 50),  # one return to it
        (0, 1, 60),  # an order without it
        (0, 0, 100),  # at the end of the window: outside
        (1, 1, 10),  # first of type 1: followed to day 105, the end of what is known
        (1, -1, 20),  # an order without type
        (1, 1, 104),  # a return
        (2, 0, 0),  # never comes back
    ]
    found = fit(buys, 3, 105)
    # type 0: customer 0 has two later orders within the window (days 50, 60), customer 2 none;
    # 4 of the 8 orders hold it: 2 * 4 / 8 = 1 to expect. type 1: customer 0 from day 60 has one
    # later order (day 100), customer 1 from day 10 has two (20, 104); 3 of 8: 3 * 3 / 8.
    assert found.come_back.tolist() == [1, 1, 0]
    assert found.expected.tolist() == [1.0, 1.125, 0.0]
    # type 2 was never bought: nothing to expect, nothing known.
    assert math.isnan(found.upper[2])
    assert found.is_one_per_need.tolist() == [False] * 3


def one_per_need(n_buyers: int, n_back: int, others: int = 9) -> Buys:
    """Return buyers of type 0 who each order `others` times more, and some who return to it."""
    buys: Buys = []
    for customer in range(n_buyers):
        buys.append((customer, 0, 0))
        buys += [(customer, 1, 10 + n) for n in range(others)]
        if customer < n_back:
            buys.append((customer, 0, 50))
    return buys


def test_nobody_comes_back_to_one_per_need() -> None:
    """Of forty buyers with 9 later orders each, chance would bring 36 back: none came."""
    found = fit(one_per_need(40, 0), 2, 200)
    # 40 of 400 orders hold the type; 360 later orders: 36 to expect. The upper bound of none seen
    # is the 0.9 quantile of gamma(1/2): 1.3528 / 36.
    assert found.expected[0] == pytest.approx(36)
    assert found.upper[0] == pytest.approx(1.3527717 / 36)
    assert found.is_one_per_need.tolist() == [True, False]


def test_coming_back_as_chance_would_is_no_need_of_one() -> None:
    """A type that buyers return to as often as chance would is not one-per-need."""
    # Everybody buys type 0 on even days of ten, type 1 on odd ones: half of the nine later orders
    # of each are to expect, 180 for type 0; there are four, 160.
    buys: Buys = [(customer, day % 2, day) for customer in range(40) for day in range(10)]
    found = fit(buys, 2, 200)
    assert (found.come_back[0], found.expected[0]) == (160, 180)
    assert not found.is_one_per_need[0]


def test_too_little_is_no_judgement() -> None:
    """With fewer than three returns to expect, no type is called one-per-need."""
    # n buyers with 9 later orders, a tenth with the type: 0.9 to expect for each.
    assert fit(one_per_need(3, 0), 2, 200, one_per_need_ratio=1.0).expected[0] < 3
    assert not fit(one_per_need(3, 0), 2, 200, one_per_need_ratio=1.0).is_one_per_need[0]
    assert fit(one_per_need(4, 0), 2, 200, one_per_need_ratio=1.0).is_one_per_need[0]


def test_the_ratio_is_the_bar() -> None:
    """A type is one-per-need only if the upper bound is below the configured share."""
    upper = float(fit(one_per_need(40, 5), 2, 200).upper[0])
    assert fit(one_per_need(40, 5), 2, 200, one_per_need_ratio=upper + 0.01).is_one_per_need[0]
    assert not fit(one_per_need(40, 5), 2, 200, one_per_need_ratio=upper - 0.01).is_one_per_need[0]


def test_basket_counts() -> None:
    """The median of the baskets that hold a type, and what nine of ten of them do with."""
    # type 0: 3 and 1 in two baskets. type 1: 1, 1, 2 in three. type 2: never.
    basket = np.array([0, 0, 0, 1, 0, 1, 2, 2, 2])
    kind = np.array([0, 0, 0, 0, 1, 1, 1, 1, -1])
    found = fit([(0, 0, 0)], 3, 10, (basket, kind))
    assert found.per_basket.tolist() == [1, 1, 1]
    assert found.per_list.tolist() == [3, 2, 1]
    # Nine baskets with one, one with four: nine of ten do with one.
    basket = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9])
    found = fit([(0, 0, 0)], 1, 10, (basket, np.zeros(13, dtype=np.int64)))
    assert found.per_list.tolist() == [1]


def test_no_baskets_with_types() -> None:
    """Without any type in any basket, a list may hold one of each."""
    baskets = (np.array([0, 1]), np.array([-1, -1]))
    found = fit([(0, -1, 0)], 2, 10, baskets)
    assert found.per_basket.tolist() == found.per_list.tolist() == [1, 1]


def test_no_types_at_all() -> None:
    """A shop without types, or without orders, teaches nothing, without complaint."""
    assert fit([(0, -1, 0)], 0, 10).is_one_per_need.tolist() == []
    assert fit([], 2, 10).is_one_per_need.tolist() == [False, False]


def test_arrays_and_back() -> None:
    """What is written into an artifact comes back."""
    found = fit(one_per_need(4, 1), 2, 200)
    again = Substitutes.from_arrays(found.arrays())
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])
    assert sorted(found.arrays()) == [
        "types_come_back",
        "types_expected",
        "types_is_one_per_need",
        "types_per_basket",
        "types_per_list",
        "types_upper",
    ]


def test_many_customers_over_many_years() -> None:
    """Customer numbers times microseconds do not overflow: shops are that large."""
    # Customer 3,000,000 over ten years: 3e6 * 3e14 microseconds is a hundred times int64.
    buys = [(customer * 75_000, kind, day) for customer, kind, day in one_per_need(40, 5)]
    far: Buys = [(3_000_000, 1, 0), (3_000_000, 1, 3650)]
    small = fit([*one_per_need(40, 5), (40, 1, 0), (40, 1, 3650)], 2, 4000)
    large = fit([*buys, *far], 2, 4000)
    np.testing.assert_array_equal(large.expected, small.expected)
    np.testing.assert_array_equal(large.come_back, small.come_back)


@settings(deadline=None, max_examples=60)
@given(
    buys=st.lists(
        st.tuples(st.integers(0, 4), st.integers(-1, 2), st.integers(0, 300)), max_size=40
    ),
    rest=st.floats(0.5, 100),
    window=st.integers(7, 400),
)
def test_a_plain_loop_finds_the_same(buys: Buys, rest: float, window: int) -> None:
    """Sorted arrays and a loop over everybody count the same."""
    as_of = max((day for _, _, day in buys), default=0) + rest
    found = fit(buys, 3, as_of, origin=10**15, one_per_need_window_days=window)
    expected = naive(buys, 3, as_of, window)
    assert found.come_back.tolist() == [seen for seen, _ in expected]
    np.testing.assert_allclose(found.expected, [chance for _, chance in expected], rtol=1e-6)


def test_compiled_counts_are_the_plain_ones() -> None:
    """Orders at 1, 2, 3 and 5: after 1 and before 5 are two; before the start are none."""
    starts, at = np.array([0, 0, 4]), np.array([1, 2, 3, 5])
    customer, start, end = np.array([1, 1, 0]), np.array([1, 5, 0]), np.array([5, 3, 9])
    fast, plain = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    fill_between(starts, at, customer, start, end, fast)
    fill_between.py(starts, at, customer, start, end, plain)
    assert fast.tolist() == plain.tolist() == [2, 0, 0]
