"""Decisions about many products for one customer: the same rule, compiled, over packed purchases.

From ids to times everything is one compiled loop: asked about a hundred products of somebody who
was never asked about, an interpreter would mostly wait for memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from personalize.compiled import compiled
from personalize.id_table import SEPARATOR, Bytes, IdTable, as_bytes, id_hash, id_numbers, is_same
from personalize.packing import HEAD_INTS, PackedState
from personalize.repurchase import (
    BASES,
    LOYALTY,
    RECENT_DAYS,
    RULE,
    added,
    chance_of,
    customer_features,
    log_days,
    pair_features,
    place_of,
)
from personalize.suppression.by_row import Summary, chance_of_pair, until_of
from personalize.suppression.rule import REASONS, basis_level, combine, due_at
from personalize.suppression.single import Decision
from personalize.suppression.terms import BASIS, Floats, Ints, Rules
from personalize.times import DAY, FOREVER, MISSING


def long_at(numbers: Any, place: int) -> int:
    """Return the int64 that lies at two int32."""
    return int((np.int64(numbers[place + 1]) << 32) | (np.int64(numbers[place]) & 0xFFFFFFFF))


def summary_of(
    numbers: Any, targets: Ints, level: int, target: int, units: Ints, is_in: Any
) -> Summary:
    """Return what is owned of one target, as `Owned`; without an order if nothing is.

    Parameters
    ----------
    numbers : int32
        As in `PackedState`.
    targets : int64, shape (3, n_products)
        Of each of the customer's products, by scope.
    level, target : int
        Row of `targets`, and what must stand there.
    units, is_in : shape (n_times,)
        Room, zero before and after.
    """
    n_times, n_owned, n_purchases, n_returned = numbers[0], numbers[1], numbers[2], numbers[3]
    starts_at = HEAD_INTS + 2 * (n_times + n_returned)
    times_at = starts_at + n_owned + 1
    units_at = times_at + n_purchases + numbers[4]
    first, last = n_times, -1
    for product in range(n_owned):
        if targets[level, product] == target:
            for i in range(numbers[starts_at + product], numbers[starts_at + product + 1]):
                at = numbers[times_at + i]
                units[at] += (
                    long_at(numbers, units_at + 2 * i) if numbers[5] else numbers[units_at + i]
                )
                is_in[at] = True
                first, last = min(first, at), max(last, at)
    if last < 0:
        return 0, MISSING, MISSING, 0, 0
    n_orders, total, newest = 0, 0, units[last]
    for at in range(first, last + 1):
        if is_in[at]:
            n_orders += 1
            total += units[at]
            units[at], is_in[at] = 0, False
    first_at = long_at(numbers, HEAD_INTS + 2 * first)
    return n_orders, first_at, long_at(numbers, HEAD_INTS + 2 * last), newest, total


def habits_of(numbers: Any, as_of: int) -> tuple[float, ...]:
    """Return the features of a customer who owns something."""
    n_times = numbers[0]
    recent_from = as_of - RECENT_DAYS * DAY
    n_recent = 0
    for i in range(n_times):
        if long_at(numbers, HEAD_INTS + 2 * i) >= recent_from:
            n_recent += 1
    return customer_features(
        n_times,
        n_recent,
        long_at(numbers, HEAD_INTS + 2 * (n_times - 1)),
        as_of,
        numbers[1],
        numbers[2],
        long_at(numbers, 6),
    )


def scopes_of(nums: Ints, n: int, scopes: Any, none: int) -> Ints:
    """Return place, group and one-per-need type of products, shape (3, n_products).

    Only the first `n` have the latter two, others `none`.
    """
    found = np.full((3, len(nums)), none, np.int64)
    for i in range(len(nums)):
        found[0, i] = i
        if nums[i] >= 0 and i < n:
            if scopes[nums[i], 0] >= 0:
                found[1, i] = scopes[nums[i], 0]
            if scopes[nums[i], 1] >= 0:
                found[2, i] = scopes[nums[i], 1]
    return found


def is_touched(
    hashes: Ints, targets: Ints, hashed: int, group: int, kind: int
) -> tuple[bool, bool, bool]:
    """Return whether some of a customer's products have this hash, this group, this type."""
    is_hit = in_group = in_kind = False
    for product in range(len(hashes)):
        is_hit |= hashes[product] == hashed
        in_group |= targets[1, product] == group
        in_kind |= targets[2, product] == kind
    return is_hit, in_group, in_kind


def place_among(asked: Bytes, asked_begins: Ints, i: int, products: Bytes, begins: Ints) -> int:
    """Return the place among a customer's products of the one asked about, -1 for none."""
    start, size = asked_begins[i], asked_begins[i + 1] - asked_begins[i]
    found = -1
    for product in range(len(begins) - 1):
        begin = begins[product]
        if begins[product + 1] - begin == size and is_same(asked, start, products, begin, size - 1):
            found = product
    return found


