"""Every parameter of the engine, stated once, with its unit and its range.

What a shop decides day by day (days per type, rules on or off) is policy, not configuration:
see `personalize.policy`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Self

from personalize.errors import InvalidConfigError


@dataclass(frozen=True, slots=True)
class Range:
    """The values a number may take: from `low` to `high`, both included."""

    low: float
    high: float

    def check(self, field: str, value: float) -> None:
        """Raise if `value` is outside.

        Raises
        ------
        InvalidConfigError
            With the field, the value and the range.
        """
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:  # NaN is never between
            raise InvalidConfigError(
                f"{field}: {value!r} is not a number from {self.low:g} to {self.high:g}",
                field=field,
                value=value,
            )


RANGES: Mapping[str, Range] = {
    "repurchase_horizon_days": Range(1, 3650),
    "due_quantile": Range(0.01, 0.99),
    "repurchase_threshold": Range(0.0, 1.0),
    "min_cooldown_days": Range(0, 3650),
    "default_cooldown_days": Range(1, 36500),
    "return_cooldown_days": Range(0, 36500),
    "min_customers": Range(1, 1_000_000),
    "half_life_days": Range(1, 36500),
    "n_neighbours": Range(1, 10_000),
    "ridge_neighbours": Range(1, 1_000),
    "ridge": Range(0.001, 1_000_000.0),
    "ridge_share": Range(0.0, 1.0),
    "owners_share": Range(0.0, 1.0),
    "specificity": Range(0.0, 1.0),
    "demand_window_days": Range(1, 365),
    "demand_exponent": Range(0.0, 4.0),
    "passed_over": Range(0.0, 10.0),
    "curve_strength": Range(0.1, 100_000.0),
    "rhythm_strength": Range(0.0, 100_000.0),
    "one_per_need_window_days": Range(7, 3650),
    "one_per_need_ratio": Range(0.0, 1.0),
    "new_share": Range(0.0, 0.5),
    "n_repurchase_windows": Range(1, 50),
    "seed": Range(0, 2**32 - 1),
}
_WHOLE = frozenset(
    {"min_customers", "n_neighbours", "ridge_neighbours", "n_repurchase_windows", "seed"}
)


def reject_unknown(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raise if `given` has a key that is not `known`, offering the nearest.

    Raises
    ------
    InvalidConfigError
        For the first unknown key.
    """
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvalidConfigError(
                f"{where}: unknown key {key!r}{hint} (known: {', '.join(known)})",
                field=str(key),
                value=given[key],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How an engine learns and decides; one default for every shop.

    Parameters
    ----------
    repurchase_horizon_days : float, days
        ``repurchase_probability`` is the chance of buying again within so many days.
    due_quantile : float, share
        The gap is this quantile of the time to the next purchase among those who bought again.
    repurchase_threshold : float, share
        A chance of buying again within 365 days below this, even at its 90% upper bound:
        suppressed for good.
    min_cooldown_days : float, days
        No gap is shorter.
    default_cooldown_days : float, days
        The gap where there is too little to learn from.
    return_cooldown_days : float, days
        How long a product that was sent back stays away.
    min_customers : int
        A pair of products counts only if so many different customers made it (privacy).
    half_life_days : float, days
        An order this old counts half in what is bought together.
    n_neighbours : int
        Complements kept per product.
    ridge_neighbours : int
        Nearest products that the neighbourhood ridge looks at, for each product.
    ridge : float
        L2 penalty of the neighbourhood ridge.
    ridge_share : float, share
        Weight of the ridge beside the conditional probability in complements of a basket.
    owners_share : float, share
        Weight of co-ownership (customers who own both, in whatever orders) beside sharing an
        order in complements of a basket.
    specificity : float
        The dial between the most likely complements (0) and the most specific ones (1, as lift
        has it): a score is divided by the product's share of all sales to this power.
    demand_window_days : float, days
        A sale this old counts half in what is wanted now.
    demand_exponent : float
        How strongly demand now moves what is recommended next, before the shop's newest orders say
        how much more or less (`personalize.mixing`); 0 switches both off.
    passed_over : float
        How much less is recommended next what sold most when the customer last came, and what they
        left: a score is divided by 1 plus this times the product's share of the best-seller's sales
        then, unless the shop's newest orders speak for twice that or nothing
        (`personalize.mixing`); 0 switches both off.
    curve_strength : float, purchases
        Evidence that a repurchase curve's parent (group, type, all) counts for.
    rhythm_strength : float, gaps
        Evidence that the learned gap counts for beside a customer's own rhythm.
    one_per_need_window_days : float, days
        How long buyers of a type are followed to see whether they buy another of it.
    one_per_need_ratio : float, share
        A type is one-per-need if its buyers buy another less than this share as often as chance
        would have it, even at the 90% upper bound.
    new_share : float, share
        Places of a list kept for new products alike to what goes with the anchors; by default
        they only fill what was left free.
    n_repurchase_windows : int
        Earlier cutoffs on which the repurchase probability is fitted.
    seed : int
        For everything random.

    Raises
    ------
    InvalidConfigError
        If a value is outside its range in `RANGES`.
    """

    repurchase_horizon_days: float = 30.0
    due_quantile: float = 0.25
    repurchase_threshold: float = 0.1
    min_cooldown_days: float = 7.0
    default_cooldown_days: float = 365.0
    return_cooldown_days: float = 30.0
    min_customers: int = 3
    half_life_days: float = 180.0
    n_neighbours: int = 100
    ridge_neighbours: int = 200
    ridge: float = 350.0
    ridge_share: float = 0.3
    owners_share: float = 0.1
    specificity: float = 0.1
    demand_window_days: float = 6.0
    demand_exponent: float = 1.0
    passed_over: float = 0.7
    curve_strength: float = 20.0
    rhythm_strength: float = 2.0
    one_per_need_window_days: float = 180.0
    one_per_need_ratio: float = 0.7
    new_share: float = 0.0
    n_repurchase_windows: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            RANGES[field.name].check(field.name, value)
            if field.name in _WHOLE and not isinstance(value, Integral):
                raise InvalidConfigError(
                    f"{field.name}: {value!r} is not a whole number", field=field.name, value=value
                )
            plain = int(value) if field.name in _WHOLE else float(value)  # numpy's numbers too
            object.__setattr__(self, field.name, plain)

    def to_dict(self) -> dict[str, float]:
        """Return every parameter by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return a configuration from names and values; missing ones take their defaults.

        Raises
        ------
        InvalidConfigError
            If a key is unknown (the nearest is offered) or a value out of range.
        """
        reject_unknown(given, tuple(RANGES), "config")
        return cls(**given)
