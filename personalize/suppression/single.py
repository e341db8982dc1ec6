"""Decisions for one customer: no table is built, a check takes microseconds."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from personalize.purchases import Owned, PurchaseState, owned_of
from personalize.repurchase import (
    BASES,
    LOYALTY,
    RECENT_DAYS,
    RULE,
    added,
    chance_of,
    customer_features,
    log_days,
    once_features,
    pair_features,
    place_of,
)
from personalize.suppression.once import Once
from personalize.suppression.rule import REASONS, SCOPES, basis_level, combine, due_at
from personalize.suppression.terms import Rules
from personalize.times import DAY, FOREVER, MISSING


class Decision(NamedTuple):
    """Whether one product must not be shown to one customer; times in microseconds UTC.

    ``until`` None with ``suppress`` True is for good. Probabilities are None for what was never
    owned, and where there was nothing to learn from.
    """

    customer_id: str
    product_id: str
    suppress: bool
    reason: str
    since: int | None
    until: int | None
    basis: str | None
    repurchase_probability: float | None


class Suppression(NamedTuple):
    """One row of a customer's suppression list; times in microseconds UTC."""

    customer_id: str
    scope: str
    target_id: str
    reason: str
    since: int
    until: int | None
    basis: str
    repurchase_probability: float | None


class Scope(NamedTuple):
    """What one customer owns of one product, group or type, and until when it suppresses."""

    owned: Owned
    until: int


