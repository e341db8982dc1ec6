"""The contracts of the tables, the search for columns, and the report of what broke them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from personalize.errors import Problem
from personalize.report import Report, refusal
from personalize.schema import CATALOG, ORDERS, TableSchema, normalise_type, resolve

DOCS = Path(__file__).parent.parent / "docs" / "data-format.md"
REQUIRED = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]


def found(
    present: list[str], mapping: dict[str, str] | None = None, schema: TableSchema = ORDERS
) -> tuple[dict[str, str], list[str]]:
    """Return which columns are found, and the messages."""
    problems: list[Problem] = []
    columns = resolve(schema, present, mapping, "shop.csv", problems)
    return columns, [str(problem) for problem in problems]


def test_contract_of_orders() -> None:
    """The orders table is the public contract, column by column."""
    assert ORDERS.column_names == (
        *REQUIRED,
        "returned_quantity",
        "returned_at",
        "unit_price",
        "currency",
        "channel",
        "gift",
        "updated_at",
    )
    assert [column.name for column in ORDERS.columns if column.required] == REQUIRED


def test_contract_of_the_catalogue() -> None:
    """Of the catalogue only the product's id is required."""
    assert CATALOG.column_names == (
        "product_id",
        "item_group_id",
        "title",
        "product_type",
        "brand",
        "price",
        "currency",
        "availability",
        "link",
        "image_link",
        "sensitive",
    )
    assert [column.name for column in CATALOG.columns if column.required] == ["product_id"]


@pytest.mark.parametrize("schema", [ORDERS, CATALOG])
def test_rules_are_told_in_the_docs(schema: TableSchema) -> None:
    """Every rule of the reports, and every column, is in docs/data-format.md."""
    text = DOCS.read_text(encoding="utf-8")
    assert [slug for slug in schema.rules if f"`{slug}`" not in text] == []
    assert [name for name in schema.column_names if f"`{name}`" not in text] == []


def test_docs_tell_no_rule_that_is_none() -> None:
    """The closed list of rules in the docs holds no other."""
    text = DOCS.read_text(encoding="utf-8")
    section = text[text.index("## The problem report") :]
    told = set(re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.MULTILINE))
    assert told == set(ORDERS.rules) | set(CATALOG.rules)


def test_examples_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of docs/data-format.md run, one after the other."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), names)


def test_columns_are_found_by_name_or_mapping() -> None:
    """A column is found by our name, or by its own if it is mapped; others are left alone."""
    present = ["Invoice", *REQUIRED[1:], "country"]
    assert found(present, {"Invoice": "order_id"}) == (
        {name: name for name in REQUIRED[1:]} | {"order_id": "Invoice"},
        [],
    )


def test_mapping_wins_over_a_name() -> None:
    """A mapped column stands for ours, even where another has our name."""
    columns, problems = found([*REQUIRED, "Qty"], {"Qty": "quantity"})
    assert (columns["quantity"], problems) == ("Qty", [])


def test_mapped_away_column_is_gone() -> None:
    """A column that is mapped to one of ours no longer stands for its own name."""
    columns, problems = found([*REQUIRED, "gift"], {"gift": "channel", "channel2": "gift"})
    assert columns["channel"] == "gift"
    assert "gift" not in columns
    assert len(problems) == 1
    swapped = {"order_id": "customer_id", "customer_id": "order_id"}
    columns, problems = found(REQUIRED, swapped)
    assert (columns["order_id"], columns["customer_id"], problems) == (
        "customer_id",
        "order_id",
        [],
    )


def test_all_missing_columns_at_once() -> None:
    """Missing columns are told together, with the nearest, and once with those present."""
    _, problems = found(["Order ID", "customer_id", "product_id", "when"])
    present = "; present are Order ID, customer_id, product_id, when"
    remedy = "name the right one in columns, see docs/data-format.md"
    missing = {
        "order_id": "(the checkout); did you mean 'Order ID'?",
        "ordered_at": "(when it was ordered)",
        "quantity": "(units bought, 1 or more)",
    }
    assert problems == [
        f"orders: shop.csv has no column {name} {told}{'' if n else present}; {remedy}"
        for n, (name, told) in enumerate(missing.items())
    ]


