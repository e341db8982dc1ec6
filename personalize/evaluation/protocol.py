"""How an evaluation is set up, and which words it uses for its rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from personalize.config import Range
from personalize.errors import InvalidConfigError

OURS: Final = "personalize"
PLAIN: Final = "personalize (no catalogue)"
PEERS: Final = ("all", "best", "none")
BEST: Final = ("popularity, 30", "log-likelihood", "EASE", "co-purchase")
"""Beginnings of the names of the peers that are strongest on the sets tried."""
TITLES: Final = {"A": "Basket completion", "B": "Follow-up", "S": "Suppression"}

_RANGES: Final = {
    "horizon_days": Range(1, 3650),
    "min_lines": Range(1, 1_000_000),
    "max_queries": Range(1, 100_000_000),
    "max_pairs": Range(1, 1_000_000_000),
    "max_ease_products": Range(0, 1_000_000),
    "n_resamples": Range(100, 1_000_000),
    "seed": Range(0, 2**31 - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What is asked, and how much of it.

    Parameters
    ----------
    horizon_days : float or None, days
        Task S asks who buys again so soon; None: the configuration's `repurchase_horizon_days`,
        or the whole days of the test period where that is shorter.
    min_lines : int
        Products in fewer training orders are in no query and no truth of A and B.
    max_queries : int
        Of each of A and B; more are sampled.
    max_pairs : int
        Of S; with more, customers are sampled.
    max_ease_products : int
        With more products EASE is left out.
    n_resamples : int
        Of the bootstrap.
    seed : int
        Of every draw.
    with_suppression : bool
        Whether task S is measured.

    Raises
    ------
    InvalidConfigError
        If a value is out of range.
    """

    horizon_days: float | None = None
    min_lines: int = 5
    max_queries: int = 20_000
    max_pairs: int = 500_000
    max_ease_products: int = 15_000
    n_resamples: int = 2_000
    seed: int = 0
    with_suppression: bool = True

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            if name != "horizon_days" or self.horizon_days is not None:
                allowed.check(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """Return every value by name."""
        return asdict(self)


def check_peers(which: str) -> None:
    """Raise unless `which` is one of `PEERS`.

    Raises
    ------
    InvalidConfigError
        With what there is.
    """
    if which not in PEERS:
        raise InvalidConfigError(
            f"peers: {which!r} is none of {', '.join(PEERS)}", field="peers", value=which
        )
