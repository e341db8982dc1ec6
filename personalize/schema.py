"""The contracts of the public tables as data: their columns, and every rule a row can break.

This file decides which columns a table has, what each may hold, and which column of a source
stands for which of ours. How cells are read is decided in `personalize.cells`, how broken rules
are counted and told in `personalize.report`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from personalize.errors import Problem

Kind = Literal["id", "time", "count", "number", "currency", "choice", "flag", "text"]
Effect = Literal["raises", "rejects", "leaves_out", "changes"]

MAX_ID_LENGTH: Final = 255
MAX_QUANTITY: Final = 1_000_000_000
CHANNELS: Final = ("web", "app", "store", "phone")
AVAILABILITIES: Final = ("in_stock", "out_of_stock", "preorder", "backorder")
SEE: Final = "see docs/data-format.md"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a public table.

    Parameters
    ----------
    name : str
    kind : str
        How its cells are read.
    sentence : str
        What it holds, for people.
    required : bool
        Whether a table without it is refused.
    default : str or None
        What a missing cell means, in words; None: the cell must not be missing.
    allowed : tuple of str
        The closed set of a choice.
    """

    name: str
    kind: Kind
    sentence: str
    required: bool = False
    default: str | None = "unknown"
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong with a row.

    Parameters
    ----------
    slug, column : str
        Its name in reports, and where it is seen.
    saw : str
        What such rows do, continuing "12 of 3,401 rows ...".
    remedy : str
        What is allowed and what to do.
    effect : {"raises", "rejects", "leaves_out", "changes"}
        What becomes of the table, the row or the cell.
    is_fault : bool
        Whether `strict` refuses it.
    """

    slug: str
    column: str
    saw: str
    remedy: str
    effect: Effect = "rejects"
    is_fault: bool = True


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The contract of one table: its columns, and everything that can be wrong with it."""

    name: str
    columns: tuple[Column, ...]
    rules: Mapping[str, Rule]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)


_ID = f"ids are text of 1 to {MAX_ID_LENGTH} characters or whole numbers"
_TIME = "times are timestamps or ISO 8601 text such as 2026-11-22T05:04:00Z"


def _kind(
    end: str, saw: str, remedy: str, effect: Effect = "rejects", *, is_fault: bool = True
) -> Rule:
    """Return a rule of a kind of column; its slug is the column's name and `end`."""
    return Rule(end, "", saw, remedy, effect, is_fault)


def _note(end: str, saw: str, remedy: str) -> Rule:
    return _kind(end, saw, remedy, "changes", is_fault=False)


_KIND_RULES: Final[Mapping[Kind, tuple[Rule, ...]]] = {
    "id": (
        _kind("missing", "have none", f"every row needs one; {_ID}"),
        _kind("too_long", f"are longer than {MAX_ID_LENGTH} characters", f"{_ID}; shorten it"),
        _kind("control_character", "hold a line break or the like", f"{_ID}; take it out"),
        _kind("not_whole", "are fractions or too large to be exact", f"{_ID}; use text"),
    ),
    "time": (
        _kind("missing", "have none", f"every row needs one; {_TIME}"),
        _kind("not_a_time", "are no moments", f"{_TIME}; convert them"),
        _kind("out_of_range", "are outside the years 1900 to 2200", f"{_TIME}; correct them"),
        _note(
            "in_gap",
            "fall into the hour that daylight saving leaves out",
            "its end is taken; give times with their offset",
        ),
        _note(
            "ambiguous",
            "fall into the hour that daylight saving repeats",
            "the first of the two is taken; give times with their offset",
        ),
    ),
    "count": (
        _kind("missing", "have none", "give a whole number"),
        _kind("not_a_number", "are no numbers", "give a whole number"),
        _kind("not_whole", "are fractions", "units are whole numbers; give one"),
    ),
    "number": (
        _kind("not_a_number", "are no numbers", "give one such as 1049.90, with a point"),
        _kind("below_0", "are below 0", "give 0 or more, or leave it empty"),
    ),
    "currency": (
        _kind("not_iso4217", "are no currency codes", "use three letters of ISO 4217, as EUR"),
    ),
    "choice": (_kind("unknown", "are none of the known words", "use one of {allowed}"),),
    "flag": (_kind("not_a_flag", "are neither true nor false", "use true or false"),),
    "text": (),
}


def _rules(columns: Sequence[Column], extra: Sequence[Rule], effect: Effect) -> dict[str, Rule]:
    """Return the rules of a table: those of its columns' kinds, then its own.

    `effect` is what becomes of a bad cell that may as well be missing: an order line with a bad
    price is left out, a product with one is still a product.
    """
    rules: dict[str, Rule] = {}
    for column in columns:
        for rule in _KIND_RULES[column.kind]:
            if rule.slug == "missing" and column.default is not None:
                continue
            is_softer = rule.effect == "rejects" and column.default is not None
            slug = f"{column.name}_{rule.slug}"
            rules[slug] = replace(
                rule,
                slug=slug,
                column=column.name,
                remedy=rule.remedy.format(allowed=", ".join(column.allowed)),
                effect=effect if is_softer else rule.effect,
            )
    return rules | {rule.slug: rule for rule in extra}


