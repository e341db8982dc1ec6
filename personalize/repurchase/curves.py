"""How the time to the next purchase is distributed: shrunken, right-censored life tables.

One curve per target of a level (products, item groups or product types), shrunken by its evidence
towards its group, its type and all. A curve gives the gap and the chance that the thing is ever
bought again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from personalize.config import EngineConfig
from personalize.purchases import Occasion
from personalize.repurchase.gaps import count_gaps

Floats = NDArray[np.float64]

BASES: Final = ("product", "item_group", "product_type", "all", "default", "rule")
PRODUCT, ITEM_GROUP, PRODUCT_TYPE, ALL, DEFAULT, RULE = range(6)

# fmt: off
EDGES: Final = np.array([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40,
    43, 46, 49, 52, 56, 60, 64, 68, 72, 77, 82, 88, 94, 100, 107, 114, 122, 131, 141, 152, 164,
    178, 193, 210, 230, 252, 276, 302, 331, 365,
], dtype=np.float64)
# fmt: on
"""Days; between two of them the hazard is taken as constant."""
N_BINS: Final = len(EDGES) - 1
_FOR_GOOD_BIN: Final = int(np.searchsorted(EDGES, 88))
"""Unless a purchase was followed for EDGES[36] = 88 days, nothing can be said not to be bought
again: every upper bound is 1."""
_FOLLOWED_BIN: Final = 7
"""A purchase counts as evidence once it was followed for EDGES[7] days."""
_UPPER: Final = 0.9
_ALIKENESS: Final = np.array([1.0, 0.5, 0.2, 0.1, 0.05, 0.02])
_MOST_PARTS: Final = 2_000


@dataclass(frozen=True, eq=False)
class Level:
    """All that is fitted about one level: products, item groups or product types.

    Parameters
    ----------
    occasions : Occasion
        Purchases of the level's targets by known customers.
    orders : Occasion
        The same customers' orders as a whole (one target).
    groups, types : int64, shape (n_targets,), optional
        Parent of each target, -1 for none. ``groups`` None and ``types`` given: targets are
        item groups; both None: targets are types.
    n_types : int
        Types there are; 0 where targets are types themselves.
    """

    occasions: Occasion
    orders: Occasion
    groups: NDArray[np.int64] | None
    types: NDArray[np.int64] | None
    n_types: int

    def before(self, cutoff: int) -> Level:
        """Return the level as it was known at `cutoff`, microseconds UTC."""
        return replace(
            self, occasions=_until(self.occasions, cutoff), orders=_until(self.orders, cutoff)
        )


def _until(occasions: Occasion, cutoff: int) -> Occasion:
    use = occasions.at < cutoff
    return Occasion(
        occasions.customer[use],
        occasions.target[use],
        occasions.at[use],
        occasions.quantity[use],
        occasions.n_targets,
    )


@dataclass(frozen=True, eq=False)
class Curves:
    """Shrunken repurchase curves of one level: targets first, then their types, then all.

    Parameters
    ----------
    bought_again : float32, shape (n_rows, N_BINS)
        Chance of having bought again by ``EDGES[1:]`` days after a purchase.
    upper : float32, shape (n_rows,)
        90% upper bound of the last column.
    basis : int8, shape (n_rows,)
        Index into `BASES`: what the row rests on.
    usual_quantity : float32, shape (n_rows,)
        Typical units of one purchase (geometric mean).
    repeat_log_odds : float32, shape (n_rows,)
        Shrunken log odds that a buyer buys again, of those seen.
    n_targets, n_types : int
        Rows of each kind; one more row stands for all.
    """

    bought_again: NDArray[np.float32]
    upper: NDArray[np.float32]
    basis: NDArray[np.int8]
    usual_quantity: NDArray[np.float32]
    repeat_log_odds: NDArray[np.float32]
    n_targets: int
    n_types: int

    _ARRAYS = ("bought_again", "upper", "basis", "usual_quantity", "repeat_log_odds")

    def arrays(self, level: str) -> dict[str, NDArray[Any]]:
        """Return the arrays by the names they have in an artifact."""
        return {f"{level}_{name}": getattr(self, name) for name in self._ARRAYS}

    @classmethod
    def from_arrays(cls, level: str, arrays: Mapping[str, NDArray[Any]], n_types: int) -> Self:
        """Return the curves behind `arrays`."""
        parts: dict[str, Any] = {name: arrays[f"{level}_{name}"] for name in cls._ARRAYS}
        return cls(**parts, n_targets=len(parts["upper"]) - n_types - 1, n_types=n_types)

    def row_of_type(self, type_num: int) -> int:
        """Return the row that stands for targets of a type that were never seen."""
        return self.n_targets + (type_num if 0 <= type_num < self.n_types else self.n_types)

    def gaps(self, quantile: float) -> Floats:
        """Return the days by which a share `quantile` of those who buy again have done so.

        Returns
        -------
        float64, shape (n_rows,), days
            Infinite where nobody ever buys again.
        """
        curve = np.asarray(self.bought_again, dtype=np.float64)
        goal = quantile * curve[:, -1]
        column = np.minimum((curve < goal[:, None]).sum(axis=1), N_BINS - 1)
        rows = np.arange(len(curve))
        before = np.where(column > 0, curve[rows, np.maximum(column - 1, 0)], 0.0)
        rise = curve[rows, column] - before
        share = np.divide(goal - before, rise, out=np.ones_like(goal), where=rise > 0)
        days = EDGES[column] + share * (EDGES[column + 1] - EDGES[column])
        return np.where(curve[:, -1] > 0, days, np.inf)


@dataclass(frozen=True, eq=False)
class _LifeTable:
    """Counts behind curves, one row per target: bought again in, and followed into, each bin."""

    events: Floats
    at_risk: Floats
    buyers: Floats
    repeaters: Floats
    log_quantity: Floats
    n_purchases: Floats

    def pooled(self, parent: NDArray[np.int64], n_parents: int) -> _LifeTable:
        """Return the counts summed over the targets of each parent; -1 has no parent."""
        known = np.flatnonzero(parent >= 0)

        def add(values: Floats) -> Floats:
            # A column at a time: that adds ten times as fast as rows do.
            columns = np.atleast_2d(values.T)
            added = [np.bincount(parent[known], each[known], n_parents) for each in columns]
            whole = np.stack(added, axis=-1).reshape(n_parents, *values.shape[1:])
            return np.asarray(whole, dtype=np.float64)

        return _LifeTable(*(add(getattr(self, name)) for name in self.__dataclass_fields__))


def _life_table(occasions: Occasion, as_of: int) -> _LifeTable:
    """Count gaps and what was still followed (Cutler and Ederer 1958: censored ones half)."""
    found = count_gaps(occasions, as_of, EDGES)
    reached = np.cumsum((found.again + found.censored)[:, ::-1], axis=1)[:, ::-1]
    logs = np.log(np.maximum(occasions.quantity, 1))
    log_quantity = np.bincount(occasions.target, logs, minlength=occasions.n_targets)
    return _LifeTable(
        events=found.again[:, :-1],
        at_risk=(reached - 0.5 * found.censored)[:, :-1],
        buyers=found.buyers,
        repeaters=found.repeaters,
        log_quantity=np.asarray(log_quantity, dtype=np.float64),
        n_purchases=found.purchases,
    )


@dataclass(frozen=True, eq=False)
class _Shrunken:
    """One floor of the hierarchy, already shrunken towards the floor above it.

    ``strength`` is how many purchases the hazard counts for beside those of the floor below.
    """

    hazard: Floats
    upper: Floats
    basis: NDArray[np.int8]
    usual_log_quantity: Floats
    repeat_rate: Floats
    strength: Floats

    def of(self, parent: NDArray[np.int64], otherwise: _Shrunken) -> _Shrunken:
        """Return the row of each target's parent; those without one fall to `otherwise`."""
        has = parent >= 0

        def pick(name: str) -> NDArray[Any]:
            mine, other = getattr(self, name), getattr(otherwise, name)
            shape = (-1,) + (1,) * (other.ndim - 1)
            if not len(mine):
                return np.asarray(other)
            picked = np.where(has.reshape(shape), mine[np.maximum(parent, 0)], other)
            return np.asarray(picked)

        return _Shrunken(*(pick(name) for name in self.__dataclass_fields__))


