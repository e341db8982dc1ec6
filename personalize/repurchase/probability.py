"""The chance of buying the same again within the horizon: a logistic model on a few logs.

Fitted over several earlier cutoffs; evaluated for one customer by the interpreter and for millions
compiled, by the same function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from personalize.compiled import compiled
from personalize.config import EngineConfig
from personalize.purchases import Occasion, OwnedTable
from personalize.repurchase.curves import Curves, Floats, Level, fit_curves
from personalize.times import DAY

PAIR_FEATURES: Final = (
    "log times bought",
    "log days since",
    "log days since, squared",
    "log the customer's orders",
    "log days since the customer's last order",
    "log days the customer has been ordering",
    "log own mean gap, or the thing's typical gap",
    "how overdue",
    "how overdue, squared",
    "bought once",
)
TARGET_FEATURES: Final = (
    "the thing's repeat log odds",
    "log its sales of the last 30 days against its usual ones",
    "log its sales of the last 14 days against its usual ones",
)
FEATURES: Final = PAIR_FEATURES + TARGET_FEATURES
_N_PAIR: Final = len(PAIR_FEATURES)


def pair_features(
    n_orders: int,
    first_at: int,
    last_at: int,
    as_of: int,
    customer_orders: int,
    customer_first_at: int,
    customer_last_at: int,
    typical_gap: float,
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    """Return what a customer's history says, in the order of `PAIR_FEATURES`; days and logs."""
    day = 86_400_000_000.0
    since = math.log1p(max(as_of - last_at, 0) / day)
    gap = (last_at - first_at) / day / (n_orders - 1) if n_orders > 1 else typical_gap
    log_gap = math.log1p(min(gap, 3650.0))
    overdue = since - log_gap
    return (
        math.log(n_orders),
        since,
        since * since,
        math.log(customer_orders),
        math.log1p(max(as_of - customer_last_at, 0) / day),
        math.log1p((customer_last_at - customer_first_at) / day),
        log_gap,
        overdue,
        overdue * overdue,
        1.0 if n_orders == 1 else 0.0,
    )


def repurchase_probability(
    weights: Sequence[float] | Floats,
    offset: float,
    n_orders: int,
    first_at: int,
    last_at: int,
    as_of: int,
    customer_orders: int,
    customer_first_at: int,
    customer_last_at: int,
    typical_gap: float,
) -> float:
    """Return the chance of buying it again within the horizon; NaN where nothing was learned.

    ``weights`` has one weight per pair feature; ``offset`` holds the intercept and all that
    depends on the thing alone.
    """
    x = pair_features(
        n_orders,
        first_at,
        last_at,
        as_of,
        customer_orders,
        customer_first_at,
        customer_last_at,
        typical_gap,
    )
    total = offset
    for i in range(10):
        total += weights[i] * x[i]
    return 1.0 / (1.0 + math.exp(-max(min(total, 700.0), -700.0)))


def _fill_features(
    out: Floats,
    n_orders: NDArray[np.int64],
    first_at: NDArray[np.int64],
    last_at: NDArray[np.int64],
    as_of: int,
    customer: NDArray[np.int64],
    customer_orders: NDArray[np.int64],
    customer_first_at: NDArray[np.int64],
    customer_last_at: NDArray[np.int64],
    typical_gap: Floats,
) -> None:
    for i in range(len(out)):
        c = customer[i]
        row = pair_features(
            n_orders[i],
            first_at[i],
            last_at[i],
            as_of,
            customer_orders[c],
            customer_first_at[c],
            customer_last_at[c],
            typical_gap[i],
        )
        for j in range(10):
            out[i, j] = row[j]


fill_features = compiled(_fill_features, uses=(pair_features,))


def target_features(occasions: Occasion, as_of: int, curves: Curves) -> Floats:
    """Return what is known of each target alone, in the order of `TARGET_FEATURES`.

    Returns
    -------
    float64, shape (n_targets + n_types + 1, 3)
        Rows as in `Curves`; a type or all stands for targets never seen, at usual demand.
    """
    n_rows = len(curves.upper)
    days = max((as_of - int(occasions.at.min(initial=as_of))) / DAY, 1.0)
    usual = np.bincount(occasions.target, minlength=n_rows) / days
    out = np.zeros((n_rows, len(TARGET_FEATURES)))
    out[:, 0] = curves.repeat_log_odds
    for column, window in ((1, 30), (2, 14)):
        recent = occasions.at >= as_of - window * DAY
        sold = np.bincount(occasions.target[recent], minlength=n_rows)
        out[:, column] = np.log((sold + 1.0) / (usual * min(window, days) + 1.0))
    return out


