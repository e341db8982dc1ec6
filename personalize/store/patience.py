"""How long a store waits before it says that it cannot."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from personalize.errors import InvalidConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a store waits; what takes longer is a `StoreError`.

    Parameters
    ----------
    read_seconds : float, > 0
        For the answer to a question of a request, from asking on. A new connection to a server
        may take as long besides, 2 s at least: no shorter time can be asked for.
    write_seconds : float, > 0
        For a write to be durable, waiting for other writers included.
    bulk_seconds : float, > 0
        For each step of what moves whole tables: imports, exports, the catalogue, new tables.
    quiet_seconds : float, > 0
        After a server could not be reached, so long every question fails at once; then one of
        them tries again. A file is never tried so.
    """

    read_seconds: float = 1.0
    write_seconds: float = 10.0
    bulk_seconds: float = 300.0
    quiet_seconds: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise InvalidConfigError(
                    f"{field.name}: {value!r}; allowed is a number of seconds above 0, finite",
                    field=field.name,
                    value=value,
                )
