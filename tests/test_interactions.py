"""Order lines as sparse matrices of numbers."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.interactions import Interactions, kept_lines, number_products, product_nums
from personalize.orders import Orders
from personalize.times import DAY

ROWS = (
    # In turn: the order, its customer, what was bought, the day, a gift?, sent back?
    ("o1", "ann", "coat", 1, False, 0),
    ("o1", "ann", "tie", 1, False, 0),
    ("o2", "bob", "socks", 2, False, 0),
    ("o3", "ann", "coat", 3, False, 0),
    ("o3", "ann", "belt", 3, True, 0),
    ("o4", None, "tie", 0, False, 0),
    ("o4", None, "coat", 0, False, 0),
    ("o5", "cid", "hat", 4, False, 1),
    ("o6", None, "tie", 5, False, 0),
)


@pytest.fixture
def orders() -> Orders:
    """Six orders: ann twice, bob, two guests, and cid who sent all back."""
    return Orders.from_frame(
        pd.DataFrame(
            {
                "order_id": [row[0] for row in ROWS],
                "customer_id": [row[1] for row in ROWS],
                "product_id": [row[2] for row in ROWS],
                "ordered_at": [pd.Timestamp(row[3] * DAY, unit="us", tz="UTC") for row in ROWS],
                "quantity": 1,
                "gift": [row[4] for row in ROWS],
                "returned_quantity": [row[5] for row in ROWS],
                "returned_at": [
                    pd.Timestamp(9 * DAY, unit="us", tz="UTC") if row[5] else pd.NaT for row in ROWS
                ],
            }
        )
    )


def baskets_of(found: Interactions) -> list[list[str]]:
    """Return the product ids of each basket."""
    ids = found.product_ids.to_pylist()
    return [
        [ids[num] for num in found.basket_products[start:stop]]
        for start, stop in zip(found.basket_indptr[:-1], found.basket_indptr[1:], strict=True)
    ]


def test_only_what_was_kept_counts(orders: Orders) -> None:
    """Gifts and returned lines are in no matrix, and alone give no number."""
    found = Interactions.from_orders(orders)
    assert found.product_ids.to_pylist() == ["coat", "socks", "tie"]
    assert sorted(map(tuple, baskets_of(found))) == [
        ("coat",),
        ("coat", "tie"),
        ("coat", "tie"),
        ("socks",),
        ("tie",),
    ]
    assert (found.n_products, found.n_baskets, found.n_customers) == (3, 5, 2)


def test_baskets_stand_by_customer_then_time_and_guests_last(orders: Orders) -> None:
    """One customer's baskets lie side by side; each guest order is a customer of its own."""
    found = Interactions.from_orders(orders)
    assert baskets_of(found) == [["coat", "tie"], ["coat"], ["socks"], ["coat", "tie"], ["tie"]]
    assert found.basket_customer.tolist() == [0, 0, 1, 2, 3]
    assert (found.basket_time // DAY).tolist() == [1, 3, 2, 0, 5]


def test_customers_own_distinct_products_and_the_latest_time_of_each(orders: Orders) -> None:
    """Guests have no row; a product bought twice is there once, with its latest time."""
    found = Interactions.from_orders(orders)
    assert found.customer_indptr.tolist() == [0, 2, 3]
    assert found.customer_products.tolist() == [0, 2, 1]
    assert (found.customer_time // DAY).tolist() == [3, 1, 2]


def test_given_products_get_a_number(orders: Orders) -> None:
    """Products of a catalogue are numbered in byte order, sold or not."""
    found = Interactions.from_orders(orders, product_ids=["éclair", "tie", "Zip", "belt"])
    assert found.product_ids.to_pylist() == ["Zip", "belt", "coat", "socks", "tie", "éclair"]
    assert baskets_of(found) == [["coat", "tie"], ["coat"], ["socks"], ["coat", "tie"], ["tie"]]


def test_sensitive_products_neither_seed_nor_receive(orders: Orders) -> None:
    """A sensitive product keeps its number and is in neither matrix."""
    found = Interactions.from_orders(orders, sensitive=["coat", "unknown"])
    assert found.product_ids.to_pylist() == ["coat", "socks", "tie"]
    assert baskets_of(found) == [["tie"], ["socks"], ["tie"], ["tie"]]
    assert found.customer_products.tolist() == [2, 1]


def test_lines_are_every_basket_entry(orders: Orders) -> None:
    """Each line comes with its product and the time of its order."""
    nums, times = Interactions.from_orders(orders).lines()
    assert nums.tolist() == [0, 2, 0, 1, 0, 2, 2]
    assert (times // DAY).tolist() == [1, 1, 3, 2, 0, 0, 5]


def test_kept_lines_are_of_numbered_products_only(orders: Orders) -> None:
    """Lines of products without a number are left out."""
    nums, times = kept_lines(orders, pa.array(["coat", "hat"], pa.large_string()))
    assert nums.tolist() == [0, 0, 0]
    assert sorted((times // DAY).tolist()) == [0, 1, 3]


def test_ids_without_a_number_are_minus_one() -> None:
    """An id that is not numbered is -1, whatever the string type."""
    found = product_nums(pa.array(["b", "x", "a"]), pa.array(["a", "b"], pa.large_string()))
    assert found.tolist() == [1, -1, 0]
    assert found.dtype == np.int32


def test_no_order_is_no_row(orders: Orders) -> None:
    """Orders from before the first give empty matrices."""
    none = orders.before("1969-01-01")
    found = Interactions.from_orders(none)
    assert (found.n_products, found.n_baskets, found.n_customers) == (0, 0, 0)
    assert len(number_products(none)) == 0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-1, 4), st.integers(0, 30), st.sets(st.integers(0, 6), max_size=5)),
        max_size=12,
    )
)
def test_matrices_equal_plain_dictionaries(log: list[tuple[int, int, set[int]]]) -> None:
    """Both matrices hold what dictionaries filled line by line hold."""
    log = sorted(log, key=lambda order: order[1])
    found = Interactions.from_lines(
        pa.array([f"p{num}" for num in range(7)], pa.large_string()),
        np.repeat(np.arange(len(log)), [len(each[2]) for each in log]),
        np.array([num for each in log for num in sorted(each[2])], dtype=np.int32),
        np.array([each[1] for each in log], dtype=np.int64),
        np.array([each[0] for each in log], dtype=np.int32),
    )
    owned: dict[int, dict[int, int]] = defaultdict(dict)
    for customer, when, nums in log:
        if customer >= 0:
            owned[customer].update(dict.fromkeys(nums, when))
    known = sorted(customer for customer, products in owned.items() if products)
    assert found.n_customers == len(known)
    for row, customer in enumerate(known):
        span = slice(found.customer_indptr[row], found.customer_indptr[row + 1])
        assert found.customer_products[span].tolist() == sorted(owned[customer])
        latest = [owned[customer][num] for num in sorted(owned[customer])]
        assert found.customer_time[span].tolist() == latest
    expected = sorted((known.index(c) if c >= 0 else 99, t, sorted(n)) for c, t, n in log if n)
    rows = zip(found.basket_customer, found.basket_time, baskets_of(found), strict=True)
    guests_alike = [(min(c, 99) if c < len(known) else 99, t, b) for c, t, b in rows]
    assert sorted((c, t, [int(p[1:]) for p in b]) for c, t, b in guests_alike) == expected
    assert len(np.unique(found.basket_customer)) == len(known) + sum(
        1 for customer, _, nums in log if customer < 0 and nums
    )
