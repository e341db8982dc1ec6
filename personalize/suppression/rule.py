"""The rule that decides, on plain numbers.

`due_at` says when something owned is due again, `combine` puts the scopes of one product together.
The interpreter runs them for one customer; compiled, the same functions run over millions of
pairs. Times are microseconds UTC; int64 min is no time, int64 max is for good.
"""

from __future__ import annotations

import math
from typing import Final

REASONS: Final = (
    "purchased",
    "purchased_variant",
    "purchased_substitute",
    "returned",
    "not_suppressed",
)
SCOPES: Final = ("product", "item_group", "product_type")


def due_at(
    n_orders: int,
    first_at: int,
    last_at: int,
    last_quantity: int,
    total_quantity: int,
    gap_days: float,
    typical_gap: float,
    usual_quantity: float,
    is_learned: bool,
    min_days: float,
    rhythm_strength: float,
) -> int:
    """Return when something owned is due again, microseconds UTC; int64 max is for good.

    A learned gap moves towards the customer's own rhythm after two repeats (a geometric mean,
    weighted by the number of gaps), grows with a last order that is larger than usual (for all
    buyers, and by and by for this one; up to fourfold), shrinks with one that is smaller than this
    customer's rhythm is made of, and is never under `min_days`. A fixed
    one (by rule or default) stays as it is.
    """
    day = 86_400_000_000.0
    gap = gap_days
    if is_learned:
        weight = 0.0
        if n_orders > 2:
            weight = (n_orders - 1) / (n_orders - 1 + rhythm_strength)
            own = max((last_at - first_at) / day / (n_orders - 1), 0.01)
            if gap > 1e6:
                gap = own
            else:
                own *= max(gap, 0.01) / max(typical_gap, 0.01)
                gap = math.exp((1.0 - weight) * math.log(max(gap, 0.01)) + weight * math.log(own))
        usual = max(usual_quantity, 1.0) ** (1.0 - weight) * (total_quantity / n_orders) ** weight
        if gap <= 1e6:
            ratio = min(max(last_quantity / usual, 0.25), 4.0)
            gap *= ratio if ratio > 1.0 else ratio**weight
        gap = max(gap, min_days)
    if gap > 1e6:
        return 9223372036854775807
    return last_at + int(gap * 86_400.0) * 1_000_000


def combine(
    as_of: int,
    product_since: int,
    product_until: int,
    group_since: int,
    group_until: int,
    type_since: int,
    type_until: int,
    returned_at: int,
    returned_until: int,
) -> tuple[int, int, int]:
    """Return reason, since and until of one product for one customer.

    A scope that nothing is owned of, or whose rule is off, comes with both times at int64 min.
    The reason is the first scope that applies (a group or type whose newest purchase is the
    product itself counts as the product); ``until`` is the latest over all that apply.
    """
    reason = 4
    since = -9223372036854775808
    until = since
    if as_of < product_until:
        reason = 0
        since = product_since
        until = product_until
    if as_of < group_until:
        if reason == 4:
            reason = 0 if group_since == product_since else 1
            since = group_since
        until = max(until, group_until)
    if as_of < type_until:
        if reason == 4:
            reason = 0 if type_since == product_since else 2
            since = type_since
        until = max(until, type_until)
    if as_of < returned_until:
        if reason == 4:
            reason = 3
            since = returned_at
        until = max(until, returned_until)
    return reason, since, until


def basis_level(as_of: int, product_until: int, group_until: int, type_until: int) -> int:
    """Return the first scope that applies: 0 product, 1 group, 2 type, 3 none of these."""
    if as_of < product_until:
        return 0
    if as_of < group_until:
        return 1
    if as_of < type_until:
        return 2
    return 3
