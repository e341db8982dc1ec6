"""What the engine learned, in a form that people can check: gaps, and what goes with what.

Everything is asked through the engine's public calls; how often two things share an order is
counted again from the orders. Where products have types the tables are of types, else of products.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from personalize.evaluation.split import BoolArray, FloatArray, IntArray, Split
from personalize.evaluation.subject import Subject
from personalize.policy import Policy, TypeRule
from personalize.purchases import OrderLine, PurchaseState
from personalize.times import MISSING

N_GAPS: Final = 100
N_PAIRS: Final = 15
N_TYPED_ANCHORS: Final = 2_000
N_ANCHORS: Final = 300
"""Most ordered products whose complements are looked at, with types and without."""
_LEAST_ORDERS: Final = 5
"""Orders that must hold both."""


@dataclass(frozen=True, slots=True)
class Gap:
    """When one type of product, or one product, is bought again.

    Parameters
    ----------
    name : str
        Product type, or product id where there are no types.
    n_lines : int
        Order lines before the cutoff.
    gap_days : float or None, days
        When the next one comes due after a purchase; None: never, it is suppressed for good.
    typical_days : float, days
        Median time to the next purchase of those who buy again.
    basis : str
        What the gap rests on: ``product``, ``item_group``, ``product_type``, ``all``, ``default``
        or ``rule``.
    is_one_per_need : bool
        Whether one purchase suppresses the whole type.
    """

    name: str
    n_lines: int
    gap_days: float | None
    typical_days: float
    basis: str
    is_one_per_need: bool


@dataclass(frozen=True, slots=True)
class StrongPair:
    """Two types (or products) of which the engine shows one beside the other.

    Parameters
    ----------
    name, complement : str
    shown : float, share
        Places beside products of `name` that the complement takes, by order lines.
    n_orders : int
        Orders before the cutoff that hold both.
    confidence : float, share
        Orders with `name` that hold the complement too.
    lift : float
        The same to the share of all orders that hold the complement; 1 is chance.
    """

    name: str
    complement: str
    shown: float
    n_orders: int
    confidence: float
    lift: float


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Type of each product of the split, or the product itself where there are no types."""

    names: list[str]
    of_product: IntArray
    are_types: bool


def _kinds_of(subject: Subject) -> _Kinds:
    catalog, split = subject.catalog or subject.engine.catalog, subject.split
    typed = catalog.frame.dropna(subset="product_type")
    if not len(typed):
        ids = [str(each) for each in split.product_ids]
        return _Kinds(ids, np.arange(split.n_products), are_types=False)
    names = sorted(typed["product_type"].unique())
    place = {name: n for n, name in enumerate(names)}
    of_product = np.full(split.n_products, -1, dtype=np.int64)
    at = split.product_codes(typed["product_id"])
    kinds = typed["product_type"].map(place).to_numpy(np.int64)
    of_product[at[at >= 0]] = kinds[at >= 0]
    return _Kinds(names, of_product, are_types=True)


def learned_gaps(subject: Subject) -> tuple[Gap, ...]:
    """Return the gaps of the most ordered types (or products), the most ordered first."""
    split, kinds = subject.split, _kinds_of(subject)
    n_lines = split.n_lines()
    found: list[Gap] = []
    total = _by_kind(kinds, n_lines)
    policy = _every_type_once(kinds, subject.policy) if kinds.are_types else subject.policy
    for kind in np.argsort(-total, kind="stable")[:N_GAPS].tolist():
        members = np.flatnonzero(kinds.of_product == kind)
        if not total[kind]:
            break
        best = int(members[np.argmax(n_lines[members])])
        wanted = "product_type" if kinds.are_types else "product"
        judged = _scopes(subject, best, policy)[wanted]
        found.append(
            Gap(
                kinds.names[kind],
                int(total[kind]),
                judged["gap_days"],
                float(judged["typical_gap_days"]),
                str(judged["basis"]),
                "product_type" in _scopes(subject, best, subject.policy),
            )
        )
    return tuple(found)


def _by_kind(kinds: _Kinds, n_lines: IntArray) -> IntArray:
    known = kinds.of_product >= 0
    found = np.bincount(kinds.of_product[known], n_lines[known], minlength=len(kinds.names))
    return found.astype(np.int64)


