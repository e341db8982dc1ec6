"""Orders going into the store, and what it then holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.errors import InvalidOrdersError
from personalize.purchases import OrderLine, PurchaseState
from personalize.store import (
    Adjustment,
    OrderSnapshot,
    SnapshotLine,
    Store,
    StoredLine,
    StoredOrder,
)
from personalize.store.driver import Access
from personalize.store.state import (
    adjustment_version,
    canonical_adjustment,
    canonical_snapshot,
    effective_lines,
    snapshot_version,
)
from personalize.times import MISSING

COAT = SnapshotLine("coat", 2, unit_price=99.5)
TIE = SnapshotLine("tie", 1, gift=True)


def order(
    *lines: SnapshotLine, order_id: str = "o", customer: str | None = "c", updated_at: int = 10
) -> OrderSnapshot:
    """Return an order placed at 1."""
    return OrderSnapshot(order_id, customer, 1, updated_at, "EUR", "web", lines)


def owned(store: Store, customer: str = "c") -> list[tuple[str, int, int]]:
    """Return product, quantity and what was returned of a customer's lines."""
    lines = store.customer_lines(customer)
    return [(line.product_id, line.quantity, line.returned_quantity) for line in lines]


def test_order_comes_back_as_it_was_put(store: Store) -> None:
    """An order is read back whole, its lines by product, with plain types."""
    assert store.put_order(order(TIE, COAT))
    found = store.order("o")
    assert found == StoredOrder(
        "o",
        "c",
        1,
        10,
        "EUR",
        "web",
        (
            StoredLine("coat", 2, 0, MISSING, 99.5, False),
            StoredLine("tie", 1, 0, MISSING, None, True),
        ),
    )
    assert found.lines[1].gift is True


def test_customer_lines_are_sorted(store: Store) -> None:
    """A customer's lines come by time, order and product (UTF-8 bytes), with plain types."""
    for order_id, at in (("b", 5), ("a", 5), ("z", 1)):
        snapshot = OrderSnapshot(
            order_id, "c", at, 9, lines=(SnapshotLine("ö", 1), SnapshotLine("p", 2, 1, 7))
        )
        store.put_order(snapshot)
    lines = store.customer_lines("c")
    assert [line.order_id + line.product_id for line in lines] == [
        "zp",
        "zö",
        "ap",
        "aö",
        "bp",
        "bö",
    ]
    assert lines[0] == OrderLine("p", 1, 2, 1, 7, False, "z")
    assert lines[1] == OrderLine("ö", 1, 1, 0, MISSING, False, "z")
    assert not lines[0].gift


def states(store: Store, *customers: str) -> list[PurchaseState]:
    """Return what customers own, as it is packed."""
    found = store.purchase_states(customers)
    assert found == {each: store.purchase_state(each) for each in customers}
    return [found[each].unpacked(each) for each in customers]


def test_what_a_customer_owns_is_in_one_row(store: Store) -> None:
    """It is what their lines give: gifts are left out, what was sent back stands by itself."""
    store.put_order(order(TIE, COAT._replace(returned_quantity=2)))
    store.put_order(order(COAT, order_id="o2", customer=None))
    (state,) = states(store, "c")
    assert (dict(state.occasions), state.returned) == ({}, {"coat": 1})
    store.put_order(order(COAT, order_id="o3")._replace(ordered_at=7))
    (state,) = states(store, "c")
    assert (dict(state.occasions), state.returned) == ({"coat": {7: 2}}, {})
    assert store.purchase_state("c").holds_from == 2
    for nobody in ("nobody", ""):
        (state,) = states(store, nobody)
        assert (dict(state.occasions), state.returned, state.order_times) == ({}, {}, ())


def test_row_ends_with_the_last_order(store: Store) -> None:
    """Whose only order is deleted, or turns out to be another's, has no row any more."""
    store.put_orders([order(COAT), order(COAT, order_id="o2")])
    store.put_order(order(COAT, customer="d", updated_at=11))
    assert store.customers() == ["c", "d"]
    assert store.purchase_state("c").products == ["coat"]
    store.delete_order("o2", 12)
    assert store.purchase_state("c").products == []
    assert store.customers() == ["d"]
    assert store.check() == []


