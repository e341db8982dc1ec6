"""Every parameter has a range, and what is outside is told with field, value and remedy."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import personalize as pz
from personalize.config import RANGES, EngineConfig, Range, reject_unknown

WHOLE = {"min_customers", "n_neighbours", "ridge_neighbours", "n_repurchase_windows", "seed"}
DEFAULTS = EngineConfig().to_dict()
RELIED_ON = {
    "repurchase_horizon_days": 30,
    "min_cooldown_days": 7,
    "default_cooldown_days": 365,
    "return_cooldown_days": 30,
    "min_customers": 3,
    "half_life_days": 180,
    "seed": 0,
}
"""What outside tools rely on: these names and defaults do not change."""


def test_every_parameter_has_a_range() -> None:
    """The table of ranges and the fields of the configuration are the same."""
    assert list(RANGES) == [field.name for field in dataclasses.fields(EngineConfig)]


def test_promised_defaults() -> None:
    """Keys and defaults that outside tools rely on are as promised."""
    assert {name: DEFAULTS[name] for name in RELIED_ON} == RELIED_ON
    assert {"due_quantile", "repurchase_threshold"} <= DEFAULTS.keys()


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_are_legal(name: str) -> None:
    """The lowest and the highest value are allowed."""
    kind = int if name in WHOLE else float
    for value in (RANGES[name].low, RANGES[name].high):
        assert getattr(EngineConfig(**{name: kind(value)}), name) == value


@pytest.mark.parametrize("name", RANGES)
def test_beyond_the_ends_is_refused(name: str) -> None:
    """Just below and just above the range is an error that names field, value and range."""
    limits = RANGES[name]
    for value in (math.nextafter(limits.low, -math.inf), math.nextafter(limits.high, math.inf)):
        with pytest.raises(
            pz.InvalidConfigError, match=rf"{name}: .* is not a number from {limits.low:g} to"
        ) as caught:
            EngineConfig(**{name: value})
        assert (caught.value.field, caught.value.value) == (name, value)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, True, None, "30", [30], 10**400, -(10**400), 1j]
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    """Text, flags, infinities and numbers beyond all bounds are no days."""
    with pytest.raises(pz.InvalidConfigError, match=r"repurchase_horizon_days: .* is not a number"):
        EngineConfig(repurchase_horizon_days=value)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_counts_are_whole(name: str) -> None:
    """A count in fractions is refused, even a whole one written as a fraction."""
    with pytest.raises(pz.InvalidConfigError, match=rf"{name}: 2\.0 is not a whole number"):
        EngineConfig(**{name: 2.0})


def test_a_configuration_is_frozen() -> None:
    """Nobody changes the parameters of an engine behind its back."""
    with pytest.raises(dataclasses.FrozenInstanceError, match="seed"):
        EngineConfig().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("min_cooldown_day", "did you mean 'min_cooldown_days'?"),
        ("horizon", "unknown key 'horizon' (known: repurchase_horizon_days, "),
    ],
)
def test_unknown_keys_are_refused(key: str, hint: str) -> None:
    """A misspelt key offers the nearest; one like no other lists those known."""
    with pytest.raises(pz.InvalidConfigError, match="config: unknown key") as caught:
        EngineConfig.from_dict({key: 3})
    assert hint in str(caught.value)
    assert (caught.value.field, caught.value.value) == (key, 3)


def test_keys_that_are_no_text_are_refused() -> None:
    """A key may be anything; it is unknown all the same."""
    with pytest.raises(pz.InvalidConfigError, match="here: unknown key 7"):
        reject_unknown({7: 1}, ("a",), "here")  # type: ignore[dict-item]


def test_a_range_includes_both_ends() -> None:
    """A range says in words what it allows."""
    Range(0, 1).check("share", 0)
    Range(0, 1).check("share", 1.0)
    with pytest.raises(pz.InvalidConfigError, match=r"share: 1\.5 is not a number from 0 to 1$"):
        Range(0, 1).check("share", 1.5)


def value_of(name: str) -> st.SearchStrategy[float]:
    """Draw a legal value."""
    limits = RANGES[name]
    if name in WHOLE:
        return st.integers(int(limits.low), int(limits.high))
    return st.floats(limits.low, limits.high)


@given(st.fixed_dictionaries({}, optional={name: value_of(name) for name in RANGES}))
def test_every_legal_value_goes_through_json(given: dict[str, float]) -> None:
    """A configuration written as JSON is read back equal; missing keys take their defaults."""
    config = EngineConfig.from_dict(given)
    assert config.to_dict() == DEFAULTS | given
    assert EngineConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
