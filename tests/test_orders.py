"""Orders: from rows to order lines, and how they are cut in time and by customer."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.errors import InvalidConfigError, InvalidOrdersError
from personalize.orders import Orders, read_orders
from personalize.times import DAY, MISSING, to_micros

# Four orders. o1: ann buys a coat (returned in March) and, in two rows, socks. o2: a guest buys
# the same two. o3: ben buys a coat as a gift. o4: ann buys socks, one pair of which goes back.
LOG = pd.DataFrame(
    [
        ("o1", "ann", "coat", "2026-01-05T10:00", 1, 1, "2026-03-01T09:00", 100.0, "no"),
        ("o1", "ann", "socks", "2026-01-05T10:00", 2, 0, None, 5.0, "no"),
        ("o1", "ann", "socks", "2026-01-05T09:59", 1, 0, None, 8.0, "yes"),
        ("o2", None, "coat", "2026-01-06T10:00", 1, 0, None, None, None),
        ("o2", None, "socks", "2026-01-06T10:00", 1, 0, None, 5.0, None),
        ("o3", "ben", "coat", "2026-02-01T10:00", 1, 0, None, 90.0, "yes"),
        ("o4", "ann", "socks", "2026-02-02T10:00", 4, 1, "2026-02-10T10:00", 4.0, "no"),
    ],
    columns=[
        "order_id",
        "customer_id",
        "product_id",
        "ordered_at",
        "quantity",
        "returned_quantity",
        "returned_at",
        "unit_price",
        "gift",
    ],
)


def rules(orders: Orders) -> dict[str, int]:
    """Return the rules of the report, with their counts."""
    return {problem.rule: problem.n_rows for problem in orders.problems}


def simple(*rows: Sequence[Any], **columns: Sequence[Any]) -> pd.DataFrame:
    """Return an orders table of (order, customer, product, day of January 2026, quantity)."""
    return pd.DataFrame(
        {
            "order_id": [row[0] for row in rows],
            "customer_id": [row[1] for row in rows],
            "product_id": [row[2] for row in rows],
            "ordered_at": [f"2026-01-{row[3]:02d}" for row in rows],
            "quantity": [row[4] for row in rows],
        }
        | columns
    )


def assert_same(left: Orders, right: Orders) -> None:
    """Fail unless two sets of orders hold the same."""
    pd.testing.assert_frame_equal(left.to_frame(), right.to_frame())
    for name in ("customer_ids", "product_ids", "order_ids"):
        assert getattr(left, name).equals(getattr(right, name))


def test_columns_of_a_known_log() -> None:
    """Orders are sorted by time and lines by product; rows of one product are one line."""
    orders = Orders.from_frame(LOG)
    assert orders.order_ids.to_pylist() == ["o1", "o2", "o3", "o4"]
    assert orders.customer_ids.to_pylist() == ["ann", "ben"]
    assert orders.product_ids.to_pylist() == ["coat", "socks"]
    assert orders.order_customer.tolist() == [0, -1, 1, 0]
    # o1 took place when the earlier of its rows did.
    assert orders.order_time[0] == to_micros("2026-01-05T09:59")
    assert orders.line_order.tolist() == [0, 0, 1, 1, 2, 3]
    assert orders.line_product.tolist() == [0, 1, 0, 1, 0, 1]
    assert orders.quantity.tolist() == [1, 3, 1, 1, 1, 4]
    assert orders.returned_quantity.tolist() == [1, 0, 0, 0, 0, 1]
    # Socks in o1: (2 x 5 + 1 x 8) / 3 = 6; one of the two rows is no gift, so the line is none.
    np.testing.assert_allclose(orders.unit_price, [100, 6, math.nan, 5, 90, 4])
    assert orders.gift.tolist() == [False, False, False, False, True, False]
    assert orders.kept.tolist() == [False, True, True, True, False, True]
    assert (orders.n_orders, orders.n_lines, orders.n_customers) == (4, 6, 2)
    assert orders.newest == to_micros("2026-02-02T10:00")
    assert orders.problems == ()
    assert orders.rejected is None
    assert orders.carries_returns


def test_version_of_an_order_is_its_latest_time() -> None:
    """Without updated_at, an order is as new as its latest purchase or return."""
    orders = Orders.from_frame(LOG)
    assert orders.order_updated.tolist() == [
        to_micros("2026-03-01T09:00"),
        to_micros("2026-01-06T10:00"),
        to_micros("2026-02-01T10:00"),
        to_micros("2026-02-10T10:00"),
    ]


def test_stated_version_wins() -> None:
    """The latest updated_at of an order's rows is its version, where any is given."""
    df = simple(("o1", "a", "p", 1, 1), ("o1", "a", "q", 1, 1), ("o2", "a", "p", 3, 1))
    orders = Orders.from_frame(df.assign(updated_at=["2026-01-09", "2026-01-08", None]))
    assert orders.order_updated.tolist() == [to_micros("2026-01-09"), to_micros("2026-01-03")]


