"""Read what customers bought: one indexed read each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from personalize.purchases import OrderLine
from personalize.store.database import Database
from personalize.store.layout import GUEST, order_lines
from personalize.store.orders import batches
from personalize.times import MISSING

_IDS_AT_ONCE = 500
_columns = order_lines.c
_FIELDS = (
    _columns.product_id,
    _columns.ordered_at,
    _columns.quantity,
    _columns.returned_quantity,
    _columns.returned_at,
    _columns.gift,
    _columns.order_id,
)
_SORTED = (_columns.ordered_at, _columns.order_id, _columns.product_id)
_OF_ONE = (
    sa.select(*_FIELDS)
    .where(_columns.customer_id == sa.bindparam("customer_id"))
    .order_by(_columns.customer_id, *_SORTED)
)
_OF_MANY = (
    sa.select(_columns.customer_id, *_FIELDS)
    .where(_columns.customer_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(_columns.customer_id, *_SORTED)
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
        return [] if customer_id == GUEST else _lines(self._rows(customer_id))


def of_customers(
    connection: sa.Connection, customer_ids: Collection[str]
) -> dict[str, list[OrderLine]]:
    """Return the lines of each customer; an empty list for one without."""
    found: dict[str, list[OrderLine]] = {customer_id: [] for customer_id in customer_ids}
    for some in batches((each for each in found if each != GUEST), _IDS_AT_ONCE):
        rows = connection.execute(_OF_MANY, {"ids": some})
        for customer_id, theirs in groupby(rows, key=itemgetter(0)):
            found[customer_id] = _lines(row[1:] for row in theirs)
    return found


def customers(connection: sa.Connection, after: str | None, limit: int) -> list[str]:
    """Return the ids of customers with orders, sorted, from behind `after` on."""
    found = connection.scalars(_CUSTOMERS, {"after": after or GUEST, "limit": limit})
    return list(found)


def _lines(rows: Iterable[Sequence[Any]]) -> list[OrderLine]:
    """Return rows of `_FIELDS` as lines; the bare driver knows no booleans."""
    return [
        OrderLine(
            product_id,
            ordered_at,
            quantity,
            returned_quantity,
            MISSING if returned_at is None else returned_at,
            gift != 0,
            order_id,
        )
        for product_id, ordered_at, quantity, returned_quantity, returned_at, gift, order_id in rows
    ]
