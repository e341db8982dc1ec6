"""Opening, sharing, losing power: what the store promises of its file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from personalize.errors import StoreError
from personalize.store import OrderSnapshot, Patience, SnapshotLine, Store
from personalize.store.driver import Access

COAT = SnapshotLine("coat", 1)
SHORT = Patience(write_seconds=0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "shop.db"


def url_of(path: Path) -> str:
    """Return the URL of a file."""
    return f"sqlite:///{path}"


def order(order_id: str) -> OrderSnapshot:
    """Return an order of customer c."""
    return OrderSnapshot(order_id, "c", 1, 1, lines=(COAT,))


def test_open_makes_a_store_that_stays(tmp_path: Path) -> None:
    """A store is made where there is none, and is there the next time."""
    url = url_of(tmp_path / "shop.db")
    with Store.open(url) as store:
        store.put_order(order("o"))
        assert store.url == url
    with Store.open(url, create=False) as store:
        assert store.order("o") is not None


def test_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """An empty file, as a process leaves that was cut off while making a store, is used."""
    (tmp_path / "shop.db").touch()
    with Store.open(url_of(tmp_path / "shop.db")) as store:
        assert store.catalog_revision() == 0


def test_missing_file_is_not_made(tmp_path: Path) -> None:
    """Without `create`, a path with a slip of the pen is an error, and leaves no file behind."""
    path = tmp_path / "shp.db"
    with pytest.raises(StoreError, match=r"store sqlite:///.*shp.db: there is no such file; check"):
        Store.open(url_of(path), create=False)
    assert not path.exists()


def test_empty_file_is_no_store(tmp_path: Path) -> None:
    """Without `create`, an empty file is an error and stays empty."""
    path = tmp_path / "shop.db"
    path.touch()
    with pytest.raises(StoreError, match=r"it is empty; import orders, or open it with create"):
        Store.open(url_of(path), create=False)
    assert path.read_bytes() == b""


def test_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is told in one line with what to do."""
    with pytest.raises(
        StoreError, match=r"unable to open database file; the folder must exist and be writable$"
    ) as caught:
        Store.open(url_of(tmp_path / "none" / "shop.db"))
    assert "\n" not in str(caught.value)
    assert caught.value.url == url_of(tmp_path / "none" / "shop.db")


def test_file_that_is_no_database(tmp_path: Path) -> None:
    """Any other file is left as it is."""
    path = tmp_path / "orders.csv"
    path.write_text("order_id,customer_id\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"file is not a database; it is no SQLite file; give"):
        Store.open(url_of(path))
    assert path.read_bytes() == before


def test_database_of_something_else(tmp_path: Path) -> None:
    """A database with foreign tables is left as it is."""
    path = tmp_path / "wiki.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pages (text)")
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"database of something else \(it has 1 tables, among them 'pages'\)"
    ):
        Store.open(url_of(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("shop.db", "store: the URL cannot be read; write sqlite:///path/to/shop.db"),
        (
            "mysql://me:secret@host/shop",
            r"store mysql://me:\*\*\*@host/shop: only SQLite and PostgreSQL are supported; write ",
        ),
        (
            "postgresql://me:secret@host/shop?schema=My-Shop",
            r"schema is 'My-Shop'; allowed is one name of lower-case letters, digits and _",
        ),
        ("postgresql://me:secret@host/shop?schema=a&schema=b", r"schema is \('a', 'b'\); allowed"),
        ("sqlite://", "store sqlite://: a store is a plain file; write sqlite:///path"),
        ("sqlite:///:memory:", "a store is a plain file"),
        ("sqlite:///file:shop.db?mode=ro&uri=true", "a store is a plain file"),
    ],
)
def test_bad_url(url: str, message: str) -> None:
    """A URL that names neither a file nor a schema is refused, and no password is shown."""
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(url)
    assert "secret" not in f"{caught.value} {caught.value.url}"


def test_closed_store(tmp_path: Path) -> None:
    """A closed store answers nothing, is not ready, and may be closed again."""
    store = Store.open(url_of(tmp_path / "shop.db"))
    assert store.is_ready()
    assert store.takes_writes()
    store.close()
    store.close()
    assert not store.is_ready()
    with pytest.raises(StoreError, match="it is closed; open it again"):
        store.purchase_state("c")


