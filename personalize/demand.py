"""How wanted each product is now, against its own past.

What sells now sells next: a product's share of the sales now over its share of all sales, to a
power, multiplies what is recommended next; the share now alone orders what is popular. Complements
move with the season in the same way, but slower and less. "Now" fades: a sale counts half after so
many days, and later ever more slowly less, so that what sold a month ago is not forgotten. Cheap
to compute, so that it can be refreshed without learning anything else again.

What sold most when a customer last came they will have seen, and left: not buying says something
of what was on offer, and nothing of what was not (exposure, after Liang et al., Modeling User
Exposure in Recommendation, WWW 2016). Sales by periods of four weeks stand for what was on offer.
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
PERIOD: Final = 28 * DAY
"""Microseconds of a period of sales; the first one begins with 1970 UTC."""
N_PERIODS: Final = 13
"""Periods that are looked at, the newest included; who last came before them passed nothing."""
FEW_LINES: Final = 10.0
"""Order lines added to the best-seller's of a period: where little sells, little is passed over.
Chosen with ``passed_over`` on four earlier months of retail, where NDCG@10 of what comes next is
0.8% to 1.6% higher than without; lengths of 7 to 30 days give 0.8% to 1.7%."""
FLOOR: Final = 0.6
"""Weight of a product's share of the season's sales beside its chance given an unknown anchor."""
FLOOR_ORDERS: Final = 30.0
"""Orders of the anchors at which that weight is halved: who is known well needs no guess."""


def period_of(times: Any) -> Any:
    """Return the period of each moment, counted from 1970."""
    return times // PERIOD


def what_is_left(periods: Array, passed_over: float) -> Array:
    """Return what is left of each product's score once it was passed over in a period.

    Parameters
    ----------
    periods : float64, shape (n_periods, n_products)
        Order lines.
    passed_over : float
        What is left of the best-seller is 1 / (1 + this), or more where little sells.

    Returns
    -------
    float64, shape (n_periods, n_products), above 0 and at most 1
    """
    best = periods.max(axis=1, initial=0.0, keepdims=True)
    return np.asarray(1.0 / (1.0 + passed_over * periods / (best + FEW_LINES)))


class Mix(NamedTuple):
    """How far what comes next follows demand; learned by `personalize.mixing`."""

    exponent: float
    """Times ``demand_exponent``: how strongly demand now moves the scores of a history."""
    popular_share: float
    """Score of what everybody wants most beside the highest of a history."""
    passed_over: float
    """Times ``passed_over``: how much less counts what a customer saw and left."""


PLAIN: Final = Mix(1.0, 0.0, 1.0)


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
    periods : float64, shape (N_PERIODS, n_products)
        Those of each period, the one of the moment first.
    """

    ever: Array
    now: Array
    season: Array
    periods: Array

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
        now = cls.now_of_lines(nums, times, n_products, config, as_of)
        back = period_of(as_of) - period_of(times)
        use = back < N_PERIODS
        cells = back[use] * n_products + nums[use]
        periods = np.bincount(cells, minlength=N_PERIODS * n_products).astype(np.float64)
        return cls(ever, now, season, periods.reshape(N_PERIODS, n_products))

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
        return Sales(
            self.ever + other.ever,
            self.now + other.now,
            self.season + other.season,
            self.periods + other.periods,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Demand of every product at one moment.

    Parameters
    ----------
    factors : float32, shape (1 + N_PERIODS or 1, n_products)
        What a score of the history is multiplied with; 1 is as ever, above 0. The first row is for
        customers who passed nothing over, the next for those who last came in the newest period,
        and so on backwards; only the first where nothing that is passed over counts less.
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
    newest_period : int64, shape (1,)
        The period of the moment, counted from 1970.
    """

    factors: Array
    popularity: Array
    season: Array
    season_factors: Array
    pull: Array
    newest_period: Array

    @classmethod
    def of_sales(cls, sales: Sales, config: EngineConfig, as_of: int, mix: Mix = PLAIN) -> Self:
        """Return the demand behind the sales of every product before `as_of` (microseconds).

        `config` says ``demand_exponent``, ``passed_over`` and ``specificity``, `mix` how far to
        follow them.
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
        factors = change[None] ** (config.demand_exponent * mix.exponent)
        passed_over = config.passed_over * mix.passed_over
        if passed_over:
            left = what_is_left(sales.periods, passed_over)
            factors = np.concatenate([factors, factors * left])
        pull = mix.popular_share * popularity / max(popularity.max(initial=0.0), 1e-300)
        return cls(
            factors=np.maximum(factors, np.finfo(np.float32).tiny).astype(np.float32),
            popularity=popularity.astype(np.float32),
            season=season.astype(np.float32),
            season_factors=(turn**SEASON_EXPONENT * size**-config.specificity).astype(np.float32),
            pull=pull.astype(np.float32),
            newest_period=np.array([period_of(as_of)], np.int64),
        )

    def came(self, last_at: Any) -> Any:
        """Return the row of `factors` for customers who last came then.

        Parameters
        ----------
        last_at : int64, microseconds UTC, any shape
            `MISSING` where they never came.

        Returns
        -------
        int64, of the same shape
        """
        # Who came since demand was last made has seen what sold then.
        back = np.maximum(self.newest_period[0] - period_of(last_at), 0)
        return np.where(back < len(self.factors) - 1, back + 1, 0)

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

    def of_next(self, nums: Array, scores: Array, came: int = 0) -> Array:
        """Return the scores of what comes next, from those of the history; as `of_complements`.

        `came` is the customer's row of `factors`, see `came`.
        """
        return np.asarray(scores * self.factors[came, nums].astype(np.float64))

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
