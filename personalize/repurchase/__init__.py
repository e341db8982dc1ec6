"""If and when a customer buys the same again: curves of the gap, and a probability.

Whether that suppresses anything is decided in `personalize.suppression`.
"""

from __future__ import annotations

from personalize.repurchase.curves import (
    ALL,
    BASES,
    DEFAULT,
    EDGES,
    ITEM_GROUP,
    PRODUCT,
    PRODUCT_TYPE,
    RULE,
    Curves,
    Level,
    fit_curves,
)
from personalize.repurchase.probability import (
    FEATURES,
    PAIR_FEATURES,
    TARGET_FEATURES,
    Logistic,
    fit_logistic,
    pair_features,
    repurchase_probability,
    target_features,
)

__all__ = [
    "ALL",
    "BASES",
    "DEFAULT",
    "EDGES",
    "FEATURES",
    "ITEM_GROUP",
    "PAIR_FEATURES",
    "PRODUCT",
    "PRODUCT_TYPE",
    "RULE",
    "TARGET_FEATURES",
    "Curves",
    "Level",
    "Logistic",
    "fit_curves",
    "fit_logistic",
    "pair_features",
    "repurchase_probability",
    "target_features",
]
