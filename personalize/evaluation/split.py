"""One split in time: what every method learns from, and what it is asked about.

This file decides which lines count and which period they are of; it knows no method. Products,
customers and orders are codes into sorted vocabularies, so that codes order like ids and the
smaller code wins a tie. Everything at or after the cutoff is test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.compute as pc
import scipy.sparse as sp

from personalize.errors import InvalidConfigError, InvalidOrdersError
from personalize.orders import Orders
from personalize.times import DAY, MISSING, Moment, to_micros, to_rfc3339

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IdArray = npt.NDArray[np.object_]

GUEST: Final = -1
"""Customer of an order whose buyer is not known: it is in baskets and in no history."""
NOTHING: Final = -1
"""In a list: no product, or one that nobody ever ordered. It takes its place and is no hit."""
TEST_SHARE: Final = 0.2
"""Share of the time span that is test, where no cutoff is given."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Order lines of one period, one per order and product, sorted by time, order, product.

    Parameters
    ----------
    order, customer, product : int64, shape (n_lines,)
        Codes into the vocabularies of the split; `GUEST` for an unknown customer.
    time : int64, shape (n_lines,), microseconds since 1970 UTC
    quantity : int64, shape (n_lines,), units
        Without what was sent back.
    """

    order: IntArray
    customer: IntArray
    product: IntArray
    time: IntArray
    quantity: IntArray

    def __len__(self) -> int:
        return len(self.order)

    def where(self, mask: BoolArray) -> Lines:
        """Return the lines for which `mask` holds."""
        return Lines(
            self.order[mask],
            self.customer[mask],
            self.product[mask],
            self.time[mask],
            self.quantity[mask],
        )

    def of_customers(self) -> Lines:
        """Return the lines whose buyer is known."""
        return self.where(self.customer != GUEST)


@dataclass(frozen=True, slots=True)
class Split:
    """Orders cut in two at one moment.

    Parameters
    ----------
    order_ids, customer_ids, product_ids : object arrays of str, sorted
        What the codes stand for; they cover both periods.
    train, test : Lines
        Before the cutoff; at the cutoff and after.
    cutoff : int, microseconds since 1970 UTC
    eligible : bool, shape (n_products,)
        Products with enough training lines to be asked for; the others are in no query and in
        no truth, but methods learn from them.
    """

    order_ids: IdArray
    customer_ids: IdArray
    product_ids: IdArray
    train: Lines
    test: Lines
    cutoff: int
    eligible: BoolArray

    @property
    def n_products(self) -> int:
        """Products of both periods."""
        return len(self.product_ids)

    @property
    def test_days(self) -> float:
        """Days from the cutoff to the newest test order; 0 without one."""
        return float(self.test.time[-1] - self.cutoff) / DAY if len(self.test) else 0.0

    def n_lines(self) -> IntArray:
        """Return in how many training lines each product is; shape (n_products,)."""
        return np.bincount(self.train.product, minlength=self.n_products)

    def customer_products(self) -> Any:
        """Return who bought what before the cutoff, in how many orders: csr, float64."""
        known = self.train.of_customers()
        shape = (len(self.customer_ids), self.n_products)
        return _counts(known.customer, known.product, shape)

    def basket_products(self) -> Any:
        """Return which training order holds what: csr of ones, float64, empty rows left out."""
        rows = np.unique(self.train.order, return_inverse=True)[1]
        n_rows = int(rows.max()) + 1 if len(rows) else 0
        return _counts(rows, self.train.product, (n_rows, self.n_products))

    def product_codes(self, ids: Any) -> IntArray:
        """Return the code of each product id, `NOTHING` for those of neither period."""
        return _codes(self.product_ids, ids)

    def customer_codes(self, ids: Any) -> IntArray:
        """Return the code of each customer id, `NOTHING` for the unknown."""
        return _codes(self.customer_ids, ids)


def _codes(vocabulary: IdArray, ids: Any) -> IntArray:
    return np.asarray(pd.Index(vocabulary).get_indexer(pd.Index(ids)), dtype=np.int64)


def _counts(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> Any:
    matrix = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def split_at(orders: Orders, cutoff: int, *, min_lines: int = 5) -> Split:
    """Return `orders` cut in two at `cutoff`.

    A line that was given away, or wholly sent back, counts in neither period; before the cutoff
    only returns before the cutoff have happened.

    Parameters
    ----------
    orders : Orders
    cutoff : int, microseconds since 1970 UTC
        The first moment of the test period.
    min_lines : int
        Products with fewer training lines are neither asked nor sought.
    """
    past = orders.before(cutoff)
    kept, returned = orders.kept.copy(), orders.returned_quantity.astype(np.int64)
    kept[: past.n_lines], returned[: past.n_lines] = past.kept, past.returned_quantity
    # Orders are sorted by time; the codes of the protocol are by id.
    by_id = np.empty(orders.n_orders, dtype=np.int64)
    sorted_orders = pc.array_sort_indices(orders.order_ids)
    by_id[sorted_orders.to_numpy()] = np.arange(orders.n_orders)
    everything = Lines(
        order=by_id[orders.line_order],
        customer=orders.order_customer[orders.line_order].astype(np.int64),
        product=orders.line_product.astype(np.int64),
        time=orders.order_time[orders.line_order],
        quantity=orders.quantity - returned,
    ).where(kept)
    train = everything.where(everything.time < cutoff)
    n_lines = np.bincount(train.product, minlength=len(orders.product_ids))
    return Split(
        _ids(orders.order_ids.take(sorted_orders)),
        _ids(orders.customer_ids),
        _ids(orders.product_ids),
        train,
        everything.where(everything.time >= cutoff),
        cutoff,
        n_lines >= min_lines,
    )


def _ids(array: Any) -> IdArray:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=object)


def cutoff_of(orders: Orders, given: Moment | None) -> int:
    """Return the first moment of the test period, microseconds UTC.

    Parameters
    ----------
    orders : Orders
    given : moment or None
        None: the last `TEST_SHARE` of the time span is test, from a midnight UTC on where the
        span is long enough.

    Raises
    ------
    InvalidOrdersError
        If there are no orders, or they are all of one moment.
    InvalidConfigError
        If no order lies before the cutoff, or none at or after it.
    """
    if orders.newest == MISSING:
        raise InvalidOrdersError("orders: there are none to evaluate with; see the problem report")
    oldest = int(orders.order_time[0])
    if given is None:
        if oldest == orders.newest:
            raise InvalidOrdersError(
                f"orders: all are of {to_rfc3339(oldest)}, so no moment splits them in two; "
                "give orders of a longer time"
            )
        cutoff = oldest + round((1.0 - TEST_SHARE) * (orders.newest - oldest))
        midnight = cutoff // DAY * DAY
        return midnight if midnight > oldest else cutoff
    cutoff = to_micros(given)
    if not oldest < cutoff <= orders.newest:
        side = "before" if cutoff <= oldest else "at or after"
        raise InvalidConfigError(
            f"cutoff: no order lies {side} {to_rfc3339(cutoff)}; give a moment between the oldest "
            f"({to_rfc3339(oldest)}) and the newest ({to_rfc3339(orders.newest)})",
            field="cutoff",
            value=given,
        )
    return cutoff
