"""Customers who are asked about again, and things bought once: remembered, not changed."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_shop import CUSTOMERS, MOMENTS, PRODUCTS, catalogs, order_logs, policies

import personalize as pz
from personalize.packing import NOTHING, pack
from personalize.purchases import PurchaseState
from personalize.repurchase import log_days, once_features, once_terms, pair_features
from personalize.suppression import MANY, CustomerScopes, Recent, due_at, once
from personalize.times import DAY, FOREVER, MISSING

ASKED = [*PRODUCTS, *(f"other-{n}" for n in range(MANY))]


def view_of(whole: pz.Orders, catalog: pz.Catalog | None, policy: pz.Policy) -> Any:
    """Return the view of an engine that was fitted on some orders."""
    return pz.Engine.fit(whole, catalog).view(policy)


@settings(max_examples=15, deadline=None)
@given(order_logs(min_orders=8), catalogs(), policies, MOMENTS)
def test_asked_again_it_is_the_same(
    log: Any, catalog: pz.Catalog | None, policy: pz.Policy, moment: Any
) -> None:
    """Once, again and much later: the answers are those of asking for the first time."""
    orders = pz.Orders.from_frame(log)
    view = view_of(orders, catalog, policy)
    at = pz.to_micros(moment)
    for customer_id in filter(None, CUSTOMERS):
        state = PurchaseState.from_orders(orders, customer_id)
        packed = pack(state, MISSING)
        assert view.recent.of(customer_id, packed) is None
        for later in (0, 1, 200 * DAY):
            known = view.recent.of(customer_id, packed)
            found = [known.scopes.decide(each, at + later) for each in known.kin.among(ASKED)]
            told = {row.product_id: row for row in found}
            expected = view.decide(state, ASKED, at + later)
            assert [told.get(each) or pz.unowned(customer_id, each) for each in ASKED] == expected
            assert expected == [view.decide(state, [each], at + later)[0] for each in ASKED]


@settings(max_examples=15, deadline=None)
@given(order_logs(min_orders=8), catalogs(), policies, st.sets(st.sampled_from(PRODUCTS)))
def test_few_are_touched_like_many(
    log: Any, catalog: pz.Catalog | None, policy: pz.Policy, owned: set[str]
) -> None:
    """Whether one product is asked about or many, the same purchases may have a say."""
    view = view_of(pz.Orders.from_frame(log), catalog, policy)
    asked = [*ASKED, "p8"]
    assert view.touched(asked, owned) == [
        each for each in asked if view.touched([each], owned) == [each]
    ]


def test_what_changed_is_worked_out_anew() -> None:
    """A customer whose row is another one is not taken for what they were."""
    line = pz.OrderLine("p", 5, 1, 0, MISSING, False, "o")
    packed = pack(PurchaseState.from_lines("c", [line]), MISSING)
    recent = Recent(None)  # type: ignore[arg-type] # nothing is worked out
    recent.of("c", NOTHING)
    known = recent.of("c", NOTHING)
    assert known is recent.of("c", NOTHING)
    changed = recent.of("c", packed)
    assert changed is not known
    assert changed is recent.of("c", packed)


def test_heavy_buyers_are_not_remembered() -> None:
    """What would take much memory is worked out every time."""
    lines = [pz.OrderLine(f"p{n}", 5, 1, 0, MISSING, False, "o") for n in range(2_000)]
    packed = pack(PurchaseState.from_lines("c", lines), MISSING)
    recent = Recent(None)  # type: ignore[arg-type] # nothing is worked out
    assert [recent.of("c", packed) for _ in range(3)] == [None] * 3
    assert len(recent) == 0


def test_what_is_kept_of_a_customer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many products are asked about, little is kept of them, and answers stay."""
    monkeypatch.setattr("personalize.suppression.single._MAX_TARGETS", 2)
    log = pd.DataFrame(
        {
            "order_id": ["o1", "o2"], "customer_id": ["c", "d"], "product_id": ["p0", "p1"],
            "ordered_at": pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True), "quantity": 1,
        }
    )  # fmt: skip
    orders = pz.Orders.from_frame(log)
    view, state = view_of(orders, None, pz.Policy()), PurchaseState.from_orders(orders, "c")
    at, scopes = pz.to_micros("2026-01-03"), CustomerScopes(view.rules, state)
    for product_id in ["p0", "p1", "p2", "p0", "p3", "p0"]:
        assert scopes.decide(product_id, at) == view.decide(state, [product_id], at)[0]
    assert len(scopes._targets) <= 2


def test_those_not_asked_about_for_longest_are_forgotten() -> None:
    """So many are remembered, and no more."""
    recent = Recent(None, most=2)  # type: ignore[arg-type] # nothing is worked out
    for customer_id in "aabac":
        recent.of(customer_id, NOTHING)
    assert len(recent) == 2
    assert recent.of("a", NOTHING) is not None
    assert recent.of("b", NOTHING) is None


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
