"""What customers own: by hand on the small shop, one against many on random logs."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_shop import CUSTOMERS, MOMENTS, order_logs
from small_shop import START, day, orders

import personalize as pz
from personalize.purchases import (
    Occasion,
    OrderLine,
    Owned,
    OwnedTable,
    Purchases,
    PurchaseState,
    find_rows,
    owned_of,
)
from personalize.times import DAY, MISSING, to_micros

ZERO = to_micros(START)
KNOWN = [customer for customer in CUSTOMERS if customer is not None]


def at(number: float) -> int:
    """Return the microseconds of a day of the small shop."""
    return ZERO + round(number * DAY)


def line(product: str, number: float, **changes: Any) -> OrderLine:
    """Return one unit of a product, bought on a day, kept."""
    values = {"quantity": 1, "returned_quantity": 0, "returned_at": MISSING, "gift": False}
    values |= {"order_id": f"o{number}", "product_id": product, "ordered_at": at(number)}
    return OrderLine(**(values | changes))


def state_of(*lines: OrderLine, as_of: float | None = None) -> PurchaseState:
    """Return a customer's state after these lines."""
    return PurchaseState.from_lines("ann", lines, None if as_of is None else at(as_of))


# --- one customer ---


def test_ann_by_hand() -> None:
    """Coffee three times, thirty days apart: first, last and units are as in the log."""
    state = PurchaseState.from_orders(orders(), "ann")
    assert state.owned == {
        "coat-navy-50": Owned(1, at(0), at(0), 1, 1),
        "trousers-50": Owned(1, at(0), at(0), 1, 1),
        "coffee": Owned(3, at(10), at(70), 1, 3),
        "mystery": Owned(1, at(80), at(80), 1, 1),
    }
    # Days 0, 10, 40, 70 and 80: the coat and its trousers are one order.
    assert (state.n_orders, state.first_order_at, state.last_order_at) == (5, at(0), at(80))
    # Of six purchases three are coffee, the one product bought more than once.
    assert (state.n_purchases, state.n_repeated) == (6, 1)
    assert state.newest_order == ("mystery",)
    assert state.returned == {}


def test_partly_returned_is_owned() -> None:
    """Cid keeps two of three pairs of socks; before the return he had three."""
    assert PurchaseState.from_orders(orders(), "cid").owned["socks"] == Owned(
        1, at(60), at(60), 2, 2
    )
    before = PurchaseState.from_orders(orders(), "cid", day(65))
    assert before.owned["socks"].last_quantity == 3


def test_wholly_returned_is_not_owned() -> None:
    """Dot's tie is hers until it goes back; then it is what she sent back."""
    assert PurchaseState.from_orders(orders(), "dot", day(35)).owned == {
        "tie": Owned(1, at(30), at(30), 1, 1)
    }
    after = PurchaseState.from_orders(orders(), "dot")
    assert (after.owned, after.returned, after.newest_order) == ({}, {"tie": at(35)}, ())
    assert (after.n_orders, after.first_order_at, after.last_order_at) == (0, MISSING, MISSING)


def test_gifts_are_not_owned() -> None:
    """Eve gave the tie away: neither owned, nor returned, nor what her newest order is about."""
    state = PurchaseState.from_orders(orders(), "eve")
    assert sorted(state.owned) == ["socks"]
    assert (state.returned, state.newest_order) == ({}, ("socks",))


def test_a_gift_that_comes_back_was_never_owned() -> None:
    """The receiver sends the gift back: nothing the buyer would not want to see again."""
    assert (
        state_of(line("tie", 1, gift=True, returned_quantity=1, returned_at=at(2))).returned == {}
    )


@pytest.mark.parametrize("as_of", [None, day(90)])
def test_unknown_customers_own_nothing(as_of: dt.datetime | None) -> None:
    """Of a customer without orders nothing is known, however one asks."""
    state = PurchaseState.from_orders(orders(), "nobody", as_of)
    assert state.owned == PurchaseState.unknown("nobody").owned == {}
    assert (state.n_orders, state.last_order_at, state.newest_order) == (0, MISSING, ())