def test_writers_of_one_customer_lose_nothing(store: Store) -> None:
    """Orders of one customer that are put and deleted at once all count."""

    def work(name: str) -> None:
        for n in range(10):
            kept = SnapshotLine(f"{name}{n}", 1)
            store.put_order(order(kept, order_id=f"{name}{n}", updated_at=1))
            if n % 2:
                store.delete_order(f"{name}{n}", 2)
                store.put_order(order(COAT, order_id=f"{name}x", updated_at=n))
                store.delete_order(f"{name}x", n + 1)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, name) for name in "abcd"]:
            done.result()
    assert store.check() == []
    assert len(store.purchase_state("c").products) == 20


def test_writers_of_a_customer_who_comes_and_goes(store: Store) -> None:
    """A row that one writer deletes while another waits for it is made anew."""

    def work(name: str) -> None:
        for n in range(20):
            store.put_order(order(COAT, order_id=name, updated_at=2 * n))
            store.delete_order(name, 2 * n + 1)

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(work, name) for name in "abc"]:
            done.result()
    assert store.customers() == store.check() == []


def test_check_names_whose_row_differs(store: Store) -> None:
    """Rows that are missing, left over or wrong are named, and nobody else's."""
    for name in "abcdef":
        store.put_order(order(COAT, order_id=name, customer=name))
    assert store.check() == []
    with store._database.transaction(Access.WRITE) as connection:
        for sql in (
            "DELETE FROM purchase_states WHERE customer_id IN ('a', 'd')",
            "DELETE FROM order_lines WHERE customer_id IN ('b', 'f')",
            "UPDATE purchase_states SET products = 'tie' WHERE customer_id = 'c'",
        ):
            connection.exec_driver_sql(sql)
    assert store.check() == ["a", "b", "c", "d", "f"]


def test_unknown_ones_have_nothing(store: Store) -> None:
    """An unknown customer has no lines, an unknown order is None; nobody is called ''."""
    store.put_order(order(COAT, customer=None))
    assert store.customer_lines("nobody") == store.customer_lines("") == []
    assert store.lines_of_customers(["nobody", ""]) == {"nobody": [], "": []}
    assert store.order("none") is None


def test_guest_orders_are_kept(store: Store) -> None:
    """An order without a customer is stored and read like any other."""
    store.put_order(order(COAT, customer=None))
    found = store.order("o")
    assert found is not None
    assert found.customer_id is None
    assert [line.product_id for line in found.lines] == ["coat"]


def test_newer_snapshot_replaces(store: Store) -> None:
    """A newer snapshot replaces all of the order: products that it lacks are gone."""
    assert store.put_order(order(COAT))
    assert store.put_order(order(TIE, updated_at=11))
    assert owned(store) == [("tie", 1, 0)]


def test_older_snapshot_is_left_out(store: Store) -> None:
    """A snapshot older than what is stored changes nothing and says so."""
    store.put_order(order(COAT))
    assert not store.put_order(order(TIE, updated_at=9))
    assert owned(store) == [("coat", 2, 0)]


def test_the_same_again_is_applied(store: Store) -> None:
    """A repeated snapshot is the order's state: a sender that retries hears the same answer."""
    assert store.put_order(order(COAT, TIE))
    assert store.put_order(order(TIE, COAT))


def test_equal_times_are_settled_by_content(store: Store) -> None:
    """Of two snapshots of one time the larger hash stays, whichever came first."""
    small, large = sorted((order(COAT), order(TIE)), key=snapshot_version)
    assert store.put_orders([small, large, small, large]) == [True, True, False, True]


def test_order_that_moves_takes_its_lines_along(store: Store) -> None:
    """A newer snapshot with another customer or time leaves nothing with the old one."""
    store.put_order(order(COAT, customer=None))
    store.put_order(order(COAT, customer="d", updated_at=11))
    store.put_order(order(COAT, customer="c", updated_at=12)._replace(ordered_at=2))
    assert owned(store, "d") == []
    assert [line.ordered_at for line in store.customer_lines("c")] == [2]
    assert store.orders().n_lines == 1


