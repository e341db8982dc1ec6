"""The questions of many customers at once: tables in, tables out, one view behind them.

Nothing is decided here: suppression is `personalize.suppression`'s rule compiled over arrays; a
list that the history fills alone is made by `personalize.following`, every other by `View.answer`,
as it is for a single customer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize.blocks import at_once, in_blocks
from personalize.columns import (
    coded_column,
    listed,
    moments,
    strings,
    taken,
    text_column,
    worded,
)
from personalize.following import Filled, Guards, Histories, follow_up
from personalize.orders import Orders
from personalize.purchases import CustomerLines, Purchases, customer_codes
from personalize.ranking import OFTEN_NEXT, PICK_REASONS, Barred, Pick
from personalize.repurchase import BASES, RULE
from personalize.sorting import order_within, row_starts, stable_order
from personalize.suppression import REASONS, SCOPES, Decisions, ManyCustomers, numbers_in
from personalize.times import FOREVER, MISSING
from personalize.view import Question, View

Ints = NDArray[np.int64]

_CUSTOMERS: Final = 16_384
"""Whose suppression is listed at a time."""

DECISION_COLUMNS = ("suppress", "reason", "since", "until", "basis", "repurchase_probability")
PICK_COLUMNS = ("customer_id", "product_id", "rank", "score", "reason", "because_product_id")
COMPLEMENT_COLUMNS = (
    "basket_id",
    "product_id",
    "rank",
    "score",
    "reason",
    "because_product_id",
    "support",
    "lift",
)


@dataclass(frozen=True, eq=False)
class Batch:
    """Many customers' purchases, cut at one moment, under one view.

    Parameters
    ----------
    view : View
        Its space holds every product that anybody bought.
    orders : Orders
        Cut at `as_of`.
    as_of : int, microseconds UTC
    """

    view: View
    orders: Orders
    as_of: int

    @classmethod
    def of(cls, view: View, orders: Orders, as_of: int) -> Self:
        """Return the batch of some orders, of which those before `as_of` count."""
        return cls(view.with_strays(orders.product_ids.to_pylist()), orders.before(as_of), as_of)

    @cached_property
    def nums(self) -> Ints:
        """The view's number of each product code of the orders."""
        return numbers_in(self.view.space, self.orders.product_ids.to_pylist())

    @cached_property
    def lines(self) -> CustomerLines:
        """Where the lines of each customer lie."""
        return CustomerLines.of(self.orders)

    @cached_property
    def purchases(self) -> Purchases:
        """What was bought, kept or sent back."""
        return self.lines.purchases()

    @cached_property
    def many(self) -> ManyCustomers:
        """The purchases laid out by scope."""
        return ManyCustomers.from_purchases(self.view.rules, self.purchases, self.nums)

    def customers(self, chosen: Collection[str] | None) -> tuple[list[str], Ints]:
        """Return ids and codes of the customers asked about; default: all with orders."""
        if chosen is not None:
            ids = list(dict.fromkeys(listed(chosen, "customer_id", "customers")))
            return ids, customer_codes(self.orders.customer_ids, ids)
        known = self._places(None)[1]
        return self.orders.customer_ids.take(pa.array(known)).to_pylist(), known

    # --- suppression ---

    def check(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Return the decision about each pair, rows as given."""
        customers, products, many = at_once(
            lambda: coded_column(pairs, "customer_id", "pairs"),
            lambda: coded_column(pairs, "product_id", "pairs"),
            lambda: self.many,
        )
        found = many.decide(
            customer_codes(self.orders.customer_ids, customers.words)[customers.codes],
            numbers_in(self.view.space, products.words.to_pylist())[products.codes],
            self.as_of,
        )
        customer_id, product_id, decided = at_once(
            lambda: worded(customers.words, customers.codes),
            lambda: worded(products.words, products.codes),
            lambda: _decided(found),
        )
        columns = {"customer_id": customer_id, "product_id": product_id, **decided}
        return pd.DataFrame(columns).set_axis(pairs.index)

    def suppress(self, chosen: Collection[str] | None) -> pd.DataFrame:
        """Return the suppression list of the customers asked about, by customer and target."""
        place, codes = self._places(chosen)
        space, ids = self.view.space, self.orders.customer_ids
        words, ranks = _ranked(space.ids, space.groups, space.types)
        rules, nums, lines = self.view.rules, self.nums, self.lines

        def of_block(start: int, stop: int) -> _Block:
            is_asked = place[start:stop] >= 0
            theirs = lines.purchases(start, stop if is_asked.any() else start)
            many = ManyCustomers.from_purchases(rules, theirs, nums)
            rows = self._listed(many, is_asked, ranks)
            return _Block.of(rows, ids[start:stop], words, place[start:stop])

        blocks = in_blocks(of_block, len(place), _CUSTOMERS)
        found = pd.DataFrame(_Block.columns(blocks))
        if chosen is None:
            return found
        order = stable_order(np.concatenate([block.place for block in blocks]), len(codes))
        return found.iloc[order].reset_index(drop=True)

    def _places(self, chosen: Collection[str] | None) -> tuple[Ints, Ints]:
        """Return the place of each customer code in the list, -1 for none, and the codes by it."""
        place = np.full(len(self.orders.customer_ids), -1, dtype=np.int64)
        if chosen is None:  # ascending by code is ascending by id
            place[self.orders.order_customer[self.orders.order_customer >= 0]] = 0
            codes = np.flatnonzero(place == 0)
        else:
            codes = self.customers(chosen)[1]
            codes = codes[codes >= 0]
        place[codes] = np.arange(len(codes))
        return place, codes

    def _listed(self, many: ManyCustomers, is_asked: NDArray[np.bool_], ranks: Ints) -> _Rows:
        """Return the rows of some customers, sorted.

        So few at a time that what is looked at fits the processor's cache, however many there are.
        """
        space, n = self.view.space, len(is_asked)
        shifts = (0, len(space.ids), len(space.ids) + len(space.groups))
        parts = [self._suppressed(many, level, is_asked, shifts[level]) for level in range(3)]
        parts.append(self._sent_back(many, is_asked))
        columns: list[NDArray[Any]] = [np.concatenate(each) for each in zip(*parts, strict=True)]
        rows = _Rows(*columns)
        order = stable_order(rows.customer, n)
        keys = rows.level * np.int64(len(ranks)) + ranks[rows.target]
        starts = row_starts(np.bincount(rows.customer, minlength=n))
        order = order[order_within(starts, keys[order])]
        return _Rows(*(column[order] for column in columns))

    def _suppressed(
        self, many: ManyCustomers, level: int, is_asked: NDArray[np.bool_], shift: int
    ) -> _Rows:
        table, until = many.owned[level], many.until[level]
        rows = np.flatnonzero((until > self.as_of) & is_asked[table.customer])
        target = table.target[rows]
        return _Rows(
            customer=table.customer[rows],
            level=np.full(len(rows), level, dtype=np.int8),
            target=target + shift,
            reason=np.full(len(rows), level, dtype=np.int8),
            since=table.last_at[rows],
            until=until[rows],
            basis=self.view.rules.levels[level].basis[target].astype(np.int8),
            chance=many.chance(level, rows, self.as_of),
        )

    def _sent_back(self, many: ManyCustomers, is_asked: NDArray[np.bool_]) -> _Rows:
        table, until = many.returned, many.returned_until
        rows = np.flatnonzero((until > self.as_of) & is_asked[table.customer])
        return _Rows(
            customer=table.customer[rows],
            level=np.zeros(len(rows), dtype=np.int8),
            target=table.target[rows],
            reason=np.full(len(rows), 3, dtype=np.int8),
            since=table.last_at[rows],
            until=until[rows],
            basis=np.full(len(rows), RULE, dtype=np.int8),
            chance=np.full(len(rows), np.nan),
        )

    # --- recommendation ---

    def recommend(
        self,
        chosen: Collection[str] | None,
        k: int,
        *,
        seeds: Callable[[list[str], Ints], Sequence[Ints]] | None,
        excluded: Callable[[list[str]], Sequence[Collection[str]]] | Collection[str],
        include_due: bool,
        fill: bool,
    ) -> pd.DataFrame:
        """Return the lists of the customers asked about as one table, a row per pick.

        Parameters
        ----------
        chosen : collection of str or None
        k : int
        seeds : callable, optional
            From ids and codes of customers to the anchors of each; default: no anchors.
        excluded : callable, or collection of str
            From ids to what each must not be shown, or what nobody must be.
        include_due, fill : bool
            As in `View.recommend`.
        """
        ids, codes = self.customers(chosen)
        picks = _Picks.room_for(len(ids), k)
        left = np.arange(len(ids))
        if seeds is None and not callable(excluded) and not include_due and self.view.is_plain(k):
            found = self._follow_up(codes, k, excluded)
            picks.take(found)
            left = np.flatnonzero(found.sizes < k) if fill else left[:0]
        anchors = [self.view.numbers(())] * len(left) if seeds is None else seeds(ids, codes)
        away = excluded(ids) if callable(excluded) else [excluded] * len(left)
        questions = self.questions(codes[left], anchors, include_due=include_due)
        for row, question, barred in zip(left.tolist(), questions, away, strict=True):
            picks.put(row, self.view.answer(question, k, exclude=barred, fill=fill), self.view)
        return picks.table(ids, self.view.space.ids)

    def _follow_up(self, codes: Ints, k: int, excluded: Collection[str]) -> Filled:
        """Return what the histories alone fill, no anchors and nothing due in play."""
        view, many = self.view, self.many
        tables = (*many.owned, many.returned)
        lasting = [until > self.as_of for until in (*many.until, self.many.returned_until)]
        lasting[0] = np.ones(len(tables[0]), dtype=np.bool_)  # what is owned is never shown again
        product, group, kind, back = (
            _rows_of(table.customer[use], table.target[use], codes)
            for table, use in zip(tables, lasting, strict=True)
        )
        space, is_shown = view.space, view.is_shown.copy()
        is_shown[view.numbers(excluded)] = False
        guards = Guards(
            view.wanted,
            (np.arange(len(space)) < space.n_model) & ~view.is_sensitive,
            is_shown,
            space.array("group"),
            space.array("type"),
            view.max_per_type,
            len(space.groups),
        )
        histories = Histories(product, back, group, kind)
        return follow_up(histories, guards, view.model.products, view.model.demand, k)

    def questions(
        self, codes: Ints, anchors: Sequence[Ints], *, include_due: bool
    ) -> Iterable[Question]:
        """Yield what each customer's list is about, in the order of `codes`."""
        many, as_of = self.many, self.as_of
        product, group, kind = many.owned
        starts = [np.searchsorted(t.customer, codes) for t in (*many.owned, many.returned)]
        ends = [np.searchsorted(t.customer, codes, "right") for t in (*many.owned, many.returned)]
        lasting = [until > as_of for until in (*many.until, self.many.returned_until)]
        due = self._due_rows() if include_due else None
        for i in range(len(codes)):
            own, of_group, of_kind, back = (slice(starts[j][i], ends[j][i]) for j in range(4))
            history = product.target[own]
            away = many.returned.target[back][lasting[3][back]]
            barred = Barred(
                products={*history.tolist(), *away.tolist()},
                groups=set(group.target[of_group][lasting[1][of_group]].tolist()),
                types=set(kind.target[of_kind][lasting[2][of_kind]].tolist()),
            )
            ready: list[tuple[int, float]] = []
            if due is not None:
                mine = np.flatnonzero(due[0][own])
                chances = np.nan_to_num(due[1][own][mine])
                ready = list(zip(history[mine].tolist(), chances.tolist(), strict=True))
            yield Question(anchors[i], history, ready, barred)

    def _due_rows(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return for each owned product whether it is due and known, and its chance."""
        product = self.many.owned[0]
        found = self.many.decide(product.customer, product.target, self.as_of)
        known = ~np.asarray(self.view.space.is_stray, dtype=bool)
        return (found.reason == len(REASONS) - 1) & known[product.target], found.chance

    def newest_orders(self, codes: Ints) -> list[Ints]:
        """Return the products of each customer's newest order that were bought for them."""
        orders = self.orders
        newest = np.full(len(orders.customer_ids) + 1, -1, dtype=np.int64)
        known = orders.order_customer >= 0
        newest[orders.order_customer[known]] = np.flatnonzero(known)  # ascending: the last stays
        nothing = np.array([], dtype=np.int64)
        starts = np.searchsorted(orders.line_order, newest[codes])
        ends = np.searchsorted(orders.line_order, newest[codes], "right")
        found = []
        for code, start, end in zip(codes, starts, ends, strict=True):
            if code < 0 or newest[code] < 0:
                found.append(nothing)
                continue
            lines = slice(start, end)
            products = self.nums[orders.line_product[lines][orders.kept[lines]]]
            found.append(np.unique(products))
        return found


def _decided(found: Decisions) -> dict[str, Any]:
    """Return decisions as the columns of a table."""
    return {
        "suppress": found.reason != len(REASONS) - 1,
        "reason": worded(REASONS, found.reason),
        "since": moments(found.since),
        "until": moments(found.until),
        "basis": worded([*BASES, None], found.basis),
        "repurchase_probability": found.chance,
    }


def _rows_of(customer: Ints, target: Ints, codes: Ints) -> tuple[Ints, Ints]:
    """Return the targets of each code's rows side by side: row starts, targets."""
    first = np.searchsorted(customer, codes)
    starts = row_starts(np.searchsorted(customer, codes, "right") - first)
    take = np.arange(starts[-1]) + np.repeat(first - starts[:-1], np.diff(starts))
    return starts, target[take]


class _Picks(NamedTuple):
    """Lists as arrays, one row per customer and one column per place; the reason -1 is no pick."""

    nums: Ints
    scores: NDArray[np.float64]
    reasons: NDArray[np.int8]
    because: Ints

    @classmethod
    def room_for(cls, n: int, k: int) -> Self:
        """Return `n` empty lists of `k` places."""
        nothing = np.full((n, k), -1)
        return cls(nothing, np.zeros((n, k)), nothing.astype(np.int8), nothing.copy())

    def take(self, found: Filled) -> None:
        """Write what histories filled."""
        self.nums[:], self.scores[:], self.because[:] = found.nums, found.scores, found.because
        used = np.arange(found.nums.shape[1]) < found.sizes[:, None]
        self.reasons[used] = PICK_REASONS.index(OFTEN_NEXT)

    def put(self, row: int, picks: Sequence[Pick], view: View) -> None:
        """Write one list."""
        nums = view.space.nums
        self.reasons[row] = -1
        for place, pick in enumerate(picks):
            self.nums[row, place] = nums[pick.product_id]
            self.scores[row, place] = pick.score
            self.reasons[row, place] = PICK_REASONS.index(pick.reason)
            seed = pick.because_product_id
            self.because[row, place] = -1 if seed is None else nums[seed]

    def table(self, customer_ids: Sequence[str], product_ids: Sequence[str]) -> pd.DataFrame:
        """Return the rows of `PICK_COLUMNS`, list after list."""
        row, place = np.nonzero(self.reasons >= 0)
        columns = (
            worded(customer_ids, row) if len(customer_ids) else strings([]),
            worded([*product_ids, None], self.nums[row, place]),
            place + 1,
            self.scores[row, place],
            worded(PICK_REASONS, self.reasons[row, place]),
            worded([*product_ids, None], self.because[row, place]),
        )
        return pd.DataFrame(dict(zip(PICK_COLUMNS, columns, strict=True)))


class _Rows(NamedTuple):
    """Rows of a suppression list as parallel arrays: whose by code, and of what in all words."""

    customer: Ints
    level: NDArray[np.int8]
    target: Ints
    reason: NDArray[np.int8]
    since: Ints
    until: Ints
    basis: NDArray[np.int8]
    chance: NDArray[np.float64]


class _Block(NamedTuple):
    """The same as columns of the table; ``place`` is the customer's in the list."""

    place: Ints
    customer_id: pa.Array
    scope: pa.Array
    target_id: pa.Array
    reason: pa.Array
    since: Ints
    until: Ints
    basis: pa.Array
    repurchase_probability: NDArray[np.float64]

    @classmethod
    def of(cls, rows: _Rows, customer_ids: pa.Array, words: pa.Array, place: Ints) -> Self:
        """Return rows in words."""
        return cls(
            place=place[rows.customer],
            customer_id=taken(customer_ids, rows.customer),
            scope=taken(SCOPES, rows.level),
            target_id=taken(words, rows.target),
            reason=taken(REASONS, rows.reason),
            since=rows.since,
            until=np.where(rows.until == FOREVER, MISSING, rows.until),  # here it is in the cache
            basis=taken(BASES, rows.basis),
            repurchase_probability=rows.chance,
        )

    @classmethod
    def columns(cls, blocks: Sequence[_Block]) -> dict[str, Any]:
        """Return the columns of blocks, one below the other."""
        found: dict[str, Any] = {}
        for name, parts in zip(cls._fields[1:], [*zip(*blocks, strict=True)][1:], strict=True):
            if isinstance(parts[0], pa.Array):
                found[name] = text_column(parts)
            elif name in ("since", "until"):
                found[name] = moments(np.concatenate(parts))
            else:
                found[name] = np.concatenate(parts)
        return found


def _ranked(*vocabularies: Sequence[str]) -> tuple[pa.Array, Ints]:
    """Return the words of all vocabularies in one, and the place of each in sorted order."""
    words = pa.concat_arrays([pa.array(each, pa.large_string()) for each in vocabularies])
    ranks = np.empty(len(words), dtype=np.int64)
    ranks[pc.array_sort_indices(words).to_numpy()] = np.arange(len(words))
    return words, ranks


def pick_table(keys: Sequence[str], lists: Iterable[list[Pick]], key: str) -> pd.DataFrame:
    """Return lists as one long table, a row per pick, keyed by `key`."""
    owners: list[str] = []
    picks: list[Pick] = []
    for owner, each in zip(keys, lists, strict=True):
        owners.extend([owner] * len(each))
        picks.extend(each)
    return pd.DataFrame(
        {
            key: strings(owners),
            "product_id": strings([p.product_id for p in picks]),
            "rank": np.array([p.rank for p in picks], dtype=np.int64),
            "score": np.array([p.score for p in picks], dtype=np.float64),
            "reason": strings([p.reason for p in picks]),
            "because_product_id": strings([p.because_product_id for p in picks]),
            "support": np.array(
                [np.nan if p.support is None else p.support for p in picks], dtype=np.float64
            ),
            "lift": np.array(
                [np.nan if p.lift is None else p.lift for p in picks], dtype=np.float64
            ),
        }
    )
