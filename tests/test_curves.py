"""Repurchase curves: by hand, against a textbook estimator and against a plain second version."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from personalize.config import EngineConfig
from personalize.purchases import Occasion
from personalize.repurchase import BASES, EDGES, Curves, Level, fit_curves
from personalize.repurchase.gaps import Gaps, count_gaps, fill_gaps
from personalize.times import DAY

Buys = list[tuple[int, int, float, int]]
"""Customer, target, day and units of one purchase each."""
N_BINS = len(EDGES) - 1
AS_OF = 1000.0


def level_of(
    buys: Buys,
    groups: list[int] | None = None,
    types: list[int] | None = None,
    *,
    n_targets: int = 1,
    n_types: int = 0,
) -> Level:
    """Return the level of these purchases; days count back from `AS_OF`, day 1000."""
    customer, target = (np.array([buy[i] for buy in buys], dtype=np.int64) for i in (0, 1))
    at = np.array([round(buy[2] * DAY) for buy in buys], dtype=np.int64)
    quantity = np.array([buy[3] for buy in buys], dtype=np.int64)
    nothing = np.zeros(len(buys), dtype=np.int64)
    return Level(
        Occasion.from_lines(customer, target, at, quantity, n_targets),
        Occasion.from_lines(customer, nothing, at, quantity, 1),
        None if groups is None else np.array(groups, dtype=np.int64),
        None if types is None else np.array(types, dtype=np.int64),
        n_types,
    )


def fit(level: Level, as_of: float = AS_OF, **config: float) -> Curves:
    """Return the curves of a level."""
    return fit_curves(level, round(as_of * DAY), EngineConfig.from_dict(config))


def followed(days: float, n: int, *, first_customer: int = 0, target: int = 0) -> Buys:
    """Return `n` customers who bought once and were followed for so many days."""
    return [(first_customer + i, target, AS_OF - days, 1) for i in range(n)]


def again_after(days: float, n: int, *, first_customer: int = 0, target: int = 0) -> Buys:
    """Return `n` customers who bought again after so many days, the second time just now.

    The second purchase is followed for next to nothing: it takes part in the first bin only, of
    which each counts half.
    """
    buys: Buys = []
    for i in range(n):
        buys.append((first_customer + i, target, AS_OF - days - 0.001, 1))
        buys.append((first_customer + i, target, AS_OF - 0.001, 1))
    return buys


def all_row(curves: Curves) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return the curve that stands for all."""
    return curves.bought_again[-1]


# --- hand-worked ---


def test_who_is_followed_to_the_end_counts_whole() -> None:
    """Of ten followed for 400 days three bought again on day 30: three in ten."""
    curves = fit(level_of(again_after(30, 3) + followed(400, 7, first_customer=3)))
    # Bin 19 is [30, 32): nothing before it, 3 / 10 from its end on.
    assert (EDGES[19], EDGES[20]) == (30, 32)
    assert all_row(curves)[18] == 0
    np.testing.assert_allclose(all_row(curves)[19:], 0.3, rtol=1e-5)


def test_the_censored_count_half_in_their_bin() -> None:
    """Four of ten are last seen in the very bin in which two buy again: 2 / (10 - 4 / 2)."""
    buys = again_after(30.5, 2) + followed(31, 4, first_customer=2)
    buys += followed(400, 4, first_customer=6)
    np.testing.assert_allclose(all_row(fit(level_of(buys)))[19:], 0.25, rtol=1e-5)


def test_the_censored_leave_before_later_bins() -> None:
    """Who is not followed that long does not count as one who did not buy."""
    buys = followed(20, 5) + again_after(50, 1, first_customer=5)
    buys += followed(400, 1, first_customer=6)
    np.testing.assert_allclose(all_row(fit(level_of(buys)))[-1], 0.5, rtol=1e-5)


@pytest.mark.parametrize(("gap", "column"), [(29.999, 18), (30, 19), (31.999, 19), (32, 20)])
def test_a_bin_begins_at_its_edge(gap: float, column: int) -> None:
    """A gap of exactly an edge is in the bin that begins there."""
    buys = [(0, 0, 100.0, 1), (0, 0, 100.0 + gap, 1)]
    curve = all_row(fit(level_of(buys), as_of=100.0 + gap + 400))
    assert np.flatnonzero(curve)[0] == column


