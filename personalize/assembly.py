"""From good rows to orders: one customer each, no row twice, one line per product, returns matched.

This file decides what rows mean together; which single rows are good is decided before it, in
`personalize.intake`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personalize.cells import Mask
from personalize.report import Report
from personalize.returns import Movements, match_returns
from personalize.schema import MAX_QUANTITY
from personalize.times import MISSING

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRows:
    """Good rows of an orders table as arrays of one length; None is a column nobody has.

    Parameters
    ----------
    row : int64
        Data row numbers.
    order, product, customer : int32
        Codes that sort like their ids; customer -1 is a guest.
    time, returned_at, updated : int64, microseconds since 1970 UTC or MISSING
    quantity : int32
        Negative on a row that is a return.
    returned_quantity : int32
    price : float64, NaN where unknown
    gift : bool
    currency, channel : int32
        Codes; -1 where unknown.
    """

    row: Numbers
    order: Numbers
    product: Numbers
    customer: Numbers
    time: Numbers
    quantity: Numbers
    returned_quantity: Numbers | None = None
    returned_at: Numbers | None = None
    updated: Numbers | None = None
    price: Numbers | None = None
    gift: Numbers | None = None
    currency: Numbers | None = None
    channel: Numbers | None = None

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: Numbers) -> OrderRows:
        """Return the rows of a mask or of positions."""
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        arrays: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {
            n: None if a is None else a.take(chosen) for n, a in arrays.items()
        }
        return OrderRows(**taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabularies:
    """What the codes of `OrderRows` stand for, each sorted by its UTF-8 bytes."""

    order: pa.Array
    customer: pa.Array
    product: pa.Array
    currency: pa.Array
    channel: pa.Array


OtherCells = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64] | None]


def assemble(
    gather: Callable[[], tuple[OrderRows, Vocabularies]],
    report: Report,
    other_cells: OtherCells,
) -> dict[str, Any]:
    """Return the fields of `personalize.orders.Orders` that good rows make, noting what is odd.

    Parameters
    ----------
    gather : callable
        Returns the rows, in any order, and the words of their codes; called once, so that
        nobody else holds on to the rows while copies of them are made.
    report : Report
        Is added to.
    other_cells : callable
        From ascending row numbers to a number that is equal where all further columns are.
    """
    rows, words = gather()

    def of(slug: str, chosen: OrderRows) -> None:
        chosen = chosen.take(np.argsort(chosen.row))
        report.add(slug, chosen.row, lambda n: f"order {words.order[int(chosen.order[n])]}")

    rows = _in_order(rows, len(words.product))
    rows = _without_duplicates(rows, of, other_cells)
    rows = _with_one_customer(rows, len(words.order), of)
    sent_back = rows.quantity < 0
    returns = rows.take(sent_back)
    rows = rows.take(~sent_back) if len(returns) else rows
    rows = _within_limit(rows, of)
    lines = _merged(rows)
    order_time = _extreme(np.minimum, rows.order, rows.time, len(words.order))
    lines, counts = _with_returns(lines, returns, order_time, of)
    return _as_fields(rows, lines, words, order_time, of) | counts


def _extreme(ufunc: np.ufunc, order: Numbers, values: Numbers, n: int) -> Numbers:
    """Return the smallest or largest value of each of `n` orders, in rows by order; or MISSING."""
    found = np.full(n, MISSING)
    starts = np.flatnonzero(np.diff(order, prepend=-1))
    if len(starts):
        found[order[starts]] = ufunc.reduceat(values, starts)
    return found


Note = Callable[[str, OrderRows], None]


def _with_one_customer(rows: OrderRows, n_orders: int, note: Note) -> OrderRows:
    """Return the rows of orders with at most one customer, which all rows of an order then have."""
    known = np.flatnonzero(rows.customer >= 0)
    order, customer = rows.order[known], rows.customer[known]
    largest = _extreme(np.maximum, order, customer, n_orders)
    smallest = _extreme(np.minimum, order, customer, n_orders)
    is_torn = (largest != smallest)[rows.order]
    if is_torn.any():
        note("two_customers", rows.take(is_torn))
        rows = rows.take(~is_torn)
    whole = np.where(largest == MISSING, -1, largest)[rows.order].astype(np.int32)
    is_filled = whole != rows.customer
    if is_filled.any():
        note("customer_id_filled", rows.take(is_filled))
    return replace(rows, customer=whole)


def _keys(rows: OrderRows, n_products: int) -> Numbers:
    return rows.order.astype(np.int64) * max(n_products, 1) + rows.product


def _starts(rows: OrderRows) -> Mask:
    """Return where a new order and product begins, in rows that are in order."""
    new = np.ones(len(rows), bool)
    new[1:] = (rows.order[1:] != rows.order[:-1]) | (rows.product[1:] != rows.product[:-1])
    return new


def _contents(rows: OrderRows) -> list[Numbers]:
    """Return the columns that make two rows of one order and product equal or not."""
    arrays = [
        rows.time,
        rows.quantity,
        rows.returned_quantity,
        rows.returned_at,
        # As bits, so that unknown prices are equal; 0.0 is added since -0.0 has other bits.
        None if rows.price is None else (rows.price + 0.0).view(np.int64),
        rows.gift,
        rows.currency,
        rows.channel,
        rows.updated,
        rows.customer,
    ]
    return [array for array in arrays if array is not None]


def _in_order(rows: OrderRows, n_products: int) -> OrderRows:
    """Return rows by order, product and content, so that sums do not depend on the file's order."""
    key = _keys(rows, n_products)
    if (key[1:] < key[:-1]).any():
        by_key = np.argsort(key, kind="stable")
        rows, key = rows.take(by_key), key[by_key]
    equal = key[1:] == key[:-1]
    tied = np.zeros(len(key), bool)
    tied[1:] |= equal
    tied[:-1] |= equal
    if not tied.any():
        return rows
    places = np.flatnonzero(tied)
    some = rows.take(places)
    order = np.arange(len(key))
    order[places] = places[np.lexsort((some.row, *_contents(some), key[places]))]
    return rows.take(order)


