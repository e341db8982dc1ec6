"""What the repurchase probability knows: of a customer, of what they own of a thing, of the thing.

The interpreter computes the features of one customer; compiled, the same functions fill arrays
for millions. Times are microseconds UTC; features are logarithms of days and of counts.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from personalize.compiled import compiled
from personalize.purchases import OwnedTable
from personalize.repurchase.curves import EDGES, Curves, Floats, Level
from personalize.times import DAY

CUSTOMER_FEATURES: Final = (
    "log the customer's orders",
    "log days since the customer's last order",
    "log the customer's orders of the last 60 days",
    "log the customer's products",
    "log the customer's purchases of one product, on average",
    "log the share of the customer's products bought again",
    "log orders times log purchases of one product",
)
PAIR_FEATURES: Final = (
    "log times bought",
    "log days since",
    "how overdue",
    "how overdue, squared",
    "log units of a purchase, to the usual",
    "log days since the first purchase",
    "how overdue times log purchases of one product",
    "log odds of its curve for the horizon",
)
TARGET_FEATURES: Final = (
    "the thing's repeat log odds",
    "log its sales of the last 30 days",
    "log its sales of the last 14 days against its usual ones",
)
FEATURES: Final = CUSTOMER_FEATURES + PAIR_FEATURES + TARGET_FEATURES
N_CUSTOMER: Final = len(CUSTOMER_FEATURES)
N_PAIR: Final = len(PAIR_FEATURES)
LOYALTY: Final = 4
"""Place among `CUSTOMER_FEATURES` of what the last of `PAIR_FEATURES` is multiplied with."""
RECENT_DAYS: Final = 60
GRID: Final = 32
"""Steps of a curve's log odds over log(1 + days since), from today to a year."""
_STEP: Final = 0.1845
"""log(1 + 365) / GRID, rounded up."""
_LEAST: Final = 0.001

Ints = NDArray[np.int64]


def customer_features(
    n_orders: int,
    n_recent: int,
    last_at: int,
    as_of: int,
    n_products: int,
    n_purchases: int,
    n_repeated: int,
) -> tuple[float, float, float, float, float, float, float]:
    """Return what a customer's history as a whole says, in the order of `CUSTOMER_FEATURES`.

    Parameters
    ----------
    n_orders, n_recent : int
        Orders in all, and in the last `RECENT_DAYS` days before `as_of`.
    last_at, as_of : int, microseconds UTC
        Of the last order, and of the question.
    n_products, n_purchases, n_repeated : int
        Different products, purchases of them (a product counts once per order), and products
        bought more than once.
    """
    orders = math.log(n_orders)
    loyalty = math.log(n_purchases / n_products)
    return (
        orders,
        math.log1p(max(as_of - last_at, 0) / 86_400_000_000.0),
        math.log1p(n_recent),
        math.log(n_products),
        loyalty,
        math.log((n_repeated + 0.05) / (n_products + 1.0)),
        orders * loyalty,
    )


