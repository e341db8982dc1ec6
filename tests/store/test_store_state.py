"""What an order is, by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from personalize.errors import InvalidOrdersError
from personalize.store import Adjustment, OrderSnapshot, SnapshotLine
from personalize.store.state import (
    Version,
    adjustment_version,
    canonical_adjustment,
    canonical_snapshot,
    decode_lines,
    effective_lines,
    encode_lines,
    snapshot_version,
    tombstone,
)
from personalize.times import MISSING


def order(*lines: SnapshotLine, updated_at: int = 10, ordered_at: int = 1) -> OrderSnapshot:
    """Return order o of customer c."""
    return OrderSnapshot("o", "c", ordered_at, updated_at, lines=lines)


def change(at: int, quantity: int, product_id: str = "p", name: str = "a") -> Adjustment:
    """Return an adjustment of one product of order o."""
    return Adjustment("o", name, at, ((product_id, quantity),))


def returned(snapshot: OrderSnapshot, *changes: Adjustment) -> list[tuple[int, int]]:
    """Return what is returned of each line, and when."""
    lines = effective_lines(canonical_snapshot(snapshot), changes)
    return [(line.returned_quantity, line.returned_at) for line in lines]


def test_negative_adjustment_returns_units() -> None:
    """A negative adjustment returns units; the return is dated by it."""
    assert returned(order(SnapshotLine("p", 3)), change(5, -2)) == [(2, 5)]


def test_positive_adjustment_takes_a_return_back() -> None:
    """A positive adjustment takes returned units back: 2 returned, 1 back, 1 stays returned."""
    assert returned(order(SnapshotLine("p", 3)), change(5, -2), change(6, 1)) == [(1, 5)]


def test_nothing_returned_has_no_date() -> None:
    """Where everything was taken back nothing was returned, and there is no date."""
    assert returned(order(SnapshotLine("p", 3)), change(5, -2), change(6, 2)) == [(0, MISSING)]


@pytest.mark.parametrize("changes", list(itertools.permutations([(5, -9), (6, 8), (7, -1)])))
def test_adjustments_are_summed_then_clamped(changes: list[tuple[int, int]]) -> None:
    """-9 + 8 - 1 is 2 returned of 3 in any order; clamping in between would give another."""
    assert returned(order(SnapshotLine("p", 3)), *(change(*c) for c in changes)) == [(2, 7)]


@pytest.mark.parametrize(("units", "expected"), [(-9, (3, 5)), (9, (0, MISSING))])
def test_adjustments_are_clamped_to_the_order(units: int, expected: tuple[int, int]) -> None:
    """No more is returned than was bought, and no less than nothing."""
    assert returned(order(SnapshotLine("p", 3)), change(5, units)) == [expected]


def test_adjustment_of_another_product_waits() -> None:
    """A product that the order does not have changes nothing."""
    assert returned(order(SnapshotLine("p", 3)), change(5, -1, "q")) == [(0, MISSING)]


@pytest.mark.parametrize("sent", [0, 1])
def test_snapshot_with_returns_supersedes(sent: int) -> None:
    """A snapshot that tells returns, be it 0, knows of adjustments up to its own time."""
    snapshot = order(SnapshotLine("p", 3, sent, 2))
    expected = (sent, 2) if sent else (0, MISSING)
    assert returned(snapshot, change(9, -1), change(10, -1, name="b")) == [expected]


def test_adjustment_after_a_snapshot_with_returns_counts() -> None:
    """What happened after the snapshot comes on top of what it told."""
    assert returned(order(SnapshotLine("p", 3, 1, 2)), change(11, -1)) == [(2, 11)]


def test_one_line_that_tells_returns_speaks_for_the_order() -> None:
    """A source that names returns only where there are some knows of the other lines too."""
    snapshot = order(SnapshotLine("p", 3), SnapshotLine("q", 1, 1, 4))
    assert returned(snapshot, change(9, -1)) == [(0, MISSING), (1, 4)]


def test_return_is_dated_by_the_latest_that_counts() -> None:
    """Of several returns the latest dates the line, also where it was clamped away."""
    assert returned(order(SnapshotLine("p", 1)), change(5, -1), change(8, -1)) == [(1, 8)]


def test_return_without_a_date_is_of_the_order() -> None:
    """A snapshot's return without a time is taken as of the order."""
    assert returned(order(SnapshotLine("p", 3, 1), ordered_at=4)) == [(1, 4)]


