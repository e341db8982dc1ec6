"""Write and read the state of orders, within a transaction that is open.

What an order's state is, `personalize.store.state` decides; this file keeps what it needs, and
keeps ``order_lines`` and what customers own equal to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from personalize.store.driver import Among, driver_of
from personalize.store.layout import GUEST, adjustments, order_lines, orders
from personalize.store.purchase_states import refresh
from personalize.store.state import (
    Adjustment,
    OrderSnapshot,
    SnapshotLine,
    StoredOrder,
    Version,
    adjustment_version,
    decode_lines,
    effective_lines,
    encode_lines,
)
from personalize.times import MISSING


class Versioned(NamedTuple):
    """A canonical snapshot and what it is compared by."""

    snapshot: OrderSnapshot
    version: Version


class _Head(NamedTuple):
    version: Version
    customer_id: str | None
    ordered_at: int | None  # None: deleted


_HEADS = Among(
    sa.select(
        orders.c.order_id,
        orders.c.updated_at,
        orders.c.content_hash,
        orders.c.customer_id,
        orders.c.ordered_at,
    )
    .order_by(orders.c.order_id)
    .with_for_update(),
    orders.c.order_id,
)
_ADJUSTMENTS = Among(
    sa.select(
        adjustments.c.order_id,
        adjustments.c.adjustment_id,
        adjustments.c.adjusted_at,
        adjustments.c.lines,
    ),
    adjustments.c.order_id,
)
_ADJUSTMENT_VERSION = sa.select(adjustments.c.adjusted_at, adjustments.c.content_hash).where(
    adjustments.c.order_id == sa.bindparam("order_id"),
    adjustments.c.adjustment_id == sa.bindparam("adjustment_id"),
)
_ORDER = sa.select(orders).where(orders.c.order_id == sa.bindparam("order_id"))
_IS_ORDER = (
    order_lines.c.customer_id == sa.bindparam("at_customer"),
    order_lines.c.ordered_at == sa.bindparam("at_time"),
    order_lines.c.order_id == sa.bindparam("at_order"),
)
_LINES = sa.select(order_lines).where(*_IS_ORDER).order_by(order_lines.c.product_id)
_DELETE_LINES = sa.delete(order_lines).where(*_IS_ORDER)
_UPDATE_LINE = (
    sa.update(order_lines)
    .where(*_IS_ORDER, order_lines.c.product_id == sa.bindparam("at_product"))
    .values(returned_quantity=sa.bindparam("returned"), returned_at=sa.bindparam("at"))
)
_DELETE_ADJUSTMENT = sa.delete(adjustments).where(
    adjustments.c.order_id == sa.bindparam("at_order"),
    adjustments.c.adjustment_id == sa.bindparam("at_adjustment"),
)


def put(connection: sa.Connection, given: Sequence[Versioned]) -> list[bool]:
    """Store snapshots one after the other; return for each whether it is now the newest.

    One that is stored already is the newest too, and changes nothing.
    """
    heads = _claimed(connection, {one.snapshot.order_id for one in given})
    newest = {order_id: head.version for order_id, head in heads.items()}
    applied: list[bool] = []
    winners: dict[str, Versioned] = {}
    for one in given:
        order_id = one.snapshot.order_id
        known = newest.get(order_id)
        if known is None or one.version > known:
            newest[order_id] = one.version
            winners[order_id] = one
        applied.append(one.version >= newest[order_id])
    if winners:
        _replace(connection, winners, heads)
    return applied


def _replace(
    connection: sa.Connection, winners: dict[str, Versioned], heads: dict[str, _Head]
) -> None:
    """Write the winners over what is there; `heads` is what is there."""
    live = [
        {"at_order": order_id, "at_customer": head.customer_id or GUEST, "at_time": head.ordered_at}
        for order_id in winners
        if (head := heads.get(order_id)) is not None and head.ordered_at is not None
    ]
    if live:
        connection.execute(_DELETE_LINES, live)
    driver = driver_of(connection)
    driver.upsert(connection, orders, [_order_row(one) for one in winners.values()])
    waiting = _adjustments(connection, winners)
    lines = [
        row
        for order_id, one in winners.items()
        for row in _line_rows(one.snapshot, waiting.get(order_id, ()))
    ]
    driver.insert(connection, order_lines, lines)
    before = {str(each["at_customer"]) for each in live}
    refresh(connection, before.union(one.snapshot.customer_id or GUEST for one in winners.values()))


def adjust(connection: sa.Connection, adjustment: Adjustment) -> bool:
    """Store a canonical adjustment; return whether it is now what its id stands for."""
    _claimed(connection, {adjustment.order_id})
    key = {"order_id": adjustment.order_id, "adjustment_id": adjustment.adjustment_id}
    version = adjustment_version(adjustment)
    found = connection.execute(_ADJUSTMENT_VERSION, key).one_or_none()
    if found is not None:
        known = Version(*found)
        if known >= version:
            return known == version
        connection.execute(
            _DELETE_ADJUSTMENT,
            {"at_order": adjustment.order_id, "at_adjustment": adjustment.adjustment_id},
        )
    row = (*adjustment[:2], *version, encode_lines(adjustment.lines))
    driver_of(connection).insert(connection, adjustments, [row])
    _recompute(connection, adjustment.order_id)
    return True


def _recompute(connection: sa.Connection, order_id: str) -> None:
    """Bring the lines of one order up to date with its adjustments."""
    sent = _sent(connection, order_id)
    if sent is None:
        return
    key = _key(sent)
    changed = [
        {
            **key,
            "at_product": line.product_id,
            "returned": line.returned_quantity,
            "at": _nullable(line.returned_at),
        }
        for line in effective_lines(sent, _adjustments(connection, [order_id])[order_id])
    ]
    connection.execute(_UPDATE_LINE, changed)
    refresh(connection, [key["at_customer"]])


def order(connection: sa.Connection, order_id: str, as_of: int | None = None) -> StoredOrder | None:
    """Return an order as it stands, or stood when only adjustments before `as_of` were known.

    None if it was never seen or is deleted.
    """
    sent = _sent(connection, order_id)
    if sent is None:
        return None
    known = [
        adjustment
        for adjustment in _adjustments(connection, [order_id]).get(order_id, ())
        if as_of is None or adjustment.adjusted_at < as_of
    ]
    return StoredOrder(*sent[:6], effective_lines(sent, known))


def _sent(connection: sa.Connection, order_id: str) -> OrderSnapshot | None:
    """Return the newest snapshot of an order; None if it was never seen or is deleted."""
    head = connection.execute(_ORDER, {"order_id": order_id}).one_or_none()
    if head is None or head.ordered_at is None:
        return None
    lines = tuple(
        SnapshotLine(
            row.product_id,
            row.quantity,
            row.sent_returned_quantity,
            _time(row.sent_returned_at),
            row.unit_price,
            row.gift,
        )
        for row in connection.execute(_LINES, _key(head))
    )
    return OrderSnapshot(
        order_id,
        head.customer_id,
        head.ordered_at,
        head.updated_at,
        head.currency,
        head.channel,
        lines,
    )


def _key(head: sa.Row[Any] | OrderSnapshot) -> dict[str, Any]:
    return {
        "at_order": head.order_id,
        "at_customer": head.customer_id or GUEST,
        "at_time": head.ordered_at,
    }


def _order_row(one: Versioned) -> tuple[object, ...]:
    """Return a row of `orders`."""
    snapshot, version = one
    return (
        snapshot.order_id,
        snapshot.customer_id,
        _nullable(snapshot.ordered_at),
        *version,
        snapshot.currency,
        snapshot.channel,
    )


def _line_rows(
    snapshot: OrderSnapshot, waiting: Iterable[Adjustment]
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of `order_lines`."""
    customer_id = snapshot.customer_id or GUEST
    effective = effective_lines(snapshot, waiting)
    for sent, line in zip(snapshot.lines, effective, strict=True):
        yield (
            customer_id,
            snapshot.ordered_at,
            snapshot.order_id,
            line.product_id,
            line.quantity,
            line.returned_quantity,
            _nullable(line.returned_at),
            line.gift,
            line.unit_price,
            sent.returned_quantity,
            _nullable(sent.returned_at),
        )


def _claimed(connection: sa.Connection, order_ids: set[str]) -> dict[str, _Head]:
    """Return what is there of orders, seen or not, and keep other writers from them.

    Whoever wants several takes them in the order of their ids, so that nobody waits in a circle.
    """
    wanted = sorted(order_ids)
    driver_of(connection).claim_orders(connection, wanted)
    return {
        row[0]: _Head(Version(row[1], row[2]), row[3], row[4])
        for row in _HEADS.rows(connection, wanted)
    }


def _adjustments(
    connection: sa.Connection, order_ids: Iterable[str]
) -> dict[str, list[Adjustment]]:
    found: dict[str, list[Adjustment]] = {}
    for order_id, adjustment_id, at, lines in _ADJUSTMENTS.rows(connection, order_ids):
        adjustment = Adjustment(order_id, adjustment_id, at, decode_lines(lines))
        found.setdefault(order_id, []).append(adjustment)
    return found


def _time(value: int | None) -> int:
    return MISSING if value is None else value


def _nullable(value: int) -> int | None:
    return None if value == MISSING else value