@pytest.mark.parametrize("as_of", ["soon", 3])
def test_as_of_is_a_moment(as_of: Any) -> None:
    """What is no moment is refused."""
    with pytest.raises(pz.InvalidConfigError, match="is no moment"):
        PurchaseState.from_orders(orders(), "ann", as_of)


def test_as_of_is_exclusive() -> None:
    """An order at the very moment of the question has not happened; a microsecond later it has."""
    assert "mystery" not in PurchaseState.from_orders(orders(), "ann", day(80)).owned
    just_after = day(80) + dt.timedelta(microseconds=1)
    assert "mystery" in PurchaseState.from_orders(orders(), "ann", just_after).owned


def test_a_return_at_the_moment_of_the_question_has_not_happened() -> None:
    """Returns are cut at the same moment as orders."""
    bought = line("tie", 1, returned_quantity=1, returned_at=at(5))
    assert state_of(bought, as_of=5).returned == {}
    assert state_of(bought, as_of=5.1).returned == {"tie": at(5)}


def test_a_return_without_time_has_happened() -> None:
    """Where nobody knows when, it went back, and is kept away from no moment on."""
    bought = line("tie", 1, returned_quantity=1, returned_at=MISSING)
    assert (state_of(bought, as_of=2).owned, state_of(bought).returned) == ({}, {"tie": MISSING})


def test_bought_again_after_a_return_is_owned() -> None:
    """Who sends one back and keeps another owns it: it is not sent back for good."""
    state = state_of(line("tie", 1, returned_quantity=1, returned_at=at(9)), line("tie", 3))
    assert (state.owned["tie"], state.returned) == (Owned(1, at(3), at(3), 1, 1), {})


def test_the_last_return_counts() -> None:
    """Sent back twice, the later one counts, in whatever order they are told."""
    lines = [
        line("tie", 1, returned_quantity=1, returned_at=at(9)),
        line("tie", 3, returned_quantity=1, returned_at=at(4)),
    ]
    assert state_of(*lines).returned == state_of(*reversed(lines)).returned == {"tie": at(9)}


def test_purchases_of_one_moment_are_one_occasion() -> None:
    """Two orders at one moment are one purchase of their units together."""
    state = state_of(
        line("tie", 1, quantity=2, order_id="x"),
        line("tie", 1, quantity=3, order_id="y"),
        line("tie", 2),
    )
    assert state.owned["tie"] == Owned(2, at(1), at(2), 1, 6)
    assert state.n_orders == 2
    assert owned_of({5: 1, 3: 2}) == Owned(2, 3, 5, 1, 3)


def test_the_newest_order_of_one_moment_is_the_larger_id() -> None:
    """Of two orders at one moment the larger id is the newest; ties of time are broken by id."""
    lines = [line("b", 1, order_id="y"), line("a", 1, order_id="y"), line("c", 1, order_id="x")]
    assert state_of(*lines).newest_order == state_of(*reversed(lines)).newest_order == ("a", "b")


def test_a_newest_order_of_gifts_is_about_nothing() -> None:
    """The newest order is the newest, though all of it is given away or sent back."""
    state = state_of(line("a", 1), line("b", 2, gift=True))
    assert (state.newest_order, state.last_order_at) == ((), at(1))


# --- many customers ---


