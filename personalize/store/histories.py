"""What each customer ever ordered, packed into one row: what every question reads.

The rows are derived. Whoever changes ``order_lines`` calls `refresh` in the same transaction, so
that the two never differ; `rebuild` makes all of them anew.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby, islice, repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from personalize.purchases import OrderLine
from personalize.store.database import Database
from personalize.store.driver import Among, driver_of
from personalize.store.layout import GUEST, histories, order_lines
from personalize.times import MISSING

_SEPARATOR: Final = "\x1f"  # no id holds a control character
_HEAD: Final = struct.Struct("<3i")
_COUNT: Final = struct.Struct("<i")
_MOMENT: Final = struct.Struct("<q")
_AT_ONCE: Final = 5_000
_line: Callable[[Sequence[Any]], OrderLine] = partial(tuple.__new__, OrderLine)
"""Makes a row a line; ``gift`` may be 0 or 1, which are False and True."""

_packed = histories.c
_OF_ONE: Final = sa.select(_packed.products, _packed.orders, _packed.lines).where(
    _packed.customer_id == sa.bindparam("customer_id")
)
_OF_MANY: Final = sa.select(
    _packed.customer_id, _packed.products, _packed.orders, _packed.lines
).where(_packed.customer_id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.String))))
_CUSTOMERS: Final = (
    sa.select(_packed.customer_id)
    .where(_packed.customer_id > sa.bindparam("after"))
    .order_by(_packed.customer_id)
    .limit(sa.bindparam("limit"))
)

_ALL: Final = sa.select(histories).order_by(_packed.customer_id)

_columns = order_lines.c
LINES: Final = sa.select(
    _columns.customer_id,
    _columns.product_id,
    _columns.ordered_at,
    _columns.quantity,
    _columns.returned_quantity,
    sa.func.coalesce(
        _columns.returned_at, sa.literal_column(f"CAST('{MISSING}' AS BIGINT)", sa.BigInteger)
    ),
    _columns.gift,
    _columns.order_id,
).order_by(_columns.customer_id, _columns.ordered_at, _columns.order_id, _columns.product_id)
"""The lines of customers: who, then the fields of `OrderLine`; each customer's are sorted."""
LINES_OF_SOME: Final = Among(LINES, _columns.customer_id)
_ALL_LINES: Final = LINES.where(_columns.customer_id > GUEST)


class History(NamedTuple):
    """What one customer ever ordered, gifts and what was sent back included.

    Parameters
    ----------
    products : list of str
        Distinct.
    orders : str
        Ids of the orders, by time and id, joined.
    numbers : bytes
        Little-endian. int32: how many orders, lines, and lines of which something is to be said.
        int64: the moments of the orders, then when those lines were returned. int32: the number
        of lines of each order; the product of each line, as a place in `products`; its quantity;
        the places of the lines of which something is to be said, the units returned of them, and
        whether they are gifts.
    """

    products: list[str]
    orders: str
    numbers: bytes

    @property
    def newest_at(self) -> int:
        """When the newest order was placed, in microseconds UTC; MISSING without any."""
        (n_orders,) = _COUNT.unpack_from(self.numbers)
        if not n_orders:
            return MISSING
        found: int = _MOMENT.unpack_from(self.numbers, _HEAD.size + _MOMENT.size * (n_orders - 1))[
            0
        ]
        return found

    def rows(self) -> Iterable[tuple[Any, ...]]:
        """Return the fields of `OrderLine` of each line, by time, order and product."""
        n_orders, n_lines, n_told = _HEAD.unpack_from(self.numbers)
        n_longs = n_orders + n_told
        values = struct.unpack_from(
            f"<{n_longs}q{n_orders + 2 * n_lines + 3 * n_told}i", self.numbers, _HEAD.size
        )
        products_from = n_longs + n_orders
        quantity_from = products_from + n_lines
        told_from = quantity_from + n_lines
        counts = values[n_longs:products_from]
        returned: Iterable[int] = repeat(0)
        returned_at: Iterable[int] = repeat(MISSING)
        gift: Iterable[int] = repeat(0)
        if n_told:
            returned, returned_at, gift = [0] * n_lines, [MISSING] * n_lines, [0] * n_lines
            for i in range(n_told):
                place = values[told_from + i]
                returned_at[place] = values[n_orders + i]
                returned[place] = values[told_from + n_told + i]
                gift[place] = values[told_from + 2 * n_told + i]
        return zip(
            map(self.products.__getitem__, values[products_from:quantity_from]),
            chain.from_iterable(map(repeat, values, counts)),  # the moments of as many orders
            values[quantity_from:told_from],
            returned,
            returned_at,
            gift,
            chain.from_iterable(map(repeat, self.orders.split(_SEPARATOR), counts)),
            strict=False,  # some are without end
        )

    def lines(self) -> list[OrderLine]:
        """Return the same with names."""
        return list(map(_line, self.rows()))


