"""What is asked at the cutoff: three tasks, drawn from the test period.

A. Basket completion: one product of an order is known, which others were in it?
B. Follow-up: what of all they never bought before does a customer buy next?
S. Suppression: which product will a customer buy again soon?

This file decides the questions and what would have been right; it knows no method.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from personalize.evaluation.split import BoolArray, IntArray, Lines, Split
from personalize.times import DAY


@dataclass(frozen=True, slots=True)
class Queries:
    """What is asked, and what would have been right.

    Parameters
    ----------
    asked : int64, shape (n,)
        The anchor product (A) or the customer (B) of each query.
    start : int64, shape (n + 1,)
        The truth of query ``i`` is ``truth[start[i]:start[i + 1]]``.
    truth : int64
        Product codes; none twice within a query.
    """

    asked: IntArray
    start: IntArray
    truth: IntArray

    def __len__(self) -> int:
        return len(self.asked)

    def take(self, rows: IntArray) -> Queries:
        """Return these queries, in this order."""
        truths = [self.truth[self.start[row] : self.start[row + 1]] for row in rows.tolist()]
        return _queries(self.asked[rows].tolist(), truths)

    def sample(self, most: int, seed: int) -> Queries:
        """Return at most so many of the queries, drawn at random, in their old order."""
        if len(self) <= most:
            return self
        drawn = np.random.default_rng(seed).choice(len(self), size=most, replace=False)
        return self.take(np.sort(drawn))

    def mapped(self, code: IntArray) -> Queries:
        """Return the same queries with each product of the truth replaced by its code, once."""
        n = int(code.max(initial=0)) + 1
        owner = np.repeat(np.arange(len(self)), self.sizes())
        kept = np.unique(owner * n + code[self.truth])
        sizes = np.bincount(kept // n, minlength=len(self))
        return Queries(self.asked, np.concatenate([[0], np.cumsum(sizes)]), kept % n)

    def sizes(self) -> IntArray:
        """Return how many products each query's truth holds; shape (n,)."""
        return np.diff(self.start)


def _queries(asked: list[int], truths: list[IntArray]) -> Queries:
    sizes = np.array([0, *(len(truth) for truth in truths)], dtype=np.int64)
    flat = np.concatenate(truths) if truths else np.empty(0, np.int64)
    return Queries(np.array(asked, dtype=np.int64), np.cumsum(sizes), flat)


def _groups(keys: IntArray, values: IntArray) -> list[tuple[int, IntArray]]:
    """Return each distinct key with its sorted values, by ascending key."""
    order = np.lexsort((values, keys))
    found, starts = np.unique(keys[order], return_index=True)
    return list(zip(found.tolist(), np.split(values[order], starts[1:]), strict=False))


def basket_queries(split: Split, *, seeds: tuple[int, ...] = (0, 1, 2)) -> Queries:
    """Return task A: one product of every test order is the anchor, the others are the truth.

    For each seed one generator walks the orders by id and draws one of the order's products,
    sorted by id. Orders with fewer than two eligible products are left out.
    """
    lines = split.test.where(split.eligible[split.test.product])
    baskets = [basket for _, basket in _groups(lines.order, lines.product) if len(basket) > 1]
    asked: list[int] = []
    truths: list[IntArray] = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for basket in baskets:
            at = int(rng.integers(len(basket)))
            asked.append(int(basket[at]))
            truths.append(np.delete(basket, at))
    return _queries(asked, truths)


def follow_up_queries(split: Split) -> Queries:
    """Return task B: what a known customer never bought before and has in their next order.

    The next order is the first at or after the cutoff (equal times: the smaller order id).
    Customers for whom nothing eligible is new in it are left out.
    """
    past, test = split.train.of_customers(), split.test.of_customers()
    first = np.full(len(split.customer_ids), -1, dtype=np.int64)
    first[test.customer[::-1]] = test.order[::-1]
    owned = _pair_keys(split, past)
    fresh = ~np.isin(_pair_keys(split, test), owned)
    is_known = np.isin(test.customer, past.customer)
    chosen = test.where(
        fresh & is_known & split.eligible[test.product] & (first[test.customer] == test.order)
    )
    groups = _groups(chosen.customer, chosen.product)
    return _queries([customer for customer, _ in groups], [truth for _, truth in groups])


def _pair_keys(split: Split, lines: Lines) -> IntArray:
    return lines.customer * split.n_products + lines.product


@dataclass(frozen=True, slots=True)
class Pairs:
    """Task S: every customer and product bought before a moment, and whether it was again.

    Parameters
    ----------
    customer, product : int64, shape (n,)
        Codes, sorted by customer, then product.
    again : bool, shape (n,)
        Bought at or after the moment, within the horizon.
    """

    customer: IntArray
    product: IntArray
    again: BoolArray

    def __len__(self) -> int:
        return len(self.again)


def repurchase_pairs(split: Split, *, horizon_days: float = 60.0) -> Pairs:
    """Return task S at the cutoff; rare products count too."""
    return pairs_at(split, split.train, split.test, split.cutoff, horizon_days)


def pairs_at(split: Split, past: Lines, future: Lines, moment: int, horizon_days: float) -> Pairs:
    """Return the pairs of `past` and whether `future` repeats them within `horizon_days`."""
    keys = np.unique(_pair_keys(split, past.of_customers()))
    future = future.of_customers()
    soon = future.where(
        (future.time >= moment) & (future.time < moment + round(horizon_days * DAY))
    )
    customer, product = np.divmod(keys, split.n_products)
    return Pairs(customer, product, np.isin(keys, _pair_keys(split, soon)))


def sample_customers(split: Split, most_pairs: int, seed: int) -> tuple[Split, float]:
    """Return the split for task S: so few known customers that their pairs are bounded.

    Parameters
    ----------
    most_pairs : int
        Different products that the customers bought before the cutoff, summed, at most.
    seed : int
        Customers are drawn at random.

    Returns
    -------
    Split
        The same vocabularies; only lines of the customers that were drawn.
    float, share
        Of the known customers.
    """
    history = split.customer_products()
    n_owned = np.diff(history.indptr)
    everyone = np.flatnonzero(n_owned)
    if n_owned.sum() <= most_pairs:
        return split, 1.0
    drawn = np.random.default_rng(seed).permutation(everyone)
    drawn = drawn[np.cumsum(n_owned[drawn]) <= most_pairs]
    few = replace(
        split,
        train=split.train.where(np.isin(split.train.customer, drawn)),
        test=split.test.where(np.isin(split.test.customer, drawn)),
    )
    return few, len(drawn) / len(everyone)
