"""Decisions for many customers at once: the same rule, compiled, over arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalize.blocks import in_blocks
from personalize.compiled import compiled
from personalize.products import ProductSpace
from personalize.purchases import Occasion, OwnedTable, Purchases
from personalize.repurchase import (
    LOYALTY,
    RULE,
    Habits,
    added,
    chance_of,
    log_days,
    pair_features,
    place_of,
)
from personalize.sorting import stable_order
from personalize.suppression.by_row import chance_of_pair, until_of
from personalize.suppression.rule import basis_level, combine, due_at
from personalize.suppression.terms import Floats, Ints, Rules, Terms
from personalize.times import DAY, MISSING


def _fill_due(
    until: Ints,
    target: Ints,
    n_orders: Ints,
    first_at: Ints,
    last_at: Ints,
    last_quantity: Ints,
    total_quantity: Ints,
    terms: Floats,
    min_days: float,
    rhythm_strength: float,
) -> None:
    for i in range(len(until)):
        owned = (n_orders[i], first_at[i], last_at[i], last_quantity[i], total_quantity[i])
        until[i] = until_of(owned, terms[target[i]], min_days, rhythm_strength)


def _fill_chance(
    chance: Floats,
    rows: Ints,
    weights: Floats,
    customer_weights: Floats,
    customers: Floats,
    loyalty: int,
    terms: Floats,
    soon: Floats,
    target: Ints,
    n_orders: Ints,
    first_at: Ints,
    last_at: Ints,
    last_quantity: Ints,
    total_quantity: Ints,
    as_of: int,
    customer: Ints,
) -> None:
    for i in range(len(rows)):
        r = rows[i]
        if r >= 0:
            owned = (n_orders[r], first_at[r], last_at[r], last_quantity[r], total_quantity[r])
            c, t = customer[r], target[r]
            base = added(0.0, customer_weights, customers[c])
            chance[i] = chance_of_pair(
                owned, as_of, base, weights, customers[c, loyalty], terms[t], soon[t]
            )


def _fill_decisions(
    reason: NDArray[Any], since: Ints, until: Ints, level: Ints, times: Ints, as_of: int
) -> None:
    for i in range(len(reason)):
        reason[i], since[i], until[i] = combine(
            as_of,
            times[i, 0],
            times[i, 1],
            times[i, 2],
            times[i, 3],
            times[i, 4],
            times[i, 5],
            times[i, 6],
            times[i, 7],
        )
        level[i] = basis_level(as_of, times[i, 1], times[i, 3], times[i, 5])


def _put_times(out: Ints, column: int, rows: Ints, since: Ints, until: Ints) -> None:
    """Write since and until, from this column on, where there is a row that suppresses."""
    for i in range(len(rows)):
        r = rows[i]
        if r >= 0 and until[r] != MISSING:
            out[i, column] = since[r]
            out[i, column + 1] = until[r]


put_times = compiled(_put_times)
fill_due = compiled(_fill_due, uses=(due_at, until_of))
fill_chance = compiled(
    _fill_chance, uses=(pair_features, place_of, log_days, added, chance_of, chance_of_pair)
)
fill_decisions = compiled(_fill_decisions, uses=(combine, basis_level))


_BLOCK: Final = 1 << 17
"""Pairs decided at a time: what is in between stays in the processor's cache."""


class Decisions(NamedTuple):
    """Decisions about pairs, as parallel arrays of one length.

    ``reason`` indexes ``REASONS`` (4 is not suppressed), ``basis`` ``BASES`` (-1 for none);
    times are microseconds UTC, int64 min for none, int64 max for good; ``chance`` is NaN where
    there is none.
    """

    reason: NDArray[np.int8]
    since: Ints
    until: Ints
    basis: NDArray[np.int8]
    chance: Floats


