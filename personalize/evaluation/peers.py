"""The methods to compare with, each as two scoring rules: for an anchor and for a customer.

Popularity, co-purchase count, log-likelihood ratio and EASE are written out here; ALS and the
BM25, TF-IDF and cosine neighbours are implicit's. A peer only scores; what may be shown, the
order of ties and the length of a list are the same for all (`complement_lists`,
`follow_up_lists`).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from personalize.evaluation.metrics import K_LONG, top_k
from personalize.evaluation.split import FloatArray, IntArray, Split
from personalize.times import DAY

Scorer = Callable[[IntArray], FloatArray]
"""From codes, shape (n,), to scores, shape (n, n_products); -inf: never shown."""

_BATCH = 256
"""Anchors or customers scored at a time, each with a row of all products."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One method, fitted.

    Parameters
    ----------
    name : str
    by_anchor, by_customer : callable or None
        Scores of all products beside an anchor, or for a customer; None where the method is
        not compared in that task.
    """

    name: str
    by_anchor: Scorer | None
    by_customer: Scorer | None


def complement_lists(scorer: Scorer, k: int = K_LONG) -> Callable[[IntArray], IntArray]:
    """Return the rule that lists what goes with each anchor, the anchor itself left out."""

    def lists_for(anchors: IntArray) -> IntArray:
        def batch(codes: IntArray) -> IntArray:
            scores = scorer(codes)
            scores[np.arange(len(codes)), codes] = -np.inf
            return top_k(scores, k)

        return _by_batches(anchors, batch)

    return lists_for


def follow_up_lists(
    split: Split, scorer: Scorer, k: int = K_LONG
) -> Callable[[IntArray], IntArray]:
    """Return the rule that lists what each customer may want and never bought before."""
    history = split.customer_products()

    def lists_for(customers: IntArray) -> IntArray:
        def batch(codes: IntArray) -> IntArray:
            scores = scorer(codes)
            owners, owned = history[codes].nonzero()
            scores[owners, owned] = -np.inf
            return top_k(scores, k)

        return _by_batches(customers, batch)

    return lists_for


def _by_batches(codes: IntArray, batch: Callable[[IntArray], IntArray]) -> IntArray:
    return np.concatenate(
        [batch(codes[start : start + _BATCH]) for start in range(0, len(codes), _BATCH)]
    )


def all_peers(
    split: Split, *, most_ease_products: int = 15_000, only: Collection[str] = ()
) -> Iterator[Peer | str]:
    """Yield every peer that can be had, one at a time so that one matrix is held at a time.

    Parameters
    ----------
    split : Split
    most_ease_products : int
        With more products than this EASE, which inverts a dense matrix of them, is left out.
    only : collection of str, optional
        Beginnings of names; default: all.

    Yields
    ------
    Peer or str
        A sentence in place of peers that are left out.
    """
    customers, baskets = _ones(split.customer_products()), split.basket_products()
    if not customers.nnz:
        yield "peers that learn from customers are left out: no order says who bought"

    def wanted(name: str) -> bool:
        return not only or name.startswith(tuple(only))

    yield from (peer for peer in popularity(split, (None, 30, 7)) if wanted(peer.name))
    yield from _of_implicit(baskets, customers, wanted)
    if wanted("log-likelihood ratio"):
        yield log_likelihood(baskets, customers)
    if wanted("EASE"):
        yield from _all_ease(baskets, customers, most_ease_products)
    if wanted("co-purchase count"):
        yield co_purchase(baskets, customers)


def _of_implicit(
    baskets: Any, customers: Any, wanted: Callable[[str], bool]
) -> Iterator[Peer | str]:
    if not wanted("implicit"):
        return
    if importlib.util.find_spec("implicit") is None:
        yield (
            "implicit's ALS, BM25, TF-IDF and cosine are left out: implicit is not installed "
            "(pip install implicit)"
        )
        return
    if customers.nnz:
        yield als(customers)
        for kind in ("BM25", "TF-IDF", "cosine"):
            yield neighbours(kind, "customers", customers, customers)
    for kind in ("BM25", "TF-IDF", "cosine"):
        yield neighbours(kind, "baskets", baskets, customers)


def _all_ease(baskets: Any, customers: Any, most_products: int) -> Iterator[Peer | str]:
    n_products = baskets.shape[1]
    if n_products > most_products:
        yield (
            f"EASE is left out: it inverts a dense matrix of {n_products:,} by {n_products:,} "
            f"products, and more than {most_products:,} are too many for that"
        )
        return
    yield ease("baskets", 1000.0, baskets, customers)
    if not customers.nnz:
        return
    yield ease("customers", 1000.0, customers, customers)
    yield Peer("EASE (customers, 200)", None, ease("", 200.0, customers, customers).by_customer)


def popularity(split: Split, windows: tuple[int | None, ...]) -> Iterator[Peer]:
    """Yield "most ordered" over all time (None) or over the last days before the cutoff."""
    for days in windows:
        since = split.train.time.min() if days is None else split.cutoff - days * DAY
        recent = split.train.product[split.train.time >= since]
        counts = np.bincount(recent, minlength=split.n_products).astype(np.float64)
        counts[counts == 0] = -np.inf

        def scorer(codes: IntArray, counts: FloatArray = counts) -> FloatArray:
            return np.tile(counts, (len(codes), 1))

        name = "popularity, all time" if days is None else f"popularity, {days} days"
        yield Peer(name, scorer, scorer)


def co_purchase(baskets: Any, customers: Any) -> Peer:
    """Return "in how many orders together": the plain count."""
    return _of_weights("co-purchase count", _without_diagonal(baskets.T @ baskets), customers)


def log_likelihood(baskets: Any, customers: Any) -> Peer:
    """Return Dunning's log-likelihood ratio of sharing a basket (Computational Linguistics 1993).

    Only pairs that share more baskets than chance would have it count.
    """
    together = _without_diagonal(baskets.T @ baskets).tocoo()
    n_orders = baskets.shape[0]
    n_with = np.asarray(baskets.sum(axis=0)).ravel()
    both, left, right = together.data, n_with[together.row], n_with[together.col]
    cells = np.stack([both, left - both, right - both, n_orders - left - right + both])
    rows, columns = np.stack([left, n_orders - left]), np.stack([right, n_orders - right])

    def entropy(counts: FloatArray) -> FloatArray:
        """Return N times the entropy of counts that sum to N = `n_orders`, per column."""
        safe = np.maximum(counts, 1e-300)
        result: FloatArray = -(counts * np.log(safe / n_orders)).sum(axis=0)
        return result

    ratio = 2.0 * (entropy(rows) + entropy(columns) - entropy(cells))
    ratio[both * n_orders <= left * right] = 0.0
    weights = sp.csr_matrix((np.maximum(ratio, 0.0), (together.row, together.col)), together.shape)
    return _of_weights("log-likelihood ratio", weights, customers)


def neighbours(kind: str, source: str, fitted_on: Any, customers: Any) -> Peer:
    """Return one of implicit's nearest-neighbour recommenders, with its own defaults."""
    from implicit import nearest_neighbours as nn
    from implicit.utils import ParameterWarning

    model = {
        "BM25": nn.BM25Recommender,
        "TF-IDF": nn.TFIDFRecommender,
        "cosine": nn.CosineRecommender,
    }[kind]()
    with warnings.catch_warnings():
        # It passes coo matrices to itself, and warns about that.
        warnings.simplefilter("ignore", ParameterWarning)
        model.fit(fitted_on, show_progress=False)
    weights = _without_diagonal(model.similarity)
    return _of_weights(f"implicit {kind} ({source})", weights, customers)


