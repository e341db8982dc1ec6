"""What was sold before a cut, summed up: with it, recent orders alone tell today's demand.

The artifact holds these sums, per product and never per customer, so that demand can be refreshed
from a bounded window of the store: the orders since `Past.since`. How a sale fades is a power of
its age and no sum of it fades alike, so the sums are kept for a few later days; between them, and
behind the last, they are drawn on a line of the logarithms, on which they lie to one percent.
What changes in an order from before the cut counts with the next training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from personalize.config import EngineConfig
from personalize.demand import N_PERIODS, Sales, Sold, period_of
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]

CUT_DAYS: Final = 60
"""The cut lies so many days before the training: returns come mostly sooner."""
LATER_DAYS: Final = (0.0, 7.0, 20.0, 45.0, 100.0, 200.0, 400.0)
"""Days after the training for which fading sales are summed."""
_LEVELS: Final = ("product", "item_group", "product_type")


@dataclass(frozen=True, eq=False)
class Past:
    """Sales before ``since``.

    Parameters
    ----------
    as_of, since, first_at : int, microseconds UTC
        Of the training; the cut; the first purchase of a known customer.
    ever : float64, shape (n_products,)
        Order lines of each product.
    now : float64, shape (7, n_products)
        The same, fading, after each of `LATER_DAYS`.
    season : float64, shape (n_products,)
        The same, as the season of the training counts them.
    periods : float32, shape (N_PERIODS, n_products)
        The same, by periods, that of the training first.
    occasions : tuple of int64 arrays, shape (n_targets,) each
        Purchases of each product, item group and product type by known customers.
    """

    as_of: int
    since: int
    first_at: int
    ever: Array
    now: Array
    season: Array
    periods: Array
    occasions: tuple[Array, Array, Array]

    @classmethod
    def fit(
        cls,
        nums: Array,
        times: Array,
        n_products: int,
        config: EngineConfig,
        as_of: int,
        sold: Sequence[Sold],
    ) -> Self:
        """Return the past of order lines given as to `Sales.of_lines`.

        Parameters
        ----------
        sold : sequence of Sold
            Purchases before `cut_of`, of each level.
        """
        since = cut_of(as_of)
        is_old = times < since
        nums, times = nums[is_old], times[is_old]
        then = Sales.of_lines(nums, times, n_products, config, as_of)
        later = [
            Sales.now_of_lines(nums, times, n_products, config, as_of + int(days * DAY))
            for days in LATER_DAYS[1:]
        ]
        first, second, third = (each.n_sold for each in sold)
        return cls(
            as_of=as_of,
            since=since,
            first_at=min(each.first_at for each in sold),
            ever=then.ever,
            now=np.stack([then.now, *later]),
            season=then.season,
            periods=then.periods.astype(np.float32),
            occasions=(first, second, third),
        )

    def sales(self, config: EngineConfig, as_of: int) -> Sales:
        """Return these sales as they count at a moment after the training."""
        later = (as_of - self.as_of) / DAY
        scale = CUT_DAYS + 1.0 / Sales.fading_rate(config)
        days = np.log(scale + np.array(LATER_DAYS))
        at = np.log(scale + later)
        low = min(int(np.searchsorted(days, at, side="right")) - 1, len(days) - 2)
        share = (at - days[low]) / (days[low + 1] - days[low])
        is_sold = self.ever > 0
        earlier, after = np.log(self.now[[low, low + 1]][:, is_sold])
        now = np.zeros(len(self.ever))
        now[is_sold] = np.exp(earlier + share * (after - earlier))
        gone = min(int(period_of(as_of) - period_of(self.as_of)), N_PERIODS)
        periods = np.zeros(self.periods.shape)
        periods[gone:] = self.periods[: N_PERIODS - gone]
        return Sales(self.ever, now, self.season * Sales.season_left(later), periods)

    def sold(self) -> tuple[Sold, Sold, Sold]:
        """Return the purchases of each level."""
        first, second, third = (Sold(n_sold, self.first_at) for n_sold in self.occasions)
        return first, second, third

    def arrays(self) -> dict[str, Array]:
        """Return every array by its name in the artifact."""
        out = {"past_ever": self.ever, "past_now": self.now, "past_season": self.season}
        out["past_periods"] = self.periods
        out |= {f"past_{name}_sold": n for name, n in zip(_LEVELS, self.occasions, strict=True)}
        moments = np.array([self.as_of, self.since, self.first_at], dtype=np.int64)
        return out | {"past_moments": moments}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self | None:
        """Return the past of `arrays`, or None if they are of an earlier release, without one."""
        if "past_moments" not in arrays:
            return None
        as_of, since, first_at = arrays["past_moments"].tolist()
        first, second, third = (arrays[f"past_{name}_sold"] for name in _LEVELS)
        return cls(
            as_of=as_of,
            since=since,
            first_at=first_at,
            ever=arrays["past_ever"],
            now=arrays["past_now"],
            season=arrays["past_season"],
            periods=arrays["past_periods"],
            occasions=(first, second, third),
        )


def cut_of(as_of: int) -> int:
    """Return the cut of a training, microseconds UTC."""
    return as_of - CUT_DAYS * DAY
