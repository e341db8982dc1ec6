"""Move whole tables of orders into and out of the store, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from personalize.orders import Orders
from personalize.store.layout import order_lines, orders
from personalize.store.orders import Versioned
from personalize.store.state import OrderSnapshot, SnapshotLine, snapshot_version
from personalize.times import MISSING

_LINES_AT_ONCE = 20_000
_ROWS_AT_ONCE = 50_000
Progress = Callable[[int, int], None]


class ImportReport(NamedTuple):
    """What an import did.

    Parameters
    ----------
    orders, lines : int
        How many were given.
    applied : int, orders
        Those that are now the state of their order, the ones that were already included.
    stale : int, orders
        Those of which the store has a newer version.
    """

    orders: int
    lines: int
    applied: int
    stale: int


def snapshots(given: Orders) -> Iterator[list[Versioned]]:
    """Yield every order as a snapshot, in lists of about 20,000 lines, customer by customer.

    Neighbours in a list are neighbours on disk, which is what makes an import fast.
    """
    by_customer = np.argsort(given.order_customer, kind="stable")
    starts = np.searchsorted(given.line_order, np.arange(given.n_orders + 1))
    counts = np.diff(starts)[by_customer]
    batch = np.cumsum(counts) // _LINES_AT_ONCE
    cuts = np.flatnonzero(np.diff(batch, prepend=-1))
    for first, last in pairwise([*cuts.tolist(), given.n_orders]):
        yield _snapshots(given, by_customer[first:last], starts, counts[first:last])


def _snapshots(
    given: Orders,
    chosen: npt.NDArray[Any],
    starts: npt.NDArray[Any],
    counts: npt.NDArray[Any],
) -> list[Versioned]:
    ends = np.cumsum(counts)
    lines = np.arange(ends[-1]) + np.repeat(starts[chosen] - (ends - counts), counts)
    sent = list(map(SnapshotLine, *_line_columns(given, lines)))
    heads = zip(*_order_columns(given, chosen), strict=True)
    made: list[Versioned] = []
    for head, end, count in zip(heads, ends.tolist(), counts.tolist(), strict=True):
        snapshot = OrderSnapshot._make((*head, tuple(sent[end - count : end])))
        made.append(Versioned(snapshot, snapshot_version(snapshot)))
    return made


def _order_columns(given: Orders, chosen: npt.NDArray[Any]) -> tuple[list[Any], ...]:
    """Return the fields of `OrderSnapshot` but its lines."""
    customer = given.order_customer[chosen]
    taken = pa.array(chosen)
    texts = [
        [None] * len(chosen) if values is None else values.take(taken).to_pylist()
        for values in (given.order_currency, given.order_channel)
    ]
    return (
        given.order_ids.take(taken).to_pylist(),
        given.customer_ids.take(pa.array(customer, mask=customer < 0)).to_pylist(),
        given.order_time[chosen].tolist(),
        given.order_updated[chosen].tolist(),
        *texts,
    )


def _line_columns(given: Orders, lines: npt.NDArray[Any]) -> tuple[list[Any], ...]:
    """Return the fields of `SnapshotLine`."""
    returned = given.returned_quantity[lines]
    # A source that tells no returns leaves them to adjustments.
    untold = (returned == 0) & (not given.carries_returns)
    price = given.unit_price[lines]
    return (
        given.product_ids.take(pa.array(given.line_product[lines])).to_pylist(),
        given.quantity[lines].tolist(),
        pa.array(returned, mask=untold).to_pylist(),
        given.returned_at[lines].tolist(),
        pa.array(price, mask=np.isnan(price)).to_pylist(),
        given.gift[lines].tolist(),
    )


_HEADS = sa.select(
    orders.c.order_id,
    orders.c.customer_id,
    orders.c.ordered_at,
    orders.c.updated_at,
    orders.c.currency,
    orders.c.channel,
).where(orders.c.ordered_at.is_not(None))
_LINES = sa.select(
    order_lines.c.order_id,
    order_lines.c.product_id,
    order_lines.c.quantity,
    order_lines.c.returned_quantity,
    order_lines.c.returned_at,
    order_lines.c.gift,
    order_lines.c.unit_price,
    order_lines.c.sent_returned_quantity,
)


def read(connection: sa.Connection, since: int | None = None) -> Orders:
    """Return every order as it stands, adjustments included; deleted ones are absent.

    With `since` (microseconds UTC) only those that were ordered then or later.
    """
    of_heads, of_lines = _HEADS, _LINES
    if since is not None:
        of_heads = _HEADS.where(orders.c.ordered_at >= since)
        of_lines = _LINES.where(order_lines.c.ordered_at >= since)
    heads = _columns(connection, of_heads, _HEAD_TYPES)
    order_id, customer_id, ordered_at, updated_at, currency, channel = heads
    line_order_id, product_id, quantity, returned, returned_at, gift, price, sent = _columns(
        connection, of_lines, _LINE_TYPES
    )
    customers, products = customer_id.dictionary_encode(), product_id.dictionary_encode()
    return Orders.from_arrays(
        customer_ids=customers.dictionary,
        product_ids=products.dictionary,
        order_ids=order_id,
        order_customer=_numbers(customers.indices, -1),
        order_time=_numbers(ordered_at, MISSING),
        order_updated=_numbers(updated_at, MISSING),
        order_currency=_words(currency),
        order_channel=_words(channel),
        line_order=_numbers(pc.index_in(line_order_id, value_set=order_id), -1),
        line_product=_numbers(products.indices, -1),
        quantity=_numbers(quantity, 0),
        returned_quantity=_numbers(returned, 0),
        returned_at=_numbers(returned_at, MISSING),
        gift=_numbers(gift, 0).astype(bool),
        unit_price=_numbers(price, np.nan),
        carries_returns=bool(
            sent.null_count < len(sent) or pc.any(pc.greater(returned, 0)).as_py()
        ),
    )


_TEXT = pa.large_string()
_INT = pa.int64()
_HEAD_TYPES = (_TEXT, _TEXT, _INT, _INT, _TEXT, _TEXT)
_LINE_TYPES = (_TEXT, _TEXT, _INT, _INT, _INT, pa.bool_(), pa.float64(), _INT)


def _columns(
    connection: sa.Connection, statement: sa.Select[Any], types: tuple[pa.DataType, ...]
) -> tuple[pa.Array, ...]:
    """Return the columns of a result; only a part of its rows is ever held as Python objects."""
    chunks: list[list[pa.Array]] = [[pa.array([], kind)] for kind in types]
    result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(statement)
    for rows in result.partitions():
        for column, values, kind in zip(chunks, zip(*rows, strict=True), types, strict=True):
            column.append(pa.array(values, kind))
    return tuple(pa.concat_arrays(column) for column in chunks)


def _numbers(values: pa.Array, missing: float) -> npt.NDArray[Any]:
    filled = values.cast(pa.int8()) if values.type == pa.bool_() else values
    array: npt.NDArray[Any] = filled.fill_null(missing).to_numpy(zero_copy_only=False)
    return array


def _words(values: pa.Array) -> pa.DictionaryArray | None:
    return None if values.null_count == len(values) else values.dictionary_encode()
