"""What customers own: one customer's purchases as a value, many customers' as arrays.

Both are made from the same order lines by the same rules: a line counts as owned if it is no
gift and not wholly returned; orders and returns at or after `as_of` have not happened; purchases
of one moment are one occasion. Whether something owned is suppressed is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalize.compiled import compiled
from personalize.sorting import order_within, row_starts, stable_order
from personalize.times import FOREVER, MISSING, Moment, to_micros

if TYPE_CHECKING:
    import pyarrow as pa

    from personalize.orders import Orders


class OrderLine(NamedTuple):
    """One product in one order of a known customer; times in microseconds UTC."""

    product_id: str
    ordered_at: int
    quantity: int
    returned_quantity: int
    returned_at: int
    gift: bool
    order_id: str


class Owned(NamedTuple):
    """What one customer owns of one product, item group or product type.

    ``n_orders`` counts distinct moments of purchase; ``first_at`` and ``last_at`` are
    microseconds UTC; ``last_quantity`` is the units kept of the last purchase,
    ``total_quantity`` of all of them.
    """

    n_orders: int
    first_at: int
    last_at: int
    last_quantity: int
    total_quantity: int


Occasions = Mapping[int, int]
"""Units kept, by moment of purchase."""


def owned_of(occasions: Occasions) -> Owned:
    """Return the summary of one or more purchases of one thing."""
    if len(occasions) == 1:
        ((at, units),) = occasions.items()
        return Owned(1, at, at, units, units)
    last_at = max(occasions)
    return Owned(
        len(occasions), min(occasions), last_at, occasions[last_at], sum(occasions.values())
    )


@dataclass(frozen=True, eq=False)
class PurchaseState:
    """What one customer owns, sent back and ordered last; a value, made once per question.

    Parameters
    ----------
    customer_id : str
    n_orders : int
        Distinct moments at which something kept was bought.
    first_order_at, last_order_at : int, microseconds UTC
        ``MISSING`` for a customer without purchases.
    order_times : tuple of int, microseconds UTC, ascending
        The moments behind them.
    occasions : mapping of product id to (mapping of moment to units kept)
    returned : mapping of product id to int
        When a product that is no longer owned was last sent back, in microseconds UTC.
    newest_order : tuple of str
        Products of the newest order that were bought for the customer, sorted.
    n_purchases, n_repeated : int
        Purchases in all (a product counts once per moment), and products bought more than once.
    """

    customer_id: str
    n_orders: int
    first_order_at: int
    last_order_at: int
    order_times: tuple[int, ...]
    occasions: Mapping[str, Occasions]
    returned: Mapping[str, int]
    newest_order: tuple[str, ...]
    n_purchases: int
    n_repeated: int

    @cached_property
    def owned(self) -> Mapping[str, Owned]:
        """What is owned of each product, by product id."""
        return {product: owned_of(times) for product, times in self.occasions.items()}

    def summary(self, product_id: str) -> Owned:
        """Return what is owned of one product, which is."""
        return owned_of(self.occasions[product_id])

    @classmethod
    def unknown(cls, customer_id: str) -> Self:
        """Return the state of a customer of whom nothing is known."""
        return cls.from_lines(customer_id, ())

    @classmethod
    def from_orders(cls, orders: Orders, customer_id: str, as_of: Moment | None = None) -> Self:
        """Return the state of one customer of an order table.

        Parameters
        ----------
        orders : Orders
        customer_id : str
            An unknown one owns nothing.
        as_of : moment, optional
            Facts at or after it do not count; default: all facts count.

        Raises
        ------
        InvalidConfigError
            If `as_of` is no moment.
        """
        import pyarrow as pa

        theirs = orders.for_customers([customer_id])
        products = theirs.product_ids.take(pa.array(theirs.line_product)).to_pylist()
        order_ids = theirs.order_ids.take(pa.array(theirs.line_order)).to_pylist()
        lines = map(
            OrderLine,
            products,
            theirs.order_time[theirs.line_order].tolist(),
            theirs.quantity.tolist(),
            theirs.returned_quantity.tolist(),
            theirs.returned_at.tolist(),
            theirs.gift.tolist(),
            order_ids,
        )
        return cls.from_lines(customer_id, lines, None if as_of is None else to_micros(as_of))

    @classmethod
    def from_lines(
        cls, customer_id: str, lines: Iterable[OrderLine | Sequence[Any]], as_of: int | None = None
    ) -> Self:
        """Return the state after these lines, in any order.

        Parameters
        ----------
        customer_id : str
        lines : iterable of OrderLine, or of rows of its fields
            All lines of this customer.
        as_of : int, microseconds UTC, optional
            Facts at or after it do not count; default: all facts count.
        """
        horizon = FOREVER if as_of is None else as_of
        occasions: dict[str, dict[int, int]] = {}
        sent_back: dict[str, int] = {}
        moments: set[int] = set()
        n_purchases = n_repeated = 0
        newest_at, newest_id = MISSING, ""
        newest_products: set[str] = set()
        for product_id, ordered_at, quantity, returned, returned_at, gift, order_id in lines:
            if ordered_at >= horizon:
                continue
            if ordered_at > newest_at or (ordered_at == newest_at and order_id > newest_id):
                newest_at, newest_id = ordered_at, order_id
                newest_products = set()
            if gift:
                continue
            kept = quantity - returned if returned and returned_at < horizon else quantity
            if kept <= 0:
                sent_back[product_id] = max(returned_at, sent_back.get(product_id, MISSING))
                continue
            times = occasions.get(product_id)
            if times is None:
                occasions[product_id] = {ordered_at: kept}
                n_purchases += 1
            elif ordered_at in times:
                times[ordered_at] += kept
            else:
                times[ordered_at] = kept
                n_purchases += 1
                n_repeated += len(times) == 2
            moments.add(ordered_at)
            if ordered_at == newest_at and order_id == newest_id:
                newest_products.add(product_id)
        return cls(
            customer_id=customer_id,
            n_orders=len(moments),
            first_order_at=min(moments, default=MISSING),
            last_order_at=max(moments, default=MISSING),
            order_times=tuple(sorted(moments)),
            occasions=MappingProxyType(occasions),
            returned={p: at for p, at in sent_back.items() if p not in occasions},
            newest_order=tuple(sorted(newest_products)),
            n_purchases=n_purchases,
            n_repeated=n_repeated,
        )


Ints = NDArray[np.int64]


@compiled
def find_rows(
    starts: Ints, targets: Ints, customer: NDArray[Any], target: NDArray[Any], rows: Ints
) -> None:
    """Write the row of each (customer, target), -1 where there is none; targets ascend."""
    for i in range(len(rows)):
        rows[i] = -1
        who, wanted = customer[i], target[i]
        if who < 0 or wanted < 0 or who >= len(starts) - 1:
            continue
        low, high = starts[who], starts[who + 1]
        while low < high:
            middle = (low + high) >> 1
            if targets[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        if low < starts[who + 1] and targets[low] == wanted:
            rows[i] = low


@dataclass(frozen=True, eq=False)
class OwnedTable:
    """What many customers own of many targets (products, groups or types), sorted by both.

    Parameters
    ----------
    customer, target : int64, shape (n,)
        Codes; strictly increasing as pairs.
    n_orders, first_at, last_at, last_quantity, total_quantity : int64, shape (n,)
        As in `Owned`.
    n_targets : int
        Codes of targets are below it.
    """

    customer: Ints
    target: Ints
    n_orders: Ints
    first_at: Ints
    last_at: Ints
    last_quantity: Ints
    total_quantity: Ints
    n_targets: int

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: NDArray[Any]) -> OwnedTable:
        """Return these rows, ascending."""
        return OwnedTable(
            self.customer[rows],
            self.target[rows],
            self.n_orders[rows],
            self.first_at[rows],
            self.last_at[rows],
            self.last_quantity[rows],
            self.total_quantity[rows],
            self.n_targets,
        )

    def find(self, customer: NDArray[Any], target: NDArray[Any]) -> Ints:
        """Return the row of each (customer, target), or -1 where there is none."""
        rows = np.empty(len(customer), dtype=np.int64)
        find_rows(self.starts, self.target, customer, target, rows)
        return rows

    @cached_property
    def starts(self) -> Ints:
        """Where the rows of each customer code start, and where the last one's end."""
        return row_starts(np.bincount(self.customer))


