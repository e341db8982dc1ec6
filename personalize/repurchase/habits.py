"""Customers as a whole: how often they order, how much they own, how much of it they buy again."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalize.compiled import compiled
from personalize.purchases import Occasion
from personalize.repurchase.curves import Floats
from personalize.repurchase.features import N_CUSTOMER, RECENT_DAYS, customer_features
from personalize.times import DAY, FOREVER

Ints = NDArray[np.int64]


def _fill_habits(
    customer: Ints,
    target: Ints,
    at: Ints,
    before: int,
    n_products: Ints,
    n_purchases: Ints,
    n_repeated: Ints,
) -> None:
    times = 0
    for i in range(len(at)):
        if i == 0 or customer[i] != customer[i - 1] or target[i] != target[i - 1]:
            times = 0
        if at[i] < before:
            c = customer[i]
            times += 1
            n_purchases[c] += 1
            if times == 1:
                n_products[c] += 1
            if times == 2:
                n_repeated[c] += 1


def _fill_customers(
    out: Floats,
    customer: Ints,
    at: Ints,
    before: int,
    as_of: int,
    recent_from: int,
    n_products: Ints,
    n_purchases: Ints,
    n_repeated: Ints,
) -> None:
    n_orders = 0
    n_recent = 0
    last_at = 0
    for i in range(len(at)):
        c = customer[i]
        if i == 0 or c != customer[i - 1]:
            n_orders = 0
            n_recent = 0
        if at[i] < before:
            n_orders += 1
            last_at = at[i]
            if at[i] >= recent_from:
                n_recent += 1
        ends = i + 1 == len(at) or customer[i + 1] != c
        if ends and n_orders > 0 and n_products[c] > 0:
            row = customer_features(
                n_orders, n_recent, last_at, as_of, n_products[c], n_purchases[c], n_repeated[c]
            )
            for j in range(7):
                out[c, j] = row[j]


fill_habits = compiled(_fill_habits)
fill_customers = compiled(_fill_customers, uses=(customer_features,))


class Habits(NamedTuple):
    """What each customer owns in all, by customer code; int64 arrays, shape (n_customers,).

    ``n_products`` different products, ``n_purchases`` of them (a product counts once per order),
    ``n_repeated`` products bought more than once.
    """

    n_products: Ints
    n_purchases: Ints
    n_repeated: Ints

    @classmethod
    def of(cls, products: Occasion, n_customers: int, before: int = FOREVER) -> Self:
        """Return the habits seen in purchases of products before a moment, microseconds UTC."""
        found = cls(*np.zeros((3, n_customers), dtype=np.int64))
        fill_habits(products.customer, products.target, products.at, before, *found)
        return found

    def features(self, orders: Occasion, as_of: int, before: int = FOREVER) -> Floats:
        """Return the features of every customer, zeros for those without purchases.

        Parameters
        ----------
        orders : Occasion
            The customers' orders as a whole (one target).
        as_of, before : int, microseconds UTC
            The moment asked about, and until when orders count.

        Returns
        -------
        float64, shape (n_customers, len(CUSTOMER_FEATURES))
        """
        out = np.zeros((len(self.n_products), N_CUSTOMER))
        recent_from = as_of - RECENT_DAYS * DAY
        fill_customers(out, orders.customer, orders.at, before, as_of, recent_from, *self)
        return out
