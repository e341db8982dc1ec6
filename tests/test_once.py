"""What is known of things bought once: worked out once, remembered within bounds, not changed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize.repurchase import log_days, once_features, once_terms, pair_features
from personalize.suppression import due_at, once
from personalize.times import DAY, FOREVER, MISSING

numbers = st.floats(0.0, 5000.0, allow_subnormal=False)


@given(
    st.integers(1, 50),
    numbers | st.just(math.inf),
    numbers,
    numbers,
    st.booleans(),
    st.integers(0, 900 * DAY),
)
def test_bought_once_is_a_case_of_bought(
    units: int, gap: float, typical: float, usual: float, is_learned: bool, days: int
) -> None:
    """What is known of one purchase is, to the last bit, what is worked out of any number."""
    bought_at = 3 * DAY + 17
    purchases = (1, bought_at, bought_at, units, units)
    wait = due_at(1, 0, 0, units, units, gap, typical, usual, is_learned, 7.0, 3.0)
    log_gap, log_units = once_terms(units, typical, usual)
    known = once.Once(wait, 0.5, log_gap, log_units)
    until = due_at(*purchases, gap, typical, usual, is_learned, 7.0, 3.0)
    assert known.until(bought_at) == until
    now = bought_at + days
    since = log_days(bought_at, now)
    found = once_features(since, known.gap, known.units, 0.3, -1.5)
    assert found == pair_features(*purchases, now, typical, usual, 0.3, -1.5)


def test_a_rule_that_is_off_keeps_nothing_away() -> None:
    """Neither time has anything added to it."""
    assert once.Once(MISSING, 0.0, 0.0, 0.0).until(5) == MISSING
    assert once.Once(FOREVER, 0.0, 0.0, 0.0).until(5) == FOREVER


def test_what_was_bought_once_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is worked out once; beyond a number of them it begins anew."""
    monkeypatch.setattr(once, "MAX_REMEMBERED", 2)
    worked_out: list[tuple[int, ...]] = []

    class Counted(once.BoughtOnce):
        def _worked_out(self, level: int, num: int, units: int) -> once.Once:
            worked_out.append((level, num, units))
            return once.Once(0, 0.0, 0.0, 0.0)

    known = Counted(None)  # type: ignore[arg-type] # nothing is worked out
    for units in (1, 2, 1, 3, 1):
        known(0, 7, units)
    assert worked_out == [(0, 7, 1), (0, 7, 2), (0, 7, 3), (0, 7, 1)]