def als(customers: Any, *, factors: int = 128, seed: int = 0) -> Peer:
    """Return implicit's ALS: cosine of product factors, and the customer's own factors.

    Confidence 5 and penalty 5 do it more justice than its defaults (1 and 0.01).
    """
    from implicit.als import AlternatingLeastSquares

    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors, alpha=5.0, regularization=5.0, random_state=seed
        )
        model.fit(customers, show_progress=False)
    products = np.asarray(model.item_factors, dtype=np.float64)
    people = np.asarray(model.user_factors, dtype=np.float64)
    length = np.linalg.norm(products, axis=1)
    unit = products / np.where(length > 0, length, 1.0)[:, None]

    def by_anchor(codes: IntArray) -> FloatArray:
        result: FloatArray = unit[codes] @ unit.T
        return result

    def by_customer(codes: IntArray) -> FloatArray:
        result: FloatArray = people[codes] @ products.T
        return result

    return Peer(f"implicit ALS ({factors})", by_anchor, by_customer)


def ease(source: str, penalty: float, fitted_on: Any, customers: Any | None) -> Peer:
    """Return EASE, the closed-form linear model (Steck, WWW 2019).

    Parameters
    ----------
    source : str
        What the rows of `fitted_on` are, for the name.
    penalty : float, > 0
        L2 penalty.
    customers : csr or None
        Histories to score from; None: only anchors.
    """
    gram = (fitted_on.T @ fitted_on).astype(np.float32 if fitted_on.shape[1] > 6000 else np.float64)
    weights = gram.toarray(order="F")
    weights[np.diag_indices_from(weights)] += penalty
    inverse = _inverse_in_place(weights)
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0.0)

    def by_anchor(codes: IntArray) -> FloatArray:
        return np.asarray(inverse[codes], dtype=np.float64)

    name = f"EASE ({source}, {penalty:g})"
    if customers is None:
        return Peer(name, by_anchor, None)

    histories = customers.astype(inverse.dtype)  # of another type, each product would copy B

    def by_customer(codes: IntArray) -> FloatArray:
        return np.asarray(histories[codes] @ inverse, dtype=np.float64)

    return Peer(name, by_anchor, by_customer)


def _inverse_in_place(matrix: Any) -> Any:
    """Return the inverse of a symmetric positive definite matrix, in its own memory."""
    factorise, invert = scipy.linalg.get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, failed = factorise(matrix, lower=True, overwrite_a=True)
    inverse, failed_too = invert(factor, lower=True, overwrite_c=True)
    if failed or failed_too:
        raise np.linalg.LinAlgError("the regularised Gram matrix is not positive definite")
    for row in range(1, len(inverse)):
        inverse[:row, row] = inverse[row, :row]
    return inverse


def _of_weights(name: str, weights: Any, customers: Any) -> Peer:
    """Return a peer that sums sparse product-to-product weights; what has none is not shown."""

    def by_anchor(codes: IntArray) -> FloatArray:
        return _only_positive(weights[codes].toarray())

    def by_customer(codes: IntArray) -> FloatArray:
        return _only_positive((customers[codes] @ weights).toarray())

    return Peer(name, by_anchor, by_customer)


def _only_positive(scores: FloatArray) -> FloatArray:
    scores[scores <= 0.0] = -np.inf
    return scores


def _without_diagonal(matrix: Any) -> Any:
    weights = matrix.tocsr().astype(np.float64)
    weights.setdiag(0.0)
    weights.eliminate_zeros()
    return weights


def _ones(matrix: Any) -> Any:
    """Return the matrix with 1 wherever it has an entry."""
    ones = matrix.copy()
    ones.data[:] = 1.0
    return ones
