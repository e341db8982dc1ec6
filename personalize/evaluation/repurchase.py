"""Task S: scores of "will this customer buy this product again within the horizon?".

Metrics, the rules of thumb to compare with, and the gradient boosting that is the line to beat.
Each is learned from orders before the cutoff only; a fitted method learns from earlier cutoffs
whose horizons end before the cutoff.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from personalize.evaluation.queries import Pairs, pairs_at
from personalize.evaluation.split import BoolArray, FloatArray, IntArray, Lines, Split
from personalize.times import DAY

SAVED: Final = (0.5, 0.8)
"""Shares of pairs that are suppressed when "lost" is counted."""
N_WINDOWS: Final = 5
WINDOW_STEP_DAYS: Final = 30
N_BINS: Final = 20
RECENT_DAYS: Final = 60
RATE_PRIOR_DAYS: Final = 30.0
"""Added to the days a product was owned: a first purchase yesterday is no daily habit."""


@dataclass(frozen=True, slots=True)
class RepurchaseScores:
    """How good a ranking, or a probability, of repurchase is.

    Parameters
    ----------
    auc, average_precision : float
    lost : tuple of float
        Share of real repurchases among the lowest `SAVED` shares of pairs; pairs of equal score
        count by their mean.
    log_loss, calibration_error : float
        NaN for scores that are no probabilities.
    """

    auc: float
    average_precision: float
    lost: tuple[float, ...]
    log_loss: float
    calibration_error: float


def score_repurchase(
    again: BoolArray, score: FloatArray, *, is_probability: bool
) -> RepurchaseScores:
    """Return the metrics of one score over all pairs.

    Parameters
    ----------
    again : bool, shape (n_pairs,)
    score : float64, shape (n_pairs,)
        Higher: more likely to be bought again.
    is_probability : bool
        Whether log loss and calibration mean anything.
    """
    from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

    return RepurchaseScores(
        float(roc_auc_score(again, score)),
        float(average_precision_score(again, score)),
        tuple(lost_share(again, score, saved) for saved in SAVED),
        float(log_loss(again, score)) if is_probability else float("nan"),
        calibration_error(again, score) if is_probability else float("nan"),
    )


def taken_share(score: FloatArray, saved: float) -> FloatArray:
    """Return how much of each pair is suppressed when the lowest `saved` share of all is.

    A tie that straddles the border is shared out evenly: what a random order of the tie would
    take on average.

    Returns
    -------
    float64, shape (n_pairs,), 0 to 1
    """
    values, inverse = np.unique(score, return_inverse=True)
    n_pairs = np.bincount(inverse, minlength=len(values))
    budget = saved * len(score) - (np.cumsum(n_pairs) - n_pairs)
    return np.asarray(np.clip(budget / n_pairs, 0.0, 1.0)[inverse], dtype=np.float64)


def lost_share(again: BoolArray, score: FloatArray, saved: float) -> float:
    """Return which share of the repurchases is among the lowest `saved` share of the pairs."""
    return float(taken_share(score, saved)[again].sum() / again.sum())


def calibration_error(again: BoolArray, probability: FloatArray, n_bins: int = N_BINS) -> float:
    """Return the mean gap between predicted and real share over bins of equal mass.

    The pairs are sorted by probability and cut into `n_bins` runs; a run counts by its size.
    """
    order = np.argsort(probability, kind="stable")
    gaps = [
        len(run) * abs(float(probability[run].mean()) - float(again[run].mean()))
        for run in np.array_split(order, n_bins)
        if len(run)
    ]
    return sum(gaps) / len(probability)


FEATURES: Final = (
    "times bought",
    "units bought",
    "days since last",
    "days since first",
    "own mean gap",
    "customer's orders",
    "customer's recent orders",
    "days since the customer's last order",
    "days since the customer's first order",
    "customer's products",
    "customer's share of products that repeat",
    "product's orders",
    "product's repeat rate",
    "product's recent orders",
)
"""Times bought counts days; recent is the last `RECENT_DAYS` days."""
_AT = {name: place for place, name in enumerate(FEATURES)}


def features_at(split: Split, past: Lines, pairs: Pairs, moment: int) -> FloatArray:
    """Return what is known of each pair just before `moment`.

    Returns
    -------
    float64, shape (n_pairs, len(`FEATURES`))
        Times in days; NaN for the gap of what was bought once.
    """
    n, n_customers, n_products = len(pairs.product), len(split.customer_ids), split.n_products
    past = past.of_customers()
    row = np.searchsorted(
        pairs.customer * n_products + pairs.product, past.customer * n_products + past.product
    )
    days = (moment - past.time) / DAY
    times = _distinct(row, past.time // DAY, n)
    newest, oldest = _range(row, days, n)
    gap = np.where(times > 1, (oldest - newest) / np.maximum(times - 1, 1), np.nan)
    customer_newest, customer_oldest = _range(past.customer, days, n_customers)
    n_owned = np.bincount(pairs.customer, minlength=n_customers)
    n_repeated = np.bincount(pairs.customer, weights=times > 1, minlength=n_customers)
    is_recent = days <= RECENT_DAYS
    of_customer = (
        _distinct(past.customer, past.order, n_customers),
        _distinct(past.customer[is_recent], past.order[is_recent], n_customers),
        customer_newest,
        customer_oldest,
        n_owned,
        n_repeated / np.maximum(n_owned, 1),
    )
    of_product = (
        np.bincount(past.product, minlength=n_products),
        repeat_rates(pairs, times, n_products),
        np.bincount(past.product[is_recent], minlength=n_products),
    )
    columns = [
        times,
        np.bincount(row, weights=past.quantity, minlength=n),
        newest,
        oldest,
        gap,
        *(values[pairs.customer] for values in of_customer),
        *(values[pairs.product] for values in of_product),
    ]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _distinct(group: IntArray, value: IntArray, n_groups: int) -> FloatArray:
    """Return how many different values (int64, below 2**40) each group holds."""
    found = np.unique((group << 40) + value) >> 40
    return np.bincount(found, minlength=n_groups).astype(np.float64)


def _range(group: IntArray, value: FloatArray, n_groups: int) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest value of each group."""
    low, high = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    np.minimum.at(low, group, value)
    np.maximum.at(high, group, value)
    return low, high


