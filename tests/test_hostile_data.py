"""Broken and hostile tables: the right error or report, and what is good in them is kept."""

from __future__ import annotations

import contextlib
import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from personalize.catalog import read_catalog
from personalize.errors import InvalidCatalogError, InvalidOrdersError, PersonalizeError
from personalize.orders import Orders, read_orders
from personalize.tables import parts, write_table
from personalize.times import to_micros

GOOD = pd.DataFrame(
    {
        "order_id": ["o1", "o2", "o3"],
        "customer_id": ["ann", None, "ben"],
        "product_id": ["coat", "tie", "socks"],
        "ordered_at": ["2026-01-05", "2026-01-06", "2026-01-07"],
        "quantity": ["1", "2", "3"],
    }
)
HEADER = "order_id,customer_id,product_id,ordered_at,quantity"
FORMATS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")


def rules(orders: Orders) -> dict[str, int]:
    """Return the rules of the report, with their counts."""
    return {problem.rule: problem.n_rows for problem in orders.problems}


def with_cell(column: str, cell: Any) -> pd.DataFrame:
    """Return the good table with one cell of its second row replaced."""
    df = GOOD.astype(object)
    df[column] = [None, cell, None] if column not in df else [df[column][0], cell, df[column][2]]
    return df


BAD_CELLS = [
    ("quantity", 0, "quantity_below_1", "0"),
    ("quantity", -5, "quantity_below_1", "-5"),
    ("quantity", math.nan, "quantity_missing", "empty"),
    ("quantity", "", "quantity_missing", "empty"),
    ("quantity", "nan", "quantity_missing", "nan"),
    ("quantity", 1e18, "quantity_above_limit", "1e+18"),
    ("quantity", 10**9 + 1, "quantity_above_limit", "1000000001"),
    ("quantity", 2**70, "quantity_above_limit", str(2**70)),
    ("quantity", 1.5, "quantity_not_whole", "1.5"),
    ("quantity", math.inf, "quantity_not_a_number", "inf"),
    ("quantity", "two", "quantity_not_a_number", "two"),
    ("quantity", "1_000", "quantity_not_a_number", "1_000"),
    ("quantity", "1,000", "quantity_not_a_number", "1,000"),
    ("ordered_at", "0000-00-00", "ordered_at_not_a_time", "0000-00-00"),
    ("ordered_at", "2026-02-30", "ordered_at_not_a_time", "2026-02-30"),
    ("ordered_at", "05/01/2026", "ordered_at_not_a_time", "05/01/2026"),
    ("ordered_at", "2026", "ordered_at_not_a_time", "2026"),
    ("ordered_at", "1767571200", "ordered_at_not_a_time", "1767571200"),
    ("ordered_at", "2026-01-05T25:00", "ordered_at_not_a_time", "2026-01-05T25:00"),
    ("ordered_at", None, "ordered_at_missing", "empty"),
    ("ordered_at", "NaT", "ordered_at_missing", "NaT"),
    ("ordered_at", "1899-12-31", "ordered_at_out_of_range", "1899-12-31"),
    ("ordered_at", "2200-01-01", "ordered_at_out_of_range", "2200-01-01"),
    ("ordered_at", "9999-12-31", "ordered_at_out_of_range", "9999-12-31"),
    ("order_id", None, "order_id_missing", "empty"),
    ("order_id", "   ", "order_id_missing", "   "),
    ("order_id", "a\nb", "order_id_control_character", "a\\nb"),
    ("order_id", "\n", "order_id_control_character", "\\n"),
    ("product_id", "a\x00b", "product_id_control_character", "a\\x00b"),
    ("product_id", "a\x85", "product_id_control_character", "a\\x85"),
    ("product_id", "x" * 256, "product_id_too_long", "x" * 60 + "..."),
    ("product_id", "é" * 10_000, "product_id_too_long", "é" * 60 + "..."),
    ("customer_id", "x" * 10_000, "customer_id_too_long", "x" * 60 + "..."),
    ("customer_id", "a\tb", "customer_id_control_character", "a\\tb"),
    ("unit_price", -0.01, "unit_price_below_0", "-0.01"),
    ("unit_price", "£5", "unit_price_not_a_number", "£5"),
    ("unit_price", math.inf, "unit_price_not_a_number", "inf"),
    ("currency", "EURO", "currency_not_iso4217", "EURO"),
    ("currency", "€", "currency_not_iso4217", "€"),
    ("channel", "fax", "channel_unknown", "fax"),
    ("gift", "maybe", "gift_not_a_flag", "maybe"),
    ("gift", 2, "gift_not_a_flag", "2"),
    ("returned_quantity", -1, "returned_quantity_below_0", "-1"),
    ("returned_quantity", 3, "returned_quantity_above_quantity", "3"),
    ("returned_quantity", 0.5, "returned_quantity_not_whole", "0.5"),
    ("returned_quantity", "some", "returned_quantity_not_a_number", "some"),
    ("returned_at", "later", "returned_at_not_a_time", "later"),
    ("updated_at", "3000-01-01", "updated_at_out_of_range", "3000-01-01"),
]