def _shrink(table: _LifeTable, above: _Shrunken, strength: float, basis: int) -> _Shrunken:
    """Return discrete hazards with the floor above as so many purchases of prior evidence."""
    from scipy.special import gammaincinv

    prior = above.strength[:, None]
    events = table.events + prior * above.hazard
    hazard = np.clip(events / np.maximum(table.at_risk + prior, 1e-9), 0.0, 1.0 - 1e-9)
    total = -np.log1p(-hazard).sum(axis=1)
    found = events.sum(axis=1)
    followed = np.divide(found, total, out=table.at_risk[:, 0] + prior[:, 0], where=total > 0)
    bound = gammaincinv(found + 0.5, _UPPER) / np.maximum(followed, 1e-9)
    enough = table.at_risk[:, _FOLLOWED_BIN] >= max(strength, 1.0)
    quantity = table.log_quantity + strength * above.usual_log_quantity
    return _Shrunken(
        hazard=hazard,
        upper=-np.expm1(-np.maximum(bound, total)),
        basis=np.where(enough, basis, above.basis).astype(np.int8),
        usual_log_quantity=quantity / (table.n_purchases + strength),
        repeat_rate=(table.repeaters + strength * above.repeat_rate) / (table.buyers + strength),
        strength=np.full(len(hazard), strength),
    )


