"""What an order is: its newest snapshot plus distinct adjustments, as pure functions.

The state does not depend on the order in which facts arrive, nor on how often they do:

- The newest snapshot counts: by ``updated_at``, then by the larger content hash. A deletion is a
  snapshot without lines; its hash is above every other, so at equal times deletion wins.
- An adjustment is known by its id within its order; of two contents under one id the one with
  the later ``adjusted_at`` counts, then the one with the larger hash.
- Adjustments are summed per product and the sum is clamped to what the order holds. Products
  that the order does not have wait for a snapshot that has them.
- A snapshot that carries returns (any line with ``returned_quantity``, 0 included) already knows
  what was returned until its ``updated_at``: adjustments up to then no longer count.

This file knows no database; the other files of the package keep what it needs to decide.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from personalize.errors import InvalidOrdersError
from personalize.schema import MAX_ID_LENGTH, MAX_QUANTITY
from personalize.times import MISSING, to_micros

_FIRST: Final = to_micros("0001-01-01")
_LAST: Final = to_micros("9999-12-31T23:59:59.999999")
_TOMBSTONE: Final = b"\xff" * 32

ID_RULE: Final = f"text of 1 to {MAX_ID_LENGTH} characters without control characters"
_ID: Final = re.compile(f"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_ID_LENGTH}}}")
_TEXT: Final = re.compile("[^\x00\ud800-\udfff]*")
_encode: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":")).encode


class SnapshotLine(NamedTuple):
    """One product of an order as its source sent it.

    Parameters
    ----------
    product_id : str
    quantity : int, 1..1,000,000,000
    returned_quantity : int, 0..quantity, or None
        None: the source does not say; adjustments do.
    returned_at : int, microseconds UTC
        ``MISSING`` with something returned: taken as the order's ``ordered_at``.
    unit_price : float, >= 0, or None
    gift : bool
    """

    product_id: str
    quantity: int
    returned_quantity: int | None = None
    returned_at: int = MISSING
    unit_price: float | None = None
    gift: bool = False


class OrderSnapshot(NamedTuple):
    """A whole order as its source knew it at ``updated_at``; without lines: it was deleted.

    Parameters
    ----------
    order_id : str
    customer_id : str or None
        None: a guest.
    ordered_at, updated_at : int, microseconds UTC
    currency, channel : str or None
    lines : tuple of SnapshotLine
        Lines of one product are summed.
    """

    order_id: str
    customer_id: str | None
    ordered_at: int
    updated_at: int
    currency: str | None = None
    channel: str | None = None
    lines: tuple[SnapshotLine, ...] = ()


class Adjustment(NamedTuple):
    """A change to what was returned, sent as a difference, even before its order.

    Parameters
    ----------
    order_id, adjustment_id : str
        The id names it within its order.
    adjusted_at : int, microseconds UTC
    lines : tuple of (product_id, quantity)
        Negative returns units, positive takes a return back; lines of one product are summed.
    """

    order_id: str
    adjustment_id: str
    adjusted_at: int
    lines: tuple[tuple[str, int], ...]


class StoredLine(NamedTuple):
    """One product of an order as it stands, adjustments included; ``returned_at`` or MISSING."""

    product_id: str
    quantity: int
    returned_quantity: int
    returned_at: int
    unit_price: float | None
    gift: bool


class StoredOrder(NamedTuple):
    """An order as it stands; lines sorted by product, times in microseconds UTC."""

    order_id: str
    customer_id: str | None
    ordered_at: int
    updated_at: int
    currency: str | None
    channel: str | None
    lines: tuple[StoredLine, ...]


class Version(NamedTuple):
    """What decides between two contents of one thing: the larger one counts."""

    at: int
    content_hash: bytes


def is_id(value: object) -> bool:
    """Return whether `value` is a legal id; blank text is none, as in files."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and not value.isspace()


def is_text(value: object) -> bool:
    """Return whether `value` is text that every database can hold."""
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None


