"""What only the tables of the store can tell: nothing twice, nothing half, the file whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final

import personalize as pz
from benchmarks.serving.postgres import connect
from soak.ledger import Ledger

_NONE_OF: Final = {
    "a line is there twice": "SELECT order_id, product_id FROM order_lines "
    "GROUP BY order_id, product_id HAVING count(*) > 1",
    "a line has no order": "SELECT order_id FROM order_lines "
    "WHERE order_id NOT IN (SELECT order_id FROM orders)",
    "an order has no line": "SELECT order_id FROM orders "
    "WHERE order_id NOT IN (SELECT order_id FROM order_lines)",
    "a line is of another customer than its order": "SELECT l.order_id FROM order_lines AS l "
    "JOIN orders AS o ON o.order_id = l.order_id "
    "WHERE o.customer_id <> l.customer_id OR o.ordered_at <> l.ordered_at",
}


def rows(store: str, sql: str) -> Sequence[Any]:
    """Return what a store's database answers."""
    if store.startswith("sqlite"):
        with closing(sqlite3.connect(store.removeprefix("sqlite:///"), timeout=30)) as database:
            return database.execute(sql).fetchall()
    with connect(store) as connection:
        return connection.execute(sql).fetchall()


def damage(store: str, ledgers: Sequence[Ledger]) -> list[str]:
    """Return what is wrong with a store that holds the orders of these ledgers and no others.

    Nothing in them may be in doubt.
    """
    faults = [
        f"{told}: {found[:3]}" for told, sql in _NONE_OF.items() if (found := rows(store, sql))
    ]
    for table, n in (
        ("orders", sum(len(one.orders) for one in ledgers)),
        ("adjustments", sum(len(one.adjustments) for one in ledgers)),
    ):
        ((there,),) = rows(store, f"SELECT count(*) FROM {table}")
        if there != n:
            faults.append(f"{there} {table} are stored, {n} were sent")
    sent_back = {order_id: one.returned(order_id) for one in ledgers for order_id in one.orders}
    units = "SELECT order_id, sum(returned_quantity) FROM order_lines GROUP BY order_id"
    faults += [
        f"{order_id}: {there} units count as returned, {sent_back.get(order_id)} were sent back"
        for order_id, there in rows(store, units)
        if there != sent_back.get(order_id)
    ]
    with pz.Store.open(store, create=False) as opened:
        differing = opened.check()
    if differing:
        faults.append(f"what is packed of a customer is not what was ordered: {differing[:3]}")
    if store.startswith("sqlite"):
        found = rows(store, "PRAGMA integrity_check")
        if found != [("ok",)]:
            faults.append(f"the file is damaged: {found[:3]}")
    return faults