def _decide_packed(
    found: Ints,
    chances: Floats,
    asked: Bytes,
    products: Bytes,
    numbers: Any,
    as_of: int,
    ids: Bytes,
    starts: Any,
    slots: Ints,
    scopes: Any,
    terms: tuple[Floats, Floats, Floats],
    soon: Floats,
    customer_weights: Floats,
    pair_weights: Floats,
    min_days: float,
    rhythm_strength: float,
    away: int,
) -> int:
    """Write place, reason, since, until and basis of whatever is touched, and its chance.

    Returns how many are. A product that nothing knows has the last terms.
    """
    n_times, n_owned, n_asked = numbers[0], numbers[1], len(found)
    begins, hashes, nums = id_numbers(products, n_owned + numbers[3], ids, starts, slots)
    targets = scopes_of(nums, n_owned, scopes, -2)  # what was sent back says nothing of others
    asked_begins, asked_hashes, asked_nums = id_numbers(asked, n_asked, ids, starts, slots)
    asked_targets = scopes_of(asked_nums, n_asked, scopes, -1)
    units, is_in = np.zeros(n_times, np.int64), np.zeros(n_times, np.bool_)
    times, rows, targeted = np.empty(8, np.int64), np.empty(3, np.int64), np.empty(3, np.int64)
    customer = habits_of(numbers, as_of) if n_owned else (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    base = added(0.0, customer_weights, customer)
    n_found = 0
    for place in range(n_asked):
        num, group, kind = asked_nums[place], asked_targets[1, place], asked_targets[2, place]
        is_hit, in_group, in_kind = is_touched(hashes, targets, asked_hashes[place], group, kind)
        targeted[0] = -1
        if is_hit:
            targeted[0] = place_among(asked, asked_begins, place, products, begins)
        if targeted[0] < 0 and not in_group and not in_kind:
            continue
        targeted[1], targeted[2] = group if in_group else -1, kind if in_kind else -1
        times[:] = MISSING
        rows[0], rows[1], rows[2] = num, group, kind
        chance = np.nan
        for level in range(3):
            if targeted[level] < 0 or (level == 0 and targeted[0] >= n_owned):
                continue
            owned = summary_of(numbers, targets, level, targeted[level], units, is_in)
            row = terms[level][rows[level]]
            until = until_of(owned, row, min_days, rhythm_strength)
            if until != MISSING:
                times[2 * level], times[2 * level + 1] = owned[2], until
            if level == 0:
                loyalty = customer[LOYALTY]
                chance = chance_of_pair(owned, as_of, base, pair_weights, loyalty, row, soon[num])
        if targeted[0] >= n_owned and away != MISSING:
            times[6] = long_at(numbers, HEAD_INTS + 2 * (n_times + targeted[0] - n_owned))
            times[7] = times[6] + away
        reason, since, until = combine(
            as_of, times[0], times[1], times[2], times[3], times[4], times[5], times[6], times[7]
        )
        level = basis_level(as_of, times[1], times[3], times[5])
        found[n_found, 0], found[n_found, 1] = place, reason
        found[n_found, 2], found[n_found, 3] = since, until
        found[n_found, 4] = RULE if level == 3 else np.int64(terms[level][rows[level], BASIS])
        chances[n_found] = chance
        n_found += 1
    return n_found


decide_packed = compiled(
    _decide_packed,
    uses=(
        id_hash,
        is_same,
        id_numbers,
        scopes_of,
        is_touched,
        place_among,
        long_at,
        summary_of,
        due_at,
        until_of,
        customer_features,
        habits_of,
        place_of,
        log_days,
        pair_features,
        added,
        chance_of,
        chance_of_pair,
        combine,
        basis_level,
    ),
)


class PackedRules:
    """Rules laid out for decisions on packed purchases.

    Parameters
    ----------
    rules : Rules
    """

    def __init__(self, rules: Rules) -> None:
        space, weights = rules.space, rules.weights[0]
        first, second, third = rules.levels
        groups, kinds = space.array("group"), space.array("type")
        single = np.append(rules.is_one_per_need, False)
        away = int(rules.return_days * DAY) if rules.returned_is_on else MISSING
        self._tables = (
            *IdTable.of(space.ids),
            np.stack([groups, np.where(single[kinds], kinds, -1)], axis=1).astype(np.int32),
            (first.rows, second.rows, third.rows),
            rules.product.soon,
            np.array(weights.customer),
            np.array(weights.pair),
            rules.min_days,
            rules.rhythm_strength,
            away,
        )

    def touched(
        self, packed: PackedState, customer_id: str, product_ids: Sequence[str], as_of: int
    ) -> list[Decision]:
        """Return the decisions about products like which something is owned or was sent back.

        They come in the order of `product_ids`; of all others the decision is `unowned`.

        Parameters
        ----------
        packed : PackedState
            What they own.
        customer_id : str
        product_ids : sequence of str
        as_of : int, microseconds UTC
        """
        asked = SEPARATOR.join(product_ids)
        if asked.count(SEPARATOR) >= len(product_ids):  # nobody owns what holds one
            product_ids = [each for each in product_ids if SEPARATOR not in each]
            asked = SEPARATOR.join(product_ids)
        n = len(product_ids)
        found, chances = np.empty((n, 5), np.int64), np.empty(n)
        n_found = decide_packed(
            found,
            chances,
            as_bytes(asked),
            as_bytes(packed.joined),
            np.frombuffer(packed.numbers, np.int32),
            as_of,
            *self._tables,
        )
        return [
            _decision(customer_id, product_ids[place], reason, since, until, basis, chance)
            for (place, reason, since, until, basis), chance in zip(
                found[:n_found].tolist(), chances[:n_found].tolist(), strict=True
            )
        ]


def _decision(
    customer_id: str,
    product_id: str,
    reason: int,
    since: int,
    until: int,
    basis: int,
    chance: float,
) -> Decision:
    told = None if chance != chance else chance  # NaN: there is none
    if reason == 4:
        return Decision(customer_id, product_id, False, REASONS[4], None, None, None, told)
    end = None if until == FOREVER else until
    return Decision(customer_id, product_id, True, REASONS[reason], since, end, BASES[basis], told)