def test_lines_of_one_product_are_merged() -> None:
    """2 at 3.00 and 1 at 6.00 are 3 at 4.00; a gift only if both are; the later return dates."""
    one, two = SnapshotLine("p", 2, 1, 5, 3.0, True), SnapshotLine("p", 1, None, 7, 6.0, False)
    merged = canonical_snapshot(order(one, two)).lines
    assert merged == (SnapshotLine("p", 3, 1, 5, 4.0, False),)
    assert canonical_snapshot(order(two, one)).lines == merged


def test_merging_keeps_what_is_unknown_unknown() -> None:
    """Lines without returns and prices have none when merged either."""
    line = SnapshotLine("p", 2, gift=True)
    assert canonical_snapshot(order(line, line)).lines == (SnapshotLine("p", 4, gift=True),)


def test_spelling_does_not_change_the_version() -> None:
    """Order of lines, number types, NaN for no price and a needless date make no difference."""
    plain = order(SnapshotLine("p", 1, 0, MISSING, None), SnapshotLine("q", 2, unit_price=3.0))
    odd = order(
        SnapshotLine("q", np.int64(2), unit_price=3),  # type: ignore[arg-type]
        SnapshotLine("p", 1, 0, 99, float("nan")),
    )
    assert canonical_snapshot(odd) == canonical_snapshot(plain)
    assert snapshot_version(canonical_snapshot(odd)) == snapshot_version(canonical_snapshot(plain))


def test_content_hash_is_stable() -> None:
    """The hash is part of what is stored, so it must never change: SHA-256 of this very JSON."""
    snapshot = canonical_snapshot(
        OrderSnapshot("o", "ü", 1, 2, "EUR", None, (SnapshotLine("p", 1),))
    )
    # printf '["\\u00fc",1,"EUR",null,[["p",1,null,-9223372036854775808,null,false]]]' | sha256sum
    expected = "742303109d76be30e84d46e4254ec30eeebbb249d3dff4823a4e0133633b0ea1"
    assert snapshot_version(snapshot).at == 2
    assert snapshot_version(snapshot).content_hash.hex() == expected


@pytest.mark.parametrize(
    "other",
    [
        {"customer_id": "d"},
        {"customer_id": None},
        {"ordered_at": 2},
        {"currency": "EUR"},
        {"channel": "web"},
        {"lines": (SnapshotLine("p", 2),)},
        {"lines": (SnapshotLine("p", 1, 0),)},
        {"lines": (SnapshotLine("p", 1, unit_price=0.0),)},
        {"lines": (SnapshotLine("p", 1, gift=True),)},
    ],
)
def test_content_changes_the_hash(other: dict[str, object]) -> None:
    """Whatever an order says is part of its hash."""
    plain = order(SnapshotLine("p", 1))
    changed = plain._replace(**other)  # type: ignore[arg-type]
    assert snapshot_version(plain).content_hash != snapshot_version(changed).content_hash


def test_deletion_wins_at_equal_times() -> None:
    """A tombstone's hash is above every other, and no later time is below an earlier one."""
    live, dead = snapshot_version(order(SnapshotLine("p", 1))), snapshot_version(tombstone("o", 10))
    assert live < dead < Version(11, b"")


def test_deletion_forgets_the_customer() -> None:
    """A snapshot without lines keeps nothing but the id and the time."""
    assert canonical_snapshot(order()) == tombstone("o", 10)