def tombstone(order_id: str, updated_at: int) -> OrderSnapshot:
    """Return the snapshot of a deleted order: nothing of its customer stays."""
    return OrderSnapshot(order_id, None, MISSING, updated_at)


def canonical_snapshot(given: OrderSnapshot) -> OrderSnapshot:
    """Return a snapshot in its one spelling: lines merged and sorted, plain numbers, no NaN.

    Raises
    ------
    InvalidOrdersError
        For an id, time, quantity or price that is not allowed.
    """
    order_id = _checked_id("order_id", given.order_id, given.order_id)
    updated_at = _checked_time("updated_at", given.updated_at, order_id)
    if not given.lines:
        return tombstone(order_id, updated_at)
    ordered_at = _checked_time("ordered_at", given.ordered_at, order_id)
    lines: dict[str, list[SnapshotLine]] = {}
    for line in given.lines:
        checked = _checked_line(line, order_id, ordered_at)
        lines.setdefault(checked.product_id, []).append(checked)
    return OrderSnapshot(
        order_id,
        _checked_optional("customer_id", given.customer_id, order_id),
        ordered_at,
        updated_at,
        _checked_optional("currency", given.currency, order_id),
        _checked_optional("channel", given.channel, order_id),
        tuple(_merged(lines[product_id], order_id) for product_id in sorted(lines)),
    )


def canonical_adjustment(given: Adjustment) -> Adjustment:
    """Return an adjustment in its one spelling: quantities summed by product, sorted.

    Raises
    ------
    InvalidOrdersError
        For an id, time or quantity that is not allowed.
    """
    order_id = _checked_id("order_id", given.order_id, given.order_id)
    sums: dict[str, int] = {}
    for product_id, quantity in given.lines:
        _checked_id("product_id", product_id, order_id)
        units = _checked_int(f"quantity of {product_id!r}", quantity, order_id)
        sums[product_id] = sums.get(product_id, 0) + units
    for product_id, units in sums.items():
        _check_range(f"quantity of {product_id!r}", units, -MAX_QUANTITY, MAX_QUANTITY, order_id)
    return Adjustment(
        order_id,
        _checked_id("adjustment_id", given.adjustment_id, order_id),
        _checked_time("adjusted_at", given.adjusted_at, order_id),
        tuple(sorted(sums.items())),
    )


def snapshot_version(snapshot: OrderSnapshot) -> Version:
    """Return what a canonical snapshot is compared by; the hash is SHA-256 of its content."""
    if not snapshot.lines:
        return Version(snapshot.updated_at, _TOMBSTONE)
    content = _encode((snapshot.customer_id, snapshot.ordered_at, *snapshot[4:]))
    return Version(snapshot.updated_at, hashlib.sha256(content.encode()).digest())


def adjustment_version(adjustment: Adjustment) -> Version:
    """Return what a canonical adjustment is compared by."""
    content = encode_lines(adjustment.lines)
    return Version(adjustment.adjusted_at, hashlib.sha256(content.encode()).digest())


def encode_lines(lines: tuple[tuple[str, int], ...]) -> str:
    """Return the lines of a canonical adjustment as JSON."""
    return _encode(lines)


def decode_lines(text: str) -> tuple[tuple[str, int], ...]:
    """Return the lines that `encode_lines` wrote."""
    return tuple((product_id, quantity) for product_id, quantity in json.loads(text))


def carries_returns(snapshot: OrderSnapshot) -> bool:
    """Return whether a snapshot itself says what was returned, if only that nothing was."""
    return any(line.returned_quantity is not None for line in snapshot.lines)


def effective_lines(
    snapshot: OrderSnapshot, adjustments: Iterable[Adjustment]
) -> tuple[StoredLine, ...]:
    """Return an order's lines as they stand, in the order of the snapshot's lines.

    Parameters
    ----------
    snapshot : OrderSnapshot
        The newest one, canonical.
    adjustments : iterable of Adjustment
        One content per id, canonical, in any order.
    """
    since = snapshot.updated_at if carries_returns(snapshot) else MISSING
    units: dict[str, int] = {}
    latest: dict[str, int] = {}
    for adjustment in adjustments:
        if adjustment.adjusted_at <= since:
            continue
        for product_id, quantity in adjustment.lines:
            units[product_id] = units.get(product_id, 0) + quantity
            if quantity < 0:
                latest[product_id] = max(latest.get(product_id, MISSING), adjustment.adjusted_at)
    return tuple(
        _effective(line, units.get(line.product_id, 0), latest.get(line.product_id, MISSING))
        for line in snapshot.lines
    )


