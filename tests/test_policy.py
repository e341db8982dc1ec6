"""What the shop decides: read, refused, matched with types and written again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_shop import policies

import personalize as pz
from personalize.policy import RULES, THRESHOLDS, Policy, TypeRule

TOML = """
[rules]
purchased_substitute = false

[types."Apparel > Socks"]
suppress = false
max_per_list = 3

[types."Apparel>Suits"]
cooldown_days = 700
one_per_need = true

[types.Health]
cooldown_days = "for_good"
sensitive = true

[thresholds]
min_cooldown_days = 14
"""
READ = Policy(
    rules={"purchased_substitute": False},
    types={
        "Apparel > Socks": TypeRule(suppress=False, max_per_list=3),
        "Apparel > Suits": TypeRule(cooldown_days=700, one_per_need=True),
        "Health": TypeRule(cooldown_days="for_good", sensitive=True),
    },
    thresholds={"min_cooldown_days": 14},
)


def test_toml_and_json_are_read_alike(tmp_path: Path) -> None:
    """One policy in either format is one value."""
    (tmp_path / "policy.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "policy.json").write_text(json.dumps(READ.to_dict()), encoding="utf-8")
    assert Policy.read(tmp_path / "policy.toml") == READ
    assert Policy.read(str(tmp_path / "policy.json")) == READ


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("policy.toml", b"[rules\n"),
        ("policy.json", b"{"),
        ("policy.toml", b"\xff\xfe"),
        ("missing.toml", None),
    ],
)
def test_files_that_are_no_policy(tmp_path: Path, name: str, content: bytes | None) -> None:
    """A file that is missing, no text or no TOML is told by its name."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(pz.InvalidConfigError, match=rf"policy .*{name}: ") as caught:
        Policy.read(tmp_path / name)
    assert caught.value.field == "policy"


@pytest.mark.parametrize("text", ["[]", "3", "null", '"rules"'])
def test_json_that_is_no_table(tmp_path: Path, text: str) -> None:
    """JSON that is no object is no policy."""
    (tmp_path / "policy.json").write_text(text)
    with pytest.raises(pz.InvalidConfigError, match=r"policy: .* is not a table of rules, types"):
        Policy.read(tmp_path / "policy.json")


def test_what_is_wrong_in_a_file_names_it(tmp_path: Path) -> None:
    """An unknown key or a bad value is told with the file it stands in; so is a missing file."""
    (tmp_path / "p.toml").write_text("[rules]\npurchase = true\n", encoding="utf-8")
    with pytest.raises(pz.InvalidConfigError, match=r"p\.toml: policy\.rules: unknown key 'purch"):
        Policy.read(tmp_path / "p.toml")
    with pytest.raises(pz.InvalidConfigError, match=r"q\.toml: no such file; check the path"):
        Policy.read(tmp_path / "q.toml")


def test_an_empty_policy_leaves_everything_to_what_is_learned() -> None:
    """Without a word of the shop, every rule is on and no type has a rule."""
    policy = Policy()
    assert all(policy.is_on(rule) for rule in RULES)
    assert policy.type_rule("Apparel") is None
    assert policy.to_dict() == {"rules": {}, "types": {}, "thresholds": {}}
    assert Policy.from_dict({}) == policy


def test_rules_are_switched_one_by_one() -> None:
    """A rule is off only where the shop says so."""
    policy = Policy(rules={"returned": False, "purchased": True})
    assert [rule for rule in RULES if not policy.is_on(rule)] == ["returned"]


@pytest.mark.parametrize(
    ("product_type", "expected"),
    [
        ("Apparel > Suits > Sport coats", 3),
        ("Apparel > Suits > Sport coats > Tweed", 3),
        ("Apparel > Suits", 2),
        ("Apparel > Suits > Trousers", 2),
        ("Apparel > Suitsome", 1),
        ("Apparel", 1),
        ("Grocery > Apparel", None),
        ("apparel", None),
        ("", None),
        (None, None),
    ],
)
def test_the_longest_path_wins(product_type: str | None, expected: int | None) -> None:
    """A rule holds for a path and all beneath it, part by part; the longest such path wins."""
    policy = Policy(
        types={
            "Apparel": TypeRule(max_per_list=1),
            "Apparel > Suits": TypeRule(max_per_list=2),
            "Apparel > Suits > Sport coats": TypeRule(max_per_list=3),
        }
    )
    rule = policy.type_rule(product_type)
    assert (None if rule is None else rule.max_per_list) == expected


def test_the_winning_rule_is_the_whole_rule() -> None:
    """A longer path's rule replaces the shorter one's; it does not add to it."""
    policy = Policy(types={"A": TypeRule(suppress=False), "A > B": TypeRule(cooldown_days=3)})
    assert policy.type_rule("A > B") == TypeRule(suppress=True, cooldown_days=3)