def test_deleted_order_is_gone(store: Store) -> None:
    """A deleted order is nowhere; an older snapshot that comes later does not bring it back."""
    store.put_order(order(COAT))
    assert store.delete_order("o", 11)
    assert store.order("o") is None
    assert owned(store) == []
    assert store.orders().n_orders == 0
    assert store.customers() == []
    assert not store.put_order(order(COAT))


def test_order_may_come_back_after_deletion(store: Store) -> None:
    """A snapshot newer than the deletion is the order again, its adjustments included."""
    store.put_order(order(COAT))
    store.adjust(Adjustment("o", "a", 5, (("coat", -1),)))
    store.delete_order("o", 11)
    assert store.put_order(order(COAT, updated_at=12))
    assert owned(store) == [("coat", 2, 1)]


def test_deletion_before_the_order(store: Store) -> None:
    """A deletion may arrive before its order, and is applied; an older deletion is not."""
    assert store.delete_order("o", 11)
    assert not store.put_order(order(COAT))
    store.put_order(order(COAT, updated_at=12))
    assert not store.delete_order("o", 11)


def test_adjustment_changes_the_order(store: Store) -> None:
    """An adjustment is seen in the order and in its customer's lines."""
    store.put_order(order(COAT, TIE))
    assert store.adjust(Adjustment("o", "a", 5, (("coat", -1),)))
    assert owned(store) == [("coat", 2, 1), ("tie", 1, 0)]
    found = store.order("o")
    assert found is not None
    assert found.lines[0].returned_at == 5


def test_adjustment_waits_for_its_order(store: Store) -> None:
    """An adjustment that comes first counts once the order does."""
    assert store.adjust(Adjustment("o", "a", 5, (("coat", -1),)))
    store.put_order(order(COAT, customer=None))
    found = store.order("o")
    assert found is not None
    assert found.lines[0].returned_quantity == 1


def test_adjustment_counts_once(store: Store) -> None:
    """The same adjustment again changes nothing and is applied."""
    store.put_order(order(COAT))
    once = Adjustment("o", "a", 5, (("coat", -1),))
    assert store.adjust(once)
    assert store.adjust(once)
    assert owned(store) == [("coat", 2, 1)]


def test_later_content_of_an_adjustment_counts(store: Store) -> None:
    """Of two contents under one id the later counts, whichever came first."""
    store.put_order(order(COAT))
    early, late = (Adjustment("o", "a", at, (("coat", -units),)) for at, units in ((5, 1), (6, 2)))
    assert store.adjust(late)
    assert not store.adjust(early)
    assert owned(store) == [("coat", 2, 2)]
    store.put_order(order(COAT, order_id="o2", customer="d"))
    for each in (early, late):
        assert store.adjust(each._replace(order_id="o2"))
    assert owned(store, "d") == [("coat", 2, 2)]


def test_adjustments_outlive_a_snapshot_that_told_returns(store: Store) -> None:
    """A newer snapshot that tells no returns brings back the adjustments one had superseded."""
    store.adjust(Adjustment("o", "a", 5, (("coat", -1),)))
    store.put_order(order(COAT._replace(returned_quantity=0)))
    assert owned(store) == [("coat", 2, 0)]
    store.put_order(order(COAT, updated_at=11))
    assert owned(store) == [("coat", 2, 1)]


PAST = [
    ([(5, -2), (8, 1)], 6, (2, 5)),  # one taken back later
    ([(5, -1), (20, -1)], 10, (1, 5)),  # another returned later
    ([(5, -1), (20, -1)], 5, (0, MISSING)),  # what happens at the moment has not happened
    ([(5, -1), (20, -1)], 21, (2, 20)),
    ([(5, -1), (20, -1)], -(10**30), (0, MISSING)),
    ([(5, -1), (20, -1)], 10**30, (2, 20)),
]