def test_before_leaves_out_what_came_later() -> None:
    """Orders at or after as_of are gone, and returns at or after it have not happened."""
    orders = Orders.from_frame(LOG)
    then = orders.before("2026-02-10T10:00")
    assert then.order_ids.to_pylist() == ["o1", "o2", "o3", "o4"]
    assert then.returned_quantity.tolist() == [0, 0, 0, 0, 0, 0]
    assert set(then.returned_at.tolist()) == {MISSING}
    assert orders.before("2026-02-10T10:00:01").returned_quantity.tolist() == [0, 0, 0, 0, 0, 1]
    earlier = orders.before("2026-02-01T10:00")
    assert earlier.order_ids.to_pylist() == ["o1", "o2"]
    assert earlier.n_lines == 4
    assert earlier.n_customers == 1
    # The vocabulary stays, so that codes keep their meaning.
    assert earlier.customer_ids.equals(orders.customer_ids)
    assert earlier.kept.tolist() == [True, True, True, True]


def test_before_everything_and_nothing() -> None:
    """None and a moment after all facts keep all; a moment before them keeps no order."""
    orders = Orders.from_frame(LOG)
    assert orders.before(None) is orders
    assert orders.before(to_micros("2027-01-01")) is orders
    none = orders.before("2020-01-01")
    assert (none.n_orders, none.n_lines, none.newest) == (0, 0, MISSING)
    assert len(none.to_frame()) == 0


def test_before_refuses_what_is_no_moment() -> None:
    """An as_of that cannot be read is refused."""
    with pytest.raises(InvalidConfigError, match="is no moment"):
        Orders.from_frame(LOG).before("soon")


def test_for_customers_keeps_their_orders() -> None:
    """Orders of the named customers stay, in the same order; unknown ids are ignored."""
    df = LOG.assign(currency="gbp", channel="web")
    orders = Orders.from_frame(df)
    ann = orders.for_customers(["ann", "nobody"])
    assert ann.order_ids.to_pylist() == ["o1", "o4"]
    expected = orders.to_frame().query("customer_id == 'ann'").reset_index(drop=True)
    pd.testing.assert_frame_equal(ann.to_frame(), expected)
    assert Orders.from_frame(LOG).for_customers(["ann"]).order_currency is None
    assert orders.for_customers([]).n_orders == 0


def test_frame_has_the_public_columns() -> None:
    """The table handed out is the public one, with its types."""
    frame = Orders.from_frame(LOG).to_frame()
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "order_id": "str",
        "customer_id": "str",
        "product_id": "str",
        "ordered_at": "datetime64[us, UTC]",
        "quantity": "int64",
        "returned_quantity": "int64",
        "returned_at": "datetime64[us, UTC]",
        "unit_price": "float64",
        "currency": "str",
        "channel": "str",
        "gift": "bool",
        "updated_at": "datetime64[us, UTC]",
    }
    assert frame["customer_id"].isna().tolist() == [False, False, True, True, False, False]


def test_frame_reads_back_the_same() -> None:
    """What is handed out can be read again, and nothing changes."""
    orders = Orders.from_frame(LOG.assign(currency=["EUR"] * 5 + [None] * 2, channel="Web "))
    again = Orders.from_frame(orders.to_frame())
    assert_same(orders, again)
    assert again.problems == ()
    assert orders.to_frame()["channel"].unique().tolist() == ["web"]