@dataclass(frozen=True, eq=False)
class ManyCustomers:
    """The purchases of many customers under some rules.

    Parameters
    ----------
    rules : Rules
        Their space holds every product that anybody bought.
    purchases : Purchases
    owned : tuple of OwnedTable
        By product, item group and one-per-need type, in numbers of the space.
    until : tuple of int64 arrays
        When each row of `owned` is due; int64 min where its rule is off.
    returned : OwnedTable
        Products sent back and not owned; ``last_at`` is when.
    habits : Habits
        Of every customer of the purchases.
    """

    rules: Rules
    purchases: Purchases
    owned: tuple[OwnedTable, OwnedTable, OwnedTable]
    until: tuple[Ints, Ints, Ints]
    returned: OwnedTable
    habits: Habits

    @classmethod
    def from_purchases(cls, rules: Rules, purchases: Purchases, nums: Ints) -> Self:
        """Return the purchases laid out by scope.

        Parameters
        ----------
        rules : Rules
        purchases : Purchases
        nums : int64, shape (n_product_ids,)
            Number in the rules' space of each product code of the purchases.
        """
        space = rules.space
        product = nums[purchases.product]
        group_of, type_of = space.array("group"), space.array("type")
        single = np.append(np.where(rules.is_one_per_need, 1, -1), -1)
        kind = type_of[product]
        kind = np.where(single[kind] > 0, kind, -1)
        targets = (product, group_of[product], kind)
        counts = (len(space), len(space.groups), len(space.types))
        scopes = (
            Occasion.from_lines(
                purchases.customer, target, purchases.at, purchases.quantity, max(count, 1)
            )
            for target, count in zip(targets, counts, strict=True)
        )  # one at a time: of a large shop there is room for one
        products = next(scopes)
        habits = Habits.of(products, len(purchases.customer_ids))
        owned = (products.owned(), *(scope.owned() for scope in scopes))
        a, b, c = owned
        until = tuple(_until(rules, rules.levels[i], owned[i]) for i in range(3))
        d, e, f = until
        back = Occasion.from_lines(
            purchases.returned_customer,
            nums[purchases.returned_product],
            purchases.returned_at,
            np.zeros(len(purchases.returned_at), dtype=np.int64),
            max(len(space), 1),
        ).owned()
        gone = np.flatnonzero(a.find(back.customer, back.target) < 0)
        return cls(rules, purchases, (a, b, c), (d, e, f), back.take(gone), habits)

    @cached_property
    def returned_until(self) -> Ints:
        """Until when each row of `returned` keeps its product away; int64 min: its rule is off."""
        if not self.rules.returned_is_on:
            return np.full(len(self.returned), MISSING, dtype=np.int64)
        return self.returned.last_at + int(self.rules.return_days * DAY)

    def chance(self, level: int, rows: Ints, as_of: int) -> Floats:
        """Return the chance of a repurchase of rows of one level; NaN for row -1."""
        table, terms, weights = (
            self.owned[level],
            self.rules.levels[level],
            self.rules.weights[level],
        )
        out = np.full(len(rows), math.nan)
        fill_chance(
            out,
            rows,
            np.array(weights.pair),
            np.array(weights.customer),
            self.habits.features(self.purchases.orders_of, as_of),
            LOYALTY,
            terms.rows,
            terms.soon,
            table.target,
            table.n_orders,
            table.first_at,
            table.last_at,
            table.last_quantity,
            table.total_quantity,
            as_of,
            table.customer,
        )
        return out

    def decide(self, customer: Ints, product: Ints, as_of: int) -> Decisions:
        """Return the decision about each pair.

        Parameters
        ----------
        customer : int64, shape (n,)
            Codes of the purchases' customers, -1 for an unknown one.
        product : int64, shape (n,)
            Numbers of the rules' space, -1 for an unknown one.
        as_of : int, microseconds UTC
        """
        # Customer by customer: of millions, what lies side by side is a tenth of the work to find.
        n, n_customers = len(customer), len(self.purchases.customer_ids)
        order = stable_order(np.where(customer < 0, n_customers, customer), n_customers + 1)
        found = self._decided(customer[order], product[order], as_of)
        columns: list[NDArray[Any]] = [np.empty(n, column.dtype) for column in found]

        def put(start: int, stop: int) -> None:
            for place, column in enumerate(columns):
                column[order[start:stop]] = found[place][start:stop]

        in_blocks(put, n, _BLOCK)
        return Decisions(*columns)

    def _decided(self, customer: Ints, product: Ints, as_of: int) -> Decisions:
        n = len(customer)
        reason, basis = np.empty(n, dtype=np.int8), np.empty(n, dtype=np.int8)
        since, until, owned = np.empty((3, n), dtype=np.int64)
        space = self.rules.space
        group_of, type_of = (np.append(space.array(name), -1) for name in ("group", "type"))

        def work(start: int, stop: int) -> None:
            here = slice(start, stop)
            who, what = customer[here], product[here]
            targets = (what, group_of[what], type_of[what])
            times = np.full((stop - start, 8), MISSING, dtype=np.int64)
            rows = [self.owned[i].find(who, targets[i]) for i in range(3)]
            for i in range(3):
                put_times(times, 2 * i, rows[i], self.owned[i].last_at, self.until[i])
            back = self.returned.find(who, what)
            put_times(times, 6, back, self.returned.last_at, self.returned_until)
            level = np.empty(stop - start, dtype=np.int64)
            fill_decisions(reason[here], since[here], until[here], level, times, as_of)
            owned[here] = rows[0]
            basis[here] = np.where(reason[here] == 4, -1, RULE)
            for i in range(3):
                mine = np.flatnonzero((level == i) & (reason[here] != 4))
                basis[start + mine] = self.rules.levels[i].basis[targets[i][mine]]

        in_blocks(work, n, _BLOCK)
        return Decisions(reason, since, until, basis, self.chance(0, owned, as_of))


def _until(rules: Rules, terms: Terms, table: OwnedTable) -> Ints:
    until = np.empty(len(table), dtype=np.int64)
    fill_due(
        until,
        table.target,
        table.n_orders,
        table.first_at,
        table.last_at,
        table.last_quantity,
        table.total_quantity,
        terms.rows,
        rules.min_days,
        rules.rhythm_strength,
    )
    return until


def numbers_in(space: ProductSpace, product_ids: list[str]) -> Ints:
    """Return the number of each product in a space, -1 where it has none."""
    nums = space.nums
    return np.fromiter((nums.get(each, -1) for each in product_ids), np.int64, len(product_ids))
