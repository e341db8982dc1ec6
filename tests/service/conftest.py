"""Fixtures: a trained model, settings of one test, a running service."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from service_shop import NOW, Client, catalog, orders

import personalize as pz
from service import Settings, create_app


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a models directory with the versions v1 (current) and v2."""
    folder = tmp_path_factory.mktemp("trained")
    for version, days in (("v1", 365.0), ("v2", 100.0)):
        config = pz.EngineConfig(default_cooldown_days=days)
        pz.Engine.fit(orders(), catalog(), config).save(folder / version)
    pz.ModelsDirectory(folder).use("v1")
    return folder


@pytest.fixture
def models(trained: Path, tmp_path: Path) -> Path:
    """Return a models directory of this test alone."""
    return Path(shutil.copytree(trained, tmp_path / "models"))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of an empty store, to be copied."""
    file = tmp_path_factory.mktemp("store") / "shop.db"
    pz.Store.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def settings(models: Path, empty_store: Path, tmp_path: Path) -> Settings:
    """Return settings for a store of this test alone."""
    file = shutil.copy(empty_store, tmp_path / "shop.db")
    return Settings(store=f"sqlite:///{file}", models=models, watch_seconds=0.05, key_seconds=0.0)


Start = Callable[..., Client]


@contextmanager
def serving(
    portal: BlockingPortal, settings: Settings, now: int = NOW, address: str = "127.0.0.1"
) -> Iterator[Client]:
    """Run an application and yield a client of it that asks from `address`."""
    app = create_app(settings, clock=lambda: now)
    with portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        yield Client(app, portal, address)


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what starts an application and gives a client of it; all are stopped at the end."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        yield lambda settings, **more: stack.enter_context(serving(portal, settings, **more))


@pytest.fixture
def client(start: Start, settings: Settings) -> Client:
    """Return a client of a service with a model and an empty store, without keys."""
    return start(settings)