def test_arrays_cannot_be_written() -> None:
    """Orders are frozen, down to their arrays."""
    orders = Orders.from_frame(LOG)
    with pytest.raises(ValueError, match="read-only"):
        orders.quantity[0] = 5
    with pytest.raises(AttributeError, match="cannot assign"):
        orders.quantity = orders.quantity  # type: ignore[misc]


def test_trusted_arrays_are_brought_in_order() -> None:
    """Arrays in any order make the orders that a table would."""
    orders = Orders.from_arrays(
        customer_ids=["ben", "ann"],
        product_ids=["socks", "coat"],
        order_ids=["o2", "o1"],
        order_customer=[0, -1],
        order_time=[DAY, DAY],
        order_currency=["EUR", None],
        line_order=[0, 1, 1],
        line_product=[0, 0, 1],
        quantity=[1, 2, 3],
    )
    table = pd.DataFrame(
        {
            "order_id": ["o2", "o1", "o1"],
            "customer_id": ["ben", None, None],
            "product_id": ["socks", "socks", "coat"],
            "ordered_at": ["1970-01-02"] * 3,
            "quantity": [1, 2, 3],
            "currency": ["EUR", None, None],
        }
    )
    pd.testing.assert_frame_equal(orders.to_frame(), Orders.from_frame(table).to_frame())
    vocabulary = pa.array(["ann", "ben"], pa.large_string())
    assert orders.customer_ids.equals(vocabulary)


def test_arrays_that_are_in_order_stay() -> None:
    """Arrays of orders make the same orders again."""
    orders = Orders.from_frame(LOG.assign(channel="app"))
    fields = {name: value for name, value in vars(orders).items() if name != "kept"}
    assert_same(orders, Orders.from_arrays(**fields))


def test_ids_sort_by_their_bytes() -> None:
    """Codes order as the UTF-8 bytes of their ids do."""
    df = simple(*[("o", "c", product, 1, 1) for product in ("é", "z", "Z", "10", "9", "😀")])
    assert Orders.from_frame(df).product_ids.to_pylist() == ["10", "9", "Z", "z", "é", "😀"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([12346.0, 7.0], ["12346", "7"]),
        ([12346, 7], ["12346", "7"]),
        (pd.array([12346, None], "Int64"), ["12346", None]),
        (["12346.0", "007"], ["12346.0", "007"]),
        (pd.Categorical(["x", None]), ["x", None]),
        (np.array([b"x", "y"], object), ["x", "y"]),
        (np.array([12346, "x7"], object), ["12346", "x7"]),
        (np.array([12346.0, "x7"], object), ["12346", "x7"]),
        ([2**62, 2**70], [str(2**62), str(2**70)]),
        (pd.Series([1, 2], dtype="uint8"), ["1", "2"]),
        ([b"x", b"y"], ["x", "y"]),
    ],
)
def test_ids_become_text(column: Any, expected: list[str | None]) -> None:
    """Numbers become their digits, and text stays as it stands."""
    df = simple(("o1", "a", "p", 1, 1), ("o2", "b", "p", 2, 1)).assign(customer_id=column)
    frame = Orders.from_frame(df).to_frame()
    assert frame["customer_id"].astype(object).where(
        frame["customer_id"].notna(), None
    ).tolist() == (expected)


def test_decimal_ids_become_their_digits(tmp_path: Path) -> None:
    """Decimals, as databases export numbers, are whole numbers or faults."""
    table = pa.table(
        {
            "order_id": ["o1", "o2", "o3"],
            "customer_id": pa.array(["12", None, "12.50"]).cast(pa.decimal128(10, 2)),
            "product_id": pa.array([1, 2, 3], pa.int32()).dictionary_encode(),
            "ordered_at": pa.array(["2026-01-01"] * 3).cast(pa.date32()),
            "quantity": pa.array(["1", "2", "3"]).cast(pa.decimal128(10, 2)),
        }
    )
    path = tmp_path / "o.parquet"
    pa.parquet.write_table(table, path)
    orders = read_orders(path)
    assert orders.customer_ids.to_pylist() == ["12"]
    assert orders.quantity.tolist() == [1, 2]
    assert rules(orders) == {"customer_id_not_whole": 1}