def repeat_rates(pairs: Pairs, times: FloatArray, n_products: int) -> FloatArray:
    """Return which share of a product's buyers bought it more than once; shape (n_products,).

    Five buyers who repeat like the average are added to each product.
    """
    buyers = np.bincount(pairs.product, minlength=n_products)
    repeaters = np.bincount(pairs.product, weights=times > 1, minlength=n_products)
    return np.asarray((repeaters + 5.0 * (times > 1).mean()) / (buyers + 5.0), dtype=np.float64)


def repurchase_peers(
    split: Split, pairs: Pairs, *, horizon_days: float
) -> Iterator[tuple[str, FloatArray, bool] | str]:
    """Yield each peer's name, its scores, shape (n_pairs,), and whether they are probabilities.

    In place of a peer that is left out comes a sentence that says why.
    """
    known = features_at(split, split.train, pairs, split.cutoff)
    times, since_first = known[:, _AT["times bought"]], known[:, _AT["days since first"]]
    yield "days since last purchase", -known[:, _AT["days since last"]], False
    yield "product's repeat rate", known[:, _AT["product's repeat rate"]], True
    yield "times bought", times, False
    rate = times / (since_first + RATE_PRIOR_DAYS)
    yield "purchase rate", 1.0 - np.exp(-rate * horizon_days), True
    yield from boosted(split, known, horizon_days=horizon_days)


def boosted(
    split: Split, known: FloatArray, *, horizon_days: float
) -> Iterator[tuple[str, FloatArray, bool] | str]:
    """Yield gradient boosting by scikit-learn and by LightGBM, or why one is left out.

    Both learn from `N_WINDOWS` earlier moments, `horizon_days` before the cutoff and every
    `WINDOW_STEP_DAYS` before that.

    Parameters
    ----------
    known : float64, shape (n_pairs, len(`FEATURES`))
        The features of the pairs to score, at the cutoff.
    """
    features, labels = _lessons(split, horizon_days)
    if labels.all() or not labels.any():
        yield (
            f"gradient boosting is left out: nothing to learn from, of {len(labels):,} earlier "
            f"pairs {int(labels.sum()):,} were bought again"
        )
        return
    told = ~np.isnan(features).all(axis=0)  # scikit-learn cannot bin what is never known
    features, known = features[:, told], known[:, told]
    for name, learner in (("gradient boosting", _scikit), ("LightGBM", _lightgbm)):
        if name == "LightGBM" and importlib.util.find_spec("lightgbm") is None:
            yield "LightGBM is left out: it is not installed (pip install lightgbm)"
        else:
            yield name, learner(features, labels, known), True


def _lessons(split: Split, horizon_days: float) -> tuple[FloatArray, BoolArray]:
    """Return the features and labels of earlier moments; those without an order before are left."""
    features, labels = [np.empty((0, len(FEATURES)))], [np.empty(0, dtype=np.bool_)]
    train = split.train.of_customers()
    for window in range(N_WINDOWS):
        days_before = horizon_days + WINDOW_STEP_DAYS * window
        moment = split.cutoff - round(days_before * DAY)
        past = train.where(train.time < moment)
        if len(past):
            pairs = pairs_at(split, past, train, moment, horizon_days)
            features.append(features_at(split, past, pairs, moment))
            labels.append(pairs.again)
    return np.concatenate(features), np.concatenate(labels)


def _scikit(features: FloatArray, labels: BoolArray, known: FloatArray) -> FloatArray:
    """Return probabilities of scikit-learn's histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        min_samples_leaf=200,
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1, "openmp"):  # where cores are busy, waiting threads cost most
        model.fit(features, labels)
    return np.asarray(model.predict_proba(known)[:, 1], dtype=np.float64)


def _lightgbm(features: FloatArray, labels: BoolArray, known: FloatArray) -> FloatArray:
    """Return probabilities of LightGBM with the same depth of learning."""
    import lightgbm

    settings = {
        "objective": "binary",
        "learning_rate": 0.05,
        "min_data_in_leaf": 200,
        "num_threads": 1,
        "seed": 0,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(features, labels.astype(np.float64))
    model = lightgbm.train(settings, data, num_boost_round=150)
    return np.asarray(model.predict(known), dtype=np.float64)
