"""The rule on plain numbers: when something is due, and how scopes come together."""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.suppression.batch import fill_decisions, fill_due, put_times
from personalize.suppression.rule import REASONS, SCOPES, basis_level, combine, due_at
from personalize.times import DAY, FOREVER, MISSING

NO: Final = (MISSING, MISSING)


def due(**changes: Any) -> float:
    """Return the days from the last purchase to the due date; by default a learned gap of 40."""
    given = {
        "n_orders": 1,
        "first_at": 0,
        "last_at": 100 * DAY,
        "last_quantity": 1,
        "total_quantity": 1,
        "gap_days": 40.0,
        "typical_gap": 60.0,
        "usual_quantity": 1.0,
        "is_learned": True,
        "min_days": 7.0,
        "rhythm_strength": 2.0,
    } | changes
    found = due_at(**given)
    return math.inf if found == FOREVER else (found - given["last_at"]) / DAY


def rhythm(n_orders: int, span: float, **changes: Any) -> float:
    """Return the days until due of one who bought `n_orders` times within `span` days."""
    whole = {"n_orders": n_orders, "first_at": round((100 - span) * DAY), "last_at": 100 * DAY}
    return due(**(whole | {"total_quantity": n_orders} | changes))


def test_words() -> None:
    """Reasons in their order, and scopes, are what the tables promise."""
    assert REASONS == (
        "purchased", "purchased_variant", "purchased_substitute", "returned", "not_suppressed",
    )  # fmt: skip
    assert SCOPES == ("product", "item_group", "product_type")


# --- when something is due ---


def test_bought_once_is_due_after_the_gap() -> None:
    """The due date is the last purchase plus the learned gap."""
    assert due() == 40


def test_never_sooner_than_the_minimum() -> None:
    """A learned gap is never under the minimum, nor is a short rhythm."""
    assert due(gap_days=3.0) == 7
    assert rhythm(9, 8, gap_days=3.0, typical_gap=3.0) == 7
    assert due(gap_days=0.0, min_days=0.0) == 0


def test_two_purchases_are_no_rhythm() -> None:
    """One repeat does not move the gap; two do."""
    assert rhythm(2, 10) == 40
    assert rhythm(3, 20) != 40


def test_the_own_rhythm_by_hand() -> None:
    """Two gaps of 30 days weigh as much as a prior of 2; the quantile's share applies to both."""
    # Own mean gap 30; the quantile is 40/60 of the median, so 20 of the own. Halfway between 40
    # and 20 by ratio: sqrt(800).
    assert rhythm(3, 60) == pytest.approx(math.sqrt(800), abs=1e-4)
    # Eight gaps of 10 (20/3 after the share): weight 8 / 10.
    expected = math.exp(0.2 * math.log(40) + 0.8 * math.log(20 / 3))
    assert rhythm(9, 80, min_days=0.0) == pytest.approx(expected, abs=1e-4)


def test_no_strength_is_the_own_rhythm_alone() -> None:
    """With a prior of nothing, two repeats are believed at their word."""
    assert rhythm(3, 60, rhythm_strength=0.0) == pytest.approx(20, abs=1e-4)


def test_a_rhythm_speaks_against_for_good() -> None:
    """Where hardly anybody buys again, one who does it twice has a due date."""
    assert due(gap_days=math.inf) == math.inf
    assert rhythm(2, 30, gap_days=math.inf) == math.inf
    assert rhythm(3, 60, gap_days=math.inf) == pytest.approx(30)


@pytest.mark.parametrize(
    ("last", "usual", "days"),
    [(1, 1.0, 40), (2, 1.0, 80), (3, 2.0, 60), (100, 1.0, 160), (1, 4.0, 40), (2, 0.5, 80)],
)
def test_a_larger_order_lasts_longer(last: int, usual: float, days: float) -> None:
    """Twice the usual units last twice as long, up to fourfold; who buys less waits no less."""
    assert due(last_quantity=last, total_quantity=last, usual_quantity=usual) == days


def test_usual_becomes_what_is_usual_for_this_customer() -> None:
    """Who always buys four is not kept waiting fourfold, the less the longer it goes on."""
    waits = [
        rhythm(n, 30 * (n - 1), last_quantity=4, total_quantity=4 * n, typical_gap=40.0,
               gap_days=30.0)
        for n in (1, 3, 9, 99)
    ]  # fmt: skip
    assert waits[0] == 120
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] == pytest.approx(30 * 0.75, rel=0.05)