def test_fully_equal_rows_are_kept_once() -> None:
    """Of rows that are equal in every column one is kept, and the others are reported."""
    df = simple(("o", "a", "p", 1, 2), ("o", "a", "p", 1, 2), ("o", "a", "p", 1, 3))
    orders = Orders.from_frame(df)
    assert orders.quantity.tolist() == [5]
    (problem,) = orders.problems
    assert (problem.rule, problem.n_rows, problem.first_rows) == (
        "duplicate_row",
        1,
        ((1, "order o"),),
    )
    assert orders.rejected is not None
    assert orders.rejected.rows.tolist() == [1]


def test_a_further_column_tells_rows_apart() -> None:
    """Rows that differ in a column we have no use for are two rows, and are summed."""
    rows = [("o", "a", "p", 1, 2)] * 3
    df = simple(*rows, line_number=[1, 2, 2])
    orders = Orders.from_frame(df)
    assert orders.quantity.tolist() == [4]
    assert rules(orders) == {"duplicate_row": 1}
    assert Orders.from_frame(simple(*rows, line_number=[1, 2, 3])).problems == ()


def test_order_with_two_customers_is_rejected() -> None:
    """All rows of an order with two customers are rejected; other orders are kept."""
    df = simple(("o", "a", "p", 1, 1), ("o", "b", "q", 1, 1), ("o2", "b", "q", 1, 1))
    orders = Orders.from_frame(df)
    assert orders.order_ids.to_pylist() == ["o2"]
    assert rules(orders) == {"two_customers": 2}
    assert orders.rejected is not None
    assert orders.rejected.reasons.tolist() == ["two_customers"] * 2


def test_order_takes_the_customer_of_its_rows() -> None:
    """Rows without a customer, in an order that has one, are that customer's."""
    orders = Orders.from_frame(simple(("o", "a", "p", 1, 1), ("o", "", "q", 1, 1)))
    assert orders.order_customer.tolist() == [0]
    assert rules(orders) == {"customer_id_filled": 1}


def test_words_for_nobody_are_guests() -> None:
    """A customer called nan is a guest, and reported; an empty one is a guest."""
    df = simple(*[(f"o{n}", c, "p", 1, 1) for n, c in enumerate(["nan", "NULL", " ", "", "a"])])
    orders = Orders.from_frame(df)
    assert orders.order_customer.tolist() == [-1, -1, -1, -1, 0]
    assert rules(orders) == {"customer_id_placeholder": 2}


def test_mixed_currencies_and_channels_count_as_unknown() -> None:
    """An order of two currencies or channels has neither, which is reported."""
    df = simple(("o", "a", "p", 1, 1), ("o", "a", "q", 1, 1), ("o2", "a", "q", 1, 1))
    orders = Orders.from_frame(
        df.assign(currency=["EUR", "USD", "eur"], channel=["web", "app", None])
    )
    frame = orders.to_frame()
    assert frame["currency"].isna().tolist() == [True, True, False]
    assert frame["channel"].isna().all()
    assert rules(orders) == {"currency_mixed": 2, "channel_mixed": 2}


def test_summed_units_stay_within_the_limit() -> None:
    """Rows whose units, summed, exceed the limit are rejected together."""
    df = simple(
        ("o", "a", "p", 1, 10**9),
        ("o", "a", "p", 1, 1),
        ("o", "a", "q", 1, 1),
        ("o", "a", "q", 2, 1),
    )
    orders = Orders.from_frame(df)
    assert orders.quantity.tolist() == [2]
    assert rules(orders) == {"quantity_above_limit": 2}