def test_close_leaves_one_file(tmp_path: Path) -> None:
    """After closing there is the database file and nothing beside it."""
    with Store.open(url_of(tmp_path / "shop.db")) as store:
        store.put_order(order("o"))
        assert len(list(tmp_path.iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["shop.db"]


def test_writes_are_durable(file_store: Store) -> None:
    """Every connection waits for the disk before a write is acknowledged."""
    with (
        file_store._database.transaction(Access.READ) as one,
        file_store._database.transaction(Access.WRITE) as other,
    ):
        for connection in (one, other):
            for pragma, expected in (
                ("synchronous", 2),  # FULL
                ("journal_mode", "wal"),
                ("fullfsync", 1),
                ("busy_timeout", 10_000),
            ):
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == expected


def test_readers_see_one_state(store: Store) -> None:
    """What is committed while a reader reads is not seen half by it."""
    count = sa.text("SELECT count(*) FROM orders")
    with store._database.transaction(Access.READ) as connection:
        assert connection.scalar(count) == 0
        store.put_order(order("o"))
        assert connection.scalar(count) == 0
    with store._database.transaction(Access.READ) as connection:
        assert connection.scalar(count) == 1


def test_failed_write_leaves_nothing(store: Store) -> None:
    """A write that fails half-way is undone, and the next one is not in its way."""
    store.put_order(order("o"))

    def fail() -> None:
        with store._database.transaction(Access.WRITE) as connection:
            connection.exec_driver_sql("DELETE FROM orders")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.order("o") is not None
    assert store.put_order(order("o2"))


def test_locked_for_too_long(tmp_path: Path) -> None:
    """When another process does not stop writing, that is what the error says."""
    path = tmp_path / "shop.db"
    with Store.open(url_of(path), patience=SHORT) as store, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked; another process has been writ"):
            store.put_order(order("o"))
        assert store.order("o") is None


def test_other_threads_write_for_too_long(path: Path) -> None:
    """When another thread does not stop writing, that is what the error says."""
    with (
        Store.open(url_of(path), patience=SHORT) as store,
        store._database.transaction(Access.WRITE),
        ThreadPoolExecutor() as threads,
    ):
        waiting = threads.submit(store.put_order, order("o"))
        with pytest.raises(StoreError, match=r"other threads have been writing for 0.05 s; try a"):
            waiting.result()


def test_threads_that_ended_leave_no_connection(path: Path) -> None:
    """The connection of a thread that asked is closed when the thread ends."""
    with Store.open(url_of(path)) as store:
        connections = store._database._driver._connections
        before = len(connections._held)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(store.purchase_state, "c").result()
            assert len(connections._held) == before + 1
        assert len(connections._held) == before


def test_new_thread_asks_a_closed_store(path: Path) -> None:
    """A thread that never asked before hears that the store is closed, too."""
    store = Store.open(url_of(path))
    store.close()
    with ThreadPoolExecutor(1) as threads, pytest.raises(StoreError, match="it is closed; open it"):
        threads.submit(store.purchase_state, "c").result()


def test_error_shows_no_customer(store: Store) -> None:
    """An error of the database is one line without what was to be stored."""
    with (
        pytest.raises(StoreError) as caught,
        store._database.transaction(Access.WRITE) as connection,
    ):
        connection.execute(
            sa.text("INSERT INTO orders (order_id, customer_id) VALUES (:o, :c)"),
            {"o": "o-17", "c": "jane@example.com"},
        )
    assert "jane" not in str(caught.value)
    assert "updated_at" in str(caught.value)
    assert str(caught.value).endswith("; nothing was stored; try again")
    assert "\n" not in str(caught.value)


def test_id_that_is_no_text(store: Store) -> None:
    """An id that cannot be written in UTF-8 is an error of ours, not of the codec."""
    with pytest.raises(StoreError, match="an id is no valid Unicode text"):
        store.purchase_state("\ud800")


@pytest.mark.parametrize("name", ["file_store", "schema_store"])
def test_error_of_the_fast_read(name: str, request: pytest.FixtureRequest) -> None:
    """The reads on the bare driver tell their errors in the same way."""
    store: Store = request.getfixturevalue(name)
    with store._database.transaction(Access.WRITE) as connection:
        connection.exec_driver_sql("DROP TABLE purchase_states")
    for read in (store.purchase_state, lambda each: store.purchase_states([each])):
        with pytest.raises(StoreError, match=r"purchase_states.*; nothing was stored") as caught:
            read("c")
        assert str(caught.value).startswith(f"store {store.url}: ")


def without_log(path: Path) -> None:
    """Make a store whose file is not yet in write-ahead mode, as just after its making."""
    Store.open(url_of(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def test_opening_waits_for_others(tmp_path: Path) -> None:
    """A store that another process is just making is waited for."""
    path = tmp_path / "shop.db"
    without_log(path)
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, other.rollback)
        release.start()
        with Store.open(url_of(path)) as store:
            assert store.is_ready()
        release.join()


def test_opening_does_not_wait_forever(tmp_path: Path) -> None:
    """A store that another process never lets go of is an error."""
    path = tmp_path / "shop.db"
    without_log(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked"):
            Store.open(url_of(path), patience=SHORT)


WRITER = """
import sys
from personalize.store import OrderSnapshot, SnapshotLine, Store

store = Store.open(sys.argv[1])
for n in range(int(sys.argv[3])):
    store.put_order(OrderSnapshot(f"{sys.argv[2]}{n}", "c", 1, 1, lines=(SnapshotLine("p", 1),)))
    print(f"{sys.argv[2]}{n}", flush=True)
"""


def writer(path: Path, name: str, n: int) -> subprocess.Popen[str]:
    """Start a process that stores orders and names each as soon as it is acknowledged."""
    command = [sys.executable, "-c", WRITER, url_of(path), name, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_acknowledged_orders_survive_a_kill(tmp_path: Path) -> None:
    """A process that is killed while it writes has lost nothing that it acknowledged."""
    path = tmp_path / "shop.db"
    process = writer(path, "o", 1_000_000)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    acknowledged += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    with Store.open(url_of(path), create=False) as store:
        stored = {line.order_id for line in store.customer_lines("c")}
    assert {order_id.strip() for order_id in acknowledged} <= stored
    assert [found.name for found in tmp_path.iterdir()] == ["shop.db"]
