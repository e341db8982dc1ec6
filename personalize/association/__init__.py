"""What is bought with what, and what is bought next: two learned tables of product pairs.

`together` is what goes with a product: the chance that an order with it holds the other (old orders
fade, large ones say less), evened out by a share of co-ownership and of `next`. `next` are weights
from what a customer owns to what they buy besides, by the neighbourhood ridge: for each product the
linear model on its nearest products, solved exactly (the closed form of EASE, Steck 2019, with an
intercept and restricted to neighbours). Every pair in either, and every pair that the ridge looks
at, was made by at least `min_customers` different customers.

Fitting compiles loops with numba and spreads rows over threads; scoring is numpy only. What is
shown, suppressed or kept out is decided elsewhere.
"""

from __future__ import annotations

from personalize.association.owning import Owning
from personalize.association.ridge import Ridge, ridge_table
from personalize.association.scoring import POWER, Association, Scored, summed

__all__ = ["POWER", "Association", "Owning", "Ridge", "Scored", "ridge_table", "summed"]