@dataclass(frozen=True, eq=False)
class Occasion:
    """Purchases as parallel arrays, one row per (customer, target, moment), sorted so.

    Parameters
    ----------
    customer, target, at, quantity : int64, shape (n,)
    n_targets : int
    """

    customer: Ints
    target: Ints
    at: Ints
    quantity: Ints
    n_targets: int

    @classmethod
    def from_lines(
        cls,
        customer: NDArray[Any],
        target: NDArray[Any],
        at: NDArray[Any],
        quantity: NDArray[Any],
        n_targets: int,
    ) -> Self:
        """Return the occasions behind order lines; negative customers or targets are left out."""
        use = (customer >= 0) & (target >= 0)
        if not use.all():
            customer, target, at, quantity = customer[use], target[use], at[use], quantity[use]
        if not _is_by_customer(customer, at):
            order = stable_order(customer, int(customer.max()) + 1, np.argsort(at, kind="stable"))
            customer, target, at, quantity = (
                each[order] for each in (customer, target, at, quantity)
            )
        if n_targets > 1:
            order = order_within(row_starts(np.bincount(customer)), target)
            target, at, quantity = target[order], at[order], quantity[order]
        starts = np.flatnonzero(_changes(customer) | _changes(target) | _changes(at))
        summed = np.add.reduceat(quantity, starts, dtype=np.int64) if len(starts) else at
        c, t, when = (each[starts].astype(np.int64, copy=False) for each in (customer, target, at))
        return cls(c, t, when, summed, n_targets)

    @cached_property
    def is_first(self) -> NDArray[np.bool_]:
        """Whether each row is the customer's first purchase of the target."""
        return _changes(self.customer) | _changes(self.target)

    @cached_property
    def is_last(self) -> NDArray[np.bool_]:
        """Whether each row is the customer's last purchase of the target."""
        return np.append(self.is_first[1:], True)[: len(self.at)]

    @cached_property
    def n_owned(self) -> int:
        """How many rows `owned` has."""
        return int(self.is_first.sum())

    def owned(self, rows: NDArray[Any] | None = None) -> OwnedTable:
        """Return what is owned of each target, or only these rows of that, ascending."""
        first, last = np.flatnonzero(self.is_first), np.flatnonzero(self.is_last)
        if rows is not None:
            first, last = first[rows], last[rows]
        total = np.append(0, np.cumsum(self.quantity))
        return OwnedTable(
            customer=self.customer[first],
            target=self.target[first],
            n_orders=last - first + 1,
            first_at=self.at[first],
            last_at=self.at[last],
            last_quantity=self.quantity[last],
            total_quantity=total[last + 1] - total[first],
            n_targets=self.n_targets,
        )