def test_merged_lines_sum_returns() -> None:
    """Rows of one product sum what was returned too; the latest return counts."""
    df = simple(("o", "a", "p", 1, 3), ("o", "a", "p", 1, 2)).assign(
        returned_quantity=[1, 2], returned_at=["2026-02-01", "2026-03-01"]
    )
    orders = Orders.from_frame(df)
    assert (orders.quantity.tolist(), orders.returned_quantity.tolist()) == ([5], [3])
    assert orders.returned_at.tolist() == [to_micros("2026-03-01")]


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([0.1, 0.1, 0.1], 0.1),
        ([1e308, 1e308, 1e307], 7e307),
        ([None, None, 3.0], 3.0),
        ([None, None, None], math.nan),
    ],
)
def test_price_of_merged_rows(prices: list[float | None], expected: float) -> None:
    """The price of merged rows is their mean by units: exact if one, and never infinite."""
    df = simple(*[("o", "a", "p", n + 1, 1) for n in range(3)]).assign(unit_price=prices)
    np.testing.assert_allclose(Orders.from_frame(df).unit_price, [expected], rtol=1e-12)


def test_returns_without_a_time_are_taken_as_of_the_order() -> None:
    """Units returned nobody knows when were returned at once, which is reported."""
    df = simple(("o", "a", "p", 1, 3), ("o", "a", "q", 1, 3)).assign(returned_quantity=[1, 0])
    orders = Orders.from_frame(df)
    assert orders.returned_at.tolist() == [to_micros("2026-01-01"), MISSING]
    (problem,) = orders.problems
    assert problem.message == (
        "orders.returned_at: 1 of 2 rows have none though units were returned "
        "(first: row 0, empty); ordered_at is taken; give the time of the return"
    )


def test_times_of_returns_that_cannot_be() -> None:
    """A return before its order is taken as of the order; one of nothing is ignored."""
    df = simple(("o", "a", "p", 5, 3), ("o", "a", "q", 5, 3)).assign(
        returned_quantity=[1, 0], returned_at=["2026-01-04", "2026-01-09"]
    )
    orders = Orders.from_frame(df)
    assert orders.returned_at.tolist() == [to_micros("2026-01-05"), MISSING]
    assert rules(orders) == {"returned_at_early": 1, "returned_at_without_return": 1}


def test_whether_returns_are_told() -> None:
    """Only a source with returned_quantity, or with rows of returns, tells returns."""
    df = simple(("o", "a", "p", 1, 1))
    assert not Orders.from_frame(df).carries_returns
    assert Orders.from_frame(df.assign(returned_quantity=0)).carries_returns
    assert Orders.from_frame(df, returns="negative_rows").carries_returns


def test_rows_that_are_no_products_are_left_out() -> None:
    """Rows whose whole id matches are left out and told, but not judged."""
    df = simple(("o", "a", "POST", 1, 0), ("o", "a", "POSTER", 1, 1), ("o", "a", "M", 1, 1))
    orders = Orders.from_frame(df, not_products="POST|M")
    assert orders.product_ids.to_pylist() == ["POSTER"]
    assert rules(orders) == {"not_a_product": 2}
    assert orders.problems[0].first_rows == ((0, "POST"), (2, "M"))


@pytest.mark.parametrize("expression", ["(", 5])
def test_expression_that_is_none(expression: Any) -> None:
    """A not_products that is no regular expression is refused."""
    with pytest.raises(InvalidConfigError, match=r"not_products: .* is no regular expression"):
        Orders.from_frame(LOG, not_products=expression)


def test_returns_mode_that_is_none() -> None:
    """A way of returns that does not exist is refused, the known ones named."""
    with pytest.raises(InvalidConfigError, match="neither 'columns' nor 'negative_rows'"):
        Orders.from_frame(LOG, returns="rows")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Europe/Nowhere", "", "../etc/passwd"])
def test_zone_that_is_none(name: str) -> None:
    """A time zone that does not exist is refused."""
    with pytest.raises(InvalidConfigError, match=r"timezone: .* is no time zone"):
        Orders.from_frame(LOG, timezone=name)


