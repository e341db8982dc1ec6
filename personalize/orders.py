"""Orders: the one fact table, normalised, columnar and in one canonical order.

This file decides what a set of orders is and how it is cut in time and by customer. How rows of a
table become orders, and which rows are bad, is decided in `personalize.intake`; what a purchase
means for its buyer, in `personalize.purchases`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from personalize.errors import Problem
from personalize.intake import ReturnsMode, gather_orders
from personalize.reading import Progress, ReadOptions
from personalize.tables import Rejects, Source
from personalize.times import MISSING, Moment, to_micros

Ints = npt.NDArray[np.int32]
Micros = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Orders:
    """A set of orders and their lines, frozen; guests are orders of customer -1.

    Orders are sorted by (time, id), lines by (order, product). Ids are sorted by their UTF-8
    bytes, so their codes sort like they do; after `before` and `for_customers` the vocabularies
    are supersets of what is seen.

    Parameters
    ----------
    customer_ids, product_ids : pyarrow large_string arrays, sorted, unique
        The vocabularies.
    order_ids : pyarrow large_string array, shape (n_orders,)
    order_customer : int32, shape (n_orders,)
        Position in `customer_ids`; -1 for a guest.
    order_time, order_updated : int64, microseconds since 1970 UTC, shape (n_orders,)
        When it was placed (never falling), and the version of it these lines are.
    order_currency, order_channel : pyarrow dictionary arrays, shape (n_orders,), or None
    line_order : int32, shape (n_lines,)
        Position of the order, never falling.
    line_product : int32, shape (n_lines,)
        Position in `product_ids`.
    quantity, returned_quantity : int32, units, shape (n_lines,)
    returned_at : int64, microseconds since 1970 UTC, shape (n_lines,)
        `personalize.times.MISSING` where nothing was returned.
    gift : bool, shape (n_lines,)
    unit_price : float64, shape (n_lines,)
        NaN where unknown.
    problems : tuple of Problem
        What was wrong with the table, if it came from one.
    rejected : Rejects or None
        The rows that were left out, each with its reasons.
    carries_returns : bool
        Whether the source told returns, so that these orders supersede earlier adjustments.
    n_returns_matched, n_returns_unmatched : int, rows
        Rows of negative quantity whose every unit found its purchase, and those with a rest.
    """

    customer_ids: pa.Array
    product_ids: pa.Array
    order_ids: pa.Array
    order_customer: Ints
    order_time: Micros
    order_updated: Micros
    order_currency: pa.DictionaryArray | None
    order_channel: pa.DictionaryArray | None
    line_order: Ints
    line_product: Ints
    quantity: Ints
    returned_quantity: Ints
    returned_at: Micros
    gift: Flags
    unit_price: Floats
    problems: tuple[Problem, ...] = ()
    rejected: Rejects | None = None
    carries_returns: bool = True
    n_returns_matched: int = 0
    n_returns_unmatched: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                frozen = value.view()
                frozen.flags.writeable = False
                object.__setattr__(self, name, frozen)

    @classmethod
    def from_arrays(cls, **fields: Any) -> Self:
        """Return orders from the fields of this class, brought into the canonical order.

        The values are trusted: ids legal and unique, one line per order and product. Only the
        order of vocabularies, orders and lines is put right where it is not canonical, and ids
        may be any sequence of text.

        Parameters
        ----------
        **fields
            As listed on the class. ``order_updated``, ``order_currency``, ``order_channel``,
            ``returned_quantity``, ``returned_at``, ``gift`` and ``unit_price`` may be left out.
        """
        return cls(**_canonical(_completed(fields)))

    @classmethod
    def from_frame(
        cls,
        df: pd.DataFrame,
        *,
        columns: Mapping[str, str] | None = None,
        strict: bool = False,
        timezone: str = "UTC",
        returns: ReturnsMode = "columns",
        not_products: str | None = None,
    ) -> Self:
        """Return the orders of a DataFrame, which is not changed; see `read_orders`.

        Raises
        ------
        InvalidOrdersError
            For a missing column; with `strict`, for any bad row.
        InvalidConfigError
            For an unknown `timezone` or `returns`, or a `not_products` that is no expression.
        """
        options = ReadOptions(columns=columns, strict=strict)
        fields = gather_orders(
            df, options, timezone=timezone, returns=returns, not_products=not_products
        )
        return cls(**_canonical(fields))

    def __repr__(self) -> str:
        return (
            f"Orders({self.n_lines:,} lines, {self.n_orders:,} orders, "
            f"{self.n_customers:,} customers, {len(self.problems)} problems)"
        )

    @property
    def n_orders(self) -> int:
        """How many orders."""
        return len(self.order_time)

    @property
    def n_lines(self) -> int:
        """How many order lines."""
        return len(self.line_order)

    @cached_property
    def n_customers(self) -> int:
        """How many customers are seen in these orders, guests aside."""
        return int(np.unique(self.order_customer[self.order_customer >= 0]).size)

    @property
    def newest(self) -> int:
        """The time of the newest order in microseconds; MISSING if there is none."""
        return int(self.order_time[-1]) if self.n_orders else MISSING

    @cached_property
    def kept(self) -> Flags:
        """Per line, whether the buyer owns it: no gift, and not wholly returned."""
        return ~self.gift & (self.returned_quantity < self.quantity)

    def before(self, as_of: Moment | int | None) -> Orders:
        """Return what had happened before `as_of`: later orders gone, later returns undone.

        Parameters
        ----------
        as_of : datetime, date, str, datetime64, int (microseconds since 1970 UTC) or None
            Exclusive; None keeps everything.

        Raises
        ------
        InvalidConfigError
            If `as_of` is no moment.
        """
        if as_of is None:
            return self
        moment = int(as_of) if isinstance(as_of, (int, np.integer)) else to_micros(as_of)
        n_orders = int(np.searchsorted(self.order_time, moment))
        n_lines = int(np.searchsorted(self.line_order, n_orders))
        later = self.returned_at[:n_lines] >= moment
        if n_orders == self.n_orders and not later.any():
            return self
        return replace(
            self,
            **self._sliced(slice(0, n_orders), slice(0, n_lines)),
            returned_quantity=np.where(later, np.int32(0), self.returned_quantity[:n_lines]),
            returned_at=np.where(later, np.int64(MISSING), self.returned_at[:n_lines]),
        )

    def _sliced(self, orders: slice, lines: slice) -> dict[str, Any]:
        names = ("order_ids", "order_currency", "order_channel")
        by_order: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[orders]
            for name in (*names, "order_customer", "order_time", "order_updated")
        }
        by_line = {
            name: getattr(self, name)[lines]
            for name in ("line_order", "line_product", "quantity", "gift", "unit_price")
        }
        return by_order | by_line

    def for_customers(self, customer_ids: Collection[str]) -> Orders:
        """Return the orders of some customers; ids that are not known are ignored."""
        wanted = pc.is_in(
            self.customer_ids, value_set=pa.array(list(customer_ids), pa.large_string())
        ).to_numpy(zero_copy_only=False)
        # One more place at the end, which is where a guest's -1 looks.
        orders = np.append(wanted, False)[self.order_customer]
        lines = orders[self.line_order]
        position = np.cumsum(orders, dtype=np.int32) - np.int32(1)
        mask = pa.array(orders)
        taken: dict[str, Any] = {
            name: getattr(self, name)[orders]
            for name in ("order_customer", "order_time", "order_updated")
        }
        for name in ("order_ids", "order_currency", "order_channel"):
            array = getattr(self, name)
            taken[name] = None if array is None else array.filter(mask)
        for name in _LINE_FIELDS:
            taken[name] = getattr(self, name)[lines]
        taken["line_order"] = position[taken["line_order"]]
        return replace(self, **taken)

    def to_frame(self) -> pd.DataFrame:
        """Return the lines as the public orders table, one row per order and product.

        Returns
        -------
        DataFrame
            ``order_id``, ``customer_id`` (null for guests), ``product_id``, ``currency``,
            ``channel``: text; ``ordered_at``, ``returned_at``, ``updated_at``: datetime64[us,
            UTC]; ``quantity``, ``returned_quantity``: int64, units; ``unit_price``: float64;
            ``gift``: bool.
        """
        order = pa.array(self.line_order)
        customers = np.ma.masked_less(self.order_customer[self.line_order], 0)
        table = pa.table(
            {
                "order_id": self.order_ids.take(order),
                "customer_id": self.customer_ids.take(pa.array(customers)),
                "product_id": self.product_ids.take(pa.array(self.line_product)),
                "ordered_at": _times(self.order_time[self.line_order]),
                "quantity": self.quantity.astype(np.int64),
                "returned_quantity": self.returned_quantity.astype(np.int64),
                "returned_at": _times(self.returned_at),
                "unit_price": self.unit_price,
                "currency": _texts(self.order_currency, order),
                "channel": _texts(self.order_channel, order),
                "gift": self.gift,
                "updated_at": _times(self.order_updated[self.line_order]),
            }
        )
        return table.to_pandas()


_LINE_FIELDS = (
    "line_order",
    "line_product",
    "quantity",
    "returned_quantity",
    "returned_at",
    "gift",
    "unit_price",
)


def _times(micros: Micros) -> pa.Array:
    return pa.array(micros, pa.int64(), mask=micros == MISSING).cast(pa.timestamp("us", "UTC"))


def _texts(values: pa.DictionaryArray | None, order: pa.Array) -> pa.Array:
    if values is None:
        return pa.nulls(len(order), pa.large_string())
    return values.take(order).cast(pa.large_string())


def _completed(fields: dict[str, Any]) -> dict[str, Any]:
    """Return `fields` with what may be left out, in the types of `Orders`."""
    n_lines = len(fields["line_order"])
    whole = {
        "returned_quantity": np.zeros(n_lines, np.int32),
        "returned_at": np.full(n_lines, MISSING),
        "gift": np.zeros(n_lines, bool),
        "unit_price": np.full(n_lines, np.nan),
        "order_updated": fields["order_time"],
        "order_currency": None,
        "order_channel": None,
    } | fields
    for name in ("customer_ids", "product_ids", "order_ids"):
        if not isinstance(whole[name], pa.Array) or whole[name].type != pa.large_string():
            whole[name] = pa.array(whole[name], pa.large_string())
    types = {
        np.int32: ("order_customer", "line_order", "line_product", "quantity", "returned_quantity"),
        np.int64: ("order_time", "order_updated", "returned_at"),
        np.bool_: ("gift",),
        np.float64: ("unit_price",),
    }
    for dtype, names in types.items():
        for name in names:
            whole[name] = np.asarray(whole[name], dtype=dtype)
    for name in ("order_currency", "order_channel"):
        values = whole[name]
        if values is not None and not isinstance(values, pa.DictionaryArray):
            whole[name] = pa.array(values, pa.large_string()).dictionary_encode()
    return whole


def _canonical(fields: dict[str, Any]) -> dict[str, Any]:
    """Return `fields` with sorted vocabularies, orders by (time, id), lines by (order, product)."""
    fields = dict(fields)
    for ids, codes in (("customer_ids", "order_customer"), ("product_ids", "line_product")):
        order = pc.array_sort_indices(fields[ids])
        positions = order.to_numpy()
        if not _is_sorted(positions):
            fields[ids] = fields[ids].take(order)
            # The last place is for a guest's -1, which stays -1.
            new = np.full(len(positions) + 1, -1, np.int32)
            new[positions] = np.arange(len(positions), dtype=np.int32)
            fields[codes] = new[fields[codes]]
    by_id = np.empty(len(fields["order_ids"]), np.int64)
    by_id[pc.array_sort_indices(fields["order_ids"]).to_numpy()] = np.arange(len(by_id))
    orders = np.lexsort((by_id, fields["order_time"]))
    if not _is_sorted(orders):
        taken = pa.array(orders)
        for name in ("order_ids", "order_currency", "order_channel"):
            fields[name] = None if fields[name] is None else fields[name].take(taken)
        for name in ("order_customer", "order_time", "order_updated"):
            fields[name] = fields[name][orders]
        new = np.empty(len(orders), np.int32)
        new[orders] = np.arange(len(orders), dtype=np.int32)
        fields["line_order"] = new[fields["line_order"]]
    key = fields["line_order"].astype(np.int64) * max(len(fields["product_ids"]), 1)
    key += fields["line_product"]
    if (key[1:] < key[:-1]).any():
        lines = np.argsort(key, kind="stable")
        for name in _LINE_FIELDS:
            fields[name] = fields[name][lines]
    return fields


def _is_sorted(positions: npt.NDArray[Any]) -> bool:
    return bool((positions[1:] > positions[:-1]).all())


def read_orders(
    source: Source,
    columns: Mapping[str, str] | None = None,
    *,
    strict: bool = False,
    timezone: str = "UTC",
    returns: ReturnsMode = "columns",
    not_products: str | None = None,
    progress: Progress | None = None,
    encoding: str = "utf-8",
    memory_limit: int | None = None,
) -> Orders:
    """Return the good rows of an orders table as `Orders`, with a report of the others.

    Parameters
    ----------
    source : path, sequence of paths, or DataFrame, one row per order line
        Parquet, CSV or JSON lines by file ending, the text formats also gzipped. Needs
        ``order_id``, ``customer_id`` (empty for guests), ``product_id``, ``ordered_at`` and
        ``quantity``; may have ``returned_quantity``, ``returned_at``, ``unit_price``,
        ``currency``, ``channel``, ``gift`` and ``updated_at``.
    columns : mapping of str to str, optional
        Name in the source to our name, such as ``{"Invoice": "order_id"}``.
    strict : bool
        Refuse the table for any faulty row.
    timezone : str
        The zone of times that name none.
    returns : {"columns", "negative_rows"}
        Whether returns stand in ``returned_quantity``, or are rows of negative quantity, which
        then undo the customer's latest purchases of the product, last in first out.
    not_products : str, optional
        Rows whose whole product id matches this regular expression are left out.
    progress : callable, optional
        Called now and then with the rows read, and the rows in all where known (else None).
    encoding : str
        Of CSV files.
    memory_limit : int, optional, bytes
        What reading may take; default: what the machine has available.

    Raises
    ------
    InvalidOrdersError
        If a column is missing, a file cannot be read, or memory would not do; with `strict`,
        for any faulty row, with all problems.
    InvalidConfigError
        For an unknown `timezone` or `returns`, or a `not_products` that is no expression.
    """
    options = ReadOptions(
        columns=columns,
        strict=strict,
        encoding=encoding,
        progress=progress,
        memory_limit=memory_limit,
    )
    fields = gather_orders(
        source, options, timezone=timezone, returns=returns, not_products=not_products
    )
    return Orders(**_canonical(fields))
