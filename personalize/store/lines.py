"""Read what customers bought, now or as it stood at a moment of the past.

A question about the past also looks for adjustments of its time or later: they have not happened
then, so the few orders that have some are worked out anew.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from personalize.purchases import OrderLine
from personalize.store.driver import Among
from personalize.store.layout import GUEST, adjustments, order_lines
from personalize.store.orders import order
from personalize.store.purchase_states import LINES_OF_SOME
from personalize.times import FOREVER, MISSING

_ADJUSTED_SINCE: Final = Among(
    sa.select(order_lines.c.order_id)
    .distinct()
    .where(
        sa.exists().where(
            adjustments.c.order_id == order_lines.c.order_id,
            adjustments.c.adjusted_at >= sa.bindparam("as_of"),
        ),
    ),
    order_lines.c.customer_id,
)


def of_customers(
    connection: sa.Connection, customer_ids: Collection[str], as_of: int | None
) -> dict[str, list[OrderLine]]:
    """Return the lines of each customer; an empty list for one without.

    With `as_of` (microseconds UTC) only adjustments before it count.
    """
    found: dict[str, list[OrderLine]] = {customer_id: [] for customer_id in customer_ids}
    asked = [each for each in found if each != GUEST]
    returns = {} if as_of is None else _returns(connection, asked, as_of)
    for customer_id, *fields in LINES_OF_SOME.rows(connection, asked):
        line = OrderLine(*fields)
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