def _every_type_once(kinds: _Kinds, decided: Policy | None) -> Policy:
    """Return the policy under which the engine explains every type, one-per-need or not."""
    policy = decided or Policy()
    rules = {
        name: replace(policy.type_rule(name) or TypeRule(), one_per_need=True)
        for name in kinds.names
    }
    return replace(policy, types={**policy.types, **rules})


def _scopes(subject: Subject, product: int, policy: Policy | None) -> dict[str, dict[str, Any]]:
    """Return how the engine judges each scope of a product for somebody who just bought it."""
    product_id, at = str(subject.split.product_ids[product]), subject.split.cutoff - 1
    line = OrderLine(product_id, at, 1, 0, MISSING, False, "just now")
    state = PurchaseState.from_lines("somebody", [line])
    told = subject.engine.explain(
        state, product_id, subject.as_of, policy=policy, catalog=subject.catalog
    )
    return {each["scope"]: each for each in told["scopes"]}


def strong_pairs(subject: Subject) -> tuple[StrongPair, ...]:
    """Return the strongest pairs that the engine shows, the furthest above chance first.

    Of the two directions of a pair only the stronger one.
    """
    split, kinds = subject.split, _kinds_of(subject)
    n_lines = split.n_lines()
    most = N_TYPED_ANCHORS if kinds.are_types else N_ANCHORS
    anchors = np.argsort(-n_lines, kind="stable")[:most]
    anchors = np.sort(anchors[(n_lines[anchors] > 0) & (kinds.of_product[anchors] >= 0)])
    rows = subject.complement_rows(anchors)
    shown = split.product_codes(rows["product_id"])
    seed = rows["key"].to_numpy(np.int64)[shown >= 0]
    first, second = kinds.of_product[seed], kinds.of_product[shown[shown >= 0]]
    use = (second >= 0) & (first != second)
    if not use.any():
        return ()
    return _strongest(kinds, split, (first[use], second[use]), n_lines[seed[use]])


def _strongest(
    kinds: _Kinds, split: Split, pair: tuple[IntArray, IntArray], weight: IntArray
) -> tuple[StrongPair, ...]:
    n_kinds = len(kinds.names)
    keys, inverse = np.unique(pair[0] * n_kinds + pair[1], return_inverse=True)
    first, second = np.divmod(keys, n_kinds)
    places = np.bincount(pair[0], weight, minlength=n_kinds)
    shown = np.bincount(inverse, weight, minlength=len(keys)) / places[first]
    both, held, n_orders = _counted(kinds, split, first, second)
    confidence = both / np.maximum(held[first], 1)
    above = confidence - held[second] / n_orders
    found: list[StrongPair] = []
    seen: set[frozenset[int]] = set()
    for row in np.lexsort((keys, -above)).tolist():
        names = frozenset((int(first[row]), int(second[row])))
        if names in seen or both[row] < _LEAST_ORDERS or above[row] <= 0:
            continue
        seen.add(names)
        found.append(
            StrongPair(
                kinds.names[first[row]],
                kinds.names[second[row]],
                float(shown[row]),
                int(both[row]),
                float(confidence[row]),
                float(confidence[row] * n_orders / held[second[row]]),
            )
        )
    return tuple(found[:N_PAIRS])


def _counted(
    kinds: _Kinds, split: Split, first: IntArray, second: IntArray
) -> tuple[FloatArray, FloatArray, int]:
    """Return orders that hold both of each pair, orders that hold each kind, and all orders."""
    order = np.unique(split.train.order, return_inverse=True)[1]
    n_orders = int(order.max()) + 1
    kind = kinds.of_product[split.train.product]
    known: BoolArray = kind >= 0
    cells = np.unique(order[known].astype(np.int64) * len(kinds.names) + kind[known])
    at = np.divmod(cells, len(kinds.names))
    holds = sp.csc_matrix((np.ones(len(cells)), at), shape=(n_orders, len(kinds.names)))
    used = np.unique(np.concatenate([first, second]))
    some = holds[:, used]
    together = (some.T @ some).toarray()
    both = together[np.searchsorted(used, first), np.searchsorted(used, second)]
    return both, np.asarray(holds.sum(axis=0)).ravel(), n_orders