def pair_features(
    n_orders: int,
    first_at: int,
    last_at: int,
    last_quantity: int,
    total_quantity: int,
    as_of: int,
    typical_gap: float,
    usual_quantity: float,
    loyalty: float,
    soon: float,
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return what a customer's purchases of one thing say, in the order of `PAIR_FEATURES`.

    Parameters
    ----------
    n_orders, first_at, last_at, last_quantity, total_quantity
        As in `Owned`.
    as_of : int, microseconds UTC
    typical_gap : float, days
        Stands for the own mean gap of what was bought once. Either lasts longer after more units
        than usual, up to fourfold, and shorter after fewer.
    usual_quantity : float, units
        Of one purchase of the thing by anybody.
    loyalty : float
        Number `LOYALTY` of the customer's features.
    soon : float, log odds
        Of the thing's curve, at the place that `place_of` says.
    """
    day = 86_400_000_000.0
    since = math.log1p(max(as_of - last_at, 0) / day)
    usual = max(usual_quantity, 1.0)
    mean = total_quantity / n_orders
    if n_orders > 1:
        gap = (
            (last_at - first_at) / day / (n_orders - 1) * min(max(last_quantity / mean, 0.25), 4.0)
        )
    else:
        gap = typical_gap * min(max(last_quantity / usual, 0.25), 4.0)
    overdue = since - math.log1p(min(gap, 3650.0))
    return (
        math.log(n_orders),
        since,
        overdue,
        overdue * overdue,
        math.log(mean / usual),
        math.log1p(max(as_of - first_at, 0) / day),
        overdue * loyalty,
        soon,
    )


def once_features(
    since: float, gap: float, units: float, loyalty: float, soon: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return what `pair_features` does of a thing that was bought once.

    Parameters
    ----------
    since : float
        As from `log_days`.
    gap, units : float
        As from `once_terms`.
    loyalty, soon : float
        As of `pair_features`.
    """
    overdue = since - gap
    return (0.0, since, overdue, overdue * overdue, units, since, overdue * loyalty, soon)


def once_terms(quantity: int, typical_gap: float, usual_quantity: float) -> tuple[float, float]:
    """Return what one purchase of a quantity says whenever it was: log gap, log units."""
    usual = max(usual_quantity, 1.0)
    gap = typical_gap * min(max(quantity / usual, 0.25), 4.0)
    return math.log1p(min(gap, 3650.0)), math.log(quantity / usual)


def log_days(since: int, until: int) -> float:
    """Return log(1 + days) between two moments in microseconds, 0 if they come the other way."""
    return math.log1p(max(until - since, 0) / 86_400_000_000.0)


def place_of(since: float) -> tuple[int, float]:
    """Return the step of the grid that `log_days` lie in, and how far into it they are."""
    place = since / _STEP
    step = int(min(place, GRID - 1.0))
    return step, min(place - step, 1.0)


def curve_odds(curves: Curves, horizon_days: float) -> Floats:
    """Return the log odds that each curve gives for the next `horizon_days`.

    Returns
    -------
    float64, shape (n_rows, GRID + 1)
        After `GRID` even steps of log(1 + days) without a purchase, from none to a year;
        chances are kept between 0.001 and 0.999.
    """
    days = np.expm1(np.arange(GRID + 1) * _STEP)
    edges = np.arange(len(EDGES), dtype=np.float64)
    again = np.hstack([np.zeros((len(curves.upper), 1)), curves.bought_again])

    def bought_by(when: Floats) -> Floats:
        column = np.interp(when, EDGES, edges)
        low = np.minimum(column.astype(np.int64), len(EDGES) - 2)
        share = column - low
        return np.asarray(again[:, low] * (1.0 - share) + again[:, low + 1] * share)

    now, then = bought_by(days), bought_by(days + horizon_days)
    chance = np.clip((then - now) / np.maximum(1.0 - now, 1e-9), _LEAST, 1.0 - _LEAST)
    return np.asarray(np.log(chance / (1.0 - chance)), dtype=np.float64)


def _fill_features(
    out: Floats,
    n_orders: Ints,
    first_at: Ints,
    last_at: Ints,
    last_quantity: Ints,
    total_quantity: Ints,
    as_of: int,
    typical_gap: Floats,
    usual_quantity: Floats,
    loyalty: Floats,
    odds: Floats,
    target: Ints,
) -> None:
    for i in range(len(out)):
        step, share = place_of(log_days(last_at[i], as_of))
        low = odds[target[i], step]
        row = pair_features(
            n_orders[i],
            first_at[i],
            last_at[i],
            last_quantity[i],
            total_quantity[i],
            as_of,
            typical_gap[i],
            usual_quantity[i],
            loyalty[i],
            low + share * (odds[target[i], step + 1] - low),
        )
        for j in range(8):
            out[i, j] = row[j]


fill_features = compiled(_fill_features, uses=(pair_features, place_of, log_days))


def target_features(
    level: Level, as_of: int, curves: Curves, earlier: tuple[Ints, int] | None = None
) -> Floats:
    """Return what is known of each target alone, in the order of `TARGET_FEATURES`.

    Parameters
    ----------
    level : Level
    as_of : int, microseconds UTC
    curves : Curves
    earlier : (int64, shape (n_targets,), and int, microseconds UTC), optional
        Where `level` holds recent purchases only: how many there were of each target before, and
        when the first was made. The recent ones reach back 30 days at least.

    Returns
    -------
    float64, shape (n_targets + n_types + 1, 3)
        Rows as in `Curves`; a type or all stands for targets never seen: they sell like the mean
        of their kind, as usual.
    """
    occasions, n_rows = level.occasions, len(curves.upper)
    first_at = int(occasions.at.min(initial=as_of))
    ever = np.bincount(occasions.target, minlength=n_rows)
    if earlier is not None:
        ever[: len(earlier[0])] += earlier[0]
        first_at = min(first_at, earlier[1])
    days = max((as_of - first_at) / DAY, 1.0)

    def sold(window: int) -> Floats:
        recent = occasions.at >= as_of - window * DAY
        return np.bincount(occasions.target[recent], minlength=n_rows).astype(np.float64)

    window = min(14.0, days)
    month = np.log1p(sold(30))
    seen = np.flatnonzero(ever)
    rows = np.full(len(seen), n_rows - 1)
    month[-1] = month[seen].mean() if len(seen) else 0.0
    if level.types is not None:
        parent = level.types[seen]
        rows = curves.n_targets + np.where(parent >= 0, parent, curves.n_types)
        n_seen = np.bincount(rows, minlength=n_rows)
        total = np.bincount(rows, month[seen], minlength=n_rows)
        known = np.flatnonzero(n_seen[: n_rows - 1])
        month[known] = total[known] / n_seen[known]
    return np.stack(
        [
            curves.repeat_log_odds.astype(np.float64),
            month,
            np.log((sold(14) + 1.0) / (ever / days * window + 1.0)),
        ],
        axis=1,
    )


def features_of(
    owned: OwnedTable,
    customers: Floats,
    as_of: int,
    curves: Curves,
    targets: Floats,
    horizon_days: float,
) -> Floats:
    """Return the features of each row of `owned`, shape (n_rows, len(FEATURES)).

    Parameters
    ----------
    owned : OwnedTable
    customers : float64, shape (n_customers, len(CUSTOMER_FEATURES))
        By customer code.
    as_of : int, microseconds UTC
    curves : Curves
    targets : float64, shape (n_rows of curves, len(TARGET_FEATURES))
    horizon_days : float
    """
    out = np.empty((len(owned), N_PAIR))
    theirs = customers[owned.customer]
    fill_features(
        out,
        owned.n_orders,
        owned.first_at,
        owned.last_at,
        owned.last_quantity,
        owned.total_quantity,
        as_of,
        curves.gaps(0.5)[owned.target],
        curves.usual_quantity[owned.target].astype(np.float64),
        np.ascontiguousarray(theirs[:, LOYALTY]),
        curve_odds(curves, horizon_days),
        owned.target,
    )
    return np.hstack([theirs, out, targets[owned.target]])