def test_many_by_hand() -> None:
    """The arrays of the small shop hold its kept lines and its one return; guests have none."""
    bought = Purchases.from_orders(orders())
    # 22 lines: 4 of guests, 1 gift and 1 wholly returned are not owned.
    assert len(bought.customer) == 16
    assert [bought.customer_ids[code].as_py() for code in bought.returned_customer] == ["dot"]
    assert bought.returned_at.tolist() == [at(35)]
    whole = bought.orders_of.owned()
    assert bought.customer_ids.take(whole.customer).to_pylist() == ["ann", "bob", "cid", "eve"]
    assert whole.n_orders.tolist() == [5, 3, 2, 1]
    # ann: 2 + 1 + 1 + 1 + 1; bob: 1 + 1 + 2 + 1 + 2; cid: 3 + 2 socks; eve: 3 socks.
    assert whole.total_quantity.tolist() == [6, 7, 5, 3]
    assert bought.codes(["eve", "nobody", "ann"]).tolist() == [4, -1, 0]


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return an int64 array."""
    return np.array(values, dtype=np.int64)


def test_occasions_are_sorted_and_summed() -> None:
    """Rows of one customer, target and moment are one; unknown customers and targets are none."""
    found = Occasion.from_lines(
        ints(1, 0, 1, -1, 0, 1), ints(1, 1, 1, 0, -1, 0), ints(5, 3, 5, 1, 1, 9),
        ints(2, 1, 4, 1, 1, 1), 2,
    )  # fmt: skip
    assert (found.customer.tolist(), found.target.tolist()) == ([0, 1, 1], [1, 0, 1])
    assert (found.at.tolist(), found.quantity.tolist()) == ([3, 9, 5], [1, 1, 6])
    assert (found.is_first.tolist(), found.is_last.tolist()) == ([True] * 3, [True] * 3)


def test_occasions_of_nothing() -> None:
    """Nothing bought is an empty table, in which nothing is found."""
    nothing = Occasion.from_lines(ints(), ints(), ints(), ints(), 3)
    assert (nothing.is_first.tolist(), nothing.is_last.tolist()) == ([], [])
    assert len(nothing.owned()) == 0
    assert nothing.owned().find(ints(0, -1), ints(0, 2)).tolist() == [-1, -1]


@pytest.fixture
def table() -> OwnedTable:
    """What two customers own of three targets."""
    return Occasion.from_lines(
        ints(0, 0, 0, 1), ints(0, 0, 2, 1), ints(10, 20, 5, 7), ints(1, 2, 3, 4), 3
    ).owned()


def test_owned_by_hand(table: OwnedTable) -> None:
    """Each row sums one customer's purchases of one target."""
    assert (table.customer.tolist(), table.target.tolist()) == ([0, 0, 1], [0, 2, 1])
    assert (table.n_orders.tolist(), table.first_at.tolist()) == ([2, 1, 1], [10, 5, 7])
    assert (table.last_at.tolist(), table.last_quantity.tolist()) == ([20, 5, 7], [2, 3, 4])
    assert table.total_quantity.tolist() == [3, 3, 4]


def test_rows_are_found(table: OwnedTable) -> None:
    """A pair that is owned is found; no other, and nothing unknown, though its key be near."""
    customer, target = ints(0, 0, 0, 1, 1, -1, 1, 9), ints(0, 1, 2, 1, -1, 2, 2, 0)
    assert table.find(customer, target).tolist() == [0, -1, 1, 2, -1, -1, -1, -1]


def test_compiled_finding_is_plain(table: OwnedTable) -> None:
    """The interpreter finds the rows that the compiled loop does."""
    customer, target = ints(0, 0, 0, 1, 1, -1, 1, 9), ints(0, 1, 2, 1, -1, 2, 2, 0)
    rows = np.empty(8, dtype=np.int64)
    find_rows.py(table.starts, table.target, customer, target, rows)
    assert rows.tolist() == table.find(customer, target).tolist()


def test_only_the_rows_asked_for() -> None:
    """Some rows of what is owned are those rows of all of it."""
    bought = Occasion.from_lines(
        ints(0, 0, 0, 1), ints(0, 0, 2, 1), ints(10, 20, 5, 7), ints(1, 2, 3, 4), 3
    )
    assert bought.n_owned == len(bought.owned()) == 3
    some, part = bought.owned(ints(0, 2)), bought.owned().take(ints(0, 2))
    for name in ("customer", "target", "n_orders", "first_at", "last_at", "total_quantity"):
        assert getattr(some, name).tolist() == getattr(part, name).tolist()


def test_rows_are_taken(table: OwnedTable) -> None:
    """A part of a table is a table."""
    part = table.take(ints(1, 2))
    assert (part.target.tolist(), part.last_quantity.tolist(), part.n_targets) == (
        [2, 1],
        [3, 4],
        3,
    )


# --- random logs ---


