"""How wanted each product is now, against its own past.

What sells now sells next: a product's share of the sales now over its share of all sales, to a
power, multiplies what is recommended next; the share now alone orders what is popular. "Now" fades:
a sale counts half after so many days. Cheap to compute, so that it can be refreshed without
learning anything else again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np

from personalize.config import EngineConfig
from personalize.times import DAY

Array = np.ndarray[Any, np.dtype[Any]]

PRIOR_LINES: Final = 0.5
"""Order lines now that a product's own past counts for: keeps the factor of a rare one near 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Demand of every product at one moment.

    Parameters
    ----------
    factors : float32, shape (n_products,)
        What a score is multiplied with; 1 is as ever, above 0.
    popularity : float32, shape (n_products,)
        Share of the sales now, shrunken to the share of all sales; sums to 1.
    """

    factors: Array
    popularity: Array

    @classmethod
    def fit(
        cls, nums: Array, times: Array, n_products: int, config: EngineConfig, as_of: int
    ) -> Self:
        """Return the demand just before `as_of`.

        Parameters
        ----------
        nums : int, shape (n_lines,)
            Product of every kept order line before `as_of`.
        times : int64, microseconds, shape (n_lines,)
            When it was ordered.
        n_products : int
            Products that have a number.
        config : EngineConfig
            ``demand_window_days`` and ``demand_exponent``.
        as_of : int, microseconds
            Now.
        """
        fade = np.exp2((times - as_of) / (config.demand_window_days * DAY))
        ever = np.bincount(nums, minlength=n_products).astype(np.float64)
        now = np.bincount(nums, weights=fade, minlength=n_products)
        expected = ever * (now.sum() / max(ever.sum(), 1.0))
        ratio = (now + PRIOR_LINES) / (expected + PRIOR_LINES)
        factors = ratio**config.demand_exponent
        share = ever / max(ever.sum(), 1.0)
        popularity = (now + PRIOR_LINES * share) / (now.sum() + PRIOR_LINES)
        return cls(factors.astype(np.float32), popularity.astype(np.float32))

    def arrays(self) -> dict[str, Array]:
        """Return every array by name, for the artifact."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the demand of `arrays`."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})
