"""How an answer is scored, and how sure the score is.

NDCG, recall, precision and hit rate at `K`, precision and recall against the length of the list,
coverage and popularity of what is shown, and the paired bootstrap of a ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from personalize.evaluation.queries import Queries
from personalize.evaluation.split import NOTHING, BoolArray, FloatArray, IntArray

K: Final = 10
"""Length of a list."""
K_LONG: Final = 20
"""Length of the lists behind the curves against k."""


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
    ndcg, recall, precision, hit : float64, shape (n_queries,)
    coverage : float, share
        Eligible products that at least one list shows.
    popularity : float, share
        Training orders that hold the product shown, on average over every place; 0 without one.
    """

    ndcg: FloatArray
    recall: FloatArray
    precision: FloatArray
    hit: FloatArray
    coverage: float
    popularity: float

    def means(self) -> dict[str, float]:
        """Return the mean of each metric, the coverage and the popularity."""
        return {
            "ndcg": float(self.ndcg.mean()),
            "recall": float(self.recall.mean()),
            "precision": float(self.precision.mean()),
            "hit": float(self.hit.mean()),
            "coverage": self.coverage,
            "popularity": self.popularity,
        }


def hits_of(queries: Queries, lists: IntArray, n_products: int) -> BoolArray:
    """Return which places of the lists are right; a repeated product counts where it is first.

    Parameters
    ----------
    lists : int64, shape (n_queries, k)
        Product codes by rank; `NOTHING` where a place is empty.
    """
    owner = np.repeat(np.arange(len(queries)), queries.sizes())
    right = np.sort(owner * n_products + queries.truth)
    keys = np.arange(len(queries))[:, None] * n_products + lists
    hits: BoolArray = np.isin(keys, right) & (lists >= 0) & _is_first(lists)
    return hits


def score_lists(
    queries: Queries, lists: IntArray, eligible: BoolArray, order_share: FloatArray | None = None
) -> Scores:
    """Return NDCG, recall, precision and hit rate at `K` of one list per query.

    Relevance is 0 or 1, the gain at rank ``r`` is ``1 / log2(r + 1)``, and the ideal list has
    ``min(K, size of the truth)`` hits. A list is cut to `K`; a product that is repeated in it
    counts once, where it is first.

    Parameters
    ----------
    lists : int64, shape (n_queries, any)
        Product codes by rank; `NOTHING` where a place is empty.
    eligible : bool, shape (n_products,)
    order_share : float64, shape (n_products,), optional
        Share of the training orders that hold each product; default: popularity is 0.
    """
    lists = lists[:, :K]
    hits, sizes = hits_of(queries, lists, len(eligible)), queries.sizes()
    gains = 1.0 / np.log2(np.arange(2, K + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(sizes, K)]
    n_hits = hits.sum(axis=1)
    places = lists[lists >= 0]
    share = np.zeros(len(eligible)) if order_share is None else order_share
    return Scores(
        ndcg=(hits * gains[: lists.shape[1]]).sum(axis=1) / ideal,
        recall=n_hits / sizes,
        precision=n_hits / K,
        hit=(n_hits > 0).astype(np.float64),
        coverage=float(eligible[np.unique(places)].sum() / max(eligible.sum(), 1)),
        popularity=float(share[places].mean()) if len(places) else 0.0,
    )


def _is_first(lists: IntArray) -> BoolArray:
    """Return where a list shows a product for the first time."""
    is_first = np.ones(lists.shape, dtype=np.bool_)
    for later in range(1, lists.shape[1]):
        is_first[:, later] = ~(lists[:, :later] == lists[:, later : later + 1]).any(axis=1)
    return is_first


@dataclass(frozen=True, slots=True)
class LengthCurve:
    """Precision and recall against the length of the list.

    Parameters
    ----------
    precision, recall : tuple of float, shape (k,)
        Means over the queries, of lists of 1 to k places; an empty place is a miss.
    """

    precision: tuple[float, ...]
    recall: tuple[float, ...]


def length_curve(queries: Queries, lists: IntArray, n_products: int) -> LengthCurve:
    """Return precision and recall of the first 1, 2, ... places of the lists."""
    n_hits = np.cumsum(hits_of(queries, lists, n_products), axis=1)
    lengths = np.arange(1, lists.shape[1] + 1)
    precision = (n_hits / lengths).mean(axis=0)
    recall = (n_hits / queries.sizes()[:, None]).mean(axis=0)
    return LengthCurve(tuple(precision.tolist()), tuple(recall.tolist()))


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
    cancels out. The interval is the 2.5% to 97.5% percentile of the resampled ratios; where the
    peer found nothing at all the ratio is infinite, and 1 where neither did.

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
        ratios[i] = _ratio(top, bottom)
    # A percentile that is itself a resample: between an infinite and a finite one lies nothing.
    low, high = np.quantile(ratios, (0.025, 0.975), method="inverted_cdf")
    return Ratio(_ratio(ours.mean(), peer.mean()), float(low), float(high))


def _ratio(top: float, bottom: float) -> float:
    if bottom > 0:
        return float(top / bottom)
    return float("inf") if top > 0 else 1.0
