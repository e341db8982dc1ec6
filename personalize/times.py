"""Moments in time: microseconds since 1970 UTC inside, aware datetimes outside.

One representation everywhere keeps comparisons exact and fast. A naive time is UTC; readers
that know better (a stated zone) convert before they come here.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np

from personalize.errors import InvalidConfigError

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
MISSING: Final = int(np.iinfo(np.int64).min)
"""No time at all (NaT)."""
FOREVER: Final = int(np.iinfo(np.int64).max)
"""For good: later than every moment."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

Moment = dt.datetime | dt.date | str | np.datetime64
"""What a caller may hand in as a moment."""


def to_micros(value: Moment) -> int:
    """Return a moment as microseconds since 1970-01-01 UTC.

    Parameters
    ----------
    value : datetime (a Timestamp too), date, str or datetime64
        A naive value is taken as UTC; a string as ISO 8601.

    Raises
    ------
    InvalidConfigError
        If it is no moment between the years 1 and 9999.

    Examples
    --------
    >>> to_micros("1970-01-02")
    86400000000
    """
    try:
        if type(value) is dt.datetime:  # the hot path: a Timestamp takes as long as a decision
            moment = value
        elif isinstance(value, str):
            moment = dt.datetime.fromisoformat(value.strip())
        elif isinstance(value, (dt.date, np.datetime64)):
            import pandas as pd

            stamp = pd.Timestamp(value)
            if stamp is pd.NaT:
                raise ValueError("no time")
            moment = stamp.to_pydatetime(warn=False)
        else:
            raise TypeError("not a moment")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise InvalidConfigError(
            f"time: {value!r} is no moment; give a datetime or ISO 8601 text such as "
            "2026-11-22T05:04:00Z",
            value=value,
        ) from error


def to_datetime(micros: int) -> dt.datetime:
    """Return the aware UTC datetime of `micros` microseconds since 1970.

    Examples
    --------
    >>> to_datetime(86_400_000_000)
    datetime.datetime(1970, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return _EPOCH + dt.timedelta(microseconds=micros)


def to_rfc3339(micros: int) -> str:
    """Return `micros` as RFC 3339 text in UTC; a fraction only where there is one.

    Examples
    --------
    >>> to_rfc3339(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    return to_datetime(micros).isoformat().replace("+00:00", "Z")