def _is_by_customer(customer: NDArray[Any], at: NDArray[Any]) -> bool:
    """Return whether customers ascend, and each one's moments."""
    is_next = customer[1:] > customer[:-1]
    is_next |= (customer[1:] == customer[:-1]) & (at[1:] >= at[:-1])
    return bool(is_next.all())


def _changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each value differs from the one before; the first always does."""
    out = np.ones(len(values), dtype=bool)
    out[1:] = values[1:] != values[:-1]
    return out


@dataclass(frozen=True, eq=False)
class Purchases:
    """The kept lines and wholly returned lines of many customers, ready to be summed.

    Parameters
    ----------
    customer_ids : large_string, shape (n_customers,)
        Sorted; codes below refer to it.
    customer, product, at, quantity : int32, int32, int64, int32, shape (n_kept,)
        Kept lines of known customers, by customer, then moment; `product` is a code of the
        orders' ``product_ids``.
    returned_customer, returned_product, returned_at : shape (n_returned,)
        Lines sent back, all of them, by customer.
    """

    customer_ids: pa.Array
    customer: NDArray[np.int32]
    product: NDArray[np.int32]
    at: Ints
    quantity: NDArray[np.int32]
    returned_customer: NDArray[np.int32]
    returned_product: NDArray[np.int32]
    returned_at: Ints

    @classmethod
    def from_orders(cls, orders: Orders) -> Purchases:
        """Return the purchases behind orders that are already cut at the moment of the question."""
        return CustomerLines.of(orders).purchases()

    @cached_property
    def orders_of(self) -> Occasion:
        """Each customer's orders as a whole: target 0, one row per customer and moment."""
        nothing = np.zeros(len(self.customer), dtype=np.int32)
        return Occasion.from_lines(self.customer, nothing, self.at, self.quantity, 1)

    def codes(self, customer_ids: list[str] | pa.Array) -> Ints:
        """Return the code of each customer, -1 for an unknown one."""
        return customer_codes(self.customer_ids, customer_ids)


