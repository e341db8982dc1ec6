"""Read what customers bought: one indexed read each.

A question about the past also looks for adjustments of its time or later: they have not happened
then, so the few orders that have some are worked out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from personalize.purchases import OrderLine
from personalize.store.database import Database
from personalize.store.driver import Among
from personalize.store.layout import GUEST, adjustments, order_lines
from personalize.store.orders import order
from personalize.times import FOREVER, MISSING

_columns = order_lines.c
_FIELDS = (
    _columns.product_id,
    _columns.ordered_at,
    _columns.quantity,
    _columns.returned_quantity,
    sa.func.coalesce(
        _columns.returned_at, sa.literal_column(f"CAST('{MISSING}' AS BIGINT)", sa.BigInteger)
    ),
    _columns.gift,
    _columns.order_id,
)
_SORTED = (_columns.ordered_at, _columns.order_id, _columns.product_id)
_OF_ONE = (
    sa.select(*_FIELDS)
    .where(_columns.customer_id == sa.bindparam("customer_id"))
    .order_by(_columns.customer_id, *_SORTED)
)
_SEPARATOR = "\x1f"  # no id holds a control character


class _Joined(sa.sql.functions.GenericFunction[str]):
    """The texts of a column as one, `_SEPARATOR` between them."""

    name = "joined"
    inherit_cache = True
    type = sa.Text()


@compiles(_Joined, "sqlite")
def _joined_by_sqlite(element: _Joined, compiler: SQLCompiler, **more: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **more)}, char(31))"


@compiles(_Joined, "postgresql")
def _joined_by_postgresql(element: _Joined, compiler: SQLCompiler, **more: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **more)}, chr(31))"


_PRODUCTS_OF_ONE = sa.select(_Joined(_columns.product_id)).where(
    _columns.customer_id == sa.bindparam("customer_id")
)
_OF_EACH = sa.select(_columns.customer_id, *_FIELDS).order_by(_columns.customer_id, *_SORTED)
_OF_SOME = Among(_OF_EACH, _columns.customer_id)
_OF_MANY = _OF_EACH.where(
    _columns.customer_id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.String)))
)
_line: Callable[[Sequence[Any]], OrderLine] = partial(tuple.__new__, OrderLine)
"""Makes a row of `_FIELDS` a line; ``gift`` may be 0 or 1, which are False and True."""
_ADJUSTED_SINCE = Among(
    sa.select(_columns.order_id)
    .distinct()
    .where(
        sa.exists().where(
            adjustments.c.order_id == _columns.order_id,
            adjustments.c.adjusted_at >= sa.bindparam("as_of"),
        ),
    ),
    _columns.customer_id,
)
_CUSTOMERS = (
    sa.select(_columns.customer_id)
    .distinct()
    .where(_columns.customer_id > sa.bindparam("after"))
    .order_by(_columns.customer_id)
    .limit(sa.bindparam("limit"))
)


class CustomerLines:
    """The lines of a customer, read on the bare driver."""

    def __init__(self, database: Database) -> None:
        self._rows = database.query(_OF_ONE)

    def __call__(self, customer_id: str) -> list[OrderLine]:
        """Return them sorted by time, order and product."""
        return list(map(_line, self.rows(customer_id)))

    def rows(self, customer_id: str) -> Sequence[Sequence[Any]]:
        """Return the same as plain rows of the fields of `OrderLine`."""
        return [] if customer_id == GUEST else self._rows(customer_id)


class LinesOfCustomers:
    """The lines of many customers, read at once on the bare driver."""

    def __init__(self, database: Database) -> None:
        self._rows_of_each = database.query_each(_OF_ONE, _OF_MANY)

    def __call__(self, customer_ids: Collection[str]) -> dict[str, list[OrderLine]]:
        """Return the lines of each customer; an empty list for one without."""
        found: dict[str, list[OrderLine]] = {customer_id: [] for customer_id in customer_ids}
        asked = [each for each in found if each != GUEST]
        for customer_id, rows in self._rows_of_each(asked):
            found[customer_id] = list(map(_line, rows))
        return found


class CustomerProducts:
    """What a customer ever ordered, read on the bare driver as one text."""

    def __init__(self, database: Database) -> None:
        self._rows = database.query(_PRODUCTS_OF_ONE)

    def __call__(self, customer_id: str) -> set[str]:
        """Return the ids of the products."""
        ((joined,),) = self._rows(customer_id)
        return set() if joined is None or customer_id == GUEST else set(joined.split(_SEPARATOR))


def of_customers(
    connection: sa.Connection, customer_ids: Collection[str], as_of: int
) -> dict[str, list[OrderLine]]:
    """Return the lines of each customer; an empty list for one without.

    Only adjustments before `as_of` (microseconds UTC) count.
    """
    found: dict[str, list[OrderLine]] = {customer_id: [] for customer_id in customer_ids}
    asked = [each for each in found if each != GUEST]
    returns = _returns(connection, asked, as_of)
    for customer_id, *fields in _OF_SOME.rows(connection, asked):
        line = _line(fields)
        found[customer_id].append(_stood(line, returns) if returns else line)
    return found


def _returns(
    connection: sa.Connection, customer_ids: list[str], as_of: int
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return what was returned, and when, of the orders adjusted at `as_of` or later.

    By order and product, counting the adjustments before `as_of`.
    """
    at = min(max(as_of, MISSING), FOREVER)  # more than a database can hold
    changed = [row[0] for row in _ADJUSTED_SINCE.rows(connection, customer_ids, as_of=at)]
    return {
        (order_id, line.product_id): (line.returned_quantity, line.returned_at)
        for order_id in changed
        if (stood := order(connection, order_id, as_of)) is not None
        for line in stood.lines
    }


def _stood(line: OrderLine, returns: dict[tuple[str, str], tuple[int, int]]) -> OrderLine:
    """Return a line with what was returned of it at the time asked about."""
    quantity, at = returns.get(
        (line.order_id, line.product_id), (line.returned_quantity, line.returned_at)
    )
    return line._replace(returned_quantity=quantity, returned_at=at)


def customers(connection: sa.Connection, after: str | None, limit: int) -> list[str]:
    """Return the ids of customers with orders, sorted, from behind `after` on."""
    found = connection.scalars(_CUSTOMERS, {"after": after or GUEST, "limit": limit})
    return list(found)
