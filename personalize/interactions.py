"""Order lines as sparse matrices of numbers: baskets x products and customers x products.

What counts is what was bought, kept and not given away (`Orders.kept`). Guests are in the baskets,
each guest order as a customer of its own, and never among the customers. Sensitive products keep
their number and appear in neither matrix. Nothing here knows what the numbers are used for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from personalize.sorting import is_ascending, row_starts, side_by_side, stable_order

if TYPE_CHECKING:
    import pyarrow as pa

    from personalize.orders import Orders

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Who bought what with what, as contiguous numbers.

    Baskets are sorted by customer, then time, so the baskets of one customer lie side by side;
    guests follow, each with a customer number of its own from `n_customers` up.

    Parameters
    ----------
    product_ids : Array of large_string, shape (n_products,)
        Sorted and unique; a product's number is its place.
    basket_indptr : int64, shape (n_baskets + 1,)
        Row starts of `basket_products`.
    basket_products : int32, shape (n_lines,)
        Distinct products of each basket, ascending.
    basket_time : int64, microseconds, shape (n_baskets,)
        When it was ordered.
    basket_customer : int32, nondecreasing, shape (n_baskets,)
        Whose it is.
    customer_indptr : int64, shape (n_customers + 1,)
        Row starts of `customer_products`.
    customer_products : int32, shape (n_owned,)
        Distinct products of each customer, ascending.
    customer_time : int64, microseconds, shape (n_owned,)
        When the customer last bought it.
    """

    product_ids: pa.Array
    basket_indptr: Array
    basket_products: Array
    basket_time: Array
    basket_customer: Array
    customer_indptr: Array
    customer_products: Array
    customer_time: Array

    @property
    def n_products(self) -> int:
        """Products that have a number."""
        return len(self.product_ids)

    @property
    def n_baskets(self) -> int:
        """Orders with something kept."""
        return len(self.basket_time)

    @property
    def n_customers(self) -> int:
        """Customers, guests left out."""
        return len(self.customer_indptr) - 1

    @classmethod
    def from_orders(
        cls,
        orders: Orders,
        *,
        product_ids: Collection[str] = (),
        sensitive: Collection[str] = (),
    ) -> Self:
        """Return the matrices of orders already cut at the moment asked about.

        Parameters
        ----------
        orders : Orders
            Facts before `as_of` only (`Orders.before`).
        product_ids : collection of str, optional
            Further products that get a number, sold or not (the catalogue).
        sensitive : collection of str, optional
            Products that neither seed nor receive: left out of both matrices.
        """
        numbered = number_products(orders, product_ids)
        kept = orders.kept
        line_num = product_nums(orders.product_ids, numbered)[orders.line_product]
        if len(sensitive):
            import pyarrow as pa
            import pyarrow.compute as pc

            shown = pc.is_in(numbered, value_set=pa.array(list(sensitive), numbered.type))
            kept = kept & ~shown.to_numpy(zero_copy_only=False)[line_num]
        return cls.from_lines(
            numbered,
            orders.line_order[kept],
            line_num[kept],
            orders.order_time,
            orders.order_customer,
        )

    @classmethod
    def from_lines(
        cls,
        product_ids: pa.Array,
        line_order: Array,
        line_product: Array,
        order_time: Array,
        order_customer: Array,
    ) -> Self:
        """Return the matrices of bare arrays.

        Parameters
        ----------
        product_ids : Array of large_string, shape (n_products,)
            Sorted and unique.
        line_order : int, nondecreasing, shape (n_lines,)
            Order of each line; at most one line per order and product.
        line_product : int, shape (n_lines,)
            Product number of each line, ascending within an order.
        order_time : int64, microseconds, shape (n_orders,)
            When each order was placed.
        order_customer : int, shape (n_orders,)
            Customer of each order; -1 for a guest.
        """
        n_lines_of = np.bincount(line_order, minlength=len(order_time))
        used = np.flatnonzero(n_lines_of)
        customer, n_customers = _customer_keys(order_customer[used])
        time = order_time[used]
        by_time = None if is_ascending(time) else np.argsort(time, kind="stable")
        by_customer = stable_order(customer, len(customer), by_time)
        used = used[by_customer]
        sizes = n_lines_of[used]
        indptr, take = side_by_side(row_starts(n_lines_of)[used], sizes)
        basket_products = line_product[take].astype(np.int32, copy=False)
        basket_customer = customer[by_customer]
        n_known = int(np.searchsorted(basket_customer, n_customers))
        of_known = slice(0, int(indptr[n_known]))
        basket_of = np.repeat(np.arange(n_known, dtype=np.int32), sizes[:n_known])
        del take
        time = order_time[used].astype(np.int64, copy=False)
        rows = _distinct_rows(
            basket_customer[basket_of], basket_products[of_known], n_customers, len(product_ids)
        )
        return cls(
            product_ids,
            indptr,
            basket_products,
            time,
            basket_customer,
            rows[0],
            rows[1],
            time[basket_of[rows[2]]],
        )

    def before(self, moment: int) -> Interactions:
        """Return the matrices of the baskets before a moment (microseconds UTC)."""
        return self._of_baskets(self.basket_time < moment)

    def of_customers(self, customers: Array) -> Interactions:
        """Return the matrices of some customers, by number; without guests."""
        is_chosen = np.zeros(int(self.basket_customer.max(initial=-1)) + 1, dtype=bool)
        is_chosen[customers] = True
        return self._of_baskets(is_chosen[self.basket_customer])

    def _of_baskets(self, use: Array) -> Interactions:
        used, sizes = np.flatnonzero(use), np.diff(self.basket_indptr)
        customer = np.where(self.basket_customer < self.n_customers, self.basket_customer, -1)
        return Interactions.from_lines(
            self.product_ids,
            np.repeat(np.arange(len(used)), sizes[used]),
            self.basket_products[np.repeat(use, sizes)],
            self.basket_time[used],
            customer[used],
        )

    def lines(self) -> tuple[Array, Array]:
        """Return the product number and the time of every line, int32 and int64, (n_lines,)."""
        return self.basket_products, np.repeat(self.basket_time, np.diff(self.basket_indptr))


