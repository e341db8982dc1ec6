"""What the rule is given: judgement and policy, laid out by product, group and type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalize.config import EngineConfig
from personalize.policy import FOR_GOOD, Policy
from personalize.products import ProductSpace
from personalize.repurchase import DEFAULT, RULE, Curves, Logistic, curve_odds
from personalize.substitutes import Substitutes
from personalize.suppression.once import BoughtOnce
from personalize.suppression.rule import REASONS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAP, TYPICAL, USUAL, OFFSET, BASIS, IS_LEARNED, IS_ON = range(7)
"""The columns of `Terms.rows`."""


@dataclass(frozen=True, eq=False)
class Terms:
    """What is judged of each target of one level, policy applied; arrays of one length.

    Parameters
    ----------
    gap : float64, days
        Infinite: for good.
    typical : float64, days
        Median gap.
    usual_quantity : float64, units
    is_learned : bool
        False for a default or a rule of the shop.
    basis : int64
        Index into `BASES`.
    is_on : bool
        Whether purchases of it suppress at all.
    offset : float64
        What the target adds to the log odds of a repurchase.
    soon : float64, shape (n, GRID + 1)
        What its curve says of the horizon, as from `curve_odds`.
    """

    gap: Floats
    typical: Floats
    usual_quantity: Floats
    is_learned: NDArray[np.bool_]
    basis: Ints
    is_on: NDArray[np.bool_]
    offset: Floats
    soon: Floats

    @cached_property
    def rows(self) -> Floats:
        """All but `soon` side by side, a row per target: columns `GAP` to `IS_ON`."""
        columns = [
            self.gap,
            self.typical,
            self.usual_quantity,
            self.offset,
            self.basis,
            self.is_learned,
            self.is_on,
        ]
        return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)

    def take(self, rows: Ints) -> Terms:
        """Return the terms of these rows."""
        return Terms(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def under(
        self, types: Ints, rules: Mapping[int, tuple[bool, float | None]], is_on: bool
    ) -> Terms:
        """Return the terms with the shop's rules for types applied.

        Parameters
        ----------
        types : int64, shape (n,)
            Type of each target.
        rules : mapping of type number to (suppress, fixed days or None)
        is_on : bool
            Whether the whole rule is on.
        """
        gap, is_learned, basis = self.gap.copy(), self.is_learned.copy(), self.basis.copy()
        on = np.full(len(gap), is_on)
        for type_num, (suppress, days) in rules.items():
            mine = types == type_num
            on[mine] &= suppress
            if days is not None:
                gap[mine], is_learned[mine], basis[mine] = days, False, RULE
        return replace(self, gap=gap, is_learned=is_learned, basis=basis, is_on=on)


class LevelModel(NamedTuple):
    """What was learned of one level: its curves, its probability and its targets' features."""

    curves: Curves
    logistic: Logistic
    targets: Floats


def _thresholds(config: EngineConfig, policy: Policy) -> dict[str, float]:
    return {**config.to_dict(), **policy.thresholds}


def terms_of(level: LevelModel, config: EngineConfig, policy: Policy) -> Terms:
    """Return the terms of every row of a level's curves, and one more for what nothing knows."""
    curves, limits = level.curves, _thresholds(config, policy)
    gap = curves.gaps(limits["due_quantile"])
    basis = curves.basis.astype(np.int64)
    for_good = curves.upper < limits["repurchase_threshold"]
    gap = np.where(for_good, np.inf, gap)
    # Rarely bought again as far as one can tell, but too few to say "never": when those few came
    # back is no gap for the others. A brief history (upper bound 1) says neither.
    is_rare = (curves.bought_again[:, -1] < limits["repurchase_threshold"]) & (curves.upper < 1.0)
    unknown = (basis == DEFAULT) | (np.isinf(gap) & ~for_good) | (is_rare & ~for_good)
    default = max(limits["default_cooldown_days"], limits["min_cooldown_days"])
    gap = np.where(
        unknown, np.where(is_rare & np.isfinite(gap), np.maximum(gap, default), default), gap
    )
    basis = np.where(unknown, DEFAULT, basis)
    known = Terms(
        gap=gap,
        typical=np.minimum(curves.gaps(0.5), 3650.0),
        usual_quantity=curves.usual_quantity.astype(np.float64),
        is_learned=~unknown,
        basis=basis,
        is_on=np.ones(len(gap), dtype=bool),
        offset=level.logistic.offsets(level.targets),
        soon=curve_odds(curves, config.repurchase_horizon_days),
    )
    stray = known.take(np.array([len(gap) - 1]))
    stray.gap[:], stray.is_learned[:], stray.basis[:] = default, False, DEFAULT
    return Terms(
        *(
            np.concatenate([getattr(known, name), getattr(stray, name)])
            for name in known.__dataclass_fields__
        )
    )


