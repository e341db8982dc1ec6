"""Returns that are rows of their own: which purchase each undoes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.orders import Orders, read_orders
from personalize.times import MISSING, to_micros


def read(*rows: Sequence[Any], **extra: Any) -> Orders:
    """Return the orders of rows (order, customer, product, day of January 2026, quantity)."""
    df = pd.DataFrame(
        {
            "order_id": [row[0] for row in rows],
            "customer_id": [row[1] for row in rows],
            "product_id": [row[2] for row in rows],
            "ordered_at": [f"2026-01-{row[3]:02d}" for row in rows],
            "quantity": [row[4] for row in rows],
        }
    ).assign(**extra)
    return Orders.from_frame(df, returns="negative_rows")


def told(orders: Orders) -> dict[str, tuple[int, int, int | None]]:
    """Return per order: units, units sent back, and the day of January they last were."""
    frame = orders.to_frame()
    days = [None if pd.isna(at) else at.day for at in frame["returned_at"]]
    return {
        order: (quantity, returned, day)
        for order, quantity, returned, day in zip(
            frame["order_id"], frame["quantity"], frame["returned_quantity"], days, strict=True
        )
    }


def test_the_latest_earlier_purchase_is_undone() -> None:
    """A return undoes the latest purchase before it, not the first, nor a later one."""
    orders = read(
        ("o1", "ann", "p", 1, 2),
        ("o2", "ann", "p", 5, 2),
        ("o3", "ann", "p", 9, 2),
        ("c1", "ann", "p", 7, -1),
    )
    assert told(orders) == {"o1": (2, 0, None), "o2": (2, 1, 7), "o3": (2, 0, None)}
    assert (orders.n_returns_matched, orders.n_returns_unmatched) == (1, 0)
    assert orders.problems == ()


def test_a_large_return_spans_purchases() -> None:
    """What one purchase cannot hold goes to the one before it; the rest is reported."""
    orders = read(("o1", "ann", "p", 1, 2), ("o2", "ann", "p", 5, 3), ("c1", "ann", "p", 7, -9))
    assert told(orders) == {"o1": (2, 2, 7), "o2": (3, 3, 7)}
    (problem,) = orders.problems
    assert problem.message == (
        "orders.quantity: 1 of 3 rows are returns with units that no earlier purchase by the "
        "customer explains (first: row 2, order c1); those units are ignored; start the history "
        "earlier, see docs/data-format.md"
    )
    assert (orders.n_returns_matched, orders.n_returns_unmatched) == (0, 1)
    assert orders.rejected is not None
    assert orders.rejected.to_frame()["quantity"].tolist() == ["-9"]


def test_several_returns_of_one_line() -> None:
    """Units of several returns add up, and the latest of them is the line's time."""
    orders = read(
        ("o1", "ann", "p", 1, 5),
        ("c1", "ann", "p", 3, -1),
        ("c2", "ann", "p", 8, -2),
        ("c3", "ann", "p", 6, -1),
    )
    assert told(orders) == {"o1": (5, 4, 8)}


def test_last_in_first_out_through_time() -> None:
    """A purchase that was undone is no longer there for the next return."""
    orders = read(
        ("o1", "ann", "p", 1, 1),
        ("o2", "ann", "p", 2, 1),
        ("c1", "ann", "p", 3, -1),  # undoes o2
        ("o3", "ann", "p", 4, 1),
        ("c2", "ann", "p", 5, -1),  # undoes o3
        ("c3", "ann", "p", 6, -1),  # undoes o1
        ("c4", "ann", "p", 7, -1),  # nothing is left
    )
    assert told(orders) == {"o1": (1, 1, 6), "o2": (1, 1, 3), "o3": (1, 1, 5)}
    assert (orders.n_returns_matched, orders.n_returns_unmatched) == (3, 1)


def test_purchases_of_the_same_moment_count() -> None:
    """Where times are days, what was bought and sent back on one day is matched."""
    orders = read(("c1", "ann", "p", 3, -1), ("o1", "ann", "p", 3, 1))
    assert told(orders) == {"o1": (1, 1, 3)}


