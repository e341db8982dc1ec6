"""The present: the only clock of the command line."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """Return the present, in UTC."""
    return dt.datetime.now(dt.UTC)  # noqa: TID251 - commands hand the time to the library
