"""What each customer owns, packed into one row: what nearly every question reads.

The rows are derived. Whoever changes ``order_lines`` calls `refresh` in the same transaction, so
that the two never differ; `rebuild` makes all of them anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from personalize.packing import NOTHING, PackedState, pack
from personalize.purchases import OrderLine, PurchaseState
from personalize.store.driver import Among, driver_of
from personalize.store.layout import GUEST, order_lines, purchase_states
from personalize.times import MISSING

if TYPE_CHECKING:
    from personalize.store.database import Database

_lines = order_lines.c
LINES: Final = sa.select(
    _lines.customer_id,
    _lines.product_id,
    _lines.ordered_at,
    _lines.quantity,
    _lines.returned_quantity,
    sa.func.coalesce(
        _lines.returned_at, sa.literal_column(f"CAST('{MISSING}' AS BIGINT)", sa.BigInteger)
    ),
    _lines.gift,
    _lines.order_id,
).order_by(_lines.customer_id, _lines.ordered_at, _lines.order_id, _lines.product_id)
"""The lines of customers: who, then the fields of `OrderLine`; each customer's are sorted."""
LINES_OF_SOME: Final = Among(LINES, _lines.customer_id)
_AT_ONCE: Final = 5_000
_STEPS: Final = {"yield_per": _AT_ONCE}
_columns = purchase_states.c
_OF_ONE: Final = sa.select(_columns.products, _columns.numbers).where(
    _columns.customer_id == sa.bindparam("customer_id")
)
_OF_MANY: Final = sa.select(_columns.customer_id, _columns.products, _columns.numbers).where(
    _columns.customer_id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.String)))
)
_ALL: Final = sa.select(purchase_states).order_by(_columns.customer_id)
_ALL_LINES: Final = LINES.where(_lines.customer_id > GUEST)
_CUSTOMERS: Final = (
    sa.select(_columns.customer_id)
    .where(_columns.customer_id > sa.bindparam("after"))
    .order_by(_columns.customer_id)
    .limit(sa.bindparam("limit"))
)
_who: Final = itemgetter(0)


class StateOf:
    """What a customer owns, read on the bare driver."""

    def __init__(self, database: Database) -> None:
        self._rows = database.query(_OF_ONE)

    def __call__(self, customer_id: str) -> PackedState:
        """Return it; whoever is unknown owns nothing."""
        found = self._rows(customer_id)
        return PackedState(*found[0]) if found else NOTHING


class StatesOf:
    """What many customers own, read at once on the bare driver."""

    def __init__(self, database: Database) -> None:
        self._rows_of_each = database.query_each(_OF_ONE, _OF_MANY)

    def __call__(self, customer_ids: Collection[str]) -> dict[str, PackedState]:
        """Return it for each; whoever is unknown owns nothing."""
        found = dict.fromkeys(customer_ids, NOTHING)
        for customer_id, rows in self._rows_of_each(customer_ids):
            for row in rows:
                found[customer_id] = PackedState(*row)
        return found


def customers(connection: sa.Connection, after: str | None, limit: int) -> list[str]:
    """Return the ids of customers with orders, sorted, from behind `after` on."""
    found = connection.scalars(_CUSTOMERS, {"after": after or GUEST, "limit": limit})
    return list(found)


def refresh(connection: sa.Connection, customer_ids: Collection[str]) -> None:
    """Pack anew what these customers own; who has no order any more has no row either."""
    wanted = sorted(set(customer_ids) - {GUEST})
    driver = driver_of(connection)
    driver.claim_customers(connection, wanted)
    made = list(_made(LINES_OF_SOME.rows(connection, wanted)))
    driver.upsert(connection, purchase_states, made)
    gone = set(wanted).difference(map(_who, made))
    if gone:
        connection.execute(
            sa.delete(purchase_states).where(_columns.customer_id == sa.bindparam("gone")),
            [{"gone": each} for each in sorted(gone)],
        )


def rebuild(connection: sa.Connection) -> None:
    """Pack anew what everybody owns, in bounded memory; writers wait."""
    driver_of(connection).keep_writers_off(connection, purchase_states)
    connection.execute(sa.delete(purchase_states))
    made = _made(connection.execute(_ALL_LINES, execution_options=_STEPS))
    while some := list(islice(made, _AT_ONCE)):
        driver_of(connection).insert(connection, purchase_states, some)


def differing(connection: sa.Connection) -> Iterator[str]:
    """Yield the customers whose row is not what their lines give, in bounded memory."""
    there = connection.execute(_ALL, execution_options=_STEPS)
    made = _made(connection.execute(_ALL_LINES, execution_options=_STEPS))
    for customer_id, found in groupby(heapq.merge(there, made, key=_who), key=_who):
        rows = [tuple(row) for row in found]
        if len(rows) != 2 or rows[0] != rows[1]:
            yield customer_id


_line: Callable[[Sequence[Any]], OrderLine] = partial(tuple.__new__, OrderLine)


def _made(lines: Iterable[Sequence[Any]]) -> Iterator[tuple[str, str, bytes]]:
    """Yield the row of each customer of `LINES`."""
    for customer_id, theirs in groupby(lines, key=_who):
        bought = [_line(row[1:]) for row in theirs]
        last = max((line.returned_at for line in bought if line.returned_quantity), default=MISSING)
        holds_from = last if last == MISSING else last + 1
        yield (customer_id, *pack(PurchaseState.from_lines(customer_id, bought), holds_from))