@pytest.mark.parametrize(("column", "cell", "rule", "shown"), BAD_CELLS)
def test_bad_cell_rejects_its_row_alone(column: str, cell: Any, rule: str, shown: str) -> None:
    """One bad cell rejects its row, with rule and value; the other rows are kept."""
    orders = Orders.from_frame(with_cell(column, cell))
    assert orders.order_ids.to_pylist() == ["o1", "o3"]
    (problem,) = orders.problems
    assert (problem.column, problem.rule, problem.n_rows) == (column, rule, 1)
    assert problem.first_rows == ((1, shown),)
    assert problem.message.startswith(f"orders.{column}: 1 of 3 rows ")
    assert orders.rejected is not None
    assert orders.rejected.reasons.tolist() == [rule]
    with pytest.raises(InvalidOrdersError, match=rf"orders\.{column}: 1 of 3 rows"):
        Orders.from_frame(with_cell(column, cell), strict=True)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(
    ("column", "cell", "rule"),
    [
        ("quantity", "0", "quantity_below_1"),
        ("quantity", "1e18", "quantity_above_limit"),
        ("ordered_at", "0000-00-00", "ordered_at_not_a_time"),
        ("order_id", "a\nb", "order_id_control_character"),
        ("product_id", "x" * 10_000, "product_id_too_long"),
    ],
)
def test_bad_cells_are_found_in_every_format(
    tmp_path: Path, ending: str, column: str, cell: str, rule: str
) -> None:
    """What is bad in a DataFrame is bad in a file, and can be written with its reason."""
    path = tmp_path / f"orders{ending}"
    write_table(with_cell(column, cell).astype("str"), path)
    orders = read_orders(path)
    assert rules(orders) == {rule: 1}
    assert orders.order_ids.to_pylist() == ["o1", "o3"]
    assert orders.rejected is not None
    rejected = orders.rejected.to_frame()
    assert rejected[["row", column, "reason"]].to_numpy().tolist() == [[1, cell, rule]]


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("quantity", " 2 ", 2),
        ("quantity", "2.0", 2),
        ("quantity", 1e9, 10**9),
        ("quantity", np.int8(7), 7),
        ("gift", "YES", True),
        ("gift", "0", False),
        ("gift", "", False),
        ("gift", 1.0, True),
        ("unit_price", "", math.nan),
        ("unit_price", "nan", math.nan),
        ("returned_at", "", pd.NaT),
        ("channel", " ", None),
        ("currency", "usd", "USD"),
        ("ordered_at", " 2026-01-06T00:00:00Z ", pd.Timestamp("2026-01-06", tz="UTC")),
        ("ordered_at", datetime(2026, 1, 6, 1), pd.Timestamp("2026-01-06T01:00", tz="UTC")),
        ("ordered_at", date(2026, 1, 6), pd.Timestamp("2026-01-06", tz="UTC")),
        ("product_id", "a,\"b\" 'c' 😀\u2028", "a,\"b\" 'c' 😀\u2028"),
        ("product_id", "é" * 255, "é" * 255),
    ],
)
def test_odd_but_good_cells(column: str, cell: Any, expected: Any) -> None:
    """Cells that are unusual but clear are read."""
    frame = Orders.from_frame(with_cell(column, cell)).to_frame()
    value = frame[column].tolist()[1]
    assert value == expected or (pd.isna(value) and pd.isna(expected))