def test_a_year_later_is_not_again() -> None:
    """Buying again after 365 days or more counts as followed for a year without buying."""
    curves = fit(level_of(again_after(365, 5) + again_after(364.9, 5, first_customer=5)))
    np.testing.assert_allclose(all_row(curves)[-1], 0.5, rtol=1e-5)


def test_every_gap_of_a_customer_counts() -> None:
    """Three purchases are two gaps, and a third that is still open."""
    buys: Buys = [(0, 0, 100, 1), (0, 0, 130, 1), (0, 0, 160, 1)]
    # Day 30 is reached by all three: two bought again then, one has not for 840 days.
    np.testing.assert_allclose(all_row(fit(level_of(buys)))[-1], 2 / 3, rtol=1e-5)


def test_the_bound_of_nobody() -> None:
    """Twenty followed, nobody bought again: the bound is Jeffreys' for a rate of 0 in 20."""
    curves = fit(level_of(followed(400, 20)))
    # The 0.9 quantile of gamma(1/2) is 1.352772; 1 - exp(-1.352772 / 20) = 0.0654.
    assert curves.upper[-1] == pytest.approx(0.06540, rel=1e-3)
    assert curves.bought_again[-1, -1] == 0
    assert fit(level_of(followed(400, 200))).upper[-1] < 0.01