def naive_owned(log: pd.DataFrame, customer: str, as_of: dt.datetime) -> dict[str, Owned]:
    """Return what a customer owns by a plain reading of the rules."""
    found: dict[str, dict[int, int]] = {}
    for row in log.itertuples():
        if row.customer_id != customer or row.gift or row.ordered_at >= as_of:
            continue
        back = row.returned_quantity if row.returned_at < as_of else 0  # NaT is never before
        if back < row.quantity:
            times = found.setdefault(row.product_id, {})
            when = to_micros(row.ordered_at)
            times[when] = times.get(when, 0) + row.quantity - back
    return {
        product: Owned(len(times), min(times), max(times), times[max(times)], sum(times.values()))
        for product, times in found.items()
    }


@settings(deadline=None, max_examples=40)
@given(log=order_logs(), as_of=MOMENTS)
def test_one_customer_is_one_of_many(log: pd.DataFrame, as_of: dt.datetime) -> None:
    """A state and the arrays say the same, and what a plain reading of the log says."""
    whole = pz.Orders.from_frame(log)
    cut = Purchases.from_orders(whole.before(as_of))
    n = len(whole.product_ids)
    owned = Occasion.from_lines(cut.customer, cut.product, cut.at, cut.quantity, n).owned()
    ids = whole.product_ids.to_pylist()
    for customer, code in zip(KNOWN, cut.codes(KNOWN).tolist(), strict=True):
        state = PurchaseState.from_orders(whole, customer, as_of)
        assert state.owned == naive_owned(log, customer, as_of)
        rows = np.flatnonzero(owned.customer == code)
        assert state.owned == {
            ids[owned.target[row]]: Owned(
                *(int(getattr(owned, name)[row]) for name in Owned._fields)
            )
            for row in rows
        }
        back = np.flatnonzero(cut.returned_customer == code)
        sent = {}
        for row in back:
            product = ids[cut.returned_product[row]]
            sent[product] = max(int(cut.returned_at[row]), sent.get(product, MISSING))
        assert state.returned == {p: t for p, t in sent.items() if p not in state.owned}
        times = [mine.n_orders for mine in state.owned.values()]
        assert state.n_purchases == sum(times)
        assert state.n_repeated == sum(n > 1 for n in times)
        assert list(state.order_times) == cut.orders_of.at[cut.orders_of.customer == code].tolist()
        orders = cut.orders_of.owned()
        facts = (orders.n_orders, orders.first_at, orders.last_at)
        mine = orders.customer == code
        assert [array[mine].tolist() for array in facts] == [
            [fact] if state.owned else []
            for fact in (state.n_orders, state.first_order_at, state.last_order_at)
        ]


@settings(deadline=None, max_examples=25)
@given(log=order_logs(), as_of=MOMENTS, seed=st.integers(0, 99))
def test_neither_order_of_lines_nor_the_future_matters(
    log: pd.DataFrame, as_of: dt.datetime, seed: int
) -> None:
    """Lines in any order, and with or without what comes later, make one state."""
    whole = pz.Orders.from_frame(log)
    past = whole.before(as_of)
    shuffled = pz.Orders.from_frame(log.sample(frac=1, random_state=seed))
    for customer in KNOWN:
        state = PurchaseState.from_orders(whole, customer, as_of)
        for other in (
            PurchaseState.from_orders(past, customer, as_of),
            PurchaseState.from_orders(past, customer),
            PurchaseState.from_orders(shuffled, customer, as_of),
        ):
            assert vars(other) == vars(state) | {"owned": other.owned}
            assert other.owned == state.owned
        lines = [
            OrderLine(
                row.product_id,
                to_micros(row.ordered_at),
                row.quantity,
                row.returned_quantity,
                MISSING if pd.isna(row.returned_at) else to_micros(row.returned_at),
                row.gift,
                row.order_id,
            )
            for row in log.itertuples()
            if row.customer_id == customer
        ]
        random.Random(seed).shuffle(lines)
        told = PurchaseState.from_lines(customer, lines, to_micros(as_of))
        assert (told.owned, told.returned) == (state.owned, state.returned)
        assert told.newest_order == state.newest_order
