"""What was learned of each product type, as a table for people who want to check it."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from scipy.special import gammaincinv

from personalize.model import Model

COLUMNS: Final = (
    "product_type",
    "is_one_per_need",
    "ratio",
    "lower",
    "upper",
    "expected",
    "per_basket",
    "typical_gap_days",
)
_LOWER: Final = 0.1


def type_table(model: Model) -> pd.DataFrame:
    """Return one row per product type, by name: what is learned, before any policy.

    Returns
    -------
    DataFrame
        ``product_type``; ``is_one_per_need``; ``ratio``: later orders with the type by its buyers,
        seen over expected by chance, with its 10% and 90% bounds ``lower`` and ``upper`` (NaN where
        nothing was expected); ``expected``: how many such orders chance would bring, the evidence
        behind it; ``per_basket``: different products of it in a basket that holds it;
        ``typical_gap_days``: median days to the next purchase among those who buy again (NaN where
        next to nobody does, so that it is suppressed for good).

    Notes
    -----
    Bounds are those of a Poisson rate under Jeffreys' prior, as in `personalize.substitutes`. Where
    no such order was seen, the lower one is 0 (as Brown, Cai and DasGupta 2001 have it): the
    quantile itself would lie above the ratio.
    """
    found, n_types = model.substitutes, len(model.space.types)
    expected = found.expected.astype(np.float64)
    nothing = np.full(n_types, np.nan)
    bound = np.where(found.come_back > 0, gammaincinv(found.come_back + 0.5, _LOWER), 0.0)
    curves = model.levels[2].curves
    gap = curves.gaps(0.5)[:n_types]
    is_due_again = curves.upper[:n_types] >= model.config.repurchase_threshold
    table = pd.DataFrame(
        {
            "product_type": pd.Series(model.space.types, dtype="str"),
            "is_one_per_need": found.is_one_per_need,
            "ratio": np.divide(found.come_back, expected, out=nothing.copy(), where=expected > 0),
            "lower": np.divide(bound, expected, out=nothing.copy(), where=expected > 0),
            "upper": found.upper.astype(np.float64),
            "expected": expected,
            "per_basket": found.per_basket.astype(np.int64),
            "typical_gap_days": np.where(np.isfinite(gap) & is_due_again, gap, np.nan),
        },
        columns=list(COLUMNS),
    )
    return table.sort_values("product_type", ignore_index=True)