def test_gaps_lie_between_the_edges() -> None:
    """A quantile of those who buy again is found within its bin in proportion."""
    curve = np.zeros((3, N_BINS), dtype=np.float32)
    curve[0, 19:] = 0.4  # bin 19 is [30, 32)
    curve[0, 24:] = 0.8  # bin 24 is [40, 43)
    curve[1, :] = 0.5  # all of it on the first day
    nothing = np.zeros(3, dtype=np.float32)
    curves = Curves(curve, nothing, nothing.astype(np.int8), nothing, nothing, 1, 1)
    # Of row 0 half come in [30, 32), half in [40, 43): a quarter by day 31, half by the end of
    # the first bin, three quarters in the middle of the second.
    found = [curves.gaps(quantile)[0] for quantile in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(found, [31, 32, 41.5], rtol=1e-6)
    assert curves.gaps(0.25)[1] == pytest.approx(0.25)
    assert curves.gaps(0.25)[2] == math.inf


def test_usual_quantity_is_a_geometric_mean() -> None:
    """One, two and four units are two as a rule."""
    buys: Buys = [(0, 0, 1, 1), (1, 0, 2, 2), (2, 0, 3, 4)]
    assert fit(level_of(buys)).usual_quantity[-1] == pytest.approx(2, rel=1e-5)


def test_repeat_log_odds() -> None:
    """One of four buyers bought again: odds of one to three, for all of the shop."""
    buys: Buys = [*followed(400, 3), (9, 0, 100, 1), (9, 0, 200, 1), (9, 0, 300, 1)]
    assert fit(level_of(buys)).repeat_log_odds[-1] == pytest.approx(math.log(1 / 3), rel=1e-4)


# --- hierarchy and shrinkage ---


def test_basis_is_the_first_floor_with_enough() -> None:
    """A row rests on its own, its group's, its type's or everybody's purchases."""
    # Twenty followed beyond day 8 are enough. Products: 0 has 20 of its own; 1 and 2 share group
    # 1, 10 each; 3 and 4 share type 1, 12 each; 5 has 3 and neither; 6 is of type 2 with 3.
    counts = [20, 10, 10, 12, 12, 3, 3]
    buys: Buys = []
    for target, n in enumerate(counts):
        buys += followed(400, n, first_customer=100 * target, target=target)
    groups, types = [0, 1, 1, -1, -1, -1, -1], [0, -1, -1, 1, 1, -1, 2]
    curves = fit(level_of(buys, groups, types, n_targets=7, n_types=3))
    names = [BASES[num] for num in curves.basis]
    assert names[:7] == [
        "product", "item_group", "item_group", "product_type", "product_type", "all", "all",
    ]  # fmt: skip
    # Then the types: 0 has 20, 1 has 24, 2 has 3; then all.
    assert names[7:] == ["product_type", "product_type", "all", "all"]


def test_a_group_without_enough_passes_on_its_type() -> None:
    """Product, group, type: the evidence of the type serves a product in a small group."""
    buys = followed(400, 5) + followed(400, 30, first_customer=50, target=1)
    level = level_of(buys, [0, -1], [0, 0], n_targets=2, n_types=1)
    assert [BASES[num] for num in fit(level).basis[:2]] == ["product_type", "product"]


@pytest.mark.parametrize(("types", "bases"), [([0], "item_group"), (None, "product_type")])
def test_groups_and_types_have_curves_of_their_own(types: list[int] | None, bases: str) -> None:
    """On the level of item groups a group's own evidence is its basis, so on that of types."""
    level = level_of(followed(400, 30), None, types, n_types=1 if types else 0)
    assert BASES[fit(level).basis[0]] == bases


@pytest.mark.parametrize("days", [7, 7.99])
def test_followed_for_a_week_is_no_evidence(days: float) -> None:
    """Purchases count as evidence when followed for more than a week: fresh ones say nothing."""
    curves = fit(level_of(followed(days, 25)))
    # In their last bin, [7, 8), twenty-five that are not followed further count 12.5.
    assert [BASES[num] for num in curves.basis] == ["default", "default"]


def test_too_small_a_shop_rests_on_the_default() -> None:
    """With fewer purchases than the strength of the prior, all there is is the default."""
    assert BASES[fit(level_of(followed(400, 19))).basis[-1]] == "default"
    assert BASES[fit(level_of(followed(400, 20))).basis[-1]] == "all"
    assert BASES[fit(level_of(followed(400, 5)), curve_strength=5).basis[-1]] == "all"


def shop(n_own: int) -> Level:
    """Return a type of which 60 in 100 buy again after 50 days; of product 0, `n_own`, none do."""
    buys = again_after(50, 60, first_customer=1000, target=1)
    buys += followed(400, 40, first_customer=2000, target=1)
    buys += followed(400, n_own)
    return level_of(buys, [-1, -1], [0, 0], n_targets=2, n_types=1)


def test_no_evidence_is_the_parent() -> None:
    """A product that nobody bought has the curve of its type, to the bit."""
    curves = fit(shop(0))
    for array in (curves.bought_again, curves.usual_quantity, curves.repeat_log_odds):
        np.testing.assert_array_equal(array[0], array[curves.row_of_type(0)])


def test_evidence_moves_a_curve_away_from_its_parent() -> None:
    """Among 20 of its own and a prior as strong as 20, a product is half of its type."""
    curves = fit(shop(20))
    kind = float(curves.bought_again[curves.row_of_type(0), -1])
    # One bin only has events: its hazard is (0 + 20 h) / (20 + 20).
    assert curves.bought_again[0, -1] == pytest.approx(kind / 2, rel=1e-5)


def test_much_evidence_is_ones_own() -> None:
    """With 5,000 of its own who never come back, a product is no more like its type."""
    curves = fit(shop(5000))
    assert curves.bought_again[0, -1] < 0.003
    assert curves.upper[0] < 0.005


def test_a_strong_prior_is_the_parent() -> None:
    """With a prior of 100,000 purchases all products of a type are alike."""
    curves = fit(shop(20), curve_strength=100_000)
    np.testing.assert_allclose(curves.bought_again[0], curves.bought_again[-1], rtol=1e-3)


def test_rows_of_what_was_never_seen() -> None:
    """What was never seen has the row of its type, or that of all."""
    curves = fit(shop(5))
    assert [curves.row_of_type(num) for num in (0, 1, -1)] == [2, 3, 3]
    assert (curves.n_targets, curves.n_types, len(curves.upper)) == (2, 1, 4)


@pytest.mark.parametrize(
    ("groups", "types", "n_types"),
    [(None, None, 0), (None, [], 0), ([], [], 0), ([], [], 2), ([], None, 0)],
)
def test_a_shop_without_anything(
    groups: list[int] | None, types: list[int] | None, n_types: int
) -> None:
    """Nothing bought and nothing known teaches the default, without complaint."""
    curves = fit(level_of([], groups, types, n_targets=0, n_types=n_types))
    assert [BASES[num] for num in curves.basis] == ["default"] * (n_types + 1)
    assert (curves.bought_again == 0).all()


def test_groups_without_any_type() -> None:
    """A shop with item groups and no product type shrinks groups towards all."""
    level = level_of(followed(400, 30), [0], [-1], n_types=0)
    assert [BASES[num] for num in fit(level).basis] == ["product", "all"]


def test_a_group_has_the_type_of_its_first_typed_product() -> None:
    """A member without type does not take the type from its group."""
    buys = again_after(50, 30, target=0) + followed(400, 30, first_customer=50, target=3)
    # Group 0 holds products 1 (of type 0) and 2 (of none), which nobody bought.
    level = level_of(buys, [-1, 0, 0, -1], [0, 0, -1, 1], n_targets=4, n_types=2)
    curves = fit(level)
    np.testing.assert_array_equal(curves.bought_again[1], curves.bought_again[4])
    np.testing.assert_array_equal(curves.bought_again[2], curves.bought_again[4])


def test_a_level_as_it_was_known() -> None:
    """Cut at a moment, purchases at or after it are gone, from targets and orders alike."""
    cut = level_of([(0, 0, 10, 1), (0, 0, 20, 1), (1, 0, 30, 1)]).before(20 * DAY)
    assert (cut.occasions.at.tolist(), cut.orders.at.tolist()) == ([10 * DAY], [10 * DAY])


def test_arrays_and_back() -> None:
    """What is written into an artifact comes back."""
    curves = fit(shop(5))
    again = Curves.from_arrays("product", curves.arrays("product"), 1)
    assert (again.n_targets, again.n_types) == (2, 1)
    assert all(name.startswith("product_") for name in curves.arrays("product"))
    for name, array in curves.arrays("product").items():
        np.testing.assert_array_equal(again.arrays("product")[name], array)


# --- against others ---


def spells(buys: Buys, as_of: float) -> list[tuple[int, float, bool]]:
    """Return target, days and whether bought again, for each purchase."""
    found = []
    for customer, target in {(buy[0], buy[1]) for buy in buys}:
        days = sorted({buy[2] for buy in buys if buy[:2] == (customer, target)})
        ends = [*days[1:], as_of]
        for i, (start, end) in enumerate(zip(days, ends, strict=True)):
            found.append((target, end - start, i < len(days) - 1))
    return found


def kaplan_meier(durations: list[tuple[float, bool]], day: float) -> float:
    """Return the share not having bought before `day`: the product-limit estimate."""
    surviving = 1.0
    for time in sorted({time for time, again in durations if again and time < day}):
        at_risk = sum(1 for each, _ in durations if each >= time)
        bought = sum(1 for each, again in durations if again and each == time)
        surviving *= 1 - bought / at_risk
    return surviving


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 26), st.floats(0.05, 0.95)), max_size=25),
    st.lists(st.tuples(st.integers(1, 26), st.floats(0.05, 0.95)), min_size=1, max_size=25),
)
def test_kaplan_and_meier_agree(
    bought: list[tuple[int, float]], censored: list[tuple[int, float]]
) -> None:
    """Where no bin holds both, a weak prior leaves the product-limit estimate at every edge."""
    buys: Buys = []
    # Even bins hold the gaps, odd ones the customers who are followed no longer.
    for number, (half, share) in enumerate(bought):
        gap = EDGES[2 * half] + share * (EDGES[2 * half + 1] - EDGES[2 * half])
        buys += again_after(round(gap, 4), 1, first_customer=number)
    for number, (half, share) in enumerate(censored):
        days = EDGES[2 * half - 1] + share * (EDGES[2 * half] - EDGES[2 * half - 1])
        buys += followed(round(days, 4), 1, first_customer=100 + number)
    curve = all_row(fit(level_of(buys)))
    durations = [(days, again) for _, days, again in spells(buys, AS_OF)]
    expected = [1 - kaplan_meier(durations, edge) for edge in EDGES[1:]]
    np.testing.assert_allclose(curve, expected, atol=2e-5)


