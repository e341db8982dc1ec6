"""How wanted each product is now, against its own past.

What sells now sells next: a product's share of the sales now over its share of all sales, to a
power, multiplies what is recommended next; the share now alone orders what is popular. Complements
move with the season in the same way, but slower and less. "Now" fades: a sale counts half after so
many days, and later ever more slowly less, so that what sold a month ago is not forgotten. Cheap
to compute, so that it can be refreshed without learning anything else again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, Self

import numpy as np

from personalize.config import EngineConfig
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]

FADING_POWER: Final = 3.0
"""A sale's weight now falls with this power of its age. Chosen with `PRIOR_LINES` and the window on
four earlier months of retail, where NDCG@10 of what comes next is 0.9% higher than with a half-life
of 7 days, and two of groceries, where it is 0.3% lower."""
PRIOR_LINES: Final = 0.1
"""Order lines now that a product's own past counts for: one sale of a product that is new
multiplies its score by 11 at most."""
SEASON_DAYS: Final = 30.0
"""A sale this old counts half in the season of complements."""
SEASON_EXPONENT: Final = 0.2
"""How strongly the season moves complements. Chosen on three earlier months: NDCG@10 gains 0.1% to
0.8% in each over no season; at 0.4 the last of them loses 0.6%."""
FLOOR: Final = 0.6
"""Weight of a product's share of the season's sales beside its chance given an unknown anchor."""
FLOOR_ORDERS: Final = 30.0
"""Orders of the anchors at which that weight is halved: who is known well needs no guess."""


class Mix(NamedTuple):
    """How far what comes next follows demand; learned by `personalize.mixing`."""

    exponent: float
    """Times ``demand_exponent``: how strongly demand now moves the scores of a history."""
    popular_share: float
    """Score of what everybody wants most beside the highest of a history."""


PLAIN: Final = Mix(1.0, 0.0)


class Sold(NamedTuple):
    """Purchases before a moment: ``n_sold`` of each target, and when the first one was made."""

    n_sold: Array
    first_at: int


@dataclass(frozen=True, slots=True, eq=False)
class Sales:
    """Order lines of every product, as they count at one moment.

    Parameters
    ----------
    ever : float64, shape (n_products,)
        How many there are.
    now, season : float64, shape (n_products,)
        The same, each counting less the older it is.
    """

    ever: Array
    now: Array
    season: Array

    @classmethod
    def of_lines(
        cls, nums: Array, times: Array, n_products: int, config: EngineConfig, as_of: int
    ) -> Self:
        """Return the sales of order lines just before `as_of`.

        Parameters
        ----------
        nums : int, shape (n_lines,)
            Product of every kept order line before `as_of`.
        times : int64, microseconds, shape (n_lines,)
            When it was ordered.
        n_products : int
            Products that have a number.
        config : EngineConfig
            ``demand_window_days``.
        as_of : int, microseconds
            Now.
        """
        left = cls.season_left((as_of - times) / DAY)
        ever, season = (
            np.bincount(nums, weights, minlength=n_products).astype(np.float64)
            for weights in (None, left)
        )
        return cls(ever, cls.now_of_lines(nums, times, n_products, config, as_of), season)

    @classmethod
    def now_of_lines(
        cls, nums: Array, times: Array, n_products: int, config: EngineConfig, as_of: int
    ) -> Array:
        """Return `now` alone."""
        age = (as_of - times) / DAY
        fade = (1.0 + age * cls.fading_rate(config)) ** -FADING_POWER
        return np.bincount(nums, fade, minlength=n_products).astype(np.float64)

    @staticmethod
    def fading_rate(config: EngineConfig) -> float:
        """Return how fast a sale fades, per day: its weight is ``(1 + age * rate) ** -POWER``."""
        return float((2.0 ** (1.0 / FADING_POWER) - 1.0) / config.demand_window_days)

    @staticmethod
    def season_left(days: Any) -> Any:
        """Return what is left of a sale in the season of complements after so many days."""
        return np.exp2(-days / SEASON_DAYS)

    def __add__(self, other: Sales) -> Sales:
        """Return both together."""
        return Sales(self.ever + other.ever, self.now + other.now, self.season + other.season)


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Demand of every product at one moment.

    Parameters
    ----------
    factors : float32, shape (n_products,)
        What a score of the history is multiplied with; 1 is as ever, above 0.
    popularity : float32, shape (n_products,)
        Share of the sales now, shrunken to the share of all sales; sums to 1.
    season : float32, shape (n_products,)
        Share of the season's sales, shrunken likewise: added to a complement's chance given an
        anchor of which few orders say little.
    season_factors : float32, shape (n_products,)
        What the sum is multiplied with: the season against the past, and ``specificity``.
    pull : float32, shape (n_products,)
        What is added where the history alone speaks, times its highest score: popularity, the
        greatest being ``popular_share``; at least 0.
    """

    factors: Array
    popularity: Array
    season: Array
    season_factors: Array
    pull: Array

    @classmethod
    def of_sales(cls, sales: Sales, config: EngineConfig, mix: Mix = PLAIN) -> Self:
        """Return the demand behind the sales of every product.

        `config` says ``demand_exponent`` and ``specificity``, `mix` how far to follow it.
        """
        ever = sales.ever
        total = max(ever.sum(), 1.0)

        def moved(now: Array) -> tuple[Array, Array]:
            """Return how demand has changed, and the share of sales that count so much."""
            expected = ever * (now.sum() / total)
            ratio = (now + PRIOR_LINES) / (expected + PRIOR_LINES)
            return ratio, (now + PRIOR_LINES * (ever / total)) / (now.sum() + PRIOR_LINES)

        change, popularity = moved(sales.now)
        turn, season = moved(sales.season)
        usual = ever.sum() / max(np.count_nonzero(ever), 1)
        size = (ever + PRIOR_LINES) / (usual + PRIOR_LINES)
        found = (
            change ** (config.demand_exponent * mix.exponent),
            popularity,
            season,
            turn**SEASON_EXPONENT * size**-config.specificity,
            mix.popular_share * popularity / max(popularity.max(initial=0.0), 1e-300),
        )
        return cls(*(each.astype(np.float32) for each in found))

    @staticmethod
    def floor(n_orders: float) -> float:
        """Return the weight of the season beside chances that rest on so many orders."""
        return FLOOR * FLOOR_ORDERS / (FLOOR_ORDERS + n_orders)

    def of_complements(self, nums: Array, chances: Array, n_orders: float) -> Array:
        """Return the scores of complements, from their chances given the anchors.

        Parameters
        ----------
        nums : int, shape (n,)
            Product numbers.
        chances : float64, shape (n,)
        n_orders : float
            Orders of the anchors, which the chances rest on.

        Returns
        -------
        float64, shape (n,)
        """
        season = self.floor(n_orders) * self.season[nums].astype(np.float64)
        return np.asarray((chances + season) * self.season_factors[nums].astype(np.float64))

    def of_next(self, nums: Array, scores: Array) -> Array:
        """Return the scores of what comes next, from those of the history; as `of_complements`."""
        return np.asarray(scores * self.factors[nums].astype(np.float64))

    def pulled(self, nums: Array, scores: Array, top: float) -> Array:
        """Return scores of what comes next with what everybody wants beside the highest, `top`."""
        return np.asarray(scores + top * self.pull[nums].astype(np.float64))

    def arrays(self) -> dict[str, Array]:
        """Return every array by name, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the demand of `arrays`."""
        return cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})