ZONED = [
    # Europe/London is an hour ahead of UTC in summer. On 2026-03-29 01:00 becomes 02:00; on
    # 2026-10-25 02:00 becomes 01:00, so 01:30 happens twice, first at 00:30 UTC.
    ("2026-01-15T12:00", "2026-01-15T12:00:00+00:00"),
    ("2026-07-15 12:00:00.5", "2026-07-15T11:00:00.500000+00:00"),
    ("2026-07-15", "2026-07-14T23:00:00+00:00"),
    ("2026-03-29T01:30", "2026-03-29T01:00:00+00:00"),
    ("2026-10-25T01:30", "2026-10-25T00:30:00+00:00"),
    ("2026-07-15T12:00:00Z", "2026-07-15T12:00:00+00:00"),
    ("2026-07-15t12:00:00,25+0530", "2026-07-15T06:30:00.250000+00:00"),
]


@pytest.mark.parametrize(("text", "expected"), ZONED)
@pytest.mark.parametrize("as_text", [True, False])
def test_naive_times_are_of_a_zone(text: str, expected: str, as_text: bool) -> None:
    """Naive times are taken in the stated zone, text and timestamps alike; offsets win."""
    cell: Any = text if as_text else pd.Timestamp(text.upper().replace(",", "."))
    df = simple(("o", "a", "p", 1, 1)).assign(ordered_at=[cell])
    orders = Orders.from_frame(df, timezone="Europe/London")
    assert orders.to_frame()["ordered_at"][0] == pd.Timestamp(expected)


def test_clock_changes_are_told() -> None:
    """Times that a clock change skips or repeats are read one way, and reported."""
    df = simple(*[(f"o{n}", "a", "p", 1, 1) for n in range(3)])
    df["ordered_at"] = ["2026-03-29T01:30", "2026-10-25T01:30", "2026-10-25T03:30"]
    orders = Orders.from_frame(df, timezone="Europe/London")
    assert rules(orders) == {"ordered_at_in_gap": 1, "ordered_at_ambiguous": 1}
    assert Orders.from_frame(df, strict=True, timezone="Europe/London").n_orders == 3


def test_strict_refuses_with_everything() -> None:
    """A strict reader raises with all faults at once, in one line."""
    df = simple(("o", "a", "p", 1, 0), ("", "a", "p", 1, 1), ("o2", "a", "p", 1, 1))
    with pytest.raises(InvalidOrdersError, match=r"orders: 2 problems: .*order_id.*quantity") as e:
        Orders.from_frame(df, strict=True)
    assert [problem.rule for problem in e.value.problems] == [
        "order_id_missing",
        "quantity_below_1",
    ]
    assert "\n" not in str(e.value)


def test_strict_accepts_what_is_only_told() -> None:
    """Duplicates, returns without a time and the like are reported, not refused."""
    df = simple(("o", "a", "p", 1, 1), ("o", "a", "p", 1, 1)).assign(returned_quantity=1)
    assert len(Orders.from_frame(df, strict=True).problems) == 2


def test_progress_is_told() -> None:
    """The reader tells how far it is, and how far there is to go."""
    seen: list[tuple[int, int | None]] = []
    read_orders(LOG, progress=lambda done, whole: seen.append((done, whole)))
    assert seen == [(7, 7)]


def test_input_is_not_changed() -> None:
    """The caller's table stays as it was, also when rows are rejected and changed later."""
    df = LOG.assign(quantity=[0, *LOG["quantity"][1:]])
    before = df.copy(deep=True)
    orders = Orders.from_frame(df, columns={"unit_price": "unit_price"})
    pd.testing.assert_frame_equal(df, before)
    df["order_id"] = "changed"
    assert orders.rejected is not None
    assert orders.rejected.to_frame()["order_id"].tolist() == ["o1"]


def test_files_are_one_table(tmp_path: Path) -> None:
    """Several files make one table: orders and duplicates span them, columns may differ."""
    LOG.iloc[:2].to_csv(tmp_path / "a.csv", index=False)
    LOG.iloc[1:].to_parquet(tmp_path / "b.parquet")
    LOG.iloc[6:].drop(columns=["gift", "unit_price"]).to_json(
        tmp_path / "c.jsonl", orient="records", lines=True
    )
    orders = read_orders([tmp_path / "a.csv", tmp_path / "b.parquet"])
    assert_same(orders, Orders.from_frame(LOG))
    assert rules(orders) == {"duplicate_row": 1}
    (problem,) = orders.problems
    assert problem.first_rows == ((2, "order o1"),)
    # A file without prices and gifts: its rows are others than those that have them.
    three = read_orders([tmp_path / "a.csv", tmp_path / "b.parquet", tmp_path / "c.jsonl"])
    assert three.quantity.tolist() == [1, 3, 1, 1, 1, 8]