def _without_duplicates(rows: OrderRows, note: Note, other_cells: OtherCells) -> OrderRows:
    """Return the rows without those that equal an earlier row in every column of the source."""
    new = _starts(rows)
    for array in _contents(rows):
        new[1:] |= array[1:] != array[:-1]
    if new.all():
        return rows
    group = np.cumsum(new)
    again = ~new
    in_group = again.copy()
    in_group[:-1] |= again[1:]
    places = np.flatnonzero(in_group)
    ascending = np.sort(rows.row[places])
    other = other_cells(ascending)
    if other is not None:
        number = other[np.searchsorted(ascending, rows.row[places])]
        # Rows of a group come in the order of the file, so the first of its kind is the first.
        kinds = np.stack([group[places], number], axis=1)
        _, first = np.unique(kinds, axis=0, return_index=True)
        again = np.zeros(len(rows), bool)
        again[np.delete(places, first)] = True
    if not again.any():
        return rows
    note("duplicate_row", rows.take(again))
    return rows.take(~again)


def _within_limit(rows: OrderRows, note: Note) -> OrderRows:
    """Return the rows of lines whose units, summed, are still within the limit."""
    starts = np.flatnonzero(_starts(rows))
    if len(starts) == len(rows):
        return rows
    sums = np.add.reduceat(rows.quantity, starts, dtype=np.int64)
    if sums.max(initial=0) <= MAX_QUANTITY:
        return rows
    sizes = np.diff(np.append(starts, len(rows)))
    beyond = np.repeat(sums > MAX_QUANTITY, sizes)
    note("quantity_above_limit", rows.take(beyond))
    return rows.take(~beyond)


def _merged(rows: OrderRows) -> OrderRows:
    """Return one row per order and product: units summed, a gift only if all rows are."""
    starts = np.flatnonzero(_starts(rows))
    if len(starts) == len(rows):
        return rows
    lines = rows.take(starts)
    sizes = np.diff(np.append(starts, len(rows)))
    several = np.flatnonzero(sizes > 1)
    some = rows.take(np.repeat(sizes > 1, sizes))
    starts = np.append(0, np.cumsum(sizes[several])[:-1])
    # The lines are fresh copies, so those of several rows can be set in place.
    lines.quantity[several] = np.add.reduceat(some.quantity, starts)
    if lines.returned_quantity is not None and some.returned_quantity is not None:
        lines.returned_quantity[several] = np.add.reduceat(some.returned_quantity, starts)
    if lines.returned_at is not None and some.returned_at is not None:
        lines.returned_at[several] = np.maximum.reduceat(some.returned_at, starts)
    if lines.gift is not None and some.gift is not None:
        lines.gift[several] = np.logical_and.reduceat(some.gift, starts)
    if lines.price is not None and some.price is not None:
        lines.price[several] = _mean_price(some.price, some.quantity, starts)
    return lines


def _mean_price(price: Numbers, quantity: Numbers, starts: Numbers) -> Numbers:
    """Return the price of one unit of each line, weighted by units; rows without one aside."""
    sizes = np.diff(np.append(starts, len(price)))
    units = np.where(np.isnan(price), 0, quantity).astype(np.float64)
    total = np.repeat(np.add.reduceat(units, starts), sizes)
    known = np.where(np.isnan(price), 0.0, price)
    # Each row's share first: prices as large as floats go must not overflow.
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(known * (units / total), starts)
    low = np.minimum.reduceat(np.where(np.isnan(price), np.inf, price), starts)
    high = np.maximum.reduceat(np.where(np.isnan(price), -np.inf, price), starts)
    # One price stays what it is, without the rounding of a mean.
    return np.where(low == high, low, mean)