_TABLE_RULES: Final = (
    Rule("row_unreadable", "row", "cannot be read", "mend them in the file"),
    Rule("missing_column", "table", "", "", "raises"),
    Rule("unknown_column", "table", "", "", "raises"),
    Rule("column_type", "table", "", "", "raises"),
    Rule("unreadable", "table", "", "", "raises"),
    Rule("too_large", "table", "", "", "raises"),
    Rule("no_rows", "table", "", "", "changes"),
)

_ORDER_COLUMNS: Final = (
    Column("order_id", "id", "the checkout", required=True, default=None),
    Column("customer_id", "id", "who bought; empty for a guest", required=True, default="guest"),
    Column("product_id", "id", "the sellable thing", required=True, default=None),
    Column("ordered_at", "time", "when it was ordered", required=True, default=None),
    Column("quantity", "count", "units bought, 1 or more", required=True, default=None),
    Column("returned_quantity", "count", "units sent back, 0 to quantity", default="0"),
    Column("returned_at", "time", "when they were sent back", default="ordered_at"),
    Column("unit_price", "number", "price of one unit, 0 or more"),
    Column("currency", "currency", "ISO 4217 code of the price"),
    Column("channel", "choice", "where it was bought", allowed=CHANNELS),
    Column("gift", "flag", "bought for someone else", default="false"),
    Column(
        "updated_at",
        "time",
        "which version of the order this is",
        default="the latest of ordered_at and returned_at",
    ),
)


def _of(column: str, rule: Rule) -> Rule:
    return replace(rule, column=column)


_DUPLICATE: Final = Rule(
    "duplicate_row",
    "row",
    "are equal to an earlier row in every column",
    "one of them is kept; if all are meant, number the rows in a column",
    "leaves_out",
    is_fault=False,
)
_UNITS_BACK: Final = "give the units sent back, 0 to quantity"
_RETURNS_GO: Final = f'put returns in returned_quantity or read with returns="negative_rows", {SEE}'

_ORDER_RULES: Final = (
    _of("quantity", _kind("quantity_below_1", "are below 1", _RETURNS_GO)),
    _of(
        "quantity",
        _kind(
            "quantity_above_limit",
            f"are above {MAX_QUANTITY:,}",
            f"units are 1 to {MAX_QUANTITY:,}; correct them",
        ),
    ),
    _of("returned_quantity", _kind("returned_quantity_below_0", "are below 0", _UNITS_BACK)),
    _of(
        "returned_quantity",
        _kind("returned_quantity_above_quantity", "are above quantity", _UNITS_BACK),
    ),
    _of(
        "customer_id",
        _kind(
            "two_customers",
            "are of an order with two customers",
            "an order has one; give each customer's order its own order_id",
        ),
    ),
    _of(
        "customer_id",
        _note(
            "customer_id_filled",
            "have none though other rows of the order do",
            "the order's customer is taken",
        ),
    ),
    _of(
        "customer_id",
        _note(
            "customer_id_placeholder",
            "are a word for nothing",
            "they count as guests; leave the cell empty",
        ),
    ),
    _of(
        "returned_at",
        _note(
            "returned_without_time",
            "have none though units were returned",
            "ordered_at is taken; give the time of the return",
        ),
    ),
    _of(
        "returned_at",
        _note(
            "returned_at_without_return",
            "have one though nothing was returned",
            "it is ignored; give returned_quantity",
        ),
    ),
    _of(
        "returned_at",
        _note("returned_at_early", "are before ordered_at", "ordered_at is taken; correct them"),
    ),
    _of(
        "currency",
        _note(
            "currency_mixed",
            "are of an order with two currencies",
            "its currency counts as unknown; an order has one",
        ),
    ),
    _of(
        "channel",
        _note(
            "channel_mixed",
            "are of an order with two channels",
            "its channel counts as unknown; an order has one",
        ),
    ),
    _DUPLICATE,
    Rule(
        "not_a_product",
        "product_id",
        "match not_products",
        "they are left out, as asked",
        "leaves_out",
        is_fault=False,
    ),
    Rule(
        "return_unmatched",
        "quantity",
        "are returns with units that no earlier purchase by the customer explains",
        f"those units are ignored; start the history earlier, {SEE}",
        "leaves_out",
        is_fault=False,
    ),
)

ORDERS: Final = TableSchema(
    "orders",
    _ORDER_COLUMNS,
    _rules(_ORDER_COLUMNS, (*_ORDER_RULES, *_TABLE_RULES), "rejects"),
)

