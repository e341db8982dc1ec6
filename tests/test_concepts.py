"""What docs/concepts.md shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import personalize as pz

CONCEPTS = (Path(__file__).parent.parent / "docs" / "concepts.md").read_text(encoding="utf-8")


def test_the_policy_shown_can_be_read(tmp_path: Path) -> None:
    """The example of a policy file is one, and says what its comments say."""
    (example,) = re.findall(r"```toml\n(.*?)```", CONCEPTS, flags=re.DOTALL)
    (tmp_path / "policy.toml").write_text(example, encoding="utf-8")
    policy = pz.Policy.read(tmp_path / "policy.toml")
    socks, coats = (policy.type_rule(f"Apparel > {kind}") for kind in ("Socks > Wool", "Coats"))
    assert socks is not None
    assert not socks.suppress
    assert coats is not None
    assert (coats.cooldown_days, coats.one_per_need, coats.max_per_list) == (700, True, 1)
    assert policy.thresholds == {"due_quantile": 0.4, "return_cooldown_days": 14}


def test_no_formula_is_left_to_be_written() -> None:
    """The page is whole."""
    assert "<!--" not in CONCEPTS
