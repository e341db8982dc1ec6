"""Whole tables of orders in and out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.orders import Orders
from personalize.store import Adjustment, ImportReport, OrderSnapshot, SnapshotLine, Store, transfer
from personalize.times import MISSING

ids = st.text(st.characters(categories=["L", "N", "S"]), min_size=1, max_size=3)


@st.composite
def random_orders(draw: Callable[..., st.SearchStrategy[object]]) -> Orders:
    """Draw some orders in their canonical form."""
    customers = sorted(draw(st.sets(ids, min_size=1, max_size=3)), key=str.encode)
    products = sorted(draw(st.sets(ids, min_size=1, max_size=4)), key=str.encode)
    order_ids = draw(st.lists(ids, unique=True, max_size=6))
    n, columns = len(order_ids), {}
    baskets = st.sets(st.integers(0, len(products) - 1), min_size=1)
    lines = [(o, p) for o in range(n) for p in sorted(draw(baskets))]
    carries = draw(st.booleans())

    def some(values: st.SearchStrategy[object], count: int) -> list[object]:
        return draw(st.lists(values, min_size=count, max_size=count))

    columns["quantity"] = np.array(some(st.integers(1, 3), len(lines)), np.int64)
    share = np.array(some(st.sampled_from([0, 0, 1]), len(lines)), np.int64)
    columns["returned_quantity"] = share * columns["quantity"] if carries else share * 0
    at = np.array(some(st.integers(0, 9), len(lines)), np.int64)
    columns["returned_at"] = np.where(columns["returned_quantity"] > 0, at, MISSING)
    words = st.none() | st.sampled_from(["EUR", "web"])
    return Orders.from_arrays(
        customer_ids=customers,
        product_ids=products,
        order_ids=order_ids,
        order_customer=some(st.integers(-1, len(customers) - 1), n),
        order_time=some(st.integers(-5, 5), n),
        order_updated=some(st.integers(0, 9), n),
        order_currency=some(words, n),
        order_channel=some(words, n),
        line_order=[o for o, _ in lines],
        line_product=[p for _, p in lines],
        gift=some(st.booleans(), len(lines)),
        unit_price=some(st.just(float("nan")) | st.floats(0, 1e6), len(lines)),
        carries_returns=carries,
        **columns,
    )


def as_snapshots(orders: Orders) -> list[OrderSnapshot]:
    """Return the orders as a caller of `put_order` would write them."""
    frame = orders.to_frame()
    updated = dict(zip(orders.order_ids.to_pylist(), orders.order_updated.tolist(), strict=True))
    placed = dict(zip(orders.order_ids.to_pylist(), orders.order_time.tolist(), strict=True))
    frame["at"] = orders.returned_at
    made = []
    for order_id, rows in frame.groupby("order_id"):
        lines = tuple(
            SnapshotLine(
                row.product_id,
                int(row.quantity),
                int(row.returned_quantity) if orders.carries_returns else None,
                int(row.at),
                float(row.unit_price),
                bool(row.gift),
            )
            for row in rows.itertuples()
        )
        customer, currency, channel = (
            None if pd.isna(value) else value
            for value in rows[["customer_id", "currency", "channel"]].iloc[0]
        )
        head = (str(order_id), customer, placed[order_id], updated[order_id], currency, channel)
        made.append(OrderSnapshot(*head, lines))
    return made


@settings(max_examples=40, deadline=None)
@given(orders=random_orders())
def test_orders_come_back_as_imported(new_store: Callable[[], Store], orders: Orders) -> None:
    """What is imported is read back equal in its canonical form, also when imported twice."""
    with new_store() as store:
        expected = ImportReport(orders.n_orders, orders.n_lines, orders.n_orders, 0)
        assert store.import_orders(orders) == expected
        assert store.import_orders(orders) == expected
        back = store.orders()
    pd.testing.assert_frame_equal(back.to_frame(), orders.to_frame())
    assert back.order_ids.equals(orders.order_ids)
    assert back.carries_returns == (orders.carries_returns and orders.n_lines > 0)


@settings(max_examples=25, deadline=None)
@given(orders=random_orders())
def test_import_is_putting_each(new_store: Callable[[], Store], orders: Orders) -> None:
    """After an import, putting every order changes nothing: all of them are the state already."""
    with new_store() as imported, new_store() as put:
        imported.import_orders(orders)
        snapshots = as_snapshots(orders)
        assert all(put.put_orders(snapshots))
        assert all(imported.put_orders(snapshots))
        assert put.import_orders(orders).stale == 0
        pd.testing.assert_frame_equal(imported.orders().to_frame(), put.orders().to_frame())


@pytest.fixture
def two_orders() -> Orders:
    """Return orders a (3 p) and b (1 p, 1 q), whose source tells no returns."""
    return Orders.from_arrays(
        customer_ids=["c", "unseen"],
        product_ids=["p", "q", "unseen"],
        order_ids=["a", "b"],
        order_customer=[0, -1],
        order_time=[1, 2],
        line_order=[0, 1, 1],
        line_product=[0, 0, 1],
        quantity=[3, 1, 1],
        carries_returns=False,
    )


def test_import_leaves_newer_orders(store: Store, two_orders: Orders) -> None:
    """An imported order that the store knows better is stale, and changes nothing."""
    store.put_order(OrderSnapshot("a", "d", 1, 5, lines=(SnapshotLine("q", 1),)))
    assert store.import_orders(two_orders) == ImportReport(2, 3, 1, 1)
    assert [line.product_id for line in store.customer_lines("d")] == ["q"]


def test_import_without_returns_leaves_them_to_adjustments(
    store: Store, two_orders: Orders
) -> None:
    """Where the source tells no returns, adjustments from before count."""
    store.adjust(Adjustment("a", "x", 0, (("p", -2),)))
    store.import_orders(two_orders)
    assert [line.returned_quantity for line in store.customer_lines("c")] == [2]
    back = store.orders()
    assert back.returned_quantity.tolist() == [2, 0, 0]
    assert back.carries_returns


def test_import_keeps_returns_that_it_has(store: Store, two_orders: Orders) -> None:
    """An order with something returned tells its returns, whatever the flag of the table says."""
    frame = {
        **vars(two_orders),
        "returned_quantity": np.array([2, 0, 0]),
        "returned_at": [4, MISSING, MISSING],
    }
    store.adjust(Adjustment("a", "x", 0, (("p", -3),)))
    store.import_orders(Orders.from_arrays(**frame))
    assert [line.returned_quantity for line in store.customer_lines("c")] == [2]


def test_unseen_ids_are_not_stored(store: Store, two_orders: Orders) -> None:
    """Only the ids that orders use come back."""
    store.import_orders(two_orders)
    back = store.orders()
    assert back.customer_ids.to_pylist() == ["c"]
    assert back.product_ids.to_pylist() == ["p", "q"]
    assert back.order_currency is None


def test_empty_store_has_empty_orders(store: Store) -> None:
    """Without orders, the table is empty and tells no returns."""
    orders = store.orders()
    assert (orders.n_orders, orders.n_lines, orders.carries_returns) == (0, 0, False)
    assert store.import_orders(orders) == ImportReport(0, 0, 0, 0)


def test_import_in_parts(store: Store, two_orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import is written in parts and tells how far it is; the parts make the whole."""
    monkeypatch.setattr(transfer, "_LINES_AT_ONCE", 1)
    monkeypatch.setattr(transfer, "_ROWS_AT_ONCE", 1)
    seen: list[tuple[int, int]] = []
    store.import_orders(two_orders, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    pd.testing.assert_frame_equal(store.orders().to_frame(), two_orders.to_frame())