class CustomerScopes:
    """One customer's purchases under some rules: what is owned of each product, group and type.

    Parameters
    ----------
    rules : Rules
    state : PurchaseState
    """

    __slots__ = (
        "_added",
        "_customer",
        "_groups",
        "_members",
        "_owned",
        "_types",
        "once",
        "rules",
        "state",
    )

    def __init__(self, rules: Rules, state: PurchaseState) -> None:
        self.rules = rules
        self.once = rules.bought_once
        self.state = state
        self._customer: tuple[int, tuple[float, ...]] = (MISSING, ())
        self._added: dict[int, float] = {}
        self._owned: dict[str, Owned] = {}
        self._groups: dict[int, Scope | None] = {}
        self._types: dict[int, Scope | None] = {}
        self._members: tuple[dict[int, list[str]], dict[int, list[str]]] | None = None

    def members(self) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
        """Return the owned products of each group, and of each one-per-need type.

        Looks at all that is owned, once, for a list.
        """
        if self._members is None:
            space, enough = self.rules.space, self.rules.enough
            group_of, type_of = space.group, space.type
            groups: dict[int, list[str]] = {}
            types: dict[int, list[str]] = {}
            occasions = self.state.occasions
            for product_id, num in zip(occasions, map(space.nums.get, occasions), strict=True):
                if num is None:
                    continue
                group, kind = group_of[num], type_of[num]
                if group >= 0:
                    groups.setdefault(group, []).append(product_id)
                if kind in enough:
                    types.setdefault(kind, []).append(product_id)
            self._members = (groups, types)
        return self._members

    def product(self, product_id: str) -> Scope | None:
        """Return what is owned of a product, or None."""
        if product_id not in self.state.occasions:
            return None
        owned = self._owned_of(product_id)
        num = self.rules.space.nums.get(product_id, -1)
        return Scope(owned, self._until(0, num, owned))

    def group(self, num: int) -> Scope | None:
        """Return what is owned of an item group, or None."""
        if self._members is not None and num not in self._members[0]:
            return None
        if num not in self._groups:
            products = self._in_group(num)
            self._groups[num] = self._scope(1, num, products) if products else None
        return self._groups[num]

    def type(self, num: int) -> Scope | None:
        """Return what is owned of a one-per-need type, or None."""
        if num not in (self.rules.enough if self._members is None else self._members[1]):
            return None
        if num not in self._types:
            products = self._in_type(num)
            self._types[num] = self._scope(2, num, products) if products else None
        return self._types[num]

    def _in_group(self, num: int) -> Collection[str]:
        if self._members is not None:
            return self._members[0][num]
        occasions = self.state.occasions
        return [product for product in self.rules.space.in_group(num) if product in occasions]

    def _in_type(self, num: int) -> Collection[str]:
        if self._members is not None:
            return self._members[1][num]
        # Of the two, Python runs through the smaller one: a type may hold thousands.
        return self.state.occasions.keys() & self.rules.space.in_type(num)

    def _scope(self, level: int, num: int, products: Collection[str]) -> Scope:
        owned = self._merged(products)
        return Scope(owned, self._until(level, num, owned))

    def _owned_of(self, product_id: str) -> Owned:
        owned = self._owned.get(product_id)
        if owned is None:
            owned = self._owned[product_id] = self.state.summary(product_id)
        return owned

    def _merged(self, products: Collection[str]) -> Owned:
        occasions_of = self.state.occasions
        if len(products) == 1:
            (product_id,) = products
            return self._owned_of(product_id)
        occasions: dict[int, int] = {}
        for product_id in products:
            for at, quantity in occasions_of[product_id].items():
                occasions[at] = occasions.get(at, 0) + quantity
        return owned_of(occasions)

    def _until(self, level: int, num: int, owned: Owned) -> int:
        if owned.n_orders == 1:
            return self.once(level, num, owned.last_quantity).until(owned.last_at)
        rules, terms = self.rules, self.rules.levels[level]
        if not terms.is_on[num]:
            return MISSING
        return due_at(
            *owned,
            terms.gap.item(num),
            terms.typical.item(num),
            terms.usual_quantity.item(num),
            terms.is_learned.item(num),
            rules.min_days,
            rules.rhythm_strength,
        )

    def _once(self, level: int, num: int, owned: Owned) -> Once | None:
        """Return what is known of something that was bought once; None if it was more often."""
        return self.once(level, num, owned.last_quantity) if owned.n_orders == 1 else None

    def probability(self, level: int, num: int, owned: Owned, as_of: int) -> float | None:
        """Return the chance of a repurchase within the horizon; None if nothing was learned."""
        once = self._once(level, num, owned)
        weights = self.rules.weights[level]
        customer, pair = self.features(level, num, owned, as_of, once)
        of_customer = self._added.get(level)
        if of_customer is None:
            of_customer = self._added[level] = added(0.0, weights.customer, customer)
        offset = self.rules.levels[level].offset.item(num) if once is None else once.offset
        chance = chance_of(added(offset + of_customer, weights.pair, pair))
        return None if math.isnan(chance) else chance

    def features(
        self, level: int, num: int, owned: Owned, as_of: int, once: Once | None = None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the features of the customer, and of what they own of one thing."""
        once = once or self._once(level, num, owned)
        customer, terms = self.customer(as_of), self.rules.levels[level]
        since = log_days(owned.last_at, as_of)
        step, share = place_of(since)
        low = terms.soon.item(num, step)
        soon = low + share * (terms.soon.item(num, step + 1) - low)
        if once is not None:
            return customer, once_features(since, once.gap, once.units, customer[LOYALTY], soon)
        return customer, pair_features(
            *owned,
            as_of,
            terms.typical.item(num),
            terms.usual_quantity.item(num),
            customer[LOYALTY],
            soon,
        )

    def customer(self, as_of: int) -> tuple[float, ...]:
        """Return the features of the customer, who owns something."""
        if self._customer[0] != as_of:
            state = self.state
            recent_from = as_of - RECENT_DAYS * DAY
            found = customer_features(
                state.n_orders,
                state.n_orders - bisect_left(state.order_times, recent_from),
                state.last_order_at,
                as_of,
                len(state.occasions),
                state.n_purchases,
                state.n_repeated,
            )
            self._customer = (as_of, found)
            self._added.clear()
        return self._customer[1]

    def returned(self, product_id: str) -> tuple[int, int]:
        """Return when a product was sent back for good, and until when that keeps it away."""
        at = self.state.returned.get(product_id, MISSING)
        if at == MISSING or not self.rules.returned_is_on:
            return _NEVER
        return at, at + int(self.rules.return_days * DAY)

    def decide(self, product_id: str, as_of: int) -> Decision:
        """Return the decision about one product."""
        space = self.rules.space
        num = space.nums.get(product_id, -1)
        nums = (num, space.group[num], space.type[num]) if num >= 0 else (-1, -1, -1)
        mine = self.product(product_id)
        own = _times(mine)
        of_group = _times(self.group(nums[1]) if nums[1] >= 0 else None)
        of_type = _times(self.type(nums[2]) if nums[2] >= 0 else None)
        back = self.returned(product_id)
        customer_id = self.state.customer_id
        chance = None if mine is None else self.probability(0, num, mine.owned, as_of)
        reason, since, until = combine(as_of, *own, *of_group, *of_type, *back)
        if reason == 4:
            return _decision((customer_id, product_id, False, _NOT, None, None, None, chance))
        level = basis_level(as_of, own[1], of_group[1], of_type[1])
        basis = RULE if level == 3 else self.rules.levels[level].basis.item(nums[level])
        end = None if until == FOREVER else until
        names = (REASONS[reason], since, end, BASES[basis])
        return _decision((customer_id, product_id, True, *names, chance))

    def rows(self, as_of: int) -> list[Suppression]:
        """Return the suppression list, by scope and target: what is in force, and only that."""
        found = [*self._product_rows(as_of)]
        groups, types = self.members()
        for level, nums, names in (
            (1, groups, self.rules.space.groups),
            (2, types, self.rules.space.types),
        ):
            for num in nums:
                scope = self.group(num) if level == 1 else self.type(num)
                if scope is not None and as_of < scope.until:
                    found.append(self._row(level, names[num], num, scope, as_of))
        return sorted(found, key=_place)

    def _product_rows(self, as_of: int) -> Iterable[Suppression]:
        for product_id in self.state.occasions:
            scope = self.product(product_id)
            if scope is not None and as_of < scope.until:
                num = self.rules.space.nums.get(product_id, -1)
                yield self._row(0, product_id, num, scope, as_of)
        for product_id in self.state.returned:
            at, until = self.returned(product_id)
            if as_of < until:
                yield Suppression(
                    self.state.customer_id,
                    SCOPES[0],
                    product_id,
                    REASONS[3],
                    at,
                    until,
                    BASES[RULE],
                    None,
                )

    def _row(self, level: int, target: str, num: int, scope: Scope, as_of: int) -> Suppression:
        return Suppression(
            self.state.customer_id,
            SCOPES[level],
            target,
            REASONS[level],
            scope.owned.last_at,
            None if scope.until == FOREVER else scope.until,
            BASES[self.rules.levels[level].basis.item(num)],
            self.probability(level, num, scope.owned, as_of),
        )


_NOT: Final = REASONS[4]


_NEVER: Final = (MISSING, MISSING)
_decision: Final[Callable[[Sequence[Any]], Decision]] = partial(tuple.__new__, Decision)


def unowned(customer_id: str, product_id: str) -> Decision:
    """Return the decision about a product nothing like which is owned or was sent back."""
    return Decision(customer_id, product_id, False, _NOT, None, None, None, None)


def _times(scope: Scope | None) -> tuple[int, int]:
    """Return since and until; a scope that does not suppress has neither."""
    if scope is None or scope.until == MISSING:
        return _NEVER
    return scope.owned.last_at, scope.until


def _place(row: Suppression) -> tuple[int, str]:
    return SCOPES.index(row.scope), row.target_id
