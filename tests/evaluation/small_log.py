"""A log small enough to work every number out by hand."""

from __future__ import annotations

import pandas as pd

import personalize as pz
from personalize.times import to_micros

COLUMNS = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
CUTOFF = to_micros("2020-03-01")

# One letter is one product. The cutoff is 1 March.
#   before: o1 ann a b (a twice: one line of 1 + 2)   o2 ann a c   o3 bob b c
#   after:  o4 ann c d e                              o5 ann f     o6 bob a e   o7 cid a b
LOG = [
    ("o1", "ann", "a", "2020-01-01", 1),
    ("o1", "ann", "b", "2020-01-01", 1),
    ("o1", "ann", "a", "2020-01-01", 2),
    ("o2", "ann", "a", "2020-02-01", 1),
    ("o2", "ann", "c", "2020-02-01", 1),
    ("o3", "bob", "b", "2020-02-29T23:59:59", 1),
    ("o3", "bob", "c", "2020-02-29T23:59:59", 1),
    ("o4", "ann", "c", "2020-03-01", 1),
    ("o4", "ann", "d", "2020-03-01", 1),
    ("o4", "ann", "e", "2020-03-01", 1),
    ("o5", "ann", "f", "2020-03-01", 1),
    ("o6", "bob", "a", "2020-04-29T23:59:59", 1),
    ("o6", "bob", "e", "2020-04-29T23:59:59", 1),
    ("o7", "cid", "a", "2020-04-30", 1),
    ("o7", "cid", "b", "2020-04-30", 1),
]
A, B, C, D, E, F = range(6)


def orders_of(rows: list[tuple[str, str | None, str, str, int]]) -> pz.Orders:
    """Return rows as orders."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["ordered_at"] = pd.to_datetime(table["ordered_at"], utc=True, format="ISO8601")
    return pz.Orders.from_frame(table, strict=True)
