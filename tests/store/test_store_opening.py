"""Which schema of which server a URL names, and what is made there."""

from __future__ import annotations

import sys
from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa

from personalize.errors import StoreError
from personalize.store import OrderSnapshot, Patience, SnapshotLine, Store, postgres
from personalize.store.driver import Access
from personalize.store.opening import database_file
from personalize.store.postgres_connection import settings

ORDER = OrderSnapshot("o", "c", 1, 1, lines=(SnapshotLine("p", 1),))


def schema_of(url: str) -> str:
    """Return the schema that a URL names."""
    return str(sa.make_url(url).query["schema"])


def test_schema_is_made(new_schema: Callable[[], str]) -> None:
    """A schema is made where there is none, and is there the next time."""
    url = new_schema()
    with Store.open(url) as store:
        assert store.url == url
        store.put_order(ORDER)
    with Store.open(url, create=False) as store:
        assert store.order("o") is not None


def test_only_a_file_is_embedded(file_store: Store, schema_store: Store) -> None:
    """A read of a file stays in the process; one of a server does not."""
    assert file_store.is_embedded
    assert not schema_store.is_embedded


def test_closed_store(new_schema: Callable[[], str]) -> None:
    """A closed store answers nothing, over no connection, and may be closed again."""
    store = Store.open(new_schema())
    store.close()
    store.close()
    for question in (store.ping, store.orders, lambda: store.purchase_state("c")):
        with pytest.raises(StoreError, match="it is closed; open it again"):
            question()


def test_shops_share_a_database(new_schema: Callable[[], str]) -> None:
    """What is in one schema is not in another, not even its locks."""
    with Store.open(new_schema()) as one, Store.open(new_schema()) as other:
        with one._database.transaction(Access.WRITE) as connection:
            one._database._driver.lock(connection, "catalogue")
            other._database.write(lambda theirs: other._database._driver.lock(theirs, "catalogue"))
        one.put_order(ORDER)
        assert other.order("o") is None


def test_schema_of_the_search_path(server: str, new_schema: Callable[[], str]) -> None:
    """Without a schema in the URL the first of the search path is used; it must be there."""
    schema = schema_of(new_schema())
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    url = f"{server}?options=-csearch_path%3D{schema}"
    with pytest.raises(StoreError, match="it is empty; import orders, or open it with create=True"):
        Store.open(url, create=False)
    with Store.open(url.replace("postgresql:", "postgres:")) as store:
        store.put_order(ORDER)
    with Store.open(f"{server}?schema={schema}", create=False) as store:
        assert store.order("o") is not None


def test_missing_schema_is_not_made(new_schema: Callable[[], str]) -> None:
    """Without `create`, a slip of the pen is an error, and makes nothing."""
    url = new_schema()
    for _ in range(2):
        with pytest.raises(
            StoreError,
            match=r'schema "test_.*" does not exist; check the schema\'s name, or import',
        ):
            Store.open(url, create=False)


def test_empty_schema_is_no_store(server: str, new_schema: Callable[[], str]) -> None:
    """Without `create`, an empty schema is an error and stays empty."""
    url = new_schema()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema_of(url)}")
    with pytest.raises(StoreError, match="it is empty; import orders, or open it with create=True"):
        Store.open(url, create=False)


def test_schema_of_something_else(server: str, new_schema: Callable[[], str]) -> None:
    """A schema with foreign tables is left as it is."""
    url = new_schema()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema_of(url)}")
        connection.execute(f"CREATE TABLE {schema_of(url)}.pages (text text)")
    with pytest.raises(
        StoreError, match=r"of something else \(it has 1 tables, among them 'pages'\); give a file,"
    ):
        Store.open(url)


def test_missing_database(server: str) -> None:
    """A database that is not there is told with what to do."""
    url = sa.make_url(server).set(database="test_none").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match=r'database "test_none" does not exist; make the database'):
        Store.open(url)


def test_unknown_user(server: str) -> None:
    """A user that is not let in is told with what to do."""
    url = sa.make_url(server).set(username="test_none").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match=r"test_none.*; (check the user and|the server must let)"):
        Store.open(url)


def test_unknown_option(server: str) -> None:
    """An option of the URL that the driver does not know is an error of one line."""
    with pytest.raises(
        StoreError, match='invalid connection option "color"; take it out of the URL'
    ) as caught:
        Store.open(f"{server}?color=red")
    assert "\n" not in str(caught.value)


def test_text_that_no_database_holds(schema_store: Store) -> None:
    """Text that the server cannot hold is an error of ours, not of the driver."""
    with pytest.raises(StoreError, match="NUL"):
        schema_store.purchase_state("a\x00b")


def test_writes_are_durable(new_schema: Callable[[], str]) -> None:
    """A write is acknowledged once it is on disk, also where the server is set up otherwise."""
    url = new_schema()
    with Store.open(f"{url}&options=-csynchronous_commit%3Doff") as store:
        for access in (Access.WRITE, Access.IMPORT):
            with store._database.transaction(access) as connection:
                assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"
    with (
        Store.open(f"{url}&options=-csynchronous_commit%3Dlocal") as store,
        store._database.transaction(Access.WRITE) as connection,
    ):
        assert connection.scalar(sa.text("SHOW synchronous_commit")) == "local"


def test_text_of_the_database(
    new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that keeps text in another way than is needed is refused."""
    monkeypatch.setattr(postgres, "_ENCODING", "UTF7")
    with pytest.raises(StoreError, match=r"keeps text as UTF8; make one with createdb .*=UTF7$"):
        Store.open(new_schema())


def test_parameters_of_a_url() -> None:
    """What the URL says goes to libpq, but for what is ours; our limits come last, and win."""
    url = sa.make_url("postgresql://me:a%40b@one/shop?host=two&host=three&sslmode=require&schema=s")
    url = url.update_query_dict({"options": "-cstatement_timeout=0", "connect_timeout": "9"})
    found = settings(url, "s", 2.0, Patience(write_seconds=3))
    assert found == {
        "application_name": "personalize",
        "connect_timeout": "9",
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 3000,
        "user": "me",
        "password": "a@b",
        "dbname": "shop",
        "host": "two,three",
        "sslmode": "require",
        "options": "-cstatement_timeout=0 -cstatement_timeout=1600 -clock_timeout=1400 "
        "-cidle_in_transaction_session_timeout=2000 -csearch_path=s",
    }


def test_file_of_a_url() -> None:
    """A URL of a server names no file."""
    assert str(database_file("sqlite:///a/shop.db")) == "a/shop.db"
    assert database_file("postgresql://host/shop") is None


def test_driver_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg, a URL of a server is an error with what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "personalize.store.postgres", raising=False)
    monkeypatch.delitem(sys.modules, "personalize.store.postgres_connection", raising=False)
    with pytest.raises(
        StoreError, match=r"://me:\*\*\*@host/shop: PostgreSQL needs psycopg, .*; run pip install "
    ):
        Store.open("postgresql://me:secret@host/shop")
