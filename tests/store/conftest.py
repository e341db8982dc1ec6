"""Stores to test with: made once by migrating, then copied, which is quick."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from personalize.store import Store

NewStore = Callable[[], Store]


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewStore]:
    """Return a function that opens another empty store; all are closed in the end."""
    folder = tmp_path_factory.mktemp("stores")
    template = folder / "template.db"
    Store.open(f"sqlite:///{template}").close()
    numbers = itertools.count()
    opened: list[Store] = []

    def make() -> Store:
        file = Path(shutil.copy(template, folder / f"{next(numbers)}.db"))
        opened.append(Store.open(f"sqlite:///{file}", create=False))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(new_store: NewStore) -> Iterator[Store]:
    """An empty store."""
    with new_store() as made:
        yield made