ids = st.text("ab é,\"'😀0", min_size=1, max_size=3).filter(lambda text: bool(text.strip()))
lines = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["1", "2", "é", "z"]) | ids,
        "customer_id": st.sampled_from(["a", "b", None]),
        "product_id": st.sampled_from(["p", "q", "é"]) | ids,
        "ordered_at": st.integers(0, 365 * 86_400 * 10**6).map(
            lambda micros: dt.datetime(2025, 1, 1) + dt.timedelta(microseconds=micros)
        ),
        "quantity": st.integers(-3, 6),
        "unit_price": st.none() | st.floats(0, 1000) | st.sampled_from([1.1, 2.2]),
        "gift": st.booleans(),
        "channel": st.sampled_from(["web", "app", None]),
    }
)
tables = st.lists(lines, min_size=1, max_size=25).map(pd.DataFrame)


@settings(max_examples=150, deadline=None)
@given(tables, st.randoms(use_true_random=False), st.sampled_from(["columns", "negative_rows"]))
def test_row_order_is_irrelevant(df: pd.DataFrame, random: Any, returns: Any) -> None:
    """The same rows in another order are the same orders, to the last bit."""
    df = pd.concat([df, df.iloc[:2]], ignore_index=True)
    order = list(range(len(df)))
    random.shuffle(order)
    one = Orders.from_frame(df, returns=returns)
    other = Orders.from_frame(df.iloc[order], returns=returns)
    assert_same(one, other)
    assert rules(one) == rules(other)
    assert (one.n_returns_matched, one.n_returns_unmatched) == (
        other.n_returns_matched,
        other.n_returns_unmatched,
    )


@settings(max_examples=100, deadline=None)
@given(tables)
def test_no_row_vanishes(df: pd.DataFrame) -> None:
    """Every row is in the orders, or among the rejected ones with a reason."""
    orders = Orders.from_frame(df.assign(quantity=df["quantity"].abs(), row=range(len(df))))
    left_out = [] if orders.rejected is None else orders.rejected.rows.tolist()
    kept = df.drop(index=left_out)
    assert orders.quantity.sum() == kept["quantity"].abs().sum()
    assert orders.n_lines == len(kept[["order_id", "product_id"]].drop_duplicates())
    assert orders.order_ids.to_pylist() == sorted(
        kept["order_id"].unique(),
        key=lambda o: (kept.loc[kept["order_id"] == o, "ordered_at"].min(), o.encode()),
    )


@settings(max_examples=100, deadline=None)
@given(tables, st.integers(0, 365))
def test_later_facts_do_not_count(df: pd.DataFrame, day: int) -> None:
    """What is cut off in time is what would have been read at that time."""
    as_of = pd.Timestamp("2025-01-01") + pd.Timedelta(days=day)
    # One time per order, or the cut would go through it.
    df["ordered_at"] = df.groupby("order_id")["ordered_at"].transform("min")
    df["quantity"] = df["quantity"].abs() + 1
    df["returned_quantity"] = 1
    df["returned_at"] = df["ordered_at"] + pd.Timedelta(days=30)
    df["customer_id"] = df["order_id"]
    df["row"] = range(len(df))
    now = Orders.from_frame(df).before(as_of.to_pydatetime()).to_frame()
    then = df[df["ordered_at"] < as_of].copy()
    late = then["returned_at"] >= as_of
    then.loc[late, "returned_quantity"] = 0
    then["returned_at"] = then["returned_at"].where(~late, pd.NaT)
    known = Orders.from_frame(then).to_frame()
    pd.testing.assert_frame_equal(now.drop(columns="updated_at"), known.drop(columns="updated_at"))