def customer_codes(known: pa.Array, customer_ids: list[str] | pa.Array) -> Ints:
    """Return the place of each customer among those known, -1 for an unknown one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.array(customer_ids, pa.large_string())
    found = pc.index_in(ids, value_set=known)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


@dataclass(frozen=True, eq=False)
class CustomerLines:
    """Where the lines of each customer lie: purchases are laid out for as many as are asked about.

    Parameters
    ----------
    orders : Orders
        Already cut at the moment of the question.
    kept, back : int, shape (n_kept,), (n_returned,)
        The rows of kept lines and of those sent back whole, by customer, then as they stand.
    kept_starts, back_starts : int64, shape (n_customers + 1,)
        Where those of each customer start.
    """

    orders: Orders
    kept: NDArray[Any]
    back: NDArray[Any]
    kept_starts: Ints
    back_starts: Ints

    @classmethod
    def of(cls, orders: Orders) -> Self:
        """Return them for the known customers of some orders; what was given away is no one's."""
        n = len(orders.customer_ids)
        customer = orders.order_customer[orders.line_order]
        customer[orders.gift | (customer < 0)] = n
        kept = np.where(orders.kept, customer, np.int32(n))
        back = np.flatnonzero((customer < n) & ~orders.kept)
        by_customer = stable_order(kept, n + 1)
        kept_starts = row_starts(np.bincount(kept, minlength=n)[:n])
        return cls(
            orders=orders,
            kept=by_customer[: kept_starts[-1]],
            back=back[stable_order(customer[back], n)],
            kept_starts=kept_starts,
            back_starts=row_starts(np.bincount(customer[back], minlength=n)),
        )

    def purchases(self, start: int = 0, stop: int | None = None) -> Purchases:
        """Return those of the customers from code `start` to before `stop`; codes begin anew."""
        orders = self.orders
        stop = len(orders.customer_ids) if stop is None else stop
        codes = np.arange(stop - start, dtype=np.int32)
        kept = self.kept[self.kept_starts[start] : self.kept_starts[stop]]
        back = self.back[self.back_starts[start] : self.back_starts[stop]]
        return Purchases(
            customer_ids=orders.customer_ids[start:stop],
            customer=np.repeat(codes, np.diff(self.kept_starts[start : stop + 1])),
            product=orders.line_product[kept],
            at=orders.order_time[orders.line_order[kept]],
            quantity=orders.quantity[kept] - orders.returned_quantity[kept],
            returned_customer=np.repeat(codes, np.diff(self.back_starts[start : stop + 1])),
            returned_product=orders.line_product[back],
            returned_at=orders.returned_at[back],
        )