@pytest.mark.parametrize("ending", FORMATS)
def test_odd_ids_survive_every_format(tmp_path: Path, ending: str) -> None:
    """Ids with commas, quotes and emoji come through every format."""
    ids = ["a,b", 'say "hi"', "😀'; DROP TABLE--"]
    write_table(GOOD.assign(product_id=ids), tmp_path / f"o{ending}")
    orders = read_orders(tmp_path / f"o{ending}")
    assert orders.to_frame()["product_id"].tolist() == ids
    assert orders.problems == ()


@pytest.mark.parametrize(
    ("column", "values", "bad"),
    [
        ("quantity", pd.array([True, False, True]), "is of type bool; it holds numbers"),
        ("ordered_at", [1767571200, 1, 2], r"is of type int64; .*pandas\.to_datetime"),
        ("ordered_at", [1.5, 1, 2], "is of type double"),
        ("order_id", pd.to_datetime(["2026-01-01"] * 3), "ids are text or whole numbers"),
        ("order_id", [True, False, True], "is of type bool; ids are text"),
        ("channel", [1.5, 2.5, 3.5], "is of type double; it holds text"),
        ("gift", pd.to_datetime(["2026-01-01"] * 3), "is of type timestamp"),
        ("product_id", np.array([b"\xff", b"a", b"b"], object), "bytes that are not UTF-8"),
    ],
)
def test_columns_of_a_wrong_type(column: str, values: Any, bad: str) -> None:
    """A column of a type that cannot hold what it should is an error, not a bad row each."""
    with pytest.raises(InvalidOrdersError, match=rf"orders: column {column} .*{bad}") as caught:
        Orders.from_frame(GOOD.assign(**{column: values}))
    assert caught.value.problems[0].rule == "column_type"


def test_all_wrong_types_at_once() -> None:
    """Several columns of a wrong type are told together."""
    df = GOOD.assign(quantity=[True] * 3, ordered_at=[1, 2, 3])
    with pytest.raises(InvalidOrdersError, match=r"2 problems: .*ordered_at.*quantity"):
        Orders.from_frame(df)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_every_unit(unit: str) -> None:
    """Timestamps keep their moment, down to the microsecond, in every unit."""
    at = np.array(["1969-12-31T23:59:59", "1900-01-01", "2199-12-31T23:59:59"], f"M8[{unit}]")
    orders = Orders.from_frame(GOOD.assign(ordered_at=at))
    assert sorted(orders.order_time.tolist()) == [
        to_micros("1900-01-01"),
        -1_000_000,
        to_micros("2199-12-31T23:59:59"),
    ]


@pytest.mark.parametrize(
    "at", [["1800-01-01", "2300-01-01", "NaT"], ["-9999-01-01", "12000-01-01", "NaT"]]
)
def test_timestamps_out_of_range(at: list[str]) -> None:
    """Timestamps outside 1900 to 2200 are rejected row by row, however far out they are."""
    orders = Orders.from_frame(GOOD.assign(ordered_at=np.array(at, "M8[s]")))
    assert rules(orders) == {"ordered_at_missing": 1, "ordered_at_out_of_range": 2}


def test_zones_of_timestamps_are_kept() -> None:
    """A timestamp with a zone is that moment, whatever zone naive ones are in."""
    at = pd.to_datetime(GOOD["ordered_at"]).dt.tz_localize("America/New_York")
    orders = Orders.from_frame(GOOD.assign(ordered_at=at), timezone="Asia/Tokyo")
    assert orders.order_time[0] == to_micros("2026-01-05T05:00")


