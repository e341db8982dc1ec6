"""Moments are whole microseconds since 1970 UTC, exact in both directions."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import personalize as pz
from personalize.times import DAY, FOREVER, MISSING, SECOND, to_datetime, to_micros, to_rfc3339

NOON = 1_795_348_800_000_000  # 20,779 days and a half after 1970
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T12:00:00Z",
        "2026-11-22T12:00:00",
        " 2026-11-22 12:00 ",
        "2026-11-22T13:00:00+01:00",
        dt.datetime(2026, 11, 22, 12),
        dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 22, 13, tzinfo=BERLIN),
        pd.Timestamp("2026-11-22T12:00:00"),
        pd.Timestamp("2026-11-22T13:00:00", tz="Europe/Berlin"),
        np.datetime64("2026-11-22T12"),
        np.datetime64("2026-11-22T12:00:00", "ns"),
    ],
)
def test_one_moment_in_many_forms(value: Any) -> None:
    """All forms of one moment are one number; a naive one is UTC."""
    assert to_micros(value) == NOON


@pytest.mark.parametrize(
    "value", [dt.date(2026, 11, 22), "2026-11-22", "20261122", np.datetime64("2026-11-22")]
)
def test_a_date_is_its_first_moment(value: Any) -> None:
    """A date is midnight UTC."""
    assert to_micros(value) == NOON - DAY // 2


def test_a_clock_set_back_is_two_moments() -> None:
    """The hour that comes twice in autumn is told apart by its fold."""
    first = dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    assert to_micros(first.replace(fold=1)) - to_micros(first) == 3600 * SECOND


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "",
        "2026-13-01",
        "now",
        None,
        pd.NaT,
        np.datetime64("NaT"),
        20261122,
        1.5,
        True,
        np.datetime64("20000-01-01"),
        np.datetime64("-1-01-01"),
        [dt.date(2026, 1, 1)],
    ],
)
def test_what_is_no_moment_is_refused(value: Any) -> None:
    """Words, numbers, nothing at all and years beyond the calendar are no moments."""
    with pytest.raises(pz.InvalidConfigError, match=r"is no moment; give .* such as 2026-11-22T"):
        to_micros(value)


@pytest.mark.parametrize("value", [dt.date.min, dt.date.max, dt.datetime.min, dt.datetime.max])
def test_the_ends_of_the_calendar(value: Any) -> None:
    """Years 1 to 9999 are moments, and lie between none at all and for good."""
    micros = to_micros(value)
    assert MISSING < micros < FOREVER
    assert to_datetime(micros).replace(tzinfo=None).date() == dt.date(
        value.year, value.month, value.day
    )


def test_less_than_a_microsecond_is_cut() -> None:
    """Nanoseconds are cut off without a warning."""
    assert to_micros(pd.Timestamp("1970-01-01T00:00:00.000001999")) == 1


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_500_000, "1970-01-01T00:00:01.500000Z"),
        (NOON, "2026-11-22T12:00:00Z"),
    ],
)
def test_rfc3339(micros: int, text: str) -> None:
    """Text is UTC with a Z, and has a fraction only where there is one."""
    assert to_rfc3339(micros) == text


@given(
    st.datetimes(
        min_value=dt.datetime(1, 1, 2),
        max_value=dt.datetime(9999, 12, 30),
        timezones=st.one_of(st.none(), st.timezones()),
    )
)
def test_there_and_back(moment: dt.datetime) -> None:
    """A moment goes into a number, text and a datetime and comes back the same."""
    micros = to_micros(moment)
    assert to_micros(to_datetime(micros)) == micros
    assert to_micros(to_rfc3339(micros)) == micros
    aware = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    assert to_datetime(micros) == aware.astimezone(dt.UTC)