class Plain(NamedTuple):
    """One row of a plain second version of the curves."""

    hazard: list[float]
    upper: float
    basis: str
    log_quantity: float
    repeat_rate: float


def plain_counts(buys: Buys, as_of: float, b: int) -> tuple[int, float]:
    """Return who bought again in one bin, and who was still followed (lost ones half)."""
    lives, low, high = spells(buys, as_of), EDGES[b], EDGES[b + 1]
    bought = sum(1 for _, days, again in lives if again and low <= days < high)
    lost = sum(1 for _, days, again in lives if not again and low <= days < high)
    return bought, sum(1 for _, days, _ in lives if days >= low) - lost / 2


def plain_alikeness(parts: list[Buys], as_of: float, whole: Plain, most: float) -> float:
    """Return the share of `most` under which the counts of the parts are likeliest."""

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    def likelihood(strength: float) -> float:
        total = 0.0
        for part in parts:
            for b in range(N_BINS):
                bought, at_risk = plain_counts(part, as_of, b)
                if at_risk > 0:
                    hazard = min(max(whole.hazard[b], 1e-9), 1 - 1e-9)
                    yes, no = strength * hazard, strength * (1 - hazard)
                    total += log_beta(yes + bought, no + at_risk - bought) - log_beta(yes, no)
        return total

    found = [likelihood(most * share) for share in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)]
    best = max(found)
    return (
        most
        * (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)[
            next(n for n, each in enumerate(found) if each >= best - 1e-6)
        ]
    )


