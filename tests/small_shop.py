"""A shop small enough to work every number out by hand: 22 order lines, 10 products.

What each customer is here for:

- ann buys a coat and its trousers, then coffee every 30 days, then something no catalogue knows
- bob buys the same coat in another size, and coffee, the second time twice as much
- cid buys another sport coat, and socks of which one of three pairs goes back
- dot sends back all she bought
- eve gives her tie away, and keeps the socks
- two guests have no history, but their baskets count
"""

from __future__ import annotations

import datetime as dt

import pandas as pd

import personalize as pz

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

COATS = "Apparel > Suits > Sport coats"
TROUSERS = "Apparel > Suits > Trousers"
TIES = "Apparel > Ties"
SOCKS = "Apparel > Socks"
COFFEE = "Grocery > Coffee"


def day(number: float) -> dt.datetime:
    """Return the moment so many days after the start of the log."""
    return START + dt.timedelta(days=number)


# order, customer, product, day, quantity, returned, day of return, gift
LINES = (
    ("a1", "ann", "coat-navy-50", 0, 1, 0, None, False),
    ("a1", "ann", "trousers-50", 0, 1, 0, None, False),
    ("b1", "bob", "coat-navy-52", 5, 1, 0, None, False),
    ("b1", "bob", "trousers-50", 5, 1, 0, None, False),
    ("b1", "bob", "tie", 5, 2, 0, None, False),
    ("a2", "ann", "coffee", 10, 1, 0, None, False),
    ("c1", "cid", "coat-grey", 12, 1, 0, None, False),
    ("c1", "cid", "trousers-50", 12, 1, 0, None, False),
    ("c1", "cid", "tie", 12, 1, 0, None, False),
    ("b2", "bob", "coffee", 20, 1, 0, None, False),
    ("d1", "dot", "tie", 30, 1, 1, 35, False),
    ("a3", "ann", "coffee", 40, 1, 0, None, False),
    ("b3", "bob", "coffee", 45, 2, 0, None, False),
    ("e1", "eve", "tie", 50, 1, 0, None, True),
    ("e1", "eve", "socks", 50, 3, 0, None, False),
    ("g1", None, "coat-navy-50", 52, 1, 0, None, False),
    ("g1", None, "trousers-50", 52, 1, 0, None, False),
    ("g1", None, "tie", 52, 1, 0, None, False),
    ("g2", None, "coffee", 55, 1, 0, None, False),
    ("c2", "cid", "socks", 60, 3, 1, 65, False),
    ("a4", "ann", "coffee", 70, 1, 0, None, False),
    ("a5", "ann", "mystery", 80, 1, 0, None, False),
)

# product, group, type, availability, sensitive
PRODUCTS = (
    ("coat-navy-50", "coat-navy", COATS, "in_stock", False),
    ("coat-navy-52", "coat-navy", COATS, "in_stock", False),
    ("coat-grey", None, COATS, "in_stock", False),
    ("coat-tweed", None, COATS, "in_stock", False),  # nobody bought it
    ("trousers-50", "trousers", TROUSERS, "in_stock", False),
    ("trousers-52", "trousers", TROUSERS, "in_stock", False),  # nobody bought it
    ("tie", None, TIES, "in_stock", False),
    ("socks", None, SOCKS, "out_of_stock", False),
    ("coffee", None, COFFEE, None, False),  # nobody said whether it is there: it is
    ("test-kit", None, "Health", "in_stock", True),  # nobody bought it
)


def frame() -> pd.DataFrame:
    """Return the order lines as a table of the public contract."""
    names = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    names += ["returned_quantity", "returned_at", "gift"]
    table = pd.DataFrame(LINES, columns=names)
    table["ordered_at"] = pd.Series([day(line[3]) for line in LINES], dtype="datetime64[us, UTC]")
    returns = [None if line[6] is None else day(line[6]) for line in LINES]
    table["returned_at"] = pd.Series(returns, dtype="datetime64[us, UTC]")
    return table


def orders() -> pz.Orders:
    """Return the order log."""
    return pz.Orders.from_frame(frame(), strict=True)


def catalog() -> pz.Catalog:
    """Return the catalogue; ``mystery`` is not in it."""
    names = ["product_id", "item_group_id", "product_type", "availability", "sensitive"]
    table = pd.DataFrame(PRODUCTS, columns=names)
    table["title"] = [f"The {product[0]}" for product in PRODUCTS]
    table["price"] = [10.0 * (n + 1) for n in range(len(PRODUCTS))]
    return pz.Catalog.from_frame(table, strict=True)
