"""What the shop decides, beside what is learned: rules on or off, days per type, thresholds.

A policy is versioned data that takes effect without retraining. Where it and `EngineConfig`
speak of the same thing, the policy wins.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from personalize.config import RANGES, Range, reject_unknown
from personalize.errors import InvalidConfigError
from personalize.schema import normalise_type

RULES: Final = ("purchased", "purchased_variant", "purchased_substitute", "returned")
THRESHOLDS: Final = (
    "due_quantile",
    "repurchase_threshold",
    "min_cooldown_days",
    "default_cooldown_days",
    "return_cooldown_days",
)
FOR_GOOD: Final = "for_good"
_COOLDOWN = Range(0, 36500)
_MAX_PER_LIST = Range(1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRule:
    """What the shop decides for one product type and everything beneath it.

    Parameters
    ----------
    suppress : bool
        False: purchases of this type never suppress anything.
    cooldown_days : float or "for_good" or None
        Fixed days from the last purchase; None leaves it to what is learned.
    one_per_need : bool or None
        Whether owning one is enough; None leaves it to what is learned.
    max_per_list : int or None
        How many picks of the type one list may hold; None leaves it to what is learned.
    sensitive : bool
        True: never seeds and never receives a recommendation.
    """

    suppress: bool = True
    cooldown_days: float | str | None = None
    one_per_need: bool | None = None
    max_per_list: int | None = None
    sensitive: bool = False

    def __post_init__(self) -> None:
        if self.cooldown_days is not None and self.cooldown_days != FOR_GOOD:
            if isinstance(self.cooldown_days, str):
                raise InvalidConfigError(
                    f"cooldown_days: {self.cooldown_days!r} is neither days nor {FOR_GOOD!r}",
                    field="cooldown_days",
                    value=self.cooldown_days,
                )
            _COOLDOWN.check("cooldown_days", self.cooldown_days)
        if self.max_per_list is not None:
            _MAX_PER_LIST.check("max_per_list", self.max_per_list)
            if not isinstance(self.max_per_list, int):
                raise InvalidConfigError(
                    f"max_per_list: {self.max_per_list!r} is not a whole number",
                    field="max_per_list",
                    value=self.max_per_list,
                )
        for name in ("suppress", "sensitive"):
            _check_bool(name, getattr(self, name))
        if self.one_per_need is not None:
            _check_bool("one_per_need", self.one_per_need)


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidConfigError(
            f"{name}: {value!r} is neither true nor false", field=name, value=value
        )


_TYPE_KEYS = ("suppress", "cooldown_days", "one_per_need", "max_per_list", "sensitive")


def _by_path(types: Mapping[str, TypeRule]) -> dict[str, TypeRule]:
    """Return the rules by the one spelling of each path."""
    out: dict[str, TypeRule] = {}
    for path, rule in types.items():
        name = normalise_type(path)
        fault = None
        if not isinstance(rule, TypeRule):
            fault = f"{rule!r} is no TypeRule"
        elif not name:
            fault = "the path is empty; name a product type"
        elif name in out:
            fault = f"another spelling of {name!r}, which has a rule already; keep one"
        if fault is not None:
            raise InvalidConfigError(f"policy.types.{path!r}: {fault}", field="types", value=path)
        out[name] = rule
    return out


def _type_rule(path: str, given: object) -> TypeRule:
    """Return the rule written as a table; an error says which path it is of."""
    where = f"policy.types.{path!r}"
    if not isinstance(given, Mapping):
        raise InvalidConfigError(f"{where}: {given!r} is not a table", field="types", value=given)
    reject_unknown(given, _TYPE_KEYS, where)
    try:
        return TypeRule(**given)
    except InvalidConfigError as error:
        raise InvalidConfigError(
            f"{where}.{error}", field=error.field, value=error.value
        ) from error


def _table(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = given.get(key, {})
    if not isinstance(value, Mapping):
        raise InvalidConfigError(
            f"policy.{key}: {value!r} is not a table of names and values", field=key, value=value
        )
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the shop decides; the empty policy leaves everything to what is learned.

    Parameters
    ----------
    rules : mapping of str to bool
        A rule of `RULES` that is False never suppresses.
    types : mapping of str to TypeRule
        By category path; the longest path that a product's type starts with wins.
    thresholds : mapping of str to float
        Any of `THRESHOLDS`; the engine's configuration where missing.

    Raises
    ------
    InvalidConfigError
        For an unknown key, with the nearest, or a value out of range.
    """

    rules: Mapping[str, bool] = field(default_factory=dict)
    types: Mapping[str, TypeRule] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reject_unknown(self.rules, RULES, "policy.rules")
        for name, value in self.rules.items():
            _check_bool(name, value)
        reject_unknown(self.thresholds, THRESHOLDS, "policy.thresholds")
        for name, number in self.thresholds.items():
            RANGES[name].check(name, number)
        object.__setattr__(self, "rules", MappingProxyType(dict(self.rules)))
        object.__setattr__(self, "types", MappingProxyType(_by_path(self.types)))
        object.__setattr__(self, "thresholds", MappingProxyType(dict(self.thresholds)))

    def is_on(self, rule: str) -> bool:
        """Return whether `rule` is in force."""
        return self.rules.get(rule, True)

    def type_rule(self, product_type: str | None) -> TypeRule | None:
        """Return the rule of the longest path that `product_type` is, or lies beneath."""
        path = product_type
        while path:
            rule = self.types.get(path)
            if rule is not None:
                return rule
            path = path.rpartition(" > ")[0]
        return None

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return the policy written as nested tables ``rules``, ``types`` and ``thresholds``.

        Raises
        ------
        InvalidConfigError
            For an unknown key, with the nearest, or a value out of range.
        """
        if not isinstance(given, Mapping):
            raise InvalidConfigError(
                f"policy: {given!r} is not a table of rules, types and thresholds",
                field="policy",
                value=given,
            )
        reject_unknown(given, ("rules", "types", "thresholds"), "policy")
        types = {path: _type_rule(path, rule) for path, rule in _table(given, "types").items()}
        return cls(
            rules=_table(given, "rules"), types=types, thresholds=_table(given, "thresholds")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return nested tables that `from_dict` takes, without what is left to learning."""
        default = TypeRule()
        types = {
            path: {
                key: getattr(rule, key)
                for key in _TYPE_KEYS
                if getattr(rule, key) != getattr(default, key)
            }
            for path, rule in sorted(self.types.items())
        }
        return {"rules": dict(self.rules), "types": types, "thresholds": dict(self.thresholds)}

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the policy in a TOML (or ``.json``) file.

        Raises
        ------
        InvalidConfigError
            If the file cannot be read or parsed, or holds an unknown key or a bad value.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8")
            given = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        except FileNotFoundError as error:
            told = f"policy {file}: no such file; check the path"
            raise InvalidConfigError(told, field="policy") from error
        except (OSError, ValueError) as error:
            raise InvalidConfigError(f"policy {file}: {error}", field="policy") from error
        try:
            return cls.from_dict(given)
        except InvalidConfigError as error:
            told = f"{file}: {error}"
            raise InvalidConfigError(told, field=error.field, value=error.value) from error
