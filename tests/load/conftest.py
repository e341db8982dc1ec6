"""Fixtures: a model of a small shop, and a running service of one test alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soak.running import Service, make_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a models directory."""
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def stopped(models: Path, tmp_path: Path) -> Service:
    """Return a service with an empty store, not started yet."""
    return Service(f"sqlite:///{tmp_path}/shop.db", models, tmp_path / "log")


@pytest.fixture
def service(stopped: Service) -> Iterator[Service]:
    """Return a running service of this test alone."""
    with stopped.up():
        yield stopped
