"""Facts sent shuffled, repeated and late lead to the same decisions as once in order.

And those of later than the moment asked about lead to none.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
import small_shop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import personalize as pz

NOW = pz.to_micros(small_shop.day(90))
THEN = pz.to_micros(small_shop.day(60))
ORDERS = ["o1", "o2", "o3", "pair"]
CUSTOMERS = ["ann", "bob"]
PRODUCTS = ["coat-navy-50", "coat-navy-52", "coat-grey", "trousers-50", "tie", "coffee", "mystery"]

moments = st.sampled_from([0, 20, 50, 75, 88, 95]).map(
    lambda number: pz.to_micros(small_shop.day(number))
)
lines = st.builds(
    pz.SnapshotLine,
    st.sampled_from(PRODUCTS),
    st.integers(1, 3),
    st.sampled_from([None, 0, 1]),
    st.just(pz.MISSING),
    st.none(),
    st.sampled_from([False, False, True]),
)
snapshots = st.builds(
    pz.OrderSnapshot,
    st.sampled_from(ORDERS[:3]),
    st.sampled_from([*CUSTOMERS, None]),
    moments,
    moments,
    st.none(),
    st.none(),
    st.lists(lines, min_size=1, max_size=3).map(tuple),
)
adjustments = st.builds(
    pz.Adjustment,
    st.sampled_from(ORDERS[:3]),
    st.sampled_from(["a1", "a2"]),
    moments,
    st.lists(st.tuples(st.sampled_from(PRODUCTS), st.sampled_from([-3, -1, 1])), max_size=2).map(
        tuple
    ),
)
deletions = st.tuples(st.sampled_from(ORDERS[:3]), moments)
Event = pz.OrderSnapshot | pz.Adjustment | tuple[str, int]


@pytest.fixture(scope="module")
def engine() -> pz.Engine:
    """Return an engine that learned from the small shop."""
    config = pz.EngineConfig(min_customers=1)
    return pz.Engine.fit(small_shop.orders(), small_shop.catalog(), config)


def answers(
    path: Path, events: Sequence[Event], engine: pz.Engine, moments: Sequence[int | None]
) -> list[object]:
    """Send events to a store of their own, and return every answer about its customers."""
    with pz.Store.open(f"sqlite:///{path}") as store:
        for event in events:
            if isinstance(event, pz.OrderSnapshot):
                store.put_order(event)
            elif isinstance(event, pz.Adjustment):
                store.adjust(event)
            else:
                store.delete_order(*event)
        shop = pz.Personalizer(store, engine, clock=lambda: NOW)
        found: list[object] = []
        for customer, as_of in itertools.product(CUSTOMERS, moments):
            found += shop.decide(customer, PRODUCTS, as_of)
            found += shop.suppressions(customer, as_of)
            found += shop.recommend(customer, 5, as_of, moment="order_confirmation")
        for order_id, as_of in itertools.product(ORDERS, moments):
            found += about_order(shop, order_id, as_of)
        for as_of in moments:
            found += shop.check(itertools.product(CUSTOMERS, PRODUCTS), as_of)
        return found


def about_order(shop: pz.Personalizer, order_id: str, as_of: int | None) -> Sequence[object]:
    """Return what is recommended about an order, guests' too, or that there is none."""
    try:
        return shop.recommend(k=5, as_of=as_of, order_id=order_id)
    except pz.UnknownOrderError:
        return ["unknown"]


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(st.data())
def test_arrival_changes_no_decision(
    engine: pz.Engine, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Orders, adjustments and deletions: shuffled, repeated, late, and the answers are the same."""
    events = data.draw(
        st.lists(snapshots | adjustments | deletions, min_size=1, max_size=8), label="events"
    )
    again = data.draw(st.lists(st.sampled_from(events), max_size=4), label="repeated")
    late = data.draw(st.permutations([*events, *again]), label="as sent")
    folder = tmp_path_factory.mktemp("arrival")
    once = answers(folder / "once.db", events, engine, [None, THEN])
    assert once == answers(folder / "late.db", late, engine, [None, THEN])


PAIR = pz.OrderSnapshot(
    "pair", "bob", pz.to_micros(small_shop.day(20)), pz.to_micros(small_shop.day(20)),
    lines=(pz.SnapshotLine("coffee", 2), pz.SnapshotLine("tie", 2)),
)  # fmt: skip


def adjustments_of_pair(prefix: str, days: Sequence[float]) -> st.SearchStrategy[pz.Adjustment]:
    """Return adjustments of days; ids are their own, as new content under an old id replaces it."""
    return st.builds(
        pz.Adjustment,
        st.just("pair"),
        st.sampled_from([f"{prefix}1", f"{prefix}2"]),
        st.sampled_from(days).map(lambda day: pz.to_micros(small_shop.day(day))),
        st.tuples(st.tuples(st.sampled_from(["coffee", "tie"]), st.sampled_from([-2, -1, 1]))),
    )


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(st.data())
def test_later_adjustments_change_no_decision_of_before(
    engine: pz.Engine, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What was adjusted at a moment or later, whenever it was sent, is unknown at that moment."""
    early, late = adjustments_of_pair("a", [0, 50, 59.9]), adjustments_of_pair("b", [60, 75, 95])
    before = [PAIR, *data.draw(st.lists(early | snapshots, max_size=5), label="before")]
    after = data.draw(st.lists(late, min_size=1, max_size=3), label="after")
    mixed = data.draw(st.permutations([*before, *after]), label="as sent")
    folder = tmp_path_factory.mktemp("past")
    then = answers(folder / "then.db", before, engine, [THEN])
    assert then == answers(folder / "mixed.db", mixed, engine, [THEN])