@pytest.mark.parametrize(
    "row",
    [
        ("c1", "ben", "p", 3, -1),
        ("c1", "ann", "q", 3, -1),
        ("c1", None, "p", 3, -1),
        ("c1", "ann", "p", 1, -1),
    ],
)
def test_other_returns_match_nothing(row: Sequence[Any]) -> None:
    """Another customer's, another product's, a guest's and an earlier return change nothing."""
    orders = read(("o1", "ann", "p", 2, 1), ("o0", None, "p", 2, 1), row)
    assert told(orders) == {"o0": (1, 0, None), "o1": (1, 0, None)}
    assert orders.n_returns_unmatched == 1
    assert orders.order_ids.to_pylist() == ["o0", "o1"]


def test_a_return_that_names_its_order_undoes_that_line() -> None:
    """A negative row within an order is of that order's line, a guest's too; the rest goes on."""
    orders = read(
        ("o1", "ann", "p", 1, 3),
        ("o1", "ann", "p", 6, -1),
        ("o2", "ann", "p", 5, 3),
        ("o3", None, "p", 5, 2),
        ("o3", None, "p", 7, -3),
        ("o3", None, "p", 8, -1),
        ("o2", "ann", "p", 8, -4),
    )
    assert told(orders) == {"o1": (3, 2, 8), "o2": (3, 3, 8), "o3": (2, 2, 7)}
    assert (orders.n_returns_matched, orders.n_returns_unmatched) == (2, 2)


def test_an_order_begins_with_its_first_purchase() -> None:
    """The time of a return within an order is not the order's time."""
    orders = read(("o1", "ann", "p", 5, 3), ("o1", "ann", "q", 2, -1))
    assert orders.order_time.tolist() == [to_micros("2026-01-05")]
    assert orders.order_updated.tolist() == [to_micros("2026-01-05")]


def test_equal_returns_are_one() -> None:
    """Fully equal rows of returns are one return, as any rows are."""
    orders = read(("o1", "ann", "p", 1, 3), ("c1", "ann", "p", 2, -1), ("c1", "ann", "p", 2, -1))
    assert told(orders) == {"o1": (3, 1, 2)}
    assert [problem.rule for problem in orders.problems] == ["duplicate_row"]


def test_returns_beside_returned_quantity() -> None:
    """Units that a column says were returned cannot be returned again."""
    orders = read(
        ("o1", "ann", "p", 1, 3),
        ("c1", "ann", "p", 9, -2),
        returned_quantity=[2, 7],
        returned_at=["2026-01-05", None],
    )
    assert told(orders) == {"o1": (3, 3, 9)}
    assert orders.n_returns_unmatched == 1


def test_price_of_a_return_does_not_matter() -> None:
    """Some systems negate the price of a return too."""
    orders = read(("o1", "ann", "p", 1, 3), ("c1", "ann", "p", 9, -2), unit_price=[2.0, -2.0])
    assert told(orders) == {"o1": (3, 2, 9)}


def test_faulty_returns_are_rejected() -> None:
    """A return of a fraction, of nothing, or beyond the limit is rejected like any row."""
    orders = read(*[(f"c{n}", "a", "p", 1, q) for n, q in enumerate([-1.5, 0, -2e9, -(10**9), 1])])
    assert {problem.rule: problem.n_rows for problem in orders.problems} == {
        "quantity_not_whole": 1,
        "quantity_below_1": 1,
        "quantity_above_limit": 1,
        "return_unmatched": 1,
    }


def test_negative_rows_are_rejected_unless_asked_for() -> None:
    """By default a negative quantity is a fault, and the message says how to read it."""
    df = read(("o1", "ann", "p", 1, 1)).to_frame()
    df["quantity"] = -1
    orders = Orders.from_frame(
        df[["order_id", "customer_id", "product_id", "ordered_at", "quantity"]]
    )
    assert orders.problems[0].message == (
        "orders.quantity: 1 of 1 rows are below 1 (first: row 0, -1); put returns in "
        'returned_quantity or read with returns="negative_rows", see docs/data-format.md'
    )