def plain_row(
    buys: Buys, as_of: float, above: Plain, strength: float, basis: str, prior: float | None = None
) -> Plain:
    """Return what purchases of one thing teach, with `above` as the prior."""
    prior = strength if prior is None else prior
    hazard, found, at_risk_first, at_risk_week = [], 0.0, 0.0, 0.0
    for b in range(N_BINS):
        bought, at_risk = plain_counts(buys, as_of, b)
        events = bought + prior * above.hazard[b]
        hazard.append(min(events / (at_risk + prior), 1 - 1e-9))
        found += events
        at_risk_first = at_risk if b == 0 else at_risk_first
        at_risk_week = at_risk if b == 7 else at_risk_week
    total = -sum(math.log1p(-h) for h in hazard)
    exposure = found / total if total > 0 else at_risk_first + prior
    bound = stats.gamma.ppf(0.9, found + 0.5) / exposure
    pairs = {(buy[0], buy[1]) for buy in buys}
    repeaters = sum(1 for p in pairs if len({b[2] for b in buys if b[:2] == p}) > 1)
    units: dict[tuple[int, int, float], int] = {}
    for customer, target, day, quantity in buys:
        units[customer, target, day] = units.get((customer, target, day), 0) + quantity
    logs = sum(math.log(n) for n in units.values())
    return Plain(
        hazard,
        1 - math.exp(-max(bound, total)),
        basis if at_risk_week >= max(strength, 1) else above.basis,
        (logs + strength * above.log_quantity) / (len(units) + strength),
        (repeaters + strength * above.repeat_rate) / (len(pairs) + strength),
    )


def plain_rows(
    buys: Buys, groups: list[int], types: list[int], n_types: int, as_of: float, strength: float
) -> list[Plain]:
    """Return rows of products, then types, then all, floor by floor."""
    nothing = Plain([0.0] * N_BINS, 0, "default", 0, 0.05)
    everyone = plain_row(buys, as_of, nothing, 1e-6, "all")
    lives = spells(buys, as_of)
    lost = sum(1 for _, days, again in lives if not again and 7 <= days < 8)
    if sum(1 for _, days, _ in lives if days >= 7) - lost / 2 < strength:
        everyone = everyone._replace(basis="default")

    def pooled(parents: list[int], parent: int) -> Buys:
        return [buy for buy in buys if parents[buy[1]] == parent]

    of_types = [pooled(types, num) for num in range(n_types)]
    weak = plain_alikeness(of_types, as_of, everyone, strength)
    kinds = [plain_row(each, as_of, everyone, strength, "product_type", weak) for each in of_types]
    found = []
    for target, (group, kind) in enumerate(zip(groups, types, strict=True)):
        above, prior = (kinds[kind], strength) if kind >= 0 else (everyone, weak)
        if group >= 0:
            of_group = [k for g, k in zip(groups, types, strict=True) if g == group and k >= 0]
            parent, to_it = (kinds[of_group[0]], strength) if of_group else (everyone, weak)
            above = plain_row(pooled(groups, group), as_of, parent, strength, "item_group", to_it)
            prior = strength
        own = [buy for buy in buys if buy[1] == target]
        found.append(plain_row(own, as_of, above, strength, "product", prior))
    rows = [*found, *kinds, everyone]
    if longest_follow_up(buys, as_of) < 88:  # too brief to say that anything is never bought again
        rows = [row._replace(upper=1.0) for row in rows]
    return rows