def test_a_smaller_order_ends_sooner_by_rhythm_only() -> None:
    """A quarter of the own usual units shortens the own rhythm; without one it does nothing."""
    same = rhythm(9, 240, last_quantity=4, total_quantity=36, usual_quantity=4.0)
    less = rhythm(9, 240, last_quantity=1, total_quantity=33, usual_quantity=4.0)
    assert less < same / 2
    assert due(last_quantity=1, total_quantity=1, usual_quantity=4.0) == 40


@pytest.mark.parametrize("days", [0.0, 3.0, 365.0, 36500.0])
def test_fixed_days_stay_fixed(days: float) -> None:
    """Days that the shop or the default fixed are neither moved by rhythm nor by quantity."""
    fixed = {"gap_days": days, "is_learned": False, "last_quantity": 9, "total_quantity": 40}
    assert rhythm(4, 30, **fixed) == days
    assert rhythm(4, 30, **(fixed | {"gap_days": math.inf})) == math.inf


def test_due_dates_are_whole_seconds() -> None:
    """A gap is cut to seconds, so that no date carries the noise of a logarithm."""
    assert due_at(1, 5, 5, 1, 1, 10.1234567, 60.0, 1.0, True, 7.0, 2.0) % 1_000_000 == 5


# --- scopes come together ---


@pytest.mark.parametrize(
    ("as_of", "product", "group", "kind", "back", "expected"),
    [
        # (since, until) by scope; expected reason, since, until
        (50, NO, NO, NO, NO, ("not_suppressed", MISSING, MISSING)),
        (50, (10, 60), NO, NO, NO, ("purchased", 10, 60)),
        (60, (10, 60), NO, NO, NO, ("not_suppressed", MISSING, MISSING)),
        (50, NO, (20, 60), NO, NO, ("purchased_variant", 20, 60)),
        (50, NO, NO, (30, 60), NO, ("purchased_substitute", 30, 60)),
        (50, NO, NO, NO, (40, 60), ("returned", 40, 60)),
        # the reason is the first that applies, until the latest of all
        (50, (10, 60), (20, 70), (30, 90), (40, 80), ("purchased", 10, 90)),
        (50, (10, 60), (20, 70), (30, 65), NO, ("purchased", 10, 70)),
        (50, NO, (20, 70), (30, 60), NO, ("purchased_variant", 20, 70)),
        (50, NO, (20, 55), (30, FOREVER), NO, ("purchased_variant", 20, FOREVER)),
        (50, NO, (20, 60), NO, (40, 80), ("purchased_variant", 20, 80)),
        (50, NO, NO, (30, 60), (40, 55), ("purchased_substitute", 30, 60)),
        (50, (10, FOREVER), (20, 60), NO, NO, ("purchased", 10, FOREVER)),
        # what is over does not apply
        (50, (10, 40), (20, 60), NO, NO, ("purchased_variant", 20, 60)),
        (50, (10, 40), (20, 45), (30, 60), NO, ("purchased_substitute", 30, 60)),
        (50, (10, 60), (20, 40), (30, 45), (5, 35), ("purchased", 10, 60)),
        # the newest purchase of the group or type is the product itself
        (50, (10, 40), (10, 60), NO, NO, ("purchased", 10, 60)),
        (50, (10, 40), (20, 45), (10, 60), NO, ("purchased", 10, 60)),
        (50, (10, 40), (10, 60), (30, 70), NO, ("purchased", 10, 70)),
        # a rule that is off comes without times, though the product is owned
        (50, NO, (10, 60), NO, NO, ("purchased_variant", 10, 60)),
    ],
)
def test_scopes_come_together(
    as_of: int,
    product: tuple[int, int],
    group: tuple[int, int],
    kind: tuple[int, int],
    back: tuple[int, int],
    expected: tuple[str, int, int],
) -> None:
    """The first scope that applies gives reason and since; the latest end of all is the end."""
    reason, since, until = combine(as_of, *product, *group, *kind, *back)
    assert (REASONS[reason], since, until) == expected


TIMES = st.one_of(
    st.just(NO), st.tuples(st.integers(0, 9), st.one_of(st.integers(0, 20), st.just(FOREVER)))
)