def test_flags_of_whole_numbers() -> None:
    """A column of 1 and 0 is one of true and false."""
    orders = Orders.from_frame(GOOD.assign(gift=[1, 0, 2]))
    assert orders.gift.tolist() == [True, False]
    assert rules(orders) == {"gift_not_a_flag": 1}


def test_float_ids_that_are_none() -> None:
    """A float that is a fraction, infinite, or beyond exactness is no id."""
    ids = [1.5, math.inf, 2.0**53]
    orders = Orders.from_frame(GOOD.assign(product_id=ids))
    assert rules(orders) == {"product_id_not_whole": 3}
    assert orders.n_lines == 0


def test_empty_files(tmp_path: Path) -> None:
    """A file without a byte is an error; one of column names is an empty table, and told."""
    (tmp_path / "o.csv").write_text("")
    with pytest.raises(InvalidOrdersError, match=r"orders: .*o\.csv is empty; a table begins"):
        read_orders(tmp_path / "o.csv")
    (tmp_path / "o.csv").write_text(HEADER + "\n")
    orders = read_orders(tmp_path / "o.csv")
    assert (orders.n_orders, orders.n_lines) == (0, 0)
    (problem,) = orders.problems
    assert problem.rule == "no_rows"
    assert problem.message.endswith("o.csv has columns but no rows; check the export")
    with pytest.raises(InvalidOrdersError, match="has columns but no rows"):
        read_orders(tmp_path / "o.csv", strict=True)
    assert Orders.from_frame(GOOD.iloc[:0], returns="negative_rows").n_lines == 0


def test_missing_column() -> None:
    """A missing column is told with those present, and what it is for."""
    df = GOOD.drop(columns=["quantity", "ordered_at"]).assign(qty=1)
    with pytest.raises(InvalidOrdersError) as caught:
        read_orders(df)
    assert "has no column quantity (units bought, 1 or more)" in str(caught.value)
    assert "present are order_id, customer_id, product_id, qty" in str(caught.value)
    assert [problem.column for problem in caught.value.problems] == ["ordered_at", "quantity"]
    assert {problem.rule for problem in caught.value.problems} == {"missing_column"}


def test_misspelt_mapping() -> None:
    """A mapping that names nothing is an error that offers the nearest, in files and frames."""
    with pytest.raises(InvalidOrdersError, match="did you mean 'quantity'"):
        read_orders(GOOD, {"quantitty": "quantity"})
    with pytest.raises(InvalidOrdersError, match=r"no column of ours; did you mean 'product_id'"):
        read_orders(GOOD, {"product_id": "produkt_id"})


def test_latin1(tmp_path: Path) -> None:
    """A file in Latin-1 is an error that names file, place and remedy; `encoding` reads it."""
    path = tmp_path / "orders.csv"
    path.write_bytes(f"{HEADER}\no1,ann,caf\xe9,2026-01-05,1\n".encode("latin-1"))
    with pytest.raises(InvalidOrdersError, match=r"is not utf-8: byte 0xe9 at offset 62, line 2"):
        read_orders(path)
    orders = read_orders(path, encoding="latin-1")
    assert orders.product_ids.to_pylist() == ["café"]


def test_latin1_where_nobody_looks(tmp_path: Path) -> None:
    """Rows can be told even where a column that is not read is in another encoding."""
    path = tmp_path / "orders.csv"
    text = f"{HEADER},note\no1,ann,p,2026-01-05,0,caf\xe9\no2,ann,p,2026-01-05,1,x\n"
    path.write_bytes(text.encode("latin-1"))
    orders = read_orders(path)
    assert orders.n_lines == 1
    assert orders.rejected is not None
    assert orders.rejected.to_frame()["note"].tolist() == ["caf\ufffd"]


def test_truncated_parquet(tmp_path: Path) -> None:
    """Half a Parquet file is an error; with what is whole in other files nothing is begun."""
    GOOD.to_parquet(tmp_path / "o.parquet")
    content = (tmp_path / "o.parquet").read_bytes()
    (tmp_path / "o.parquet").write_bytes(content[:-20])
    with pytest.raises(InvalidOrdersError, match=r"o\.parquet cannot be read .*cut short"):
        read_orders(tmp_path / "o.parquet")