def _effective(line: SnapshotLine, units: int, latest: int) -> StoredLine:
    product_id, quantity, sent, returned_at, unit_price, gift = line
    returned = min(max((sent or 0) - units, 0), quantity) if units else sent or 0
    at = max(returned_at, latest) if returned else MISSING
    return StoredLine(product_id, quantity, returned, at, unit_price, gift)


def _checked_line(line: SnapshotLine, order_id: str, ordered_at: int) -> SnapshotLine:
    product_id = _checked_id("product_id", line.product_id, order_id)
    quantity = _checked_int(f"quantity of {product_id!r}", line.quantity, order_id)
    _check_range(f"quantity of {product_id!r}", quantity, 1, MAX_QUANTITY, order_id)
    returned, returned_at = line.returned_quantity, MISSING
    if returned is not None:
        returned = _checked_int(f"returned_quantity of {product_id!r}", returned, order_id)
        _check_range(f"returned_quantity of {product_id!r}", returned, 0, quantity, order_id)
    if returned:
        at = ordered_at if line.returned_at == MISSING else line.returned_at
        returned_at = _checked_time(f"returned_at of {product_id!r}", at, order_id)
    price = None if line.unit_price is None else float(line.unit_price)
    if price is not None and not 0 <= price < math.inf:
        if not math.isnan(price):
            raise _refused(order_id, f"unit_price of {product_id!r}", price, "0 or more, finite")
        price = None
    return SnapshotLine(product_id, quantity, returned, returned_at, price, bool(line.gift))


def _merged(lines: Sequence[SnapshotLine], order_id: str) -> SnapshotLine:
    """Return one line for several of one product, whatever their order."""
    if len(lines) == 1:
        return lines[0]
    product_id, quantity = lines[0].product_id, sum(line.quantity for line in lines)
    _check_range(f"summed quantity of {product_id!r}", quantity, 1, MAX_QUANTITY, order_id)
    said = [line.returned_quantity for line in lines if line.returned_quantity is not None]
    priced = [line for line in lines if line.unit_price is not None]
    paid = math.fsum(line.quantity * (line.unit_price or 0.0) for line in priced)
    return SnapshotLine(
        product_id,
        quantity,
        sum(said) if said else None,
        max(line.returned_at for line in lines),
        paid / sum(line.quantity for line in priced) if priced else None,
        all(line.gift for line in lines),
    )


def _refused(order_id: object, what: str, value: object, allowed: str) -> InvalidOrdersError:
    return InvalidOrdersError(
        f"order {order_id!r}: {what} is {value!r}; allowed is {allowed}; nothing of it was stored"
    )


def _checked_id(what: str, value: str, order_id: object) -> str:
    if not is_id(value):
        raise _refused(order_id, what, value, ID_RULE)
    return value


def _checked_optional(what: str, value: str | None, order_id: str) -> str | None:
    return None if value is None else _checked_id(what, value, order_id)


def _checked_int(what: str, value: int, order_id: str) -> int:
    try:
        return int(operator.index(value))
    except TypeError as error:
        raise _refused(order_id, what, value, "a whole number") from error


def _check_range(what: str, value: int, low: int, high: int, order_id: str) -> None:
    if not low <= value <= high:
        raise _refused(order_id, what, value, f"{low:,} to {high:,}")


def _checked_time(what: str, value: int, order_id: str) -> int:
    micros = _checked_int(what, value, order_id)
    if not _FIRST <= micros <= _LAST:
        allowed = "microseconds since 1970 UTC between the years 1 and 9999"
        raise _refused(order_id, what, value, allowed)
    return micros
