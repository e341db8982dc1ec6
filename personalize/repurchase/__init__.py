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
from personalize.repurchase.features import (
    CUSTOMER_FEATURES,
    FEATURES,
    LOYALTY,
    PAIR_FEATURES,
    RECENT_DAYS,
    TARGET_FEATURES,
    curve_odds,
    customer_features,
    log_days,
    once_features,
    once_terms,
    pair_features,
    place_of,
    target_features,
)
from personalize.repurchase.habits import Habits
from personalize.repurchase.probability import (
    Logistic,
    added,
    chance_of,
    earlier_habits,
    fit_logistic,
)

__all__ = [
    "ALL",
    "BASES",
    "CUSTOMER_FEATURES",
    "DEFAULT",
    "EDGES",
    "FEATURES",
    "ITEM_GROUP",
    "LOYALTY",
    "PAIR_FEATURES",
    "PRODUCT",
    "PRODUCT_TYPE",
    "RECENT_DAYS",
    "RULE",
    "TARGET_FEATURES",
    "Curves",
    "Habits",
    "Level",
    "Logistic",
    "added",
    "chance_of",
    "curve_odds",
    "customer_features",
    "earlier_habits",
    "fit_curves",
    "fit_logistic",
    "log_days",
    "once_features",
    "once_terms",
    "pair_features",
    "place_of",
    "target_features",
]