def number_products(orders: Orders, product_ids: Collection[str] = ()) -> pa.Array:
    """Return the ids that get a number: sold and kept, or given; sorted in byte order.

    Returns
    -------
    Array of large_string, shape (n_products,), sorted and unique.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    sold = np.zeros(len(orders.product_ids), dtype=bool)
    sold[orders.line_product[orders.kept]] = True
    ids = orders.product_ids.filter(pa.array(sold))
    if not len(product_ids):
        return ids
    given = pa.array(product_ids, pa.large_string())
    ids = pc.unique(pa.concat_arrays([ids, given]))
    return ids.take(pc.sort_indices(ids))


def product_nums(ids: pa.Array, product_ids: pa.Array) -> Array:
    """Return the number of each id among `product_ids`; -1 where it has none.

    Returns
    -------
    int32, shape (len(ids),)
    """
    import pyarrow.compute as pc

    found = pc.index_in(ids, value_set=product_ids.cast(ids.type))
    nums: Array = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return nums


def kept_lines(orders: Orders, product_ids: pa.Array) -> tuple[Array, Array]:
    """Return product number and time of every kept line of a numbered product.

    Returns
    -------
    nums : int32, shape (n_lines,)
    times : int64, microseconds, shape (n_lines,)
    """
    nums = product_nums(orders.product_ids, product_ids)[orders.line_product]
    use = orders.kept & (nums >= 0)
    return nums[use], orders.order_time[orders.line_order[use]]


def _customer_keys(order_customer: Array) -> tuple[Array, int]:
    """Return a contiguous customer number per order, guests one each at the end, and how many."""
    is_guest = order_customer < 0
    seen = np.zeros(int(order_customer.max(initial=-1)) + 1, dtype=bool)
    seen[order_customer[~is_guest]] = True
    n_customers = int(seen.sum())
    keys = np.empty(len(order_customer), dtype=np.int32)
    keys[~is_guest] = (np.cumsum(seen, dtype=np.int32) - 1)[order_customer[~is_guest]]
    keys[is_guest] = n_customers + np.arange(int(is_guest.sum()), dtype=np.int32)
    return keys, n_customers


def _distinct_rows(
    owner: Array, product: Array, n_customers: int, n_products: int
) -> tuple[Array, Array, Array]:
    """Return the CSR of distinct (customer, product), and the last line of each."""
    # Stable, so that times stay ascending within a customer and product.
    order = stable_order(owner, n_customers, stable_order(product, n_products))
    owner, product = owner[order], product[order]
    is_last = np.ones(len(order), dtype=bool)
    is_last[:-1] = (owner[1:] != owner[:-1]) | (product[1:] != product[:-1])
    indptr = row_starts(np.bincount(owner[is_last], minlength=n_customers))
    return indptr, product[is_last], order[is_last]
