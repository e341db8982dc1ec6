"""Where the repurchase rate stands now, from where it stood at earlier cutoffs.

What people do drifts: a young shop's customers own more and more that they will not buy again, a
season comes and goes. The newest window says most, and the way there something.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TREND = 1.0
"""Prior deviation of the slope of log odds over the logarithm of the days of history."""
WANDERING = 0.2
"""Deviation of what comes and goes, in log odds."""
MEMORY_DAYS = 60.0
"""After so many days, what comes and goes is remembered by 1/e."""


def level_now(levels: Floats, n_positive: Floats, days: Floats, days_now: float) -> float:
    """Return the level of the log odds now, extrapolated from those at earlier moments.

    Parameters
    ----------
    levels : float64, shape (n_windows,), log odds
    n_positive : float64, shape (n_windows,)
        Repurchases seen in each window: the fewer, the less its level is believed.
    days : float64, shape (n_windows,)
        Days of history before each window.
    days_now : float, days

    Notes
    -----
    The best linear unbiased prediction (universal kriging, Cressie 1993, 3.4) of a constant, plus a
    slope over log days of history, plus an exponentially correlated deviation; each level is
    measured with variance 1 / repurchases.
    """
    growth = np.log(np.maximum(days, 1.0)) - np.log(max(days_now, 1.0))
    apart = np.abs(days[:, None] - days[None, :]) / MEMORY_DAYS
    covariance = TREND**2 * np.outer(growth, growth) + WANDERING**2 * np.exp(-apart)
    covariance += np.diag(1.0 / np.maximum(n_positive, 1.0))
    to_now = WANDERING**2 * np.exp(-np.abs(days - days_now) / MEMORY_DAYS)
    ones = np.ones(len(levels))
    solved = np.linalg.solve(covariance, np.stack([to_now, ones], axis=1))
    surplus = (1.0 - ones @ solved[:, 0]) / (ones @ solved[:, 1])
    return float((solved[:, 0] + surplus * solved[:, 1]) @ levels)