_CATALOG_COLUMNS: Final = (
    Column("product_id", "id", "the sellable thing", required=True, default=None),
    Column("item_group_id", "id", "what its variants share"),
    Column("title", "text", "what it is called"),
    Column("product_type", "text", "category path, Apparel > Suits > Sport coats"),
    Column("brand", "text", "who makes it"),
    Column("price", "number", "price of one unit, 0 or more; 49.90 GBP is fine"),
    Column("currency", "currency", "ISO 4217 code of the price"),
    Column("availability", "choice", "whether it can be bought", allowed=AVAILABILITIES),
    Column("link", "text", "its page"),
    Column("image_link", "text", "its picture"),
    Column("sensitive", "flag", "never seeds or receives a recommendation", default="false"),
)

_CATALOG_RULES: Final = (
    Rule(
        "duplicate_product",
        "product_id",
        "are a product that an earlier row has with other content",
        "the first is kept; give every product one row",
        "leaves_out",
    ),
    _DUPLICATE,
)

CATALOG: Final = TableSchema(
    "catalog",
    _CATALOG_COLUMNS,
    _rules(_CATALOG_COLUMNS, (*_CATALOG_RULES, *_TABLE_RULES), "changes")
    | {
        "sensitive_not_a_flag": Rule(
            "sensitive_not_a_flag",
            "sensitive",
            "are neither true nor false",
            "they count as sensitive to be safe; use true or false",
            "changes",
        )
    },
)


def normalise_type(product_type: str) -> str:
    """Return a category path in its one spelling: parts stripped, joined by ``" > "``.

    Examples
    --------
    >>> normalise_type("Apparel>Suits >  Sport coats")
    'Apparel > Suits > Sport coats'
    """
    return " > ".join(part.strip() for part in product_type.split(">") if part.strip())


def table_problem(schema: TableSchema, rule: str, message: str, column: str = "table") -> Problem:
    """Return a problem of a table as a whole."""
    return Problem(column, rule, 0, (), f"{schema.name}: {message}")


def resolve(
    schema: TableSchema,
    present: Sequence[str],
    mapping: Mapping[str, str] | None,
    where: str,
    problems: list[Problem],
) -> dict[str, str]:
    """Return which column of a source holds each of ours, adding what is wrong to `problems`.

    Parameters
    ----------
    schema : TableSchema
    present : sequence of str
        The columns of the source.
    mapping : mapping of str to str, or None
        Source name to our name; wins over a source column that has our name already.
    where : str
        The source, for messages.
    problems : list of Problem
        Is appended to.
    """
    listed = iter([f"; present are {', '.join(present) or 'none'}"])  # told once
    found = {name: name for name in schema.column_names if present.count(name)}
    for theirs, ours in (mapping or {}).items():
        if ours not in schema.column_names:
            problems.append(
                table_problem(
                    schema,
                    "unknown_column",
                    f"columns maps {theirs!r} to {ours!r}, which is no column of ours"
                    f"{_nearest(ours, schema.column_names)}; "
                    f"ours are {', '.join(schema.column_names)}",
                )
            )
        elif theirs not in present:
            problems.append(
                table_problem(
                    schema,
                    "unknown_column",
                    f"columns maps {theirs!r}, which {where} does not have"
                    f"{_nearest(theirs, present)}{next(listed, '')}",
                )
            )
        elif found.get(ours, theirs) != theirs and (mapping or {}).get(found[ours]) == ours:
            problems.append(
                table_problem(
                    schema,
                    "unknown_column",
                    f"columns maps both {found[ours]!r} and {theirs!r} to {ours!r}; map one",
                )
            )
        else:
            found[ours] = theirs
    taken = {theirs for theirs, ours in (mapping or {}).items() if ours in schema.column_names}
    # A column that was mapped elsewhere no longer stands for its own name.
    found = {o: t for o, t in found.items() if t not in taken or (mapping or {}).get(t) == o}
    _check_found(schema, present, found, where, problems, listed)
    return found


def _check_found(
    schema: TableSchema,
    present: Sequence[str],
    found: Mapping[str, str],
    where: str,
    problems: list[Problem],
    listed: Iterator[str],
) -> None:
    for column in schema.columns:
        theirs = found.get(column.name)
        if theirs is None and column.required:
            problems.append(
                table_problem(
                    schema,
                    "missing_column",
                    f"{where} has no column {column.name} ({column.sentence})"
                    f"{_nearest(column.name, present)}{next(listed, '')}; "
                    f"name the right one in columns, {SEE}",
                    column.name,
                )
            )
        elif theirs is not None and present.count(theirs) > 1:
            problems.append(
                table_problem(
                    schema,
                    "unknown_column",
                    f"{where} has {present.count(theirs)} columns {theirs!r}; keep one",
                    column.name,
                )
            )


def _nearest(name: str, known: Sequence[str]) -> str:
    by_lower = {other.lower().replace(" ", "_"): other for other in known}
    near = difflib.get_close_matches(name.lower().replace(" ", "_"), by_lower, n=1, cutoff=0.75)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
