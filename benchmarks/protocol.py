"""The protocol: one split in time, three tasks, their metrics, and a paired bootstrap.

A. Basket completion: one product of an order is known, which others were in it?
B. Follow-up: what of all they never bought does a customer buy next?
S. Suppression: which product will a customer buy again soon? (see `benchmarks.suppression`)

This file decides what is asked and how an answer is scored; it knows no method. Products,
customers and orders are codes into sorted vocabularies, so that codes order like ids and the
smaller code wins a tie. Everything at or after the cutoff is test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from personalize.times import DAY

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

K: Final = 10
"""Length of a list."""
NOTHING: Final = -1
"""In a list: no product, or one that nobody ever ordered. It takes its place and is no hit."""
LINE_COLUMNS: Final = ("order_id", "customer_id", "product_id", "ordered_at", "quantity")


@dataclass(frozen=True, slots=True)
class Lines:
    """Order lines of one period, one per order and product, sorted by time, order, product.

    Parameters
    ----------
    order, customer, product : int64, shape (n_lines,)
        Codes into the vocabularies of the split.
    time : int64, shape (n_lines,), microseconds since 1970 UTC
    quantity : int64, shape (n_lines,), units
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

    order_ids: npt.NDArray[np.object_]
    customer_ids: npt.NDArray[np.object_]
    product_ids: npt.NDArray[np.object_]
    train: Lines
    test: Lines
    cutoff: int
    eligible: BoolArray

    @property
    def n_products(self) -> int:
        """Products of both periods."""
        return len(self.product_ids)

    def customer_products(self) -> Any:
        """Return who bought what before the cutoff, in how many orders: csr, float64."""
        return _counts(self.train.customer, self.train.product, self._shape(self.customer_ids))

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

    def _shape(self, rows: npt.NDArray[np.object_]) -> tuple[int, int]:
        return len(rows), self.n_products


def _codes(vocabulary: npt.NDArray[np.object_], ids: Any) -> IntArray:
    return np.asarray(pd.Index(vocabulary).get_indexer(pd.Index(ids)), dtype=np.int64)