def test_no_columns_at_all() -> None:
    """A table without columns says so."""
    _, problems = found([], schema=CATALOG)
    assert "present are none" in problems[0]


def test_misspelt_mapping() -> None:
    """A mapping from a column that is not there, or to none of ours, offers the nearest."""
    _, problems = found(["Invoice", *REQUIRED], {"Invoce": "order_id", "Invoice": "ordr_id"})
    source, target = problems
    assert source == (
        "orders: columns maps 'Invoce', which shop.csv does not have; did you mean 'Invoice'?; "
        "present are Invoice, order_id, customer_id, product_id, ordered_at, quantity"
    )
    assert target == (
        "orders: columns maps 'Invoice' to 'ordr_id', which is no column of ours; did you mean "
        f"'order_id'?; ours are {', '.join(ORDERS.column_names)}"
    )


def test_two_columns_for_one() -> None:
    """Two columns cannot be mapped to one of ours, and a name may be there but once."""
    _, problems = found([*REQUIRED, "a", "b"], {"a": "gift", "b": "gift"})
    assert problems == ["orders: columns maps both 'a' and 'b' to 'gift'; map one"]
    _, problems = found([*REQUIRED, "quantity"])
    assert problems == ["orders: shop.csv has 2 columns 'quantity'; keep one"]


def test_report_counts_and_shows_the_first_rows() -> None:
    """A problem tells how many rows broke the rule and shows the first five, of any batch."""
    report = Report(ORDERS, n_rows=3401)
    report.add("quantity_below_1", np.array([17, 20]), [-1, 0].__getitem__)
    report.add("quantity_below_1", np.arange(100, 110), lambda n: -n)
    report.add("quantity_below_1", np.arange(0), [].__getitem__)
    (problem,) = report.problems()
    assert problem.message == (
        "orders.quantity: 12 of 3,401 rows are below 1 (first: row 17, -1); put returns in "
        'returned_quantity or read with returns="negative_rows", see docs/data-format.md'
    )
    assert problem.first_rows == ((17, "-1"), (20, "0"), (100, "0"), (101, "-1"), (102, "-2"))
    assert (problem.rule, problem.column, problem.n_rows) == ("quantity_below_1", "quantity", 12)
    assert str(problem) == problem.message


def test_report_shows_values_in_one_short_line() -> None:
    """Values are told short and printable, an empty one as such."""
    report = Report(CATALOG, n_rows=1)
    values = ["a\nb", "x" * 100, None]
    report.add("product_id_missing", np.arange(3), values.__getitem__)
    (problem,) = report.problems()
    assert [value for _, value in problem.first_rows] == ["a\\nb", "x" * 60 + "...", "empty"]


def test_report_names_every_reason_of_a_row() -> None:
    """A row that breaks several rules is left out once, with all of its reasons."""
    report = Report(ORDERS, n_rows=9)
    assert report.left_out()[0].tolist() == []
    for slug, rows in (
        ("quantity_below_1", [1, 4]),
        ("duplicate_row", [3]),
        ("order_id_missing", [4, 7]),
        ("returned_without_time", [8]),
    ):
        report.add(slug, np.array(rows), lambda n: n)
    rows, reasons = report.left_out()
    assert rows.tolist() == [1, 3, 4, 7]
    assert reasons.tolist() == [
        "quantity_below_1",
        "duplicate_row",
        "quantity_below_1; order_id_missing",
        "order_id_missing",
    ]
    assert [problem.rule for problem in report.faults()] == ["order_id_missing", "quantity_below_1"]


def test_refusal_of_several_problems_is_one_line() -> None:
    """One problem is told as it is, several in one line."""
    one = Problem("table", "unreadable", 0, (), "orders: broken")
    assert refusal(ORDERS, [one]) == "orders: broken"
    assert refusal(ORDERS, [one, one]) == "orders: 2 problems: orders: broken | orders: broken"


def test_category_paths_have_one_spelling() -> None:
    """Parts are stripped, empty ones left out."""
    assert normalise_type(" Apparel>  Suits > > ") == "Apparel > Suits"