@pytest.mark.parametrize(("changes", "as_of", "returned"), PAST)
@pytest.mark.parametrize("customer", ["c", None])
def test_later_adjustments_have_not_happened(
    store: Store,
    changes: list[tuple[int, int]],
    as_of: int,
    returned: tuple[int, int],
    customer: str | None,
) -> None:
    """With `as_of` only adjustments before it count; other lines and orders are as they stand."""
    store.put_order(order(COAT, TIE, customer=customer))
    store.put_order(order(TIE, order_id="p", customer="d"))
    store.adjust(Adjustment("p", "late", 30, (("tie", -1),)))
    now = store.lines_of_customers(["c", "d"])
    for at, units in changes:
        store.adjust(Adjustment("o", f"at {at}", at, (("coat", units),)))
    found = store.order("o", as_of)
    assert found is not None
    assert [line[2:4] for line in found.lines] == [returned, (0, MISSING)]
    lines = store.customer_lines("c", as_of)
    assert [line[3:5] for line in lines] == [line[2:4] for line in found.lines if customer]
    assert store.lines_of_customers(["c", "d"], as_of)["c"] == lines
    tie = store.customer_lines("d", as_of)[0]
    assert tie == now["d"][0]._replace(
        returned_quantity=int(as_of > 30), returned_at=30 if as_of > 30 else MISSING
    )
    assert store.lines_of_customers(["", "nobody"], as_of) == {"": [], "nobody": []}


def test_moment_after_a_snapshot_that_told_returns(store: Store) -> None:
    """What a snapshot told stands at every moment; later adjustments count from theirs on."""
    store.put_order(order(COAT._replace(returned_quantity=1, returned_at=4)))
    for at in (5, 12, 15):
        store.adjust(Adjustment("o", f"at {at}", at, (("coat", 1 if at == 12 else -1),)))
    found = {at: store.customer_lines("c", at)[0][3:5] for at in (6, 12, 13, 16)}
    assert found == {6: (1, 4), 12: (1, 4), 13: (0, MISSING), 16: (1, 15)}


def test_batch_is_one_after_the_other(store: Store) -> None:
    """A batch answers for each as if it had been put alone, in its order."""
    given = [order(COAT), order(TIE, updated_at=9), order(TIE, updated_at=11), order(COAT)]
    assert store.put_orders(given) == [True, False, True, False]
    assert owned(store) == [("tie", 1, 0)]
    assert store.put_orders([]) == []


def test_batch_is_all_or_nothing(store: Store) -> None:
    """One bad order in a batch: nothing of it is stored."""
    with pytest.raises(InvalidOrdersError, match="order '': order_id is ''"):
        store.put_orders([order(COAT), order(COAT, order_id="")])
    assert store.order("o") is None


def test_large_batch(store: Store) -> None:
    """More orders than one statement asks for are all found again."""
    given = [order(COAT, order_id=f"o{n}", customer=f"c{n}") for n in range(1201)]
    assert all(store.put_orders(given))
    assert all(store.put_orders(given))
    ids = [f"c{n}" for n in range(1201)]
    assert all(len(lines) == 1 for lines in store.lines_of_customers(ids).values())


def test_customers_come_in_pages(store: Store) -> None:
    """Customers with orders are listed sorted, from behind the last one seen on."""
    for customer in ("b", "a", None, "ö", "c"):
        store.put_order(order(COAT, order_id=f"of {customer}", customer=customer))
    assert store.customers(limit=2) == ["a", "b"]
    assert store.customers("b", 5) == ["c", "ö"]


def test_many_customers_as_one(store: Store) -> None:
    """The lines of many customers are those of each."""
    for n in range(6):
        store.put_order(order(COAT, TIE, order_id=f"o{n}", customer=f"c{n % 3}"))
    ids = ["c2", "c0", "nobody"]
    assert store.lines_of_customers(ids) == {each: store.customer_lines(each) for each in ids}


def test_two_stores_on_one_file(store: Store) -> None:
    """What one store wrote, another on the same file reads at once."""
    file = store.url
    with Store.open(file) as other:
        store.put_order(order(COAT))
        assert owned(other) == [("coat", 2, 0)]
        other.delete_order("o", 11)
        assert owned(store) == []


def test_threads_share_a_store(store: Store) -> None:
    """Threads that write and read at once lose nothing and see their own writes."""
    failures: list[Any] = []

    def work(name: str) -> None:
        try:
            for n in range(20):
                store.put_order(order(COAT, order_id=f"{name}{n}", customer=name))
                if len(store.customer_lines(name)) != n + 1:
                    failures.append((name, n))
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.orders().n_orders == 80