def test_adjustment_lines_are_summed() -> None:
    """Lines of one product are one; their order does not matter, nor does it to the version."""
    given = Adjustment("o", "a", 1, (("q", 1), ("p", -1), ("q", -3)))
    canonical = canonical_adjustment(given)
    assert canonical.lines == (("p", -1), ("q", -2))
    assert decode_lines(encode_lines(canonical.lines)) == canonical.lines
    turned = canonical_adjustment(given._replace(lines=given.lines[::-1]))
    assert adjustment_version(turned) == adjustment_version(canonical)


LINE = SnapshotLine("p", 2)
ID = "allowed is text of 1 to 255 characters without control characters; nothing of it was stored"
TIME = "allowed is microseconds since 1970 UTC between the years 1 and 9999"


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (order(LINE)._replace(order_id=""), f"order '': order_id is ''; {ID}"),
        (order(LINE)._replace(order_id=" \u3000"), "order ' .u3000': order_id is"),
        (order(LINE)._replace(order_id=7), f"order 7: order_id is 7; {ID}"),
        (order(LINE)._replace(customer_id="a\nb"), rf"order 'o': customer_id is 'a\\nb'; {ID}"),
        (order(LINE)._replace(channel="x" * 256), f"order 'o': channel is 'x+'; {ID}"),
        (order(LINE)._replace(currency="\ud800"), r"order 'o': currency is '\\ud800'"),
        (order(LINE._replace(product_id="")), "order 'o': product_id is ''"),
        (order(LINE)._replace(updated_at=MISSING), f"order 'o': updated_at is -9.*; {TIME}"),
        (order(LINE)._replace(ordered_at=2**62), f"order 'o': ordered_at is 46.*; {TIME}"),
        (order(LINE)._replace(ordered_at=None), "ordered_at is None; allowed is a whole number"),
        (order(LINE._replace(quantity=0)), "quantity of 'p' is 0; allowed is 1 to 1,000,000,000"),
        (order(LINE._replace(quantity=1.5)), "quantity of 'p' is 1.5; allowed is a whole number"),
        (
            order(LINE._replace(quantity=10**9), LINE),
            "summed quantity of 'p' is 1000000002; allowed is 1 to 1,000,000,000",
        ),
        (order(LINE._replace(returned_quantity=3)), "returned_quantity of 'p' is 3; .* 0 to 2"),
        (order(LINE._replace(returned_quantity="1")), "returned_quantity of 'p' is '1'; "),
        (
            order(LINE._replace(returned_quantity=1, returned_at=2**62)),
            f"returned_at of 'p' is .*; {TIME}",
        ),
        (order(LINE._replace(unit_price=-1)), "unit_price of 'p' is -1.0; allowed is 0 or more"),
        (order(LINE._replace(unit_price=float("inf"))), "unit_price of 'p' is inf; .* finite"),
    ],
)
def test_bad_snapshot_is_refused(snapshot: OrderSnapshot, message: str) -> None:
    """A value that is not allowed is refused with its order, its name and what is allowed."""
    with pytest.raises(InvalidOrdersError, match=message):
        canonical_snapshot(snapshot)


@pytest.mark.parametrize(
    ("adjustment", "message"),
    [
        (change(1, -1)._replace(order_id="\x7f"), "order_id is"),
        (change(1, -1)._replace(adjustment_id=""), "order 'o': adjustment_id is ''"),
        (change(2**62, -1), "order 'o': adjusted_at is"),
        (change(1, -1, ""), "order 'o': product_id is ''"),
        (change(1, 0.5), "quantity of 'p' is 0.5; allowed is a whole number"),  # type: ignore[arg-type]
        (change(1, 10**9 + 1), "quantity of 'p' is .* -1,000,000,000 to 1,000,000,000"),
    ],
)
def test_bad_adjustment_is_refused(adjustment: Adjustment, message: str) -> None:
    """An adjustment that is not allowed is refused in the same way."""
    with pytest.raises(InvalidOrdersError, match=message):
        canonical_adjustment(adjustment)
