"""Killed under load: what was promised is kept. And the looking itself: it sees what is broken."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest

from soak.kills import killed
from soak.ledger import Ledger, audit, writing
from soak.running import Service
from soak.tables import damage


@pytest.mark.parametrize(("workers", "times"), [(1, 2), (2, 1)])
def test_killed_under_load_it_keeps_what_it_promised(
    stopped: Service, workers: int, times: int
) -> None:
    """Every acknowledged order is there, none twice, adjustments count once, the file is whole."""
    found = killed(replace(stopped, workers=workers), times, seed=workers, most=1.0)
    assert found.faults == []
    assert (found.kills, found.orders > 20, found.adjustments > 5) == (times, True, True)
    assert found.doubtful > 0


@pytest.fixture
def written(service: Service) -> list[Ledger]:
    """Return the ledgers of orders that are stored, none in doubt."""
    with writing(service.url, "w", writers=4) as ledgers:
        time.sleep(0.5)
    assert audit(service.url, ledgers) == []
    assert damage(service.store, ledgers) == []
    assert sum(len(one.orders) for one in ledgers) > 4
    return ledgers


def change(service: Service, sql: str) -> None:
    """Change the store behind the back of the service."""
    with closing(sqlite3.connect(service.store.removeprefix("sqlite:///"))) as store:
        store.execute(sql)
        store.commit()


def test_what_is_not_kept_is_seen(service: Service, written: list[Ledger]) -> None:
    """A return that counts twice, a line that is there twice and a lost order are each named."""
    returned = next(order_id for ledger in written for order_id, _ in ledger.adjustments)
    change(
        service,
        "UPDATE order_lines SET returned_quantity = 2 * returned_quantity "
        f"WHERE order_id = '{returned}'",
    )
    assert any(fault.startswith(f"{returned}: ") for fault in damage(service.store, written))

    # Under another time it is a line twice, and of another time than its order.
    twice = next(iter(written[0].orders))
    columns = "order_id, product_id, quantity, returned_quantity, gift"
    change(
        service,
        f"INSERT INTO order_lines (customer_id, ordered_at, {columns}) SELECT customer_id, "
        f"ordered_at + 1, {columns} FROM order_lines WHERE order_id = '{twice}'",
    )
    told = " ".join(damage(service.store, written))
    assert "a line is there twice" in told
    assert "a line is of another customer than its order" in told

    lost = next(iter(written[1].orders))
    change(service, f"DELETE FROM orders WHERE order_id = '{lost}'")
    assert f"{lost} was answered with 2xx, and is lost" in audit(service.url, written)
    told = " ".join(damage(service.store, written))
    assert "a line has no order" in told
    assert "orders are stored" in told
    assert "what is packed of a customer is not what was ordered" in told


def test_a_doubtful_order_may_be_missing_but_not_half_there(
    service: Service, written: list[Ledger]
) -> None:
    """What got no answer is sent again, and is there once afterwards; half of it is a fault."""
    ledger = next(one for one in written if any(len(b["lines"]) > 1 for b in one.orders.values()))
    order_id, body = next((o, b) for o, b in ledger.orders.items() if len(b["lines"]) > 1)
    ledger.doubtful["new", ""] = {**body, "customer_id": "c"}
    ledger.doubtful["new", "r"] = {
        "adjustment_id": "r",
        "adjusted_at": "2026-11-21T12:00:00Z",
        "lines": [{"product_id": body["lines"][0]["product_id"], "quantity": -2}],
    }
    assert audit(service.url, written) == []
    assert damage(service.store, written) == []
    ledger.doubtful[order_id, ""] = ledger.orders.pop(order_id)
    product = body["lines"][1]["product_id"]
    change(
        service,
        f"DELETE FROM order_lines WHERE order_id = '{order_id}' AND product_id = '{product}'",
    )
    assert any("its lines are" in fault for fault in audit(service.url, written))