NO_HISTORY: Final = History([], "", _HEAD.pack(0, 0, 0))


def packed(lines: Iterable[Sequence[Any]]) -> tuple[str, str, bytes]:
    """Return a customer's lines as the columns of a row.

    Parameters
    ----------
    lines : iterable of rows of the fields of `OrderLine`
        Sorted by time, order and product.
    """
    products: dict[str, int] = {}
    orders: list[str] = []
    moments: list[int] = []
    counts: list[int] = []
    places: list[int] = []
    quantities: list[int] = []
    told: list[tuple[int, int, int, int]] = []
    for product_id, at, quantity, returned, returned_at, gift, order_id in lines:
        if not orders or orders[-1] != order_id or moments[-1] != at:
            orders.append(order_id)
            moments.append(at)
            counts.append(0)
        counts[-1] += 1
        if returned or gift or returned_at != MISSING:
            told.append((returned_at, len(places), returned, int(gift)))
        places.append(products.setdefault(product_id, len(products)))
        quantities.append(quantity)
    returned_at, *changes = zip(*told, strict=True) if told else ((), ())
    n_longs, n_ints = len(moments) + len(told), len(moments) + 2 * len(places) + 3 * len(told)
    return (
        _SEPARATOR.join(products),
        _SEPARATOR.join(orders),
        _HEAD.pack(len(moments), len(places), len(told))
        + struct.pack(
            f"<{n_longs}q{n_ints}i",
            *moments,
            *returned_at,
            *counts,
            *places,
            *quantities,
            *chain.from_iterable(changes),
        ),
    )


def _history(products: str, orders: str, numbers: bytes) -> History:
    return History(products.split(_SEPARATOR), orders, numbers)


class HistoryOf:
    """The history of a customer, read on the bare driver."""

    def __init__(self, database: Database) -> None:
        self._rows = database.query(_OF_ONE)

    def __call__(self, customer_id: str) -> History:
        """Return it; an empty one for whoever is unknown."""
        found = self._rows(customer_id)
        return _history(*found[0]) if found else NO_HISTORY


class HistoriesOf:
    """The histories of many customers, read at once on the bare driver."""

    def __init__(self, database: Database) -> None:
        self._rows_of_each = database.query_each(_OF_ONE, _OF_MANY)

    def __call__(self, customer_ids: Collection[str]) -> dict[str, History]:
        """Return that of each customer; an empty one for whoever is unknown."""
        found = dict.fromkeys(customer_ids, NO_HISTORY)
        for customer_id, rows in self._rows_of_each(customer_ids):
            for row in rows:
                found[customer_id] = _history(*row)
        return found


def customers(connection: sa.Connection, after: str | None, limit: int) -> list[str]:
    """Return the ids of customers with orders, sorted, from behind `after` on."""
    found = connection.scalars(_CUSTOMERS, {"after": after or GUEST, "limit": limit})
    return list(found)


def refresh(connection: sa.Connection, customer_ids: Collection[str]) -> None:
    """Pack anew what these customers ordered; who has nothing any more has no row either."""
    wanted = sorted(set(customer_ids) - {GUEST})
    driver = driver_of(connection)
    driver.claim_customers(connection, wanted)
    made = list(_made(LINES_OF_SOME.rows(connection, wanted)))
    driver.upsert(connection, histories, made)
    gone = set(wanted).difference(row[0] for row in made)
    if gone:
        connection.execute(
            sa.delete(histories).where(_packed.customer_id == sa.bindparam("gone")),
            [{"gone": each} for each in sorted(gone)],
        )


def rebuild(connection: sa.Connection) -> None:
    """Pack anew what everybody ordered, in bounded memory."""
    connection.execute(sa.delete(histories))
    rows = connection.execute(_ALL_LINES, execution_options={"yield_per": _AT_ONCE})
    made = _made(rows)
    while some := list(islice(made, _AT_ONCE)):
        driver_of(connection).insert(connection, histories, some)


def differing(connection: sa.Connection) -> Iterator[str]:
    """Yield the customers whose row is not what their lines give, in bounded memory."""
    steps = {"yield_per": _AT_ONCE}
    there = connection.execute(_ALL, execution_options=steps)
    made = _made(connection.execute(_ALL_LINES, execution_options=steps))
    who = itemgetter(0)
    for customer_id, found in groupby(heapq.merge(there, made, key=who), key=who):
        rows = [tuple(row) for row in found]
        if len(rows) != 2 or rows[0] != rows[1]:
            yield customer_id


def _made(lines: Iterable[Sequence[Any]]) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield the row of each customer of `LINES`."""
    for customer_id, theirs in groupby(lines, key=itemgetter(0)):
        yield (customer_id, *packed(row[1:] for row in theirs))
