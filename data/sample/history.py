"""What customers of the planted shop did: orders of one chunk of customers, as arrays.

Decides when customers come, what an order is about, what completes it, what is bought by the way,
what runs out, and what is sent back or given away. What is true of the shop is in `shop`.
No loop here runs over customers, orders or lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shop import (
    FIRST_DAY,
    MONTH_OF_TRADE,
    N_DAYS,
    ONE,
    SIDE,
    TREND_DAYS,
    TREND_SHARE,
    TYPES,
    USED,
    Bools,
    Floats,
    Ints,
    Shop,
    month_of_day,
)

SAME_BASKET_SHARE = 0.82  # of the complements bought; the others follow in a later order
LATER_DAYS = (4, 35)
MATCHING_SHARE = 0.6  # of complements that come from the group matching the anchor's
ANOTHER_SHARE = 0.03  # of the chances to buy another one-per-need product that are taken
CONTINUE_RATE = 0.86  # a consumer buys once more
GAP_SIGMA = 0.2
SOUGHT_SHARE = 0.62  # of visits that are about something
LIKED_SHARE = 0.35  # of lines bought by the way that follow the customer's taste
N_LIKED = 3
GUEST_SHARE = 0.10
ORDERS_PER_TRIP = 1.08
LINES_PER_ORDER = 2.3
USED_PER_CUSTOMER = 2.4  # orders that only refill, at the density of the default shop
ORDERS_PER_CUSTOMER = 7.5
RETURN_DAYS = (3, 21)
GIFT_SHARE = 0.065  # of the lines that are not consumed
SALE_SHARE, SALE = 0.12, 0.8
CHANNELS = ("web", "app", "store", "phone")
CHANNEL_EDGES = np.array([0.55, 0.85, 0.97])
HOURS = np.array([1, 0.5, 0.3, 0.2, 0.2, 0.4, 1, 2, 3, 4, 5, 5, 5, 5, 4, 4, 4, 5, 6, 8, 9, 8, 5, 3])
STORY_CUSTOMER = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Customers `first` .. `first + n_customers` - 1 and the orders they share with guests."""

    number: int
    first: int
    n_customers: int
    n_orders: int
    trips: float  # visits per customer that are not refills
    refills: float  # how many consumers there are, against the default shop


