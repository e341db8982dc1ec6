"""The chance of buying the same again within the horizon: a logistic model on a few logs.

Fitted over several earlier cutoffs; evaluated for one customer by the interpreter and for millions
compiled, by the same function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalize.config import EngineConfig
from personalize.repurchase.curves import Floats, Level, fit_curves
from personalize.repurchase.drift import level_now
from personalize.repurchase.features import (
    FEATURES,
    N_CUSTOMER,
    N_PAIR,
    features_of,
    target_features,
)
from personalize.repurchase.habits import Habits
from personalize.sorting import is_among
from personalize.times import DAY


def added(base: float, weights: Sequence[float] | Floats, values: Sequence[float]) -> float:
    """Return `base` plus each value times its weight, summed from left to right."""
    total = base
    for weight, value in zip(weights, values):  # noqa: B905 - numba knows no strict
        total += weight * value
    return total


def chance_of(log_odds: float) -> float:
    """Return the chance behind log odds; NaN stays NaN."""
    return 1.0 / (1.0 + math.exp(-max(min(log_odds, 700.0), -700.0)))


@dataclass(frozen=True, eq=False)
class Logistic:
    """The weights of the repurchase probability.

    Parameters
    ----------
    intercept : float
        NaN if there was nothing to learn from.
    customer, pair, target : tuple of float
        One weight per `CUSTOMER_FEATURES`, `PAIR_FEATURES`, `TARGET_FEATURES`.
    """

    intercept: float
    customer: tuple[float, ...]
    pair: tuple[float, ...]
    target: tuple[float, ...]

    def offsets(self, targets: Floats) -> Floats:
        """Return intercept plus what each target adds; `targets` as from `target_features`."""
        return np.asarray(self.intercept + targets @ np.array(self.target), dtype=np.float64)

    def array(self) -> Floats:
        """Return all weights in one row: the intercept, then in the order of `FEATURES`."""
        return np.array([self.intercept, *self.customer, *self.pair, *self.target])

    @classmethod
    def from_array(cls, weights: NDArray[np.float64]) -> Self:
        """Return the weights behind one row."""
        intercept, *rest = (float(weight) for weight in weights)
        pair_from, target_from = N_CUSTOMER, N_CUSTOMER + N_PAIR
        return cls(
            intercept,
            tuple(rest[:pair_from]),
            tuple(rest[pair_from:target_from]),
            tuple(rest[target_from:]),
        )


NOTHING_LEARNED: Final = Logistic.from_array(np.full(1 + len(FEATURES), math.nan))
_MAX_ROWS: Final = 200_000
"""Of one window; of more, so many are drawn."""
_PENALTY: Final = 100.0
"""L2 penalty of weights on standardised features: each is believed to be about 0.1 off zero."""
_WINDOW_SCALE: Final = 10.0
"""The level of a window is penalised by the square of this less."""


def earlier_cutoffs(as_of: int, config: EngineConfig) -> list[int]:
    """Return the moments to learn from, newest first: a horizon ago, and every 30 days before."""
    horizon = round(config.repurchase_horizon_days * DAY)
    return [as_of - horizon - 30 * j * DAY for j in range(config.n_repurchase_windows)]


def earlier_habits(products: Level, as_of: int, config: EngineConfig) -> list[Habits]:
    """Return the habits of every customer at each of the earlier cutoffs, from all products."""
    n_customers = int(products.orders.customer.max(initial=-1)) + 1
    cutoffs = earlier_cutoffs(as_of, config)
    return [Habits.of(products.occasions, n_customers, cutoff) for cutoff in cutoffs]


class _Window(NamedTuple):
    """What was known at one cutoff, what happened then, and how many days had gone before."""

    features: Floats
    again: NDArray[np.bool_]
    days: float


def _window(
    level: Level, habits: Habits, cutoff: int, config: EngineConfig, rng: np.random.Generator
) -> _Window:
    """Return features at `cutoff`, and whether each pair was bought again within the horizon."""
    known, all_of_it = level.before(cutoff), level.occasions
    end = cutoff + round(config.repurchase_horizon_days * DAY)
    later = np.flatnonzero((all_of_it.at >= cutoff) & (all_of_it.at < end))
    again = all_of_it.customer[later] * all_of_it.n_targets + all_of_it.target[later]
    rows = np.arange(known.occasions.n_owned)
    if len(rows) > _MAX_ROWS:
        rows = np.sort(rng.choice(rows, _MAX_ROWS, replace=False))
    owned = known.occasions.owned(rows)
    keys = owned.customer * owned.n_targets + owned.target
    curves = fit_curves(known, cutoff, config)
    customers = habits.features(level.orders, cutoff, before=cutoff)
    targets = target_features(known, cutoff, curves)
    x = features_of(owned, customers, cutoff, curves, targets, config.repurchase_horizon_days)
    return _Window(x, is_among(keys, again), (cutoff - _start(level)) / DAY)


def _start(level: Level) -> int:
    return int(level.occasions.at.min(initial=np.iinfo(np.int64).max))


def fit_logistic(
    level: Level, habits: Sequence[Habits], as_of: int, config: EngineConfig
) -> tuple[Logistic, dict[str, float]]:
    """Return the repurchase probability of one level, fitted over several earlier cutoffs.

    Parameters
    ----------
    level : Level
    habits : sequence of Habits
        As from `earlier_habits`: of the products, whatever the level.
    as_of : int, microseconds UTC
    config : EngineConfig
        Horizon, number of windows, seed.

    Returns
    -------
    Logistic
        `NOTHING_LEARNED` without any earlier window that holds a pair.
    dict
        Rows and share bought again, for the manifest.
    """
    rng = np.random.default_rng(config.seed)
    start = _start(level)
    windows = [
        _window(level, then, cutoff, config, rng)
        for then, cutoff in zip(habits, earlier_cutoffs(as_of, config), strict=True)
        if cutoff > start
    ]
    if not windows:
        return NOTHING_LEARNED, {"rows": 0.0, "bought_again": 0.0}
    learned = _solve(windows, (as_of - start) / DAY)
    again = np.concatenate([window.again for window in windows])
    return learned, {"rows": float(len(again)), "bought_again": float(again.mean())}


def _solve(windows: Sequence[_Window], days_now: float) -> Logistic:
    """Return weights for raw features; one class alone gives its smoothed rate."""
    x = np.concatenate([window.features for window in windows])
    y = np.concatenate([window.again for window in windows])
    weights = np.zeros(1 + len(FEATURES))
    if y.all() or not y.any():
        rate = (y.sum() + 0.5) / (len(y) + 1.0)
        weights[0] = math.log(rate / (1.0 - rate))
        return Logistic.from_array(weights)
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    window_of = np.repeat(np.arange(len(windows)), [len(window.again) for window in windows])
    is_of = (window_of[:, None] == np.arange(1, len(windows))) * _WINDOW_SCALE
    model = LogisticRegression(C=1.0 / _PENALTY, solver="newton-cholesky", tol=1e-6)
    with threadpool_limits(1):  # sums split over threads would differ in the last digit
        model.fit(np.hstack([(x - centre) / spread, is_of]), y)
    learned = model.coef_[0]
    levels = np.append(0.0, learned[len(FEATURES) :] * _WINDOW_SCALE)
    n_positive = np.array([float(window.again.sum()) for window in windows])
    now = level_now(levels, n_positive, np.array([window.days for window in windows]), days_now)
    weights[1:] = learned[: len(FEATURES)] / spread
    weights[0] = model.intercept_[0] + now - math.fsum(weights[1:] * centre)
    return Logistic.from_array(weights)