# Few ids and few times, so that everything meets.
times = st.integers(0, 5)
products = st.sampled_from(["p", "q", "ö"])
order_ids = st.sampled_from(["o1", "o2"])


@st.composite
def snapshot_lines(draw: Callable[..., Any]) -> SnapshotLine:
    """Draw a line."""
    quantity = draw(st.integers(1, 3))
    returned = draw(st.none() | st.integers(0, quantity))
    price, gift = draw(st.sampled_from([None, 1.5])), draw(st.booleans())
    return SnapshotLine(
        draw(products), quantity, returned, draw(times | st.just(MISSING)), price, gift
    )


snapshots = st.builds(
    OrderSnapshot,
    order_ids,
    st.sampled_from([None, "c1", "c2"]),
    times,
    times,
    st.sampled_from([None, "EUR"]),
    st.none(),
    st.lists(snapshot_lines(), max_size=3).map(tuple),
)
adjustments = st.builds(
    Adjustment,
    order_ids,
    st.sampled_from(["a", "b"]),
    times,
    st.lists(st.tuples(products, st.integers(-3, 3)), max_size=2).map(tuple),
)
Event = OrderSnapshot | Adjustment


def send(store: Store, events: Sequence[Event]) -> None:
    """Send events one by one."""
    for event in events:
        if isinstance(event, Adjustment):
            store.adjust(event)
        elif event.lines:
            store.put_order(event)
        else:
            store.delete_order(event.order_id, event.updated_at)


def expected(events: Sequence[Event]) -> dict[str, tuple[Any, ...]]:
    """Return what each order must be: everything at once, by the pure functions."""
    newest: dict[str, OrderSnapshot] = {}
    distinct: dict[tuple[str, str], Adjustment] = {}
    for event in events:
        if isinstance(event, Adjustment):
            adjustment = canonical_adjustment(event)
            key = adjustment[:2]
            distinct[key] = max(distinct.get(key, adjustment), adjustment, key=adjustment_version)
        else:
            snapshot = canonical_snapshot(event)
            known = newest.get(snapshot.order_id, snapshot)
            newest[snapshot.order_id] = max(known, snapshot, key=snapshot_version)
    return {
        order_id: (
            *snapshot[:6],
            effective_lines(snapshot, [a for a in distinct.values() if a.order_id == order_id]),
        )
        for order_id, snapshot in newest.items()
        if snapshot.lines
    }


def contents(store: Store) -> tuple[Any, ...]:
    """Return all that can be read of the orders of a store."""
    orders = {each: store.order(each) for each in ("o1", "o2")}
    lines = {each: store.customer_lines(each) for each in ("c1", "c2")}
    assert store.check() == []
    return orders, lines, store.customers()


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_order_of_arrival_and_repetition_do_not_matter(
    new_store: Callable[[], Store], data: st.DataObject
) -> None:
    """Facts once in order, or shuffled, repeated and late: the same state, that of the rules."""
    events = data.draw(st.lists(snapshots | adjustments, max_size=8), label="events")
    repeated = data.draw(st.lists(st.sampled_from(events)) if events else st.just([]))
    shuffled = data.draw(st.permutations([*events, *repeated]), label="as sent")
    with new_store() as once, new_store() as late:
        send(once, events)
        send(late, shuffled)
        assert contents(once) == contents(late)
        found = {each: store for each, store in contents(late)[0].items() if store is not None}
        assert found == expected(events)
        pd.testing.assert_frame_equal(once.orders().to_frame(), late.orders().to_frame())
        rows = late.orders().to_frame()
        by_customer = [line for lines in contents(late)[1].values() for line in lines]
        stood = {(line.order_id, line.product_id): line[2:5] for line in by_customer}
        assert stood == {
            (order_id, line.product_id): line[1:4]
            for order_id, (_, customer_id, *_, lines) in expected(events).items()
            if customer_id is not None
            for line in lines
        }
        known = rows[rows["customer_id"].notna()]
        assert sorted(zip(known["order_id"], known["product_id"], strict=True)) == sorted(
            (line.order_id, line.product_id) for line in by_customer
        )