@dataclass(frozen=True, eq=False)
class Rules:
    """Everything that decides, laid out for one space of products; compiled once, then read.

    Parameters
    ----------
    space : ProductSpace
    product, group, type : Terms
        By product, group and type number of the space; the last row of `product`, number -1,
        is for what nothing knows.
    is_one_per_need : bool, shape (n_types,)
    weights : tuple of three Logistic
        The repurchase probability of each level.
    min_days, return_days, rhythm_strength : float
    returned_is_on : bool
    """

    space: ProductSpace
    product: Terms
    group: Terms
    type: Terms
    is_one_per_need: NDArray[np.bool_]
    weights: tuple[Logistic, Logistic, Logistic]
    min_days: float
    return_days: float
    rhythm_strength: float
    returned_is_on: bool

    @cached_property
    def bought_once(self) -> BoughtOnce:
        """What is known of things that were bought once."""
        return BoughtOnce(self)

    @cached_property
    def enough(self) -> frozenset[int]:
        """The numbers of the one-per-need types."""
        return frozenset(np.flatnonzero(self.is_one_per_need).tolist())

    @property
    def levels(self) -> tuple[Terms, Terms, Terms]:
        """The terms of the three scopes, in the order of `SCOPES`."""
        return self.product, self.group, self.type


def type_rules(space: ProductSpace, policy: Policy) -> dict[int, tuple[bool, float | None]]:
    """Return what the shop decided for each type of the space: suppress, and fixed days."""
    rules: dict[int, tuple[bool, float | None]] = {}
    if policy.types:
        for num, name in enumerate(space.types):
            rule = policy.type_rule(name)
            if rule is not None:
                days = math.inf if rule.cooldown_days == FOR_GOOD else rule.cooldown_days
                rules[num] = (rule.suppress, None if days is None else float(days))
    return rules


class Judgement(NamedTuple):
    """What the artifact holds for decisions, with policy applied to the rows of its curves."""

    levels: tuple[LevelModel, LevelModel, LevelModel]
    substitutes: Substitutes
    config: EngineConfig
    policy: Policy
    terms: tuple[Terms, Terms, Terms]

    @classmethod
    def under(
        cls,
        levels: tuple[LevelModel, LevelModel, LevelModel],
        substitutes: Substitutes,
        config: EngineConfig,
        policy: Policy,
    ) -> Self:
        """Return the judgement under a policy."""
        first, second, third = (terms_of(level, config, policy) for level in levels)
        return cls(levels, substitutes, config, policy, (first, second, third))

    def rules(self, space: ProductSpace) -> Rules:
        """Return the rules for one space of products."""
        limits = _thresholds(self.config, self.policy)
        by_type, policy = type_rules(space, self.policy), self.policy
        types_of = [space.array("type"), space.type_of_group, np.arange(len(space.types))]
        strays = np.asarray(space.is_stray, dtype=bool)
        curves = [level.curves for level in self.levels]
        rows = [_rows(curves[i], types_of[i]) for i in range(3)]
        stray = len(curves[0].upper)
        rows[0] = np.append(np.where(strays, stray, rows[0]), stray)
        types_of[0] = np.append(types_of[0], -1)
        terms = [self.terms[i].take(rows[i]) for i in range(3)]
        on = [policy.is_on(rule) for rule in REASONS[:3]]
        first, second, third = self.levels
        return Rules(
            space=space,
            product=terms[0].under(types_of[0], by_type, on[0]),
            group=terms[1].under(types_of[1], by_type, on[1]),
            type=terms[2].under(types_of[2], by_type, on[2]),
            is_one_per_need=self.one_per_need(space),
            weights=(first.logistic, second.logistic, third.logistic),
            min_days=limits["min_cooldown_days"],
            return_days=limits["return_cooldown_days"],
            rhythm_strength=self.config.rhythm_strength,
            returned_is_on=policy.is_on("returned"),
        )

    def one_per_need(self, space: ProductSpace) -> NDArray[np.bool_]:
        """Return which types of the space are one-per-need, the shop's word first."""
        out = np.zeros(len(space.types), dtype=bool)
        learned = self.substitutes.is_one_per_need
        out[: len(learned)] = learned
        if self.policy.types:
            for num, name in enumerate(space.types):
                rule = self.policy.type_rule(name)
                if rule is not None and rule.one_per_need is not None:
                    out[num] = rule.one_per_need
        return out


def _rows(curves: Curves, types: Ints) -> Ints:
    """Return the row of each target: its own, or its type's, or what stands for all."""
    known = (types >= 0) & (types < curves.n_types)
    fall_back = curves.n_targets + np.where(known, types, curves.n_types)
    nums = np.arange(len(types))
    return np.where(nums < curves.n_targets, nums, fall_back)