def longest_follow_up(buys: Buys, as_of: float) -> float:
    """Return the longest time from a purchase to the next of the same, or to the end."""
    days: dict[tuple[int, int], set[int]] = {}
    for customer, target, day, _ in buys:
        days.setdefault((customer, target), set()).add(day)
    return max(
        later - earlier
        for moments in days.values()
        for earlier, later in itertools.pairwise([*sorted(moments), as_of])
    )


@settings(deadline=None, max_examples=80)
@given(
    buys=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 400), st.integers(1, 5)),
        min_size=1,
        max_size=40,
    ),
    groups=st.lists(st.sampled_from([-1, 0, 1]), min_size=5, max_size=5),
    types=st.lists(st.sampled_from([-1, 0, 1]), min_size=5, max_size=5),
    strength=st.sampled_from([0.1, 1.0, 7.5]),
    rest=st.floats(0.5, 60),
)
def test_a_plain_second_version_agrees(
    buys: Buys, groups: list[int], types: list[int], strength: float, rest: float
) -> None:
    """Loops over purchases, written apart from the arrays, come to the same curves."""
    as_of = max(buy[2] for buy in buys) + round(rest, 3)
    level = level_of(buys, groups, types, n_targets=5, n_types=2)
    curves = fit(level, as_of, curve_strength=strength)
    expected = plain_rows(buys, groups, types, 2, as_of, strength)
    assert [BASES[num] for num in curves.basis] == [row.basis for row in expected]
    again = [1 - np.cumprod(1 - np.array(row.hazard)) for row in expected]
    np.testing.assert_allclose(curves.bought_again, again, atol=1e-6)
    np.testing.assert_allclose(curves.upper, [row.upper for row in expected], rtol=1e-4, atol=1e-6)
    quantities = [math.exp(row.log_quantity) for row in expected]
    np.testing.assert_allclose(curves.usual_quantity, quantities, rtol=1e-5)
    rates = np.clip([row.repeat_rate for row in expected], 1e-4, 1 - 1e-4)
    np.testing.assert_allclose(curves.repeat_log_odds, np.log(rates / (1 - rates)), rtol=1e-4)
    # The bound is one: never below the estimate, never beyond certainty.
    assert (curves.upper >= curves.bought_again[:, -1] - 1e-6).all()
    assert (curves.upper <= 1).all()
    assert (np.diff(curves.bought_again, axis=1) >= 0).all()
    for low, high in ((0.1, 0.25), (0.25, 0.5), (0.5, 0.9)):
        assert (curves.gaps(low) <= curves.gaps(high)).all()


def test_a_brief_history_never_says_never() -> None:
    """Two hundred purchases that nobody repeated say nothing for good until followed 88 days."""
    brief, longer = (fit(level_of(followed(days, 200))) for days in (87, 89))
    assert (brief.upper == 1).all()
    assert longer.upper[-1] < 0.05


def test_a_mixture_is_not_shrunken_to_its_middle() -> None:
    """Coffee that everybody buys again says little of coats that nobody does, or hardly any."""
    coffee = [(customer, 0, float(day), 1) for customer in range(60) for day in range(0, 700, 30)]
    coats = [(customer, 1, float(100 + customer), 1) for customer in range(60)]
    curves = fit(level_of([*coffee, *coats], n_targets=2), 720.0, curve_strength=20.0)
    assert curves.upper[1] < 0.1
    assert np.isfinite(curves.gaps(0.25)[0])


def test_compiled_gaps_are_the_plain_ones() -> None:
    """Ann again after 3 days, then followed for 400; bob once, followed for 1: by target."""
    bought = Occasion.from_lines(
        np.array([0, 0, 1]), np.array([0, 0, 0]), np.array([0, 3, 402]) * DAY, np.ones(3), 1
    )
    fast = count_gaps(bought, 403 * DAY, EDGES)
    column_of_day = np.searchsorted(EDGES, np.arange(366), side="right") - 1
    plain = Gaps(*(np.zeros_like(each) for each in fast))
    fill_gaps.py(
        bought.customer, bought.target, bought.at, 403 * DAY, DAY, column_of_day, *plain
    )  # fmt: skip
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours.tolist() == theirs.tolist()
    assert np.flatnonzero(fast.again[0]).tolist() == [3]
    assert np.flatnonzero(fast.censored[0]).tolist() == [1, len(EDGES) - 1]
    counted = (fast.buyers, fast.repeaters, fast.purchases)
    assert [each.tolist() for each in counted] == [[2.0], [1.0], [3.0]]