def test_parquet_with_a_broken_page(tmp_path: Path) -> None:
    """A Parquet file whose data is broken within is an error too."""
    path = tmp_path / "o.parquet"
    big = pd.concat([GOOD] * 2000, ignore_index=True)
    big["order_id"] = [f"o{n}" for n in range(len(big))]
    big.to_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(bytes(content))
    with pytest.raises(InvalidOrdersError, match=r"o\.parquet cannot be read"):
        read_orders(path)


def test_parquet_with_text_that_is_none(tmp_path: Path) -> None:
    """Text that is no UTF-8, which Parquet does not check, is an error and no crash."""
    raw = pa.array([b"\xff\xfe", b"a", b"b"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    table = pa.Table.from_pandas(GOOD).drop_columns("product_id").append_column("product_id", text)
    pq.write_table(table, tmp_path / "o.parquet")
    with pytest.raises(
        InvalidOrdersError, match="column product_id holds bytes that are not UTF-8"
    ):
        read_orders(tmp_path / "o.parquet")


def test_ragged_rows(tmp_path: Path) -> None:
    """Rows with too few or too many cells are rejected, and told with what they held."""
    path = tmp_path / "o.csv"
    path.write_text(f"{HEADER}\no1,ann,p,2026-01-05,1\nshort,row\n,,,,,,\no2,ann,p,2026-01-06,2\n")
    orders = read_orders(path)
    assert orders.order_ids.to_pylist() == ["o1", "o2"]
    (problem,) = orders.problems
    assert problem.message == (
        "orders.row: 2 of 4 rows cannot be read (first: row 1, 2 cells where 5 are expected: "
        "short,row); mend them in the file"
    )
    assert orders.rejected is not None
    assert orders.rejected.to_frame()["reason"].tolist() == [
        "row_unreadable: 2 cells where 5 are expected: short,row",
        "row_unreadable: 7 cells where 5 are expected: ,,,,,,",
    ]


def test_broken_json_lines(tmp_path: Path) -> None:
    """Lines that are no object are rejected, the others kept."""
    path = tmp_path / "o.jsonl"
    write_table(GOOD, path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:20], "[]", lines[2]]))
    orders = read_orders(path)
    assert orders.order_ids.to_pylist() == ["o1", "o3"]
    assert rules(orders) == {"row_unreadable": 2}


def test_json_numbers(tmp_path: Path) -> None:
    """Numbers in JSON are ids by their digits, however long, and quantities."""
    path = tmp_path / "o.jsonl"
    path.write_text(
        '{"order_id": 1, "customer_id": 12345678901234567890123, "product_id": 7, '
        '"ordered_at": "2026-01-05T00:00:00Z", "quantity": 2}\n'
        '{"order_id": 2, "customer_id": null, "product_id": "x", '
        '"ordered_at": "2026-01-05", "quantity": 2.0}\n'
    )
    orders = read_orders(path)
    assert orders.customer_ids.to_pylist() == ["12345678901234567890123"]
    assert orders.product_ids.to_pylist() == ["7", "x"]
    assert orders.problems == ()


def test_json_columns_may_be_absent_from_a_line(tmp_path: Path) -> None:
    """A key that a line leaves out is a missing cell, wherever it first appears."""
    path = tmp_path / "o.jsonl"
    base = '{"order_id": "o%d", "product_id": "p", "ordered_at": "2026-01-05", "quantity": 2%s}\n'
    path.write_text(base % (1, "") + base % (2, ', "customer_id": "a", "returned_quantity": 1'))
    orders = read_orders(path)
    assert orders.order_customer.tolist() == [-1, 0]
    assert orders.returned_quantity.tolist() == [0, 1]
    assert orders.carries_returns