@settings(deadline=None, max_examples=200)
@given(as_of=st.integers(0, 20), scopes=st.tuples(TIMES, TIMES, TIMES, TIMES))
def test_any_scopes(as_of: int, scopes: tuple[tuple[int, int], ...]) -> None:
    """Suppressed is what any scope keeps away, until the last of them ends."""
    reason, since, until = combine(as_of, *itertools.chain(*scopes))
    ends = [end for _, end in scopes if as_of < end]
    assert (REASONS[reason] != "not_suppressed") == bool(ends)
    assert until == max(ends, default=MISSING)
    applying = [begin for begin, end in scopes if as_of < end]
    assert since == (applying[0] if applying else MISSING)
    level = basis_level(as_of, *(end for _, end in scopes[:3]))
    in_force = [as_of < end for _, end in scopes[:3]]
    assert level == (in_force.index(True) if any(in_force) else 3)
    # Nothing begins to suppress by waiting, and the end does not depend on the question.
    if reason == 4:
        assert combine(as_of + 1, *itertools.chain(*scopes))[0] == 4
    elif until != FOREVER:
        assert combine(until - 1, *itertools.chain(*scopes))[2] == until
        assert combine(until, *itertools.chain(*scopes))[0] == 4


# --- compiled against plain ---

GAPS = st.one_of(st.just(math.inf), st.floats(0, 3650), st.sampled_from([7.0, 30.0, 365.0]))


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 20),  # orders
            st.integers(0, 900 * DAY),  # first
            st.integers(0, 900 * DAY),  # from first to last
            st.integers(1, 9),  # last quantity
            st.integers(0, 90),  # units before it
            st.integers(0, 3),  # target
        ),
        min_size=1,
        max_size=15,
    ),
    gaps=st.lists(GAPS, min_size=4, max_size=4),
    typical=st.lists(st.floats(0, 3650), min_size=4, max_size=4),
    usual=st.lists(st.floats(0.5, 9), min_size=4, max_size=4),
    learned=st.lists(st.booleans(), min_size=4, max_size=4),
    on=st.lists(st.booleans(), min_size=4, max_size=4),
    min_days=st.sampled_from([0.0, 7.0, 30.5]),
    strength=st.sampled_from([0.0, 2.0, 0.3]),
)
def test_compiled_due_dates_are_the_plain_ones(
    rows: list[tuple[int, ...]],
    gaps: list[float],
    typical: list[float],
    usual: list[float],
    learned: list[bool],
    on: list[bool],
    min_days: float,
    strength: float,
) -> None:
    """The compiled loop gives what the interpreter gives, to the microsecond."""
    n, first, span, last, before, target = (np.array(each) for each in zip(*rows, strict=True))
    nothing = np.zeros(len(gaps))
    terms = np.array([gaps, typical, usual, nothing, nothing, learned, on]).T.copy()
    arguments = (target, n, first, first + span, last, last + before, terms, min_days, strength)
    fast, plain = (np.full(len(rows), MISSING) for _ in range(2))
    fill_due(fast, *arguments)
    fill_due.py(plain, *arguments)
    np.testing.assert_array_equal(fast, plain)
    off = ~np.array(on)[target]
    assert (plain[off] == MISSING).all()
    assert (plain[~off] >= (first + span)[~off]).all()


@settings(deadline=None, max_examples=100)
@given(
    as_of=st.integers(0, 20),
    rows=st.lists(st.tuples(TIMES, TIMES, TIMES, TIMES), min_size=1, max_size=20),
)
def test_compiled_decisions_are_the_plain_ones(
    as_of: int, rows: list[tuple[tuple[int, int], ...]]
) -> None:
    """The compiled loop puts scopes together as the interpreter does."""
    times = np.array([[*itertools.chain(*row)] for row in rows], dtype=np.int64)
    fast, plain = (np.zeros((4, len(rows)), dtype=np.int64) for _ in range(2))
    fill_decisions(*fast, times, as_of)
    fill_decisions.py(*plain, times, as_of)
    np.testing.assert_array_equal(fast, plain)


def test_compiled_times_are_the_plain_ones() -> None:
    """Where there is a row whose rule is on, its times are written; elsewhere nothing is."""
    rows = np.array([1, -1, 0], dtype=np.int64)
    since = np.array([5, 6], dtype=np.int64)
    until = np.array([MISSING, 9], dtype=np.int64)
    fast, plain = (np.zeros((3, 4), dtype=np.int64) for _ in range(2))
    put_times(fast, 2, rows, since, until)
    put_times.py(plain, 2, rows, since, until)
    assert fast.tolist() == plain.tolist() == [[0, 0, 6, 9], [0, 0, 0, 0], [0, 0, 0, 0]]
