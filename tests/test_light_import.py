"""A process that only serves never imports what only fitting and reading need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import personalize as pz
from personalize import store

ROOT = Path(__file__).parents[1]
HEAVY = (
    "alembic", "defusedxml", "implicit", "jinja2", "lightgbm", "matplotlib", "numba", "pandas",
    "rich", "scipy", "sklearn", "threadpoolctl", "typer",
)  # fmt: skip


def run(code: str) -> str:
    """Return what a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light() -> None:
    """``import personalize`` brings none of them, and ``dir`` names all there is."""
    code = (
        "import json, sys, personalize as pz; "
        f"print(json.dumps([[m for m in {HEAVY} if m in sys.modules], "
        "sorted(set(pz.__all__) - set(dir(pz)))]))"
    )
    assert json.loads(run(code)) == [[], []]


def test_everything_is_exported() -> None:
    """Each name of ``__all__`` is there, also those that come on demand; others are not."""
    assert all(getattr(pz, name) is not None for name in pz.__all__)
    assert set(pz.__all__) <= set(dir(pz))
    assert run("from personalize import read_orders, Orders; print(Orders.__name__)") == "Orders\n"
    with pytest.raises(AttributeError, match="'personalize' has no attribute 'read_order'"):
        _ = pz.read_order  # type: ignore[attr-defined]
    assert all(getattr(store, name) is not None for name in store.__all__)
    with pytest.raises(AttributeError, match=r"'personalize.store' has no attribute 'Shop'"):
        _ = store.Shop  # type: ignore[attr-defined]