@pytest.mark.parametrize("path", ["Apparel>Suits", " Apparel  >Suits ", "Apparel > > Suits >"])
def test_paths_are_spelt_as_in_the_catalogue(path: str) -> None:
    """However a path is spelt in the policy, it meets the catalogue's spelling of it."""
    catalog = pz.Catalog.from_frame(_frame(path), strict=True)
    product_type = next(catalog.products()).product_type
    assert product_type == "Apparel > Suits"
    assert Policy(types={path: TypeRule()}).type_rule(product_type) == TypeRule()


def _frame(path: str) -> Any:
    import pandas as pd

    return pd.DataFrame({"product_id": ["p"], "product_type": [path]})


def test_two_spellings_of_one_path_are_refused() -> None:
    """Which of two rules was meant, nobody can say."""
    with pytest.raises(pz.InvalidConfigError, match="'A>B': another spelling of 'A > B'"):
        Policy(types={"A > B": TypeRule(), "A>B": TypeRule(suppress=False)})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rule": {}}, r"policy: unknown key 'rule'; did you mean 'rules'\?"),
        ({"rules": {"purchase": True}}, "policy.rules: unknown key 'purchase'; did you mean"),
        ({"rules": {"purchased": 1}}, "purchased: 1 is neither true nor false"),
        ({"rules": ["purchased"]}, r"policy.rules: \['purchased'\] is not a table"),
        ({"thresholds": {"due_quantil": 0.5}}, "did you mean 'due_quantile'"),
        ({"thresholds": {"seed": 1}}, "policy.thresholds: unknown key 'seed'"),
        ({"thresholds": {"due_quantile": 2}}, "due_quantile: 2 is not a number from 0.01 to 0.99"),
        ({"thresholds": {"min_cooldown_days": 10**400}}, "min_cooldown_days: .* is not a number"),
        ({"thresholds": 3}, "policy.thresholds: 3 is not a table"),
        ({"types": "A"}, "policy.types: 'A' is not a table"),
        ({"types": {"A": True}}, "policy.types.'A': True is not a table"),
        ({"types": {"": {}}}, "policy.types.'': the path is empty"),
        ({"types": {" > ": {}}}, "policy.types.' > ': the path is empty"),
        ({"types": {"A": {"supress": False}}}, "policy.types.'A': .*did you mean 'suppress'"),
        ({"types": {"A": {"suppress": 0}}}, "policy.types.'A'.suppress: 0 is neither true"),
        ({"types": {"A": {"sensitive": "no"}}}, "'A'.sensitive: 'no' is neither true nor"),
        ({"types": {"A": {"one_per_need": 1}}}, "'A'.one_per_need: 1 is neither true nor"),
        ({"types": {"A": {"cooldown_days": -1}}}, "'A'.cooldown_days: -1 is not a number from 0"),
        ({"types": {"A": {"cooldown_days": "long"}}}, "'long' is neither days nor 'for_good'"),
        ({"types": {"A": {"cooldown_days": True}}}, "'A'.cooldown_days: True is not a number"),
        ({"types": {"A": {"max_per_list": 0}}}, "'A'.max_per_list: 0 is not a number from 1"),
        ({"types": {"A": {"max_per_list": 2.5}}}, "'A'.max_per_list: 2.5 is not a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    """Unknown keys and bad values are told with their place, and the nearest key."""
    with pytest.raises(pz.InvalidConfigError, match=message):
        Policy.from_dict(given)


def test_types_take_type_rules_only() -> None:
    """A table where a rule belongs is refused when the policy is made, not when it is asked."""
    with pytest.raises(pz.InvalidConfigError, match=r"policy\.types\.'A': \{\} is no TypeRule"):
        Policy(types={"A": {}})  # type: ignore[dict-item]


def test_errors_carry_field_and_value() -> None:
    """The field at fault and its value travel with the error."""
    with pytest.raises(pz.InvalidConfigError, match="'A'") as caught:
        Policy.from_dict({"types": {"A": {"cooldown_days": -1}}})
    assert (caught.value.field, caught.value.value) == ("cooldown_days", -1)


def test_a_policy_is_a_value() -> None:
    """A policy does not change: neither through itself nor through what it was made of."""
    rules = {"purchased": False}
    policy = Policy(rules=rules)
    rules["purchased"] = True
    assert not policy.is_on("purchased")
    with pytest.raises(TypeError, match="does not support item assignment"):
        policy.rules["purchased"] = True  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError, match="rules"):
        policy.rules = {}  # type: ignore[misc]


def test_thresholds_are_parameters() -> None:
    """A policy's thresholds are parameters of the configuration, which they overrule."""
    assert set(THRESHOLDS) <= set(pz.EngineConfig().to_dict())


@given(policies)
def test_written_and_read_again(policy: Policy) -> None:
    """Every policy comes back equal from JSON."""
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@given(st.lists(st.sampled_from(["A", "B", "C"]), min_size=1, max_size=4), policies)
def test_beneath_a_path_the_rule_is_its_own_or_its_parents(
    parts: list[str], policy: Policy
) -> None:
    """Without a rule of its own, a type has its parent's."""
    path = " > ".join(parts)
    own = policy.types.get(path)
    parent = policy.type_rule(" > ".join(parts[:-1]) or None)
    assert policy.type_rule(path) == (own or parent)
