"""Random shops of any size."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

import personalize as pz

START = pd.Timestamp("2026-01-01", tz="UTC")


def shop(n_orders: int, *, guests: float = 0.3, days: int = 120, returns: float = 0.1) -> pz.Orders:
    """Return random orders of 25 products by 60 customers, some lines returned or given away."""
    rng = np.random.default_rng(n_orders)
    rows = []
    for order in range(n_orders):
        at = START + pd.Timedelta(days=int(rng.integers(days)), minutes=order)
        customer = None if rng.random() < guests else f"c{rng.integers(60)}"
        for product in rng.choice(25, size=int(rng.integers(1, 5)), replace=False).tolist():
            back, gift = int(rng.random() < returns), bool(rng.random() < 0.05)
            rows.append((f"o{order}", customer, f"p{product:02}", at, 1, back, gift))
    names = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    table = pd.DataFrame(rows, columns=[*names, "returned_quantity", "gift"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pz.PersonalizeWarning)
        return pz.Orders.from_frame(table)
