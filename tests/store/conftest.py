"""Stores to test with, in every database there is.

A SQLite store is made once by migrating, then copied, which is quick; one in PostgreSQL is a
schema of its own, with a name that nobody else has, and is dropped in the end.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa

from personalize.store import Store
from personalize.store.driver import Access
from personalize.store.layout import metadata

SERVER = os.environ.get("PERSONALIZE_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
NewStore = Callable[[], Store]


@pytest.fixture(scope="session")
def server() -> str:
    """Return the URL of the PostgreSQL database to test with; without one, skip (in CI, fail)."""
    try:
        psycopg.connect(SERVER, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        reason = (
            f"no PostgreSQL at PERSONALIZE_TEST_POSTGRES: {' '.join(str(error).split())}; start "
            "one, or name a database that may be used"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return SERVER


@pytest.fixture(scope="session")
def new_schema(server: str) -> Iterator[Callable[[], str]]:
    """Return a function that returns the URL of another schema; all are dropped in the end."""
    made: list[str] = []

    def make() -> str:
        made.append(f"test_{secrets.token_hex(8)}")
        return f"{server}{'&' if '?' in server else '?'}schema={made[-1]}"

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for schema in made:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture(scope="session")
def new_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Return a function that returns the URL of another file with an empty store."""
    folder = tmp_path_factory.mktemp("stores")
    template = folder / "template.db"
    Store.open(f"sqlite:///{template}").close()
    numbers = itertools.count()
    return lambda: f"sqlite:///{shutil.copy(template, folder / f'{next(numbers)}.db')}"


class KeptStore(Store):
    """A store that stays open when it is closed, to be used again."""

    is_free = False

    def close(self) -> None:
        """Say that nobody uses it."""
        self.is_free = True


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_store(request: pytest.FixtureRequest) -> Iterator[NewStore]:
    """Return a function that opens another empty store, in each kind of database.

    In PostgreSQL one that is free is emptied: to make its tables takes ten times as long.
    """
    if request.param == "sqlite":
        new_file = request.getfixturevalue("new_file")
        yield lambda: Store.open(new_file())
        return
    new_schema = request.getfixturevalue("new_schema")
    kept: list[KeptStore] = []

    def make() -> Store:
        for store in kept:
            if store.is_free:
                store.is_free = False
                empty(store)
                return store
        kept.append(KeptStore.open(new_schema()))
        return kept[-1]

    yield make
    for store in kept:
        Store.close(store)


def empty(store: Store) -> None:
    """Remove all rows."""
    with store._database.transaction(Access.WRITE) as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.delete(table))
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER SEQUENCE api_keys_key_id_seq RESTART")


@pytest.fixture
def store(new_store: NewStore) -> Iterator[Store]:
    """An empty store."""
    with new_store() as made:
        yield made


@pytest.fixture
def file_store(new_file: Callable[[], str]) -> Iterator[Store]:
    """An empty store in a SQLite file."""
    with Store.open(new_file()) as made:
        yield made


@pytest.fixture
def schema_store(new_schema: Callable[[], str]) -> Iterator[Store]:
    """An empty store in PostgreSQL."""
    with Store.open(new_schema()) as made:
        yield made
