"""The arithmetic behind a decision and behind a pick, for people who want to check it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from personalize.association import POWER
from personalize.errors import UnknownProductError
from personalize.purchases import Owned, PurchaseState
from personalize.repurchase import BASES, CUSTOMER_FEATURES, PAIR_FEATURES, TARGET_FEATURES
from personalize.suppression import SCOPES, CustomerScopes, Scope
from personalize.times import FOREVER, MISSING, to_rfc3339
from personalize.view import Ints, View

_PLACES: Final = 10
"""Of the list without anchors that a pick is explained for."""


def explained(
    view: View,
    state: PurchaseState,
    product_id: str,
    as_of: int,
    anchors: Sequence[str] = (),
) -> dict[str, Any]:
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
        "pick": _pick(view, state, num, anchors) if num >= 0 else None,
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


def _pick(view: View, state: PurchaseState, num: int, anchor_ids: Sequence[str]) -> dict[str, Any]:
    """Return how a product's score is made: by the history, and by the anchors if there are any.

    The score of a product that goes with the anchors is that of the anchors plus the history's
    times ``history_scale``.
    """
    found: dict[str, Any] = {"is_recommendable": bool(view.is_shown[num])}
    if num >= view.space.n_model:
        return found | {"history": None, "anchors": None}
    owned = view.numbers(state.occasions)
    history, anchors = view.seeds(owned), view.seeds(view.numbers(anchor_ids))
    came = int(view.model.demand.came(state.last_order_at))
    found |= {"history": _by_history(view, history, came, num), "anchors": None}
    if len(anchors):
        found["anchors"] = _by_anchors(view, anchors, history, came, num)
    else:
        found["history"] |= _by_everybody(view, owned, came, num)
    return found


def _by_everybody(view: View, owned: Ints, came: int, num: int) -> dict[str, float]:
    """Return what is added to a history's score where there are no anchors: highest x pull."""
    pull, highest = float(view.model.demand.pull[num]), view.highest(owned, came, _PLACES)
    return {"pull": pull, "highest": highest, "everybody": pull * highest}


def _by_history(view: View, history: Ints, came: int, num: int) -> dict[str, Any]:
    """Return what each product owned adds to a score, and what that is multiplied with.

    The score is (intercept + weights) x demand factor x what is left once it was passed over.
    """
    products, demand = view.model.products, view.model.demand
    parts = products.next_parts(history, num)
    because = [
        {"product_id": view.space.ids[owned], "weight": float(weight)}
        for owned, weight in zip(history, parts, strict=True)
        if weight
    ]
    intercept = float(products.next_intercepts[num])
    score = demand.of_next(np.array([num]), np.array([intercept + parts.sum()]), came)
    factor = float(demand.factors[0, num])
    return {
        "because": sorted(because, key=lambda part: (-part["weight"], part["product_id"])),
        "intercept": intercept,
        "demand_factor": factor,
        "passed_over_factor": float(demand.factors[came, num]) / factor,
        "score": float(score[0]),
    }


def _by_anchors(view: View, anchors: Ints, history: Ints, came: int, num: int) -> dict[str, Any]:
    """Return what each anchor adds: (root of the sum of powers + season) x season's factor."""
    products, demand = view.model.products, view.model.demand
    floor = demand.floor(float(products.together_orders[anchors].sum()))
    because = [
        {
            "product_id": view.space.ids[anchor],
            "weight": float(found.scores[place]),
            "support": int(found.support[place]),
            "lift": float(found.lift[place]),
        }
        for anchor in anchors
        for found in [products.complement_scores(np.array([anchor]))]
        for place in np.flatnonzero(found.nums == num)
    ]
    with_it, scale = view.with_anchors(anchors, history, came)
    place = np.flatnonzero(with_it.nums == num)
    return {
        "because": sorted(because, key=lambda part: (-part["weight"], part["product_id"])),
        "power": POWER,
        "season": floor * float(demand.season[num]),
        "season_factor": float(demand.season_factors[num]),
        "score": float(with_it.scores[place].sum()),
        "history_scale": scale,
    }