def _counts(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> Any:
    matrix = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def split_at(lines: pd.DataFrame, cutoff: int, *, min_lines: int = 5) -> Split:
    """Return `lines` cut in two at `cutoff`.

    Parameters
    ----------
    lines : DataFrame, one row per order line
        ``order_id``, ``customer_id``, ``product_id``: str; ``ordered_at``: datetime64 with a
        zone; ``quantity``: int. Several rows of one product in one order count once, with
        their quantities summed; an order has the time of its first row.
    cutoff : int, microseconds since 1970 UTC
        The first moment of the test period.
    min_lines : int
        Products with fewer training lines are neither asked nor sought.
    """
    codes: dict[str, IntArray] = {}
    vocabularies: dict[str, npt.NDArray[np.object_]] = {}
    for column in ("order_id", "customer_id", "product_id"):
        code, ids = pd.factorize(lines[column], sort=True)
        codes[column] = np.asarray(code, dtype=np.int64)
        vocabularies[column] = np.asarray(ids, dtype=object)
    micros = lines["ordered_at"].dt.as_unit("us").astype("int64")
    table = pd.DataFrame({**codes, "time": micros.to_numpy(), "quantity": lines["quantity"].array})
    table["time"] = table.groupby("order_id")["time"].transform("min")
    keys = ["time", "order_id", "product_id", "customer_id"]
    table = table.groupby(keys, as_index=False, sort=True)["quantity"].sum()
    columns = {name: table[name].to_numpy(np.int64) for name in table.columns}
    everything = Lines(
        order=columns["order_id"],
        customer=columns["customer_id"],
        product=columns["product_id"],
        time=columns["time"],
        quantity=columns["quantity"],
    )
    train = everything.where(everything.time < cutoff)
    n_lines = np.bincount(train.product, minlength=len(vocabularies["product_id"]))
    return Split(
        vocabularies["order_id"],
        vocabularies["customer_id"],
        vocabularies["product_id"],
        train,
        everything.where(everything.time >= cutoff),
        cutoff,
        n_lines >= min_lines,
    )


@dataclass(frozen=True, slots=True)
class Queries:
    """What is asked, and what would have been right.

    Parameters
    ----------
    asked : int64, shape (n,)
        The anchor product (A) or the customer (B) of each query.
    start : int64, shape (n + 1,)
        The truth of query ``i`` is ``truth[start[i]:start[i + 1]]``.
    truth : int64
        Product codes; none twice within a query.
    """

    asked: IntArray
    start: IntArray
    truth: IntArray

    def __len__(self) -> int:
        return len(self.asked)


def _queries(asked: list[int], truths: list[IntArray]) -> Queries:
    sizes = np.array([0, *(len(truth) for truth in truths)], dtype=np.int64)
    flat = np.concatenate(truths) if truths else np.empty(0, np.int64)
    return Queries(np.array(asked, dtype=np.int64), np.cumsum(sizes), flat)


def _groups(keys: IntArray, values: IntArray) -> list[tuple[int, IntArray]]:
    """Return each distinct key with its sorted values, by ascending key."""
    order = np.lexsort((values, keys))
    found, starts = np.unique(keys[order], return_index=True)
    return list(zip(found.tolist(), np.split(values[order], starts[1:]), strict=False))


def basket_queries(split: Split, *, seeds: tuple[int, ...] = (0, 1, 2)) -> Queries:
    """Return task A: one product of every test order is the anchor, the others are the truth.

    For each seed one generator walks the orders by id and draws one of the order's products,
    sorted by id. Orders with fewer than two eligible products are left out.
    """
    lines = split.test.where(split.eligible[split.test.product])
    baskets = [basket for _, basket in _groups(lines.order, lines.product) if len(basket) > 1]
    asked: list[int] = []
    truths: list[IntArray] = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for basket in baskets:
            at = int(rng.integers(len(basket)))
            asked.append(int(basket[at]))
            truths.append(np.delete(basket, at))
    return _queries(asked, truths)


def follow_up_queries(split: Split) -> Queries:
    """Return task B: what a known customer never bought before and has in their next order.

    The next order is the first at or after the cutoff (equal times: the smaller order id).
    Customers for whom nothing eligible is new in it are left out.
    """
    test = split.test
    first = np.full(len(split.customer_ids), -1, dtype=np.int64)
    first[test.customer[::-1]] = test.order[::-1]
    owned = _pair_keys(split, split.train)
    fresh = ~np.isin(_pair_keys(split, test), owned)
    is_known = np.isin(test.customer, split.train.customer)
    chosen = test.where(
        fresh & is_known & split.eligible[test.product] & (first[test.customer] == test.order)
    )
    groups = _groups(chosen.customer, chosen.product)
    return _queries([customer for customer, _ in groups], [truth for _, truth in groups])


def _pair_keys(split: Split, lines: Lines) -> IntArray:
    return lines.customer * split.n_products + lines.product


@dataclass(frozen=True, slots=True)
class Pairs:
    """Task S: every customer and product bought before a moment, and whether it was again.

    Parameters
    ----------
    customer, product : int64, shape (n,)
        Codes, sorted by customer, then product.
    again : bool, shape (n,)
        Bought at or after the moment, within the horizon.
    """

    customer: IntArray
    product: IntArray
    again: BoolArray


def repurchase_pairs(split: Split, *, horizon_days: float = 60.0) -> Pairs:
    """Return task S at the cutoff; rare products count too."""
    return pairs_at(split, split.train, split.test, split.cutoff, horizon_days)


def pairs_at(split: Split, past: Lines, future: Lines, moment: int, horizon_days: float) -> Pairs:
    """Return the pairs of `past` and whether `future` repeats them within `horizon_days`."""
    keys = np.unique(_pair_keys(split, past))
    soon = future.where(
        (future.time >= moment) & (future.time < moment + round(horizon_days * DAY))
    )
    customer, product = np.divmod(keys, split.n_products)
    return Pairs(customer, product, np.isin(keys, _pair_keys(split, soon)))


def top_k(scores: FloatArray, k: int = K) -> IntArray:
    """Return the `k` best columns of every row: score descending, then the smaller code.

    Parameters
    ----------
    scores : float, shape (n_rows, n_products)
        ``-inf`` where a product must not be shown.

    Returns
    -------
    int64, shape (n_rows, k)
        Filled up with `NOTHING`.
    """
    n_rows, n_columns = scores.shape
    k_found = min(k, n_columns)
    lists = np.full((n_rows, k), NOTHING, dtype=np.int64)
    if k_found == 0:
        return lists
    kth = -np.partition(-scores, k_found - 1, axis=1)[:, k_found - 1]
    for row in range(n_rows):
        line = scores[row]
        candidates = np.flatnonzero((line >= kth[row]) & (line > -np.inf))
        best = candidates[np.lexsort((candidates, -line[candidates]))][:k_found]
        lists[row, : len(best)] = best
    return lists


@dataclass(frozen=True, slots=True)
class Scores:
    """How good the lists of one method are.

    Parameters
    ----------
    ndcg, recall, hit : float64, shape (n_queries,)
    coverage : float, share
        Eligible products that at least one list shows.
    """

    ndcg: FloatArray
    recall: FloatArray
    hit: FloatArray
    coverage: float

    def means(self) -> dict[str, float]:
        """Return the mean of each metric and the coverage."""
        return {
            "ndcg": float(self.ndcg.mean()),
            "recall": float(self.recall.mean()),
            "hit": float(self.hit.mean()),
            "coverage": self.coverage,
        }


def score_lists(queries: Queries, lists: IntArray, eligible: BoolArray) -> Scores:
    """Return NDCG, recall and hit rate at `K` of one list per query.

    Relevance is 0 or 1, the gain at rank ``r`` is ``1 / log2(r + 1)``, and the ideal list has
    ``min(K, size of the truth)`` hits. A list is cut to `K`; a product that is repeated in it
    counts once, where it is first.

    Parameters
    ----------
    lists : int64, shape (n_queries, any)
        Product codes by rank; `NOTHING` where a place is empty.
    eligible : bool, shape (n_products,)
    """
    lists = lists[:, :K]
    n_products = len(eligible)
    sizes = np.diff(queries.start)
    owner = np.repeat(np.arange(len(queries)), sizes)
    right = np.sort(owner * n_products + queries.truth)
    keys = np.arange(len(queries))[:, None] * n_products + lists
    hits = np.isin(keys, right) & (lists >= 0) & _is_first(lists)
    gains = 1.0 / np.log2(np.arange(2, K + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(sizes, K)]
    n_hits = hits.sum(axis=1)
    shown = np.unique(lists[lists >= 0])
    return Scores(
        (hits * gains[: lists.shape[1]]).sum(axis=1) / ideal,
        n_hits / sizes,
        (n_hits > 0).astype(np.float64),
        float(eligible[shown].sum() / eligible.sum()),
    )


def _is_first(lists: IntArray) -> BoolArray:
    """Return where a list shows a product for the first time."""
    is_first = np.ones(lists.shape, dtype=np.bool_)
    for later in range(1, lists.shape[1]):
        is_first[:, later] = ~(lists[:, :later] == lists[:, later : later + 1]).any(axis=1)
    return is_first


def answers(queries: Queries, lists_for: Callable[[IntArray], IntArray]) -> IntArray:
    """Return one list per query, asking once for everything that is asked more than once.

    Parameters
    ----------
    lists_for : callable
        From distinct codes, shape (n,), to lists, shape (n, `K`).
    """
    keys, inverse = np.unique(queries.asked, return_inverse=True)
    return lists_for(keys)[inverse]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ratio of two means with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_ratio(
    ours: FloatArray, peer: FloatArray, *, n_resamples: int = 2000, seed: int = 0
) -> Ratio:
    """Return mean(ours) / mean(peer) with the 95% interval of a paired bootstrap over queries.

    Both methods are resampled with the same queries, so what makes a query hard for both
    cancels out. The interval is the 2.5% to 97.5% percentile of the resampled ratios.

    Parameters
    ----------
    ours, peer : float64, shape (n_queries,)
        One value per query, in the same order.
    """
    rng = np.random.default_rng(seed)
    both = np.stack([ours, peer], axis=1)
    ratios = np.empty(n_resamples)
    for i in range(n_resamples):
        weights = np.bincount(rng.integers(len(ours), size=len(ours)), minlength=len(ours))
        top, bottom = weights @ both
        ratios[i] = top / bottom
    low, high = np.quantile(ratios, (0.025, 0.975))
    return Ratio(float(ours.mean() / peer.mean()), float(low), float(high))
