"""One moment's questions about the customers of some orders."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from personalize.batch.picks import PickTable
from personalize.batch.suppressed import SuppressionTable
from personalize.blocks import at_once, in_blocks, n_threads
from personalize.columns import coded_column, listed, moments, stacked, worded
from personalize.orders import Orders
from personalize.purchases import CustomerLines, customer_codes
from personalize.repurchase import BASES
from personalize.sorting import is_ascending, row_starts, stable_order
from personalize.suppression import REASONS, Decisions, ManyCustomers, numbers_in
from personalize.view import View

Ints = NDArray[np.int64]
T = TypeVar("T")

_CUSTOMERS: Final = 16_384
"""Of a block, at most."""


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

    def many(self, start: int = 0, stop: int | None = None) -> ManyCustomers:
        """Return the purchases of customers `start` to before `stop`, laid out by scope."""
        purchases = self.lines.purchases(start, stop)
        return ManyCustomers.from_purchases(self.view.rules, purchases, self.nums)

    def customers(self, chosen: Collection[str] | None) -> tuple[pa.Array, Ints]:
        """Return ids and codes of the customers asked about; default: all with orders."""
        known = self.orders.customer_ids
        if chosen is not None:
            ids = list(dict.fromkeys(listed(chosen, "customer_id", "customers")))
            return pa.array(ids, pa.large_string()), customer_codes(known, ids)
        has_orders = np.zeros(len(known), dtype=bool)
        has_orders[self.orders.order_customer[self.orders.order_customer >= 0]] = True
        codes = np.flatnonzero(has_orders)  # ascending by code is ascending by id
        return known.take(pa.array(codes)), codes

    def by_block(self, codes: Ints, work: Callable[[ManyCustomers, Ints, Ints], T]) -> list[T]:
        """Return what `work` makes of each block of the customers asked about, by code.

        Parameters
        ----------
        codes : int64, shape (n,), distinct but for -1
            An unknown customer has bought nothing and comes last.
        work : callable
            Of a block's purchases, the places in `codes` of those asked about, ascending by code,
            and their codes in the block.
        """
        n = len(self.orders.customer_ids)
        block_codes = np.where(codes < 0, n, codes)
        order = stable_order(block_codes, n + 1)
        starts = row_starts(np.bincount(block_codes, minlength=n + 1))

        def of_block(start: int, stop: int) -> T:
            places = order[starts[start] : starts[stop]]
            many = self.many(start, min(stop, n) if len(places) else start)
            return work(many, places, block_codes[places] - start)

        return in_blocks(of_block, n + 1, max(1, min(_CUSTOMERS, -(-(n + 1) // n_threads()))))

    def check(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Return the decision about each pair, rows as given."""
        customers, products, many = at_once(
            lambda: coded_column(pairs, "customer_id", "pairs"),
            lambda: coded_column(pairs, "product_id", "pairs"),
            self.many,
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
        ids, codes = self.customers(chosen)
        table = SuppressionTable.of(self.view, ids, self.as_of)
        return _in_order(self.by_block(codes, table.of_block), len(codes))

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
        table = PickTable(
            self.view,
            ids,
            k,
            self.as_of,
            anchors=None if seeds is None else seeds(ids.to_pylist(), codes),
            excluded=excluded(ids.to_pylist()) if callable(excluded) else None,
            never=() if callable(excluded) else excluded,
            include_due=include_due,
            fill=fill,
        )
        return _in_order(self.by_block(codes, table.of_block), len(codes))

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


def _in_order(blocks: Sequence[tuple[Ints, dict[str, Any]]], n: int) -> pd.DataFrame:
    """Return rows made block by block as one table, by the places of their `n` customers."""
    found = pd.DataFrame(stacked([columns for _, columns in blocks]))
    places = np.concatenate([each for each, _ in blocks])
    if is_ascending(places):
        return found
    return found.iloc[stable_order(places, n)].reset_index(drop=True)


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
