"""The questions of many customers at once: tables in, tables out, one view behind them.

Nothing is decided here: suppression is `personalize.suppression`'s rule compiled over arrays, and
every list is built by `View.answer`, as it is for a single customer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from personalize.cells import Coded, ColumnTypeError, read_ids
from personalize.errors import InvalidConfigError
from personalize.orders import Orders
from personalize.purchases import Purchases
from personalize.ranking import Barred, Pick
from personalize.repurchase import BASES, RULE
from personalize.sorting import stable_order
from personalize.suppression import REASONS, SCOPES, Decisions, ManyCustomers, numbers_in
from personalize.tables import from_series
from personalize.times import DAY, FOREVER, MISSING
from personalize.view import Question, View

Ints = NDArray[np.int64]

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


def coded_ids(values: Iterable[Any], argument: str) -> Coded:
    """Return ids, each distinct one once, read as the tables read them.

    Raises
    ------
    InvalidConfigError
        If one is missing, or no id.
    """
    series = values if isinstance(values, pd.Series) else pd.Series(list(values), dtype=object)
    try:
        found = read_ids(from_series(series))
    except ColumnTypeError as error:
        raise InvalidConfigError(f"{argument}: {error}", field=argument) from error
    not_whole = found.faults.get("not_whole", np.zeros(len(series), dtype=bool))
    for bad, what in ((not_whole, "are no whole numbers"), (found.codes < 0, "are missing")):
        if bad.any():
            raise InvalidConfigError(
                f"{argument}: {int(bad.sum())} of {len(series)} ids {what} "
                f"(first: row {int(np.argmax(bad))}); leave those rows out",
                field=argument,
            )
    return found


def texts(values: Iterable[Any], argument: str) -> list[str]:
    """Return ids as strings, read as the tables read them: whole numbers lose their point.

    Raises
    ------
    InvalidConfigError
        If one is missing, or no id.
    """
    return _listed(coded_ids(values, argument))


def coded_column(table: pd.DataFrame, name: str, argument: str) -> Coded:
    """Return an id column of an argument, each distinct id once.

    Raises
    ------
    InvalidConfigError
        If `table` is no DataFrame, has no such column or two, or an id is missing or none.
    """
    present = list(table.columns) if isinstance(table, pd.DataFrame) else type(table).__name__
    if not isinstance(table, pd.DataFrame) or present.count(name) != 1:
        raise InvalidConfigError(
            f"{argument}: column {name!r} is missing or there twice (present: {present}); "
            "give a DataFrame that has it once",
            field=argument,
        )
    return coded_ids(table[name], f"{argument}.{name}")


def column(table: pd.DataFrame, name: str, argument: str) -> list[str]:
    """Return an id column of an argument as strings; `coded_column` says what it raises."""
    return _listed(coded_column(table, name, argument))


def _listed(ids: Coded) -> list[str]:
    words = np.array(ids.words.to_pylist(), dtype=object)
    found: list[str] = words[ids.codes].tolist()
    return found


def listed(chosen: Collection[str] | pd.DataFrame, name: str, argument: str) -> list[str]:
    """Return a list of ids, or the column `name` of a table, as strings.

    Raises
    ------
    InvalidConfigError
        If it is one text, or an id is missing or none.
    """
    if isinstance(chosen, str):
        raise InvalidConfigError(
            f"{argument}: {chosen!r} is one text; give a list of ids", field=argument
        )
    if isinstance(chosen, pd.DataFrame):
        return column(chosen, name, argument)
    return texts(chosen, argument)


def moments(micros: Ints) -> pd.Series:
    """Return times as datetime64[us, UTC]; none and for good are NaT."""
    known = np.where(micros == FOREVER, MISSING, micros)
    return pd.Series(known.view("datetime64[us]")).dt.tz_localize("UTC")


def strings(values: Sequence[str | None] | NDArray[Any]) -> pd.Series:
    """Return texts as a string column, nulls kept."""
    return pd.Series(values, dtype="str")


def worded(words: Sequence[str | None] | pa.Array, codes: NDArray[Any]) -> pd.Series:
    """Return a string column of codes; code -1 is the last word."""
    # Arrow keeps its texts where they are: no object is made of any.
    taken = pa.array(words, pa.large_string()).take(pa.array(codes % len(words)))
    return pd.Series(pd.array(taken, dtype="str"))


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
    def purchases(self) -> Purchases:
        """What was bought, kept or sent back."""
        return Purchases.from_orders(self.orders)

    @cached_property
    def many(self) -> ManyCustomers:
        """The purchases laid out by scope."""
        return ManyCustomers.from_purchases(self.view.rules, self.purchases, self.nums)

    def customers(self, chosen: Collection[str] | None) -> tuple[list[str], Ints]:
        """Return ids and codes of the customers asked about; default: all with orders."""
        if chosen is not None:
            ids = list(dict.fromkeys(listed(chosen, "customer_id", "customers")))
            return ids, self.purchases.codes(ids)
        known = self._places(None)[1]
        return self.orders.customer_ids.take(pa.array(known)).to_pylist(), known

    # --- suppression ---

    def check(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Return the decision about each pair, rows as given."""
        customers = coded_column(pairs, "customer_id", "pairs")
        products = coded_column(pairs, "product_id", "pairs")
        found = self.many.decide(
            self.purchases.codes(customers.words)[customers.codes],
            numbers_in(self.view.space, products.words.to_pylist())[products.codes],
            self.as_of,
        )
        columns = {
            "customer_id": worded(customers.words, customers.codes),
            "product_id": worded(products.words, products.codes),
        }
        return pd.DataFrame(columns | _decided(found)).set_axis(pairs.index)

    def suppress(self, chosen: Collection[str] | None) -> pd.DataFrame:
        """Return the suppression list of the customers asked about, by customer and target."""
        place, codes = self._places(chosen)
        parts = [self._rows(level, place) for level in range(3)]
        parts.append(self._returned_rows(place))
        rows = _Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        space = self.view.space
        names, ranks = _ranked(space.ids, space.groups, space.types)
        shift = np.array([0, len(space.ids), len(space.ids) + len(space.groups)])
        target = rows.target + shift[rows.level]
        order = stable_order(ranks[target], len(names))
        order = stable_order(rows.place * 3 + rows.level, 3 * len(codes), order)
        rows = _Rows(*(column[order] for column in rows))
        return pd.DataFrame(
            {
                "customer_id": worded(self.purchases.customer_ids, codes[rows.place]),
                "scope": worded(SCOPES, rows.level),
                "target_id": worded(names, target[order]),
                "reason": worded(REASONS, rows.reason),
                "since": moments(rows.since),
                "until": moments(rows.until),
                "basis": worded(BASES, rows.basis),
                "repurchase_probability": rows.chance,
            }
        )

    def _places(self, chosen: Collection[str] | None) -> tuple[Ints, Ints]:
        """Return the place of each customer code in the list, -1 for none, and the codes by it."""
        place = np.full(len(self.purchases.customer_ids), -1, dtype=np.int64)
        if chosen is None:  # ascending by code is ascending by id
            place[self.orders.order_customer[self.orders.order_customer >= 0]] = 0
            codes = np.flatnonzero(place == 0)
        else:
            codes = self.customers(chosen)[1]
            codes = codes[codes >= 0]
        place[codes] = np.arange(len(codes))
        return place, codes

    def _rows(self, level: int, place: Ints) -> _Rows:
        table, until = self.many.owned[level], self.many.until[level]
        rows = np.flatnonzero((until > self.as_of) & (place[table.customer] >= 0))
        target = table.target[rows]
        return _Rows(
            place=place[table.customer[rows]],
            level=np.full(len(rows), level, dtype=np.int8),
            target=target,
            reason=np.full(len(rows), level, dtype=np.int8),
            since=table.last_at[rows],
            until=until[rows],
            basis=self.view.rules.levels[level].basis[target],
            chance=self.many.chance(level, rows, self.as_of),
        )

    def _returned_rows(self, place: Ints) -> _Rows:
        table, until = self.many.returned, self._returned_until
        rows = np.flatnonzero((until > self.as_of) & (place[table.customer] >= 0))
        return _Rows(
            place=place[table.customer[rows]],
            level=np.zeros(len(rows), dtype=np.int8),
            target=table.target[rows],
            reason=np.full(len(rows), 3, dtype=np.int8),
            since=table.last_at[rows],
            until=until[rows],
            basis=np.full(len(rows), RULE),
            chance=np.full(len(rows), np.nan),
        )

    @cached_property
    def _returned_until(self) -> Ints:
        rules, table = self.view.rules, self.many.returned
        if not rules.returned_is_on:
            return np.full(len(table), MISSING, dtype=np.int64)
        return table.last_at + int(rules.return_days * DAY)

    # --- recommendation ---

    def questions(
        self, codes: Ints, anchors: Sequence[Ints], *, include_due: bool
    ) -> Iterable[Question]:
        """Yield what each customer's list is about, in the order of `codes`."""
        many, as_of = self.many, self.as_of
        product, group, kind = many.owned
        starts = [np.searchsorted(t.customer, codes) for t in (*many.owned, many.returned)]
        ends = [np.searchsorted(t.customer, codes, "right") for t in (*many.owned, many.returned)]
        lasting = [until > as_of for until in (*many.until, self._returned_until)]
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


class _Rows(NamedTuple):
    """Rows of a suppression list as parallel arrays: whose by place in the list, and of what."""

    place: Ints
    level: NDArray[np.int8]
    target: Ints
    reason: NDArray[np.int8]
    since: Ints
    until: Ints
    basis: Ints
    chance: NDArray[np.float64]


def _ranked(*vocabularies: Sequence[str]) -> tuple[pa.Array, Ints]:
    """Return the words of all vocabularies in one, and the place of each in sorted order."""
    words = pa.concat_arrays([pa.array(each, pa.large_string()) for each in vocabularies])
    ranks = np.empty(len(words), dtype=np.int64)
    ranks[pc.array_sort_indices(words).to_numpy()] = np.arange(len(words))
    return words, ranks


def by_key(
    keys: Sequence[str], product_ids: Sequence[str], wanted: Sequence[str]
) -> list[list[str]]:
    """Return the products of each wanted key, in the order given."""
    found: dict[str, list[str]] = {key: [] for key in wanted}
    for key, product_id in zip(keys, product_ids, strict=True):
        if key in found:
            found[key].append(product_id)
    return [found[key] for key in wanted]


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