rows = st.tuples(
    st.sampled_from(["ann", "ben", None]),
    st.sampled_from(["p", "q"]),
    st.integers(1, 9),
    st.sampled_from([-3, -2, -1, 1, 2, 3]),
)


def by_hand(log: list[tuple[str | None, str, int, int]]) -> tuple[dict[str, list[int]], int]:
    """Return units back and last day per order, and rows unmatched, by a plain walk."""
    events = sorted(
        (day, quantity < 0, f"{n:03d}", customer, product, quantity)
        for n, (customer, product, day, quantity) in enumerate(log)
        if customer is not None
    )
    state: dict[str, list[int]] = {}
    piles: dict[tuple[str | None, str], list[list[Any]]] = {}
    unmatched = sum(1 for customer, _, _, quantity in log if customer is None and quantity < 0)
    # Returns of one day take from the same pile: which of them is short may differ, so the
    # smaller are served first only by their order's id, as the reader does.
    for day, is_return, order, customer, product, quantity in events:
        pile = piles.setdefault((customer, product), [])
        if not is_return:
            pile.append([order, quantity])
            state[order] = [0, 0]
            continue
        units = -quantity
        while units and pile:
            taken = min(units, pile[-1][1])
            units -= taken
            pile[-1][1] -= taken
            state[pile[-1][0]] = [state[pile[-1][0]][0] + taken, day]
            if not pile[-1][1]:
                pile.pop()
        unmatched += units > 0
    return state, unmatched


@settings(max_examples=300, deadline=None)
@given(st.lists(rows, min_size=1, max_size=30))
def test_matching_equals_a_plain_walk(log: list[tuple[str | None, str, int, int]]) -> None:
    """On random logs every unit goes where a walk through time by hand puts it."""
    orders = read(*[(f"{n:03d}", *row) for n, row in enumerate(log)])
    expected, unmatched = by_hand(log)
    lines = {o: [r, d or 0] for o, (_, r, d) in told(orders).items()}
    assert {o: v for o, v in lines.items() if o in expected} == expected
    assert all(v == [0, 0] for o, v in lines.items() if o not in expected)
    assert orders.n_returns_unmatched == unmatched


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, min_size=1, max_size=30))
def test_no_unit_is_returned_twice(log: list[tuple[str | None, str, int, int]]) -> None:
    """Nothing comes back that was not bought, nor before it was."""
    orders = read(*[(f"{n}", *row) for n, row in enumerate(log)])
    assert (orders.returned_quantity <= orders.quantity).all()
    returned = orders.returned_quantity > 0
    assert ((orders.returned_at != MISSING) == returned).all()
    at = orders.order_time[orders.line_order]
    assert (orders.returned_at[returned] >= at[returned]).all()


REAL = os.environ.get("PERSONALIZE_REAL_DATA")


@pytest.mark.skipif(not REAL, reason="PERSONALIZE_REAL_DATA names no folder of real orders")
def test_a_real_year_of_orders() -> None:
    """Of a wholesaler's year, all 11,660 product returns are accounted for."""
    orders = read_orders(
        Path(str(REAL)) / "online-retail-2009-2010.parquet",
        {
            "Invoice": "order_id",
            "Customer ID": "customer_id",
            "StockCode": "product_id",
            "InvoiceDate": "ordered_at",
            "Quantity": "quantity",
            "Price": "unit_price",
        },
        timezone="Europe/London",
        returns="negative_rows",
        not_products=r"(?!\d{5}).*",
    )
    assert (orders.n_returns_matched, orders.n_returns_unmatched) == (7868, 3792)
    assert {p.rule for p in orders.problems} == {
        "duplicate_row",
        "not_a_product",
        "return_unmatched",
    }
    assert not [o for o in orders.order_ids.to_pylist() if o.startswith(("C", "A"))]