def _with_returns(
    lines: OrderRows, returns: OrderRows, order_time: Numbers, note: Note
) -> tuple[OrderRows, dict[str, int]]:
    """Return the lines with the returns that are rows of their own, and how many were matched."""
    counts = {"n_returns_matched": 0, "n_returns_unmatched": 0}
    if not len(returns):
        return lines, counts
    zeros = np.zeros(len(lines), np.int64)
    before = zeros if lines.returned_quantity is None else lines.returned_quantity
    before_at = zeros + MISSING if lines.returned_at is None else lines.returned_at
    time = order_time[lines.order]
    bought = Movements(lines.order, lines.customer, lines.product, time, lines.quantity - before)
    sent_back = Movements(
        returns.order, returns.customer, returns.product, returns.time, -returns.quantity
    )
    back, back_at, rest = match_returns(bought, sent_back)
    is_left = rest > 0
    note("return_unmatched", returns.take(is_left))
    counts["n_returns_unmatched"] = int(is_left.sum())
    counts["n_returns_matched"] = len(returns) - counts["n_returns_unmatched"]
    return (
        replace(lines, returned_quantity=before + back, returned_at=np.maximum(before_at, back_at)),
        counts,
    )


def _one_word(
    rows: OrderRows, codes: Numbers | None, words: pa.Array, slug: str, note: Note, n_orders: int
) -> pa.DictionaryArray | None:
    """Return each order's currency or channel; none where its rows have two."""
    if codes is None:
        return None
    known = np.flatnonzero(codes >= 0)
    order, word = rows.order[known], codes[known]
    largest = _extreme(np.maximum, order, word, n_orders)
    smallest = _extreme(np.minimum, order, word, n_orders)
    is_mixed = largest != smallest
    if is_mixed.any():
        note(slug, rows.take(is_mixed[rows.order]))
    is_unknown = is_mixed | (largest == MISSING)
    found = np.where(is_unknown, 0, largest).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(found, mask=is_unknown), words)


def _as_fields(
    rows: OrderRows, lines: OrderRows, words: Vocabularies, order_time: Numbers, note: Note
) -> dict[str, Any]:
    """Return the fields of `Orders`: ids that are seen, orders that have lines."""
    n = len(words.order)
    n_lines = len(lines)
    missing = np.full(n_lines, MISSING)
    returned_at = missing if lines.returned_at is None else lines.returned_at
    latest = np.maximum(order_time, _extreme(np.maximum, lines.order, returned_at, n))
    if rows.updated is not None:
        stated = _extreme(np.maximum, rows.order, rows.updated, n)
        latest = np.where(stated == MISSING, latest, stated)
    customer = np.full(n, -1, np.int32)
    customer[lines.order] = lines.customer
    currency = _one_word(rows, rows.currency, words.currency, "currency_mixed", note, n)
    channel = _one_word(rows, rows.channel, words.channel, "channel_mixed", note, n)
    orders, line_order = _used(lines.order, n)
    products, line_product = _used(lines.product, len(words.product))
    customers, order_customer = _used(customer[orders], len(words.customer))
    taken = pa.array(orders)
    zeros = np.zeros(n_lines, np.int32)
    returned = zeros if lines.returned_quantity is None else lines.returned_quantity
    return {
        "customer_ids": words.customer.take(pa.array(customers)),
        "product_ids": words.product.take(pa.array(products)),
        "order_ids": words.order.take(taken),
        "order_customer": order_customer,
        "order_time": order_time[orders],
        "order_updated": latest[orders],
        "order_currency": None if currency is None else currency.take(taken),
        "order_channel": None if channel is None else channel.take(taken),
        "line_order": line_order,
        "line_product": line_product,
        "quantity": lines.quantity.astype(np.int32),
        "returned_quantity": returned.astype(np.int32),
        "returned_at": returned_at,
        "gift": np.zeros(n_lines, bool) if lines.gift is None else lines.gift,
        "unit_price": np.full(n_lines, np.nan) if lines.price is None else lines.price,
    }


def _used(codes: Numbers, n: int) -> tuple[Numbers, Numbers]:
    """Return the codes that occur, ascending, and `codes` as places in them; -1 stays -1."""
    is_used = np.zeros(n + 1, bool)
    is_used[codes] = True
    is_used[n] = False  # where -1 went
    place = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
    place[n] = -1
    return np.flatnonzero(is_used), place[codes]