@dataclass(slots=True)
class Lines:
    """Order lines in the making; a customer number of `n_customers` or more is a guest."""

    customer: Ints
    day: Ints
    type: Ints
    hint: Ints  # number of the anchor's group, -1 without
    product: Ints  # -1 while it is open
    quantity: Ints  # 0 while it is open

    def take(self, rows: Bools | Ints) -> Lines:
        """Return some of the lines."""
        return Lines(*(getattr(self, name)[rows] for name in Lines.__slots__))

    @classmethod
    def join(cls, parts: list[Lines]) -> Lines:
        """Return the lines of all parts."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in cls.__slots__))


def new_lines(customer: Ints, day: Ints, of_type: Ints) -> Lines:
    """Return lines whose product is still open."""
    none = np.full(len(customer), -1)
    return Lines(customer, day, of_type, none, none.copy(), np.zeros_like(none))


def trade_edges() -> Floats:
    """Return the cumulated share of trade of the days; shape (N_DAYS,)."""
    months = (FIRST_DAY.astype("datetime64[M]").astype(int) + month_of_day()) % 12
    weekday = (FIRST_DAY.astype(int) + np.arange(N_DAYS) + 3) % 7  # 0 is Monday
    weight = np.array(MONTH_OF_TRADE)[months] * np.where(weekday >= 5, 1.3, 1.0)
    growth = np.linspace(0.9, 1.1, N_DAYS)
    total = np.cumsum(weight * growth)
    return np.asarray(total / total[-1])


def is_first(key: Ints, day: Ints) -> Bools:
    """Tell which rows are the earliest of their key (ties: the first row)."""
    order = np.argsort(key * np.int64(2 * N_DAYS) + day, kind="stable")
    ordered = key[order]
    first = np.ones(len(key), dtype=bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first


def draw(edges: Floats, row: Ints, u: Floats, last: Ints) -> Ints:
    """Return a draw from row `row` of the table behind `edges` (see `shop.edges`)."""
    return np.minimum(np.searchsorted(edges, row + u, side="right"), last).astype(np.int64)


class Simulation:
    """The draws behind one chunk; everything random comes from one generator."""

    def __init__(self, shop: Shop, chunk: Chunk, seed: int) -> None:
        self.shop, self.chunk = shop, chunk
        self.rng = np.random.default_rng([seed, chunk.number])
        self.month = month_of_day()
        self.trade = trade_edges()
        self.one = shop.is_kind(ONE)
        self.used = shop.is_kind(USED)
        n = chunk.n_customers
        start = np.clip(self.rng.random(n) * 1.6 - 0.75, 0.0, 0.9)
        stays = self.rng.random(n) < 0.8
        until = np.where(stays, 1.0, start + (1.0 - start) * (0.3 + 0.7 * self.rng.random(n)))
        self.active = np.stack([start, until])
        self.build = self.rng.random(n)  # decides the sizes a customer wears
        liked = np.searchsorted(shop.liked_edges, self.rng.random((n, N_LIKED)), side="right")
        self.liked = np.minimum(liked, shop.n_types - 1)

    def run(self) -> Lines:
        """Return all lines of the chunk, each with its product."""
        members = self._members()
        n_guests = self.chunk.n_orders - len(np.unique(self._order_key(members)))
        low, high = (int(self.chunk.n_orders * GUEST_SHARE * by) for by in (0.5, 1.5))
        guests = self._guests(min(max(n_guests, low), high))
        return Lines.join([members, guests])

    def _order_key(self, lines: Lines) -> Ints:
        return lines.customer * N_DAYS + lines.day

    def _day_of(self, at: Floats) -> Ints:
        day = np.minimum(np.searchsorted(self.trade, at, side="right"), N_DAYS - 1)
        return np.asarray(day, dtype=np.int64)

    def _days(self, customer: Ints) -> Ints:
        start, until = self.active[:, customer]
        at = start + (until - start) * self.rng.random(len(customer))
        return self._day_of(at)

    def _members(self) -> Lines:
        n = self.chunk.n_customers
        weight = np.exp(0.95 * self.rng.standard_normal(n))
        weight /= weight.mean()
        trips = 1 + self.rng.poisson(np.minimum((self.chunk.trips - 1.0) * weight, 200.0))
        is_story = np.zeros(n, dtype=bool)
        is_story[STORY_CUSTOMER] = self.chunk.number == 0
        trips[is_story] = 0
        customer = np.repeat(np.arange(n), trips)
        lines = self._visits(customer, self._days(customer))
        lines = lines.take(lines.day < N_DAYS)
        is_used = self.used[lines.type]
        refills = self._refills(Lines.join([lines.take(is_used), self._consumers(is_story)]))
        aside = refills.take(self.rng.random(len(refills.day)) < 0.45)
        aside = self._by_the_way(aside.customer, aside.day)
        chosen = self._choose(Lines.join([lines.take(~is_used), aside]))
        return Lines.join([chosen, refills])

    def _guests(self, n_guests: int) -> Lines:
        customer = self.chunk.n_customers + np.arange(n_guests)
        lines = self._visits(customer, self._day_of(self.rng.random(n_guests)))
        is_used = self.used[lines.type]
        used = lines.take(is_used)
        used.product = self._variant(used, self._group(used.type, used.day))
        return Lines.join([self._choose(lines.take(~is_used)), used])

    def _visits(self, customer: Ints, day: Ints) -> Lines:
        """Return what visits are about, what completes it, and what is bought by the way."""
        shop, rng = self.shop, self.rng
        about = rng.random(len(customer)) < SOUGHT_SHARE
        of_type = (
            draw(
                shop.sought_edges,
                self.month[day],
                rng.random(len(day)),
                (self.month[day] + 1) * shop.n_types - 1,
            )
            - self.month[day] * shop.n_types
        )
        again = ~is_first(customer * shop.n_types + of_type, np.where(about, day, 2 * N_DAYS - 1))
        about &= ~(again & self.one[of_type]) | (rng.random(len(day)) < ANOTHER_SHARE)
        anchors = new_lines(customer[about], day[about], of_type[about])
        anchors.hint = self._group(anchors.type, anchors.day) - shop.group_start[anchors.type]
        taken = rng.random((len(anchors.day), shop.complement.shape[1]))
        row, slot = np.nonzero(taken < shop.complement_rate[anchors.type])
        completing = anchors.take(row)
        completing.type = shop.complement[anchors.type[row], slot]
        later = rng.random(len(row)) >= SAME_BASKET_SHARE
        later &= completing.customer < self.chunk.n_customers
        wait = rng.integers(LATER_DAYS[0], LATER_DAYS[1] + 1, len(row))
        completing.day = completing.day + np.where(later, wait, 0)
        n_more = rng.poisson(np.where(about, 1.15, 1.3)) + ~about
        return Lines.join(
            [
                anchors,
                completing,
                self._by_the_way(np.repeat(customer, n_more), np.repeat(day, n_more)),
            ]
        )

    def _by_the_way(self, customer: Ints, day: Ints) -> Lines:
        """Return one line per row: something popular, or something the customer likes."""
        shop, n = self.shop, len(customer)
        month = self.month[day]
        u = self.rng.random(n)
        of_type = draw(shop.alone_edges, month, u, (month + 1) * shop.n_types - 1)
        of_type -= month * shop.n_types
        likes = (self.rng.random(n) < LIKED_SHARE) & (customer < self.chunk.n_customers)
        which = self.rng.integers(0, N_LIKED, n)
        liked = self.liked[np.where(likes, customer, 0), which]
        return new_lines(customer, day, np.where(likes, liked, of_type))

    def _consumers(self, is_story: Bools) -> Lines:
        """Return first purchases of consumables that no anchor led to."""
        parts = []
        for position, of in enumerate(TYPES):
            starts = self.rng.random(len(is_story)) < of.started * self.chunk.refills
            customer = np.flatnonzero(starts & ~is_story)
            which = self.rng.integers(0, self.shop.n_ranges, len(customer))
            parts.append(new_lines(customer, self._days(customer), which * len(TYPES) + position))
        return Lines.join(parts)

    def _refills(self, first: Lines) -> Lines:
        """Return the purchases of consumers: the same product again, whenever it runs out."""
        first = first.take(is_first(first.customer * self.shop.n_types + first.type, first.day))
        first.product = self._variant(first, self._group(first.type, first.day))
        times = np.minimum(self.rng.geometric(1.0 - CONTINUE_RATE, len(first.day)), 60)
        lines = first.take(np.repeat(np.arange(len(times)), times))
        begin = np.cumsum(times) - times
        u = self.rng.random(len(lines.day))
        lines.quantity = 1 + (u > 0.88).astype(np.int64) + (u > 0.97)
        cycle = self.shop.facts["cycle_days"][lines.type]
        noise = np.exp(GAP_SIGMA * self.rng.standard_normal(len(cycle)))
        gap = cycle * noise * lines.quantity
        gone = np.cumsum(gap) - gap
        lines.day = lines.day + np.rint(gone - np.repeat(gone[begin], times)).astype(np.int64)
        return lines.take(lines.day < N_DAYS)

    def _choose(self, lines: Lines) -> Lines:
        """Return the lines with products: a type once per basket, a group once per customer."""
        shop, rng = self.shop, self.rng
        lines = lines.take(is_first(self._order_key(lines) * shop.n_types + lines.type, lines.day))
        of_customer = lines.customer * shop.n_types + lines.type
        keep = is_first(of_customer, lines.day) | ~self.one[lines.type]
        # What orders are about was settled visit by visit.
        keep |= shop.is_sought[lines.type] | (rng.random(len(keep)) < ANOTHER_SHARE)
        lines = lines.take(keep)
        per_basket = shop.facts["per_basket"][lines.type].astype(np.int64)
        spread = rng.choice(np.array([-1, 0, 1]), len(per_basket), p=[0.2, 0.6, 0.2])
        copies = np.where(per_basket > 1, per_basket + spread, 1)
        lines = lines.take(np.repeat(np.arange(len(copies)), copies))
        group = self._group(lines.type, lines.day)
        start, end = shop.group_start[lines.type], shop.group_start[lines.type + 1]
        matching = shop.is_sought[lines.type] | (rng.random(len(group)) < MATCHING_SHARE)
        matching &= lines.hint >= 0
        group = np.where(matching, start + lines.hint % (end - start), group)
        for _ in range(6):
            key = lines.customer * shop.n_groups + group
            again = ~is_first(key, lines.day)
            if not again.any():
                break
            group[again] = self._group(lines.type[again], lines.day[again])
        first = is_first(lines.customer * shop.n_groups + group, lines.day)
        lines, group = lines.take(first), group[first]
        lines.product = self._variant(lines, group)
        return lines

    def _group(self, of_type: Ints, day: Ints) -> Ints:
        shop, n = self.shop, len(of_type)
        last = shop.group_start[of_type + 1] - 1
        group = draw(shop.group_edges, of_type, self.rng.random(n), last)
        rise = np.clip((day - (N_DAYS - TREND_DAYS)) / TREND_DAYS * 2, 0.0, 1.0) * TREND_SHARE
        trend_type = np.searchsorted(shop.group_start, shop.trend_group, side="right") - 1
        in_trend = (of_type == trend_type) & (self.rng.random(n) < rise)
        return np.where(in_trend, shop.trend_group, group)

    def _variant(self, lines: Lines, group: Ints) -> Ints:
        """Return products: the size is the customer's, the first colour is liked best."""
        shop, n = self.shop, len(group)
        size = shop.product_start[group + 1] - shop.product_start[group]
        colours = shop.n_colours[group]
        build = self.build[np.minimum(lines.customer, len(self.build) - 1)]
        build = np.where(lines.customer < len(self.build), build, self.rng.random(n))
        bell = np.clip(0.5 + np.sign(build - 0.5) * np.abs(2 * build - 1) ** 1.6 / 2, 0.0, 0.999)
        worn = (bell * np.maximum(size // colours, 1)).astype(np.int64)
        colour = (colours * self.rng.random(n) ** 1.7).astype(np.int64)
        product = shop.product_start[group] + (worn * colours + colour) % size
        return np.asarray(product, dtype=np.int64)


def second_of_day(rng: np.random.Generator, n: int) -> Ints:
    """Return when in the day each of `n` orders was placed; most come in the evening."""
    hour = np.searchsorted(np.cumsum(HOURS) / HOURS.sum(), rng.random(n), side="right")
    return np.asarray(hour * 3600 + rng.integers(0, 3600, n), dtype=np.int64)


def channel(rng: np.random.Generator, customer: Ints, n_customers: int) -> Ints:
    """Return the position in `CHANNELS` of each order; customers mostly keep to one."""
    n = len(customer)
    usual = rng.random(n_customers)[np.minimum(customer, n_customers - 1)]
    keeps = (rng.random(n) < 0.7) & (customer < n_customers)
    wish = np.where(keeps, usual, rng.random(n))
    return np.asarray(np.searchsorted(CHANNEL_EDGES, wish, side="right"), dtype=np.int64)


@dataclass(slots=True)
class Outcome:
    """What became of each line."""

    quantity: Ints
    returned: Ints
    returned_at: Ints  # microseconds since 1970 UTC; meaningless where nothing came back
    gift: Bools


def outcome(shop: Shop, rng: np.random.Generator, lines: Lines, time: Ints, end: int) -> Outcome:
    """Return quantities, returns before `end`, and gifts; `time` is when each line was ordered."""
    n = len(lines.day)
    kind = shop.is_kind(SIDE)[lines.type]
    usual = 1 + np.searchsorted(np.array([0.92, 0.98]), rng.random(n), side="right")
    quantity = np.where(lines.quantity > 0, lines.quantity, np.where(kind, usual, 1))
    comes_back = rng.random(n) < shop.facts["returned"][lines.type]
    part = 1 + (rng.random(n) * quantity).astype(np.int64)
    returned = np.where(rng.random(n) < 0.75, quantity, part) * comes_back
    wait = rng.integers(RETURN_DAYS[0] * 86_400, RETURN_DAYS[1] * 86_400, n) * 1_000_000
    returned[time + wait >= end] = 0
    gift = (rng.random(n) < GIFT_SHARE) & ~shop.is_kind(USED)[lines.type]
    return Outcome(quantity, returned, time + wait, gift)
