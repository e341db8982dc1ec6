"""Decisions on packed purchases are those of one product at a time; ids are found by bytes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_shop import CUSTOMERS, MOMENTS, PRODUCTS, catalogs, order_logs, policies

import personalize as pz
from personalize.id_table import SEPARATOR, IdTable, as_bytes, fill_slots, id_hash, id_numbers
from personalize.packing import pack
from personalize.purchases import PurchaseState
from personalize.suppression import CustomerScopes, packed, unowned
from personalize.times import DAY, MISSING
from personalize.view import MANY

ASKED = [*PRODUCTS, "p8", "", "p1", "ßtray", "p\x1f1"]


def view_of(whole: pz.Orders, catalog: pz.Catalog | None, policy: pz.Policy) -> Any:
    """Return the view of an engine that was fitted on some orders."""
    return pz.Engine.fit(whole, catalog).view(policy)


@settings(max_examples=40, deadline=None)
@given(order_logs(min_orders=8), catalogs(), policies, MOMENTS)
def test_many_are_decided_like_one(
    log: Any, catalog: pz.Catalog | None, policy: pz.Policy, moment: Any
) -> None:
    """To the last bit, for every customer, now and later; what is left out may be shown."""
    log["product_id"] = log["product_id"].replace({"p7": "ßtray"})
    orders = pz.Orders.from_frame(log)
    learned = orders.before(int(orders.order_time.max()))  # what was bought last is a stray
    view = view_of(learned if len(learned.order_time) else orders, catalog, policy)
    for customer_id in filter(None, CUSTOMERS):
        state = PurchaseState.from_orders(orders, customer_id)
        theirs = pack(state)
        for later in (0, 40, 400):
            when = pz.to_micros(moment) + later * DAY
            scopes = CustomerScopes(view.rules, state)
            expected = [scopes.decide(each, when) for each in ASKED]
            assert view.decide(state, ASKED, when) == expected
            found = view.touched(theirs, customer_id, ASKED, when)
            left = [row for row in expected if row not in found]
            assert left == [unowned(customer_id, row.product_id) for row in left]
            for row in expected:
                asked = [row.product_id]
                few = view.touched(theirs, customer_id, asked, when)
                assert (few or [unowned(customer_id, row.product_id)]) == [row]


LOG = [
    ("o0", "ann", "p0", 0, 1, 0),
    ("o0", "ann", "p1", 0, 2, 0),
    ("o1", "ann", "p0", 9, 3, 0),
    ("o5", "ann", "p1", 5, 1, 0),
    ("o2", "ann", "p2", 12, 1, 1),
    ("o3", "bob", "p3", 15, 1, 0),
    ("o3", "bob", "p5", 15, 1, 0),
    ("o4", "cid", "p4", 20, 1, 0),
]


@pytest.mark.parametrize("rule", ["", "purchased_variant", "returned"])
def test_compiled_is_plain(rule: str) -> None:
    """Both forms of the loop write the same, whichever rule is off."""
    columns = ["order_id", "customer_id", "product_id", "day", "quantity", "returned_quantity"]
    log = pd.DataFrame(LOG, columns=columns)
    log["ordered_at"] = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(log["day"], "D")
    log["returned_at"] = log["ordered_at"].where(log["returned_quantity"] > 0)
    orders = pz.Orders.from_frame(log.drop(columns="day"))
    rows = [pz.Product(f"p{n}", item_group_id=f"g{n % 3}", product_type="A") for n in range(5)]
    catalog = pz.Catalog.from_products(rows)
    one_per_need = {"A": pz.TypeRule(one_per_need=True)}
    policy = pz.Policy(rules={rule: False} if rule else {}, types=one_per_need)
    view = view_of(orders, catalog, policy)
    asked = as_bytes(SEPARATOR.join(ASKED[:-1]))
    n_touched = 0
    moments = [pz.to_micros(day) for day in ("2026-01-25", "2026-03-10")]
    for customer_id, when in itertools.product(("ann", "bob", "cid", "dot"), moments):
        theirs = pack(PurchaseState.from_orders(orders, customer_id))
        written = []
        for loop in (packed.decide_packed, packed.decide_packed.py):
            found, chances = np.zeros((len(ASKED), 5), np.int64), np.zeros(len(ASKED))
            numbers, products = np.frombuffer(theirs.numbers, np.int32), as_bytes(theirs.joined)
            tables = view.packed_rules._tables
            n = loop(found, chances, asked, products, numbers, when, *tables)
            written.append((n, found.tolist(), np.nan_to_num(chances).tolist()))
        assert written[0] == written[1]
        n_touched += written[0][0]
    assert n_touched > len(PRODUCTS)


def test_many_units_and_moments() -> None:
    """Units beyond 32 bits, several purchases of a product, some of them at one moment."""
    log = [
        pz.OrderLine("p0", 5 * DAY, 3_000_000_000, 0, MISSING, False, "o1"),
        pz.OrderLine("p1", 5 * DAY, 2, 0, MISSING, False, "o2"),
        pz.OrderLine("p1", 9 * DAY, 3, 0, MISSING, False, "o3"),
        pz.OrderLine("p2", 7 * DAY, 1, 1, 8 * DAY, False, "o4"),
    ]
    state = PurchaseState.from_lines("c", log)
    numbers = np.frombuffer(pack(state).numbers, np.int32)
    targets = np.array([[0, 1, 2], [7, 7, -1], [-1, -1, -1]])
    room = np.zeros(2, np.int64), np.zeros(2, np.bool_)
    found = [
        packed.summary_of(numbers, targets, level, target, *room)
        for level, target in ((0, 0), (0, 1), (1, 7), (2, 3))
    ]
    assert found == [
        (1, 5 * DAY, 5 * DAY, 3_000_000_000, 3_000_000_000),
        (2, 5 * DAY, 9 * DAY, 3, 5),
        (2, 5 * DAY, 9 * DAY, 3, 3_000_000_005),
        (0, MISSING, MISSING, 0, 0),
    ]
    assert not room[0].any()
    assert not room[1].any()


texts = st.text(st.characters(exclude_characters=SEPARATOR), max_size=6)


@given(st.lists(texts, unique=True, max_size=40), st.lists(texts, min_size=1, max_size=5))
def test_ids_are_found_by_number(ids: list[str], others: list[str]) -> None:
    """Each has its place; what is not there has none."""
    table = IdTable.of(ids)
    plain = np.full_like(table.slots, -1)
    fill_slots.py(table.ids, table.starts, plain)
    assert plain.tolist() == table.slots.tolist()
    asked = [*others, *ids]
    begins, _, nums = id_numbers(as_bytes(SEPARATOR.join(asked)), len(asked), *table)
    assert nums.tolist() == [ids.index(each) if each in ids else -1 for each in asked]
    assert np.diff(begins).tolist() == [len(as_bytes(each)) + 1 for each in asked]


def test_ids_of_one_hash_are_told_apart() -> None:
    """Two ids that hash alike are two."""
    asked = ["costarring", "liquid", "c"]
    first, second = (id_hash(as_bytes(each), 0, len(each)) for each in asked[:2])
    assert first == second
    for ids in (["costarring", "a", "liquid"], ["liquid", "b"], ["c"]):
        found = id_numbers(as_bytes(SEPARATOR.join(asked)), 3, *IdTable.of(ids))[2]
        assert found.tolist() == [ids.index(each) if each in ids else -1 for each in asked]


@pytest.mark.parametrize("n", [1, MANY - 1, MANY, 150])
def test_the_same_product_many_times(n: int) -> None:
    """One answer for each time that it is asked about."""
    log = [pz.OrderLine("p0", 5 * DAY, 1, 0, MISSING, False, "o1")]
    frame = {
        "order_id": ["o1", "o2"], "customer_id": ["c", "d"], "product_id": ["p0", "p1"],
        "ordered_at": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], "quantity": 1,
    }  # fmt: skip
    view = view_of(pz.Orders.from_frame(pd.DataFrame(frame)), None, pz.Policy())
    state = PurchaseState.from_lines("c", log)
    found = view.touched(pack(state), "c", ["p0"] * n, 6 * DAY)
    assert found == view.decide(state, ["p0"], 6 * DAY) * n
    assert found[0].suppress
