"""The arithmetic behind a decision and behind a pick, for people who want to check it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from personalize.errors import UnknownProductError
from personalize.purchases import Owned, PurchaseState
from personalize.repurchase import BASES, CUSTOMER_FEATURES, PAIR_FEATURES, TARGET_FEATURES
from personalize.suppression import SCOPES, CustomerScopes, Scope
from personalize.times import FOREVER, MISSING, to_rfc3339
from personalize.view import View


def explained(view: View, state: PurchaseState, product_id: str, as_of: int) -> dict[str, Any]:
    """Return how one product was judged for one customer, as nested plain values.

    Raises
    ------
    UnknownProductError
        If nothing knows the product and the customer does not own it.
    """
    scopes = CustomerScopes(view.rules, state)
    num = view.space.nums.get(product_id, -1)
    if num < 0 and product_id not in state.occasions and product_id not in state.returned:
        raise UnknownProductError(product_id)
    decision = scopes.decide(product_id, as_of)
    since, until = decision.since, decision.until
    return {
        "model_version": view.model_version,
        "decision": {
            **decision._asdict(),
            "since": None if since is None else to_rfc3339(since),
            "until": None if until is None else to_rfc3339(until),
        },
        "scopes": _scopes(view, scopes, product_id, num, as_of),
        "pick": _pick(view, state, num) if num >= 0 else None,
    }


def _scopes(
    view: View, scopes: CustomerScopes, product_id: str, num: int, as_of: int
) -> list[dict[str, Any]]:
    space = view.space
    group = space.group[num] if num >= 0 else -1
    kind = space.type[num] if num >= 0 else -1
    found: list[tuple[int, str, int, Scope | None]] = [
        (0, product_id, num, scopes.product(product_id))
    ]
    if group >= 0:
        found.append((1, space.groups[group], group, scopes.group(group)))
    if kind >= 0:
        found.append((2, space.types[kind], kind, scopes.type(kind)))
    return [
        _scope(view, scopes, level, target, place, scope, as_of)
        for level, target, place, scope in found
        if scope is not None
    ]


def _scope(
    view: View,
    scopes: CustomerScopes,
    level: int,
    target: str,
    place: int,
    scope: Scope,
    as_of: int,
) -> dict[str, Any]:
    terms, owned = view.rules.levels[level], scope.owned
    gap = terms.gap.item(place)
    until = scope.until
    return {
        "scope": SCOPES[level],
        "target_id": target,
        "n_orders": owned.n_orders,
        "first_at": to_rfc3339(owned.first_at),
        "last_at": to_rfc3339(owned.last_at),
        "last_quantity": owned.last_quantity,
        "gap_days": gap if np.isfinite(gap) else None,
        "typical_gap_days": terms.typical.item(place),
        "usual_quantity": terms.usual_quantity.item(place),
        "basis": BASES[terms.basis.item(place)],
        "rule_is_on": terms.is_on.item(place),
        "until": None if until in (FOREVER, MISSING) else to_rfc3339(until),
        "for_good": until == FOREVER,
        "probability": _probability(view, scopes, level, place, owned, as_of),
    }


def _probability(
    view: View, scopes: CustomerScopes, level: int, place: int, owned: Owned, as_of: int
) -> dict[str, Any]:
    terms = view.rules.levels[level]
    logistic = view.judgement.levels[level].logistic
    customer, pair = scopes.features(level, place, owned, as_of)
    offset = terms.offset.item(place)
    return {
        "value": scopes.probability(level, place, owned, as_of),
        "intercept": logistic.intercept,
        "of_the_target": {"names": list(TARGET_FEATURES), "adds": offset - logistic.intercept},
        "of_the_customer": {
            **_parts(CUSTOMER_FEATURES, customer, logistic.customer),
            **_parts(PAIR_FEATURES, pair, logistic.pair),
        },
    }


def _parts(
    names: Sequence[str], values: Sequence[float], weights: Sequence[float]
) -> dict[str, dict[str, float]]:
    return {
        name: {"value": value, "weight": weight, "adds": value * weight}
        for name, value, weight in zip(names, values, weights, strict=True)
    }


def _pick(view: View, state: PurchaseState, num: int) -> dict[str, Any]:
    """Return what the history adds to a product's score, product by product."""
    model = view.model
    if num >= view.space.n_model:
        return {"is_shown": bool(view.is_shown[num]), "because": [], "demand_factor": 1.0}
    owned = view.numbers(state.occasions)
    seeds = owned[(owned < view.space.n_model)]
    seeds = seeds[~view.is_sensitive[seeds]]
    because = [
        {"product_id": view.space.ids[seed], "weight": float(weight)}
        for seed, weight in zip(seeds, model.products.next_parts(seeds, num), strict=True)
        if weight
    ]
    return {
        "is_shown": bool(view.is_shown[num]),
        "demand_factor": float(model.demand.factors[num]),
        "because": sorted(because, key=lambda part: (-part["weight"], part["product_id"])),
    }