def test_memory_that_would_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that would not fit is refused with advice, before or while it is read."""
    with pytest.raises(
        InvalidOrdersError,
        match=r"about 3 rows need 0\.0 GiB of memory, and 0\.0 GiB are available; read fewer",
    ) as caught:
        read_orders(GOOD, memory_limit=100)
    assert caught.value.problems[0].rule == "too_large"
    # Ids are counted as they come: 300 ids of 200 characters are more than rows alone tell.
    monkeypatch.setattr(parts, "BATCH_ROWS", 100)
    long = pd.concat([GOOD] * 100, ignore_index=True)
    long["product_id"] = [f"{n:0200d}" for n in range(300)]
    with pytest.raises(InvalidOrdersError, match="about 200 rows need"):
        read_orders(long, memory_limit=200 * 300)
    assert read_orders(long, memory_limit=10**6).n_lines == 300


def test_feed_with_two_items_of_one_id(tmp_path: Path) -> None:
    """Of two items of one id the first is kept, the other told."""
    (tmp_path / "feed.tsv").write_text("id\ttitle\nA\tfirst\nA\tsecond\nB\tother\n")
    catalog = read_catalog(tmp_path / "feed.tsv")
    assert [(p.product_id, p.title) for p in catalog.products()] == [("A", "first"), ("B", "other")]
    assert [(p.rule, p.first_rows) for p in catalog.problems] == [
        ("duplicate_product", ((1, "A"),))
    ]


def test_entity_bomb(tmp_path: Path) -> None:
    """A document that would grow without end is refused, and never grows."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "lol">{levels}]>'
    (tmp_path / "feed.xml").write_text(
        f"{bomb}<rss><channel><item><id>&l11;</id></item></channel></rss>"
    )
    with pytest.raises(InvalidCatalogError, match="an attack does; it was not expanded"):
        read_catalog(tmp_path / "feed.xml")


anything = (
    st.none()
    | st.text(max_size=5)
    | st.integers(-5, 2**70)
    | st.floats()
    | st.booleans()
    | st.sampled_from(["2026-01-05", "0", "1", "yes", "web", "EUR", "a", "\x00", "nan", b"\xff"])
    | st.datetimes()
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(GOOD, anything),
            optional=dict.fromkeys(
                ["returned_quantity", "returned_at", "unit_price", "gift", "channel"], anything
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["columns", "negative_rows"]),
)
def test_any_table_is_read_or_refused(rows: list[dict[str, Any]], returns: Any) -> None:
    """Whatever a table holds, it is refused with a message, or every row is accounted for."""
    df = pd.DataFrame(pd.concat([GOOD.astype(object), pd.DataFrame(rows, dtype=object)]))
    try:
        orders = Orders.from_frame(df, returns=returns)
    except PersonalizeError as error:
        assert str(error).startswith("orders: ")  # noqa: PT017
        return
    left_out = 0 if orders.rejected is None else len(orders.rejected)
    assert orders.n_lines + left_out <= len(df) + orders.n_returns_matched
    assert orders.n_lines >= 1
    assert orders.quantity.min(initial=1) >= 1
    assert (orders.returned_quantity <= orders.quantity).all()
    again = Orders.from_frame(orders.to_frame())
    pd.testing.assert_frame_equal(again.to_frame(), orders.to_frame())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([*FORMATS, ".tsv", ".xml", ".xml.gz"]))
@example(b"product_id", ".csv")  # an empty catalogue
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str
) -> None:
    """Whatever bytes a file holds, the reader raises its own error and no other."""
    path = tmp_path_factory.mktemp("any") / f"file{ending}"
    path.write_bytes(content)
    for read in (read_orders, read_catalog):
        with contextlib.suppress(InvalidOrdersError, InvalidCatalogError):
            read(path)
            assert b"_id" in content  # nothing without our columns is read


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.sampled_from([".csv", ".jsonl"]))
def test_any_rows_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, ending: str
) -> None:
    """Whatever follows good rows in a file, they are kept, or the file is refused."""
    path = tmp_path_factory.mktemp("any") / f"file{ending}"
    write_table(GOOD, path)
    with path.open("ab") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    try:
        orders = read_orders(path)
    except InvalidOrdersError:
        return
    assert {"o1", "o2"} <= set(orders.order_ids.to_pylist())