def _alikeness(parts: _LifeTable, whole: _Shrunken, most: float) -> Floats:
    """Return how much all says of each part: the most likely strength, up to `most`.

    Empirical Bayes: the marginal likelihood of the parts' counts when each part's hazard is drawn
    from a beta distribution around that of all (beta-binomial). Coffee and coats together say
    little of either; a shop of one kind of thing says much.
    """
    from scipy.special import betaln

    known = np.argsort(-parts.at_risk[:, 0], kind="stable")[:_MOST_PARTS]
    events, at_risk = parts.events[known], parts.at_risk[known]
    hazard = np.broadcast_to(np.clip(whole.hazard, 1e-9, 1 - 1e-9), events.shape)
    cells = at_risk > 0
    events, others, hazard = events[cells], (at_risk - events)[cells], hazard[cells]
    strengths = most * _ALIKENESS
    likelihood = [
        (
            betaln(s * hazard + events, s * (1 - hazard) + others)
            - betaln(s * hazard, s * (1 - hazard))
        ).sum()
        for s in strengths
    ]
    # Of equals (to six digits: sums of thousands of logs) the largest.
    best = np.array(likelihood) >= max(likelihood) - 1e-6
    return strengths[[int(np.argmax(best))]]


_NOTHING = _Shrunken(
    hazard=np.zeros((1, N_BINS)),
    upper=np.zeros(1),
    basis=np.array([DEFAULT], dtype=np.int8),
    usual_log_quantity=np.zeros(1),
    repeat_rate=np.full(1, 0.05),
    strength=np.full(1, 1e-6),
)


def fit_curves(level: Level, as_of: int, config: EngineConfig) -> Curves:
    """Return the repurchase curves of one level, shrunken target -> group -> type -> all.

    Parameters
    ----------
    level : Level
        All purchases of known customers before `as_of`.
    as_of : int, microseconds UTC
        Histories end here (right-censored).
    config : EngineConfig

    Notes
    -----
    Discrete-time life tables with a beta prior on each bin's hazard; the prior mean is the
    floor above. See docs/concepts.md.
    """
    groups, types, strength = level.groups, level.types, config.curve_strength
    own = PRODUCT if groups is not None else ITEM_GROUP if types is not None else PRODUCT_TYPE
    table = _life_table(level.occasions, as_of)
    everyone = table.pooled(np.zeros(len(table.buyers), dtype=np.int64), 1)
    weak = _shrink(everyone, _NOTHING, 1e-6, ALL)
    if everyone.at_risk[0, _FOLLOWED_BIN] < strength:
        weak = replace(weak, basis=np.array([DEFAULT], dtype=np.int8))
    parts = table if types is None else table.pooled(types, level.n_types)
    weak = replace(weak, strength=_alikeness(parts, weak, strength))
    floors = [weak]
    above = weak
    if types is not None:
        floors.insert(0, _shrink(parts, weak, strength, PRODUCT_TYPE))
        above = floors[0].of(types, weak)
    if groups is not None:
        group_floor = _group_floor(table, groups, types, floors, strength)
        above = group_floor.of(groups, above)
    curves = _stack([_shrink(table, above, strength, own), *floors], len(table.buyers))
    if everyone.at_risk[0, _FOR_GOOD_BIN] > 0:
        return curves
    return replace(curves, upper=np.ones_like(curves.upper))  # too brief a history to say "never"


def _group_floor(
    table: _LifeTable,
    groups: NDArray[np.int64],
    types: NDArray[np.int64] | None,
    floors: Sequence[_Shrunken],
    strength: float,
) -> _Shrunken:
    """Return products pooled by item group, each group shrunken to its type, or to all."""
    type_of_group = np.full(int(groups.max(initial=-1)) + 1, -1, dtype=np.int64)
    if types is not None:
        typed = np.flatnonzero((groups >= 0) & (types >= 0))[::-1]
        type_of_group[groups[typed]] = types[typed]  # that of its first product that has one
    parents = floors[0].of(type_of_group, floors[-1])
    return _shrink(table.pooled(groups, len(type_of_group)), parents, strength, ITEM_GROUP)


def _stack(floors: Sequence[_Shrunken], n_targets: int) -> Curves:
    def join(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(floor, name) for floor in floors])

    rate = np.clip(join("repeat_rate"), 1e-4, 1 - 1e-4)
    survived = np.cumprod(1.0 - join("hazard"), axis=1)
    return Curves(
        bought_again=(1.0 - survived).astype(np.float32),
        upper=join("upper").astype(np.float32),
        basis=join("basis").astype(np.int8),
        usual_quantity=np.exp(join("usual_log_quantity")).astype(np.float32),
        repeat_log_odds=np.log(rate / (1 - rate)).astype(np.float32),
        n_targets=n_targets,
        n_types=sum(len(floor.upper) for floor in floors[1:-1]),
    )