@dataclass(frozen=True, eq=False)
class Logistic:
    """The weights of the repurchase probability.

    Parameters
    ----------
    intercept : float
        NaN if there was nothing to learn from.
    pair : tuple of float
        One weight per `PAIR_FEATURES`.
    target : tuple of float
        One weight per `TARGET_FEATURES`.
    """

    intercept: float
    pair: tuple[float, ...]
    target: tuple[float, ...]

    def offsets(self, targets: Floats) -> Floats:
        """Return intercept plus what each target adds; `targets` as from `target_features`."""
        return np.asarray(self.intercept + targets @ np.array(self.target), dtype=np.float64)

    def array(self) -> Floats:
        """Return all weights in one row: intercept, pair, target."""
        return np.array([self.intercept, *self.pair, *self.target])

    @classmethod
    def from_array(cls, weights: NDArray[np.float64]) -> Self:
        """Return the weights behind one row."""
        values = [float(weight) for weight in weights]
        return cls(values[0], tuple(values[1 : 1 + _N_PAIR]), tuple(values[1 + _N_PAIR :]))


NOTHING_LEARNED: Final = Logistic.from_array(np.full(1 + len(FEATURES), math.nan))
_MAX_ROWS: Final = 400_000


def features_of(
    owned: OwnedTable,
    rows: NDArray[np.int64],
    customers: OwnedTable,
    as_of: int,
    curves: Curves,
    targets: Floats,
) -> Floats:
    """Return the features of the chosen rows of `owned`, shape (len(rows), len(FEATURES))."""
    out = np.empty((len(rows), _N_PAIR))
    target = owned.target[rows]
    fill_features(
        out,
        owned.n_orders[rows],
        owned.first_at[rows],
        owned.last_at[rows],
        as_of,
        np.searchsorted(customers.customer, owned.customer[rows]),
        customers.n_orders,
        customers.first_at,
        customers.last_at,
        curves.gaps(0.5)[target],
    )
    return np.hstack([out, targets[target]])


def _window(
    level: Level, cutoff: int, end: int, config: EngineConfig, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return features at `cutoff` and whether each pair was bought again before `end`."""
    known, all_of_it = level.before(cutoff), level.occasions
    later = np.flatnonzero((all_of_it.at >= cutoff) & (all_of_it.at < end))
    again = all_of_it.customer[later] * all_of_it.n_targets + all_of_it.target[later]
    rows = np.arange(known.occasions.n_owned)
    if len(rows) > _MAX_ROWS:
        rows = np.sort(rng.choice(rows, _MAX_ROWS, replace=False))
    owned = known.occasions.owned(rows)
    rows = np.arange(len(owned))
    keys = owned.customer * owned.n_targets + owned.target
    curves = fit_curves(known, cutoff, config)
    targets = target_features(known.occasions, cutoff, curves)
    x = features_of(owned, rows, known.orders.owned(), cutoff, curves, targets)
    return x, np.isin(keys, again)


def fit_logistic(
    level: Level, as_of: int, config: EngineConfig
) -> tuple[Logistic, dict[str, float]]:
    """Return the repurchase probability of one level, fitted over several earlier cutoffs.

    Parameters
    ----------
    level : Level
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
    horizon = round(config.repurchase_horizon_days * DAY)
    start = int(level.occasions.at.min(initial=as_of))
    cutoffs = [as_of - horizon - 30 * j * DAY for j in range(config.n_repurchase_windows)]
    parts = [_window(level, c, c + horizon, config, rng) for c in cutoffs if c > start]
    if not parts:
        return NOTHING_LEARNED, {"rows": 0.0, "bought_again": 0.0}
    x = np.concatenate([part[0] for part in parts])
    y = np.concatenate([part[1] for part in parts])
    return _solve(x, y), {"rows": float(len(y)), "bought_again": float(y.mean())}


def _solve(x: Floats, y: NDArray[np.bool_]) -> Logistic:
    """Return weights for raw features; one class alone gives its smoothed rate."""
    weights = np.zeros(1 + len(FEATURES))
    if y.all() or not y.any():
        rate = (y.sum() + 0.5) / (len(y) + 1.0)
        weights[0] = math.log(rate / (1.0 - rate))
        return Logistic.from_array(weights)
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    model = LogisticRegression(solver="newton-cholesky", tol=1e-6)
    with threadpool_limits(1):  # sums split over threads would differ in the last digit
        model.fit((x - centre) / spread, y)
    weights[1:] = model.coef_[0] / spread
    weights[0] = model.intercept_[0] - math.fsum(weights[1:] * centre)
    return Logistic.from_array(weights)
