"""What goes wrong with a server is told in time, and is over by itself when the server is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from loopback_proxy import Proxy, proxied

from personalize.catalog import Product
from personalize.errors import InvalidConfigError, StoreError
from personalize.store import Adjustment, OrderSnapshot, Patience, SnapshotLine, Store, postgres
from personalize.store.breaker import Breaker
from personalize.store.driver import Access
from personalize.store.layout import orders
from personalize.store.postgres_connection import BoundedConnection, NoneFreeError, Pool

# Long enough for a busy machine; nothing here waits for it but what is to be given up.
QUICK = Patience(read_seconds=1.0, write_seconds=1.5, bulk_seconds=2.0, quiet_seconds=0.2)
COAT = SnapshotLine("coat", 1)
Question = Callable[[Store], Any]
QUESTIONS: list[Question] = [
    lambda store: store.purchase_state("c"),
    lambda store: store.purchase_states(["c", "d"]),
    lambda store: store.scopes_of("pk_none"),
    lambda store: store.order("o"),
    lambda store: store.put_order(order("o2")),
    lambda store: store.adjust(Adjustment("o", "a", 5, (("coat", -1),))),
    lambda store: store.put_products([Product("tie")]),
    lambda store: store.orders(),
    lambda store: store.catalog(),
]
HANGING = QUESTIONS[:2] + QUESTIONS[3:5] + QUESTIONS[7:8]
"""One of each way to the server: each takes as long as patience does."""


def order(order_id: str) -> OrderSnapshot:
    """Return an order of customer c."""
    return OrderSnapshot(order_id, "c", 1, 1, lines=(COAT,))


@pytest.fixture
def proxy(new_schema: Callable[[], str]) -> Iterator[Proxy]:
    """Return a proxy in front of the server, with a store behind it; see `url_through`."""
    url = sa.make_url(new_schema())
    with Store.open(url.render_as_string(hide_password=False)) as store:
        store.put_order(order("o"))
    with proxied(url.host or "127.0.0.1", url.port or 5432) as made:
        made.url = url.set(host="127.0.0.1", port=made.port)
        yield made


@pytest.fixture
def through(proxy: Proxy) -> Iterator[Store]:
    """Return a store with an order, opened through the proxy and in use."""
    url = proxy.url.render_as_string(hide_password=False)
    with Store.open(url, create=False, patience=QUICK) as store:
        for question in QUESTIONS:
            question(store)
        yield store


def is_back(store: Store) -> bool:
    """Return whether a store answers within some seconds, by itself."""
    patience = time.monotonic() + 20
    while not store.is_ready():
        if time.monotonic() > patience:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("question", QUESTIONS)
def test_lost_connections_are_replaced(proxy: Proxy, through: Store, question: Question) -> None:
    """After a restart of the server the next question is answered, over a new connection."""
    proxy.cut()
    question(through)
    assert through.purchase_state("c").products == ["coat"]


def test_server_ends_connections(server: str, new_schema: Callable[[], str]) -> None:
    """Connections that the server ends, as when it is stopped in order, are replaced."""
    url = new_schema()
    name = str(sa.make_url(url).query["schema"])
    with (
        Store.open(f"{url}&application_name={name}") as store,
        psycopg.connect(server, autocommit=True) as other,
    ):
        for question in QUESTIONS:
            store.ping()
            question(store)
            ended = other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = %s",
                (name,),
            ).fetchall()
            assert len(ended) > 0
            question(store)


@pytest.mark.parametrize("question", QUESTIONS)
def test_server_is_gone(proxy: Proxy, through: Store, question: Question) -> None:
    """A server that refuses connections is an error at once, until it is there again."""
    proxy.refuse()
    proxy.cut()
    with pytest.raises(StoreError, match=r"onnection .*; check that the server runs and can be "):
        question(through)
    assert not through.is_ready()
    proxy.accept()
    assert is_back(through)
    question(through)


@pytest.mark.parametrize("question", HANGING)
def test_server_hangs(proxy: Proxy, through: Store, question: Question) -> None:
    """A server that says nothing any more is given up, for reads and for writes alike."""
    proxy.is_silent = True
    with pytest.raises(StoreError, match=r"(did not answer in time|timeout expired); check that "):
        question(through)
    proxy.is_silent = False
    assert is_back(through)
    question(through)


def test_server_hangs_from_the_beginning(proxy: Proxy) -> None:
    """A server that takes a connection and never answers is given up."""
    proxy.is_silent = True
    url = proxy.url.render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="timeout expired; check that the server runs"):
        Store.open(url, patience=QUICK)


def test_one_question_tries_again(proxy: Proxy, through: Store) -> None:
    """After a failure nobody asks the server for a moment; then one question does."""
    proxy.is_silent = True
    with pytest.raises(StoreError, match="did not answer"):
        through.purchase_state("c")
    tried = proxy.n_connections
    for question in QUESTIONS:
        with pytest.raises(StoreError, match="it could not be reached a moment ago, and was not"):
            question(through)
    assert proxy.n_connections == tried
    proxy.is_silent = False
    assert is_back(through)


def test_server_is_lost_within_a_write(proxy: Proxy, through: Store) -> None:
    """A write whose connection breaks is undone and told; sending it again is right."""

    def work(connection: sa.Connection) -> None:
        connection.execute(sa.delete(orders))
        proxy.cut()
        connection.execute(sa.delete(orders))

    with pytest.raises(
        StoreError, match="send what was not acknowledged again: it is not stored t"
    ):
        through._database.write(work)
    assert through.order("o") is not None


def test_server_takes_too_long(through: Store) -> None:
    """A statement that takes too long is ended by the server, and the connection stays good."""
    with (
        pytest.raises(StoreError, match="it took too long, or others have been writing the same"),
        through._database.transaction(Access.READ) as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    assert through.is_ready()


def test_other_writer_takes_too_long(through: Store) -> None:
    """An order that another writer does not let go of is an error in time; reads go on."""
    with through._database.transaction(Access.WRITE) as connection:
        connection.execute(sa.select(orders).with_for_update())
        with pytest.raises(StoreError, match="it took too long, or others have been writing the s"):
            through.put_order(order("o")._replace(updated_at=2))
        assert through.purchase_state("c").products == ["coat"]


def test_server_is_read_only(new_schema: Callable[[], str]) -> None:
    """A server that takes no writes answers questions; a write says why it fails."""
    url = new_schema()
    Store.open(url).close()
    read_only = f"{url}&options=-cdefault_transaction_read_only%3Don"
    with Store.open(read_only, create=False) as store:
        assert store.purchase_state("c").products == []
        assert not store.takes_writes()
        with pytest.raises(
            StoreError, match=r"read-only transaction; the server takes no writes; "
        ):
            store.put_order(order("o"))


def test_connections_are_used_up(through: Store) -> None:
    """When all connections of the process are in use for too long, that is what the error says."""
    driver = through._database._driver
    with ExitStack() as taken:
        for _ in range(postgres.READERS):
            taken.enter_context(driver._engines[Access.READ].connect())
        with pytest.raises(StoreError, match="connections of this process were in use for too lon"):
            through.order("o")
    pool = driver._pool
    bare = [pool.take() for _ in range(postgres.CONNECTIONS)]
    with pytest.raises(StoreError, match="connections of this process were in use for too long"):
        through.purchase_state("c")
    for each in bare:
        pool.put_back(each)
    assert through.purchase_state("c").products == ["coat"]


def test_threads_fail_in_time_together(proxy: Proxy, through: Store) -> None:
    """Many threads that ask a silent server all get their error, and all recover."""
    proxy.is_silent = True
    errors: list[str] = []

    def ask() -> None:
        for _ in range(3):
            try:
                through.purchase_state("c")
            except StoreError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(errors) == 72
    proxy.is_silent = False
    assert is_back(through)


def test_undone_writes_are_done_again(schema_store: Store) -> None:
    """What the server undid in favour of another writer is done again, some times."""
    attempts: list[int] = []

    def work(connection: sa.Connection, failures: int) -> str:
        attempts.append(1)
        if len(attempts) <= failures:
            connection.exec_driver_sql(
                "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$"
            )
        return "done"

    assert schema_store._database.write(work, 4) == "done"
    assert len(attempts) == 5
    attempts.clear()
    with pytest.raises(StoreError, match="deadlock; nothing was stored; try again"):
        schema_store._database.write(work, 5)
    assert len(attempts) == 5


def test_failed_work_of_ones_own_is_told_as_it_is(schema_store: Store) -> None:
    """An error that is not the database's passes through, and the write is undone."""

    def work(connection: sa.Connection) -> None:
        schema_store_driver = schema_store._database._driver
        schema_store_driver.claim_orders(connection, ["o"])
        raise StoreError("mine")

    with pytest.raises(StoreError, match=r"^mine$"):
        schema_store._database.write(work)
    with schema_store._database.transaction(Access.READ) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(orders)) == 0


@pytest.mark.parametrize("field", ["read_seconds", "write_seconds", "bulk_seconds"])
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_bad_patience(field: str, value: float) -> None:
    """Patience is a number of seconds above 0."""
    with pytest.raises(InvalidConfigError, match=f"{field}: .*; allowed is a number of seconds"):
        Patience(**{field: value})


def test_breaker() -> None:
    """Quiet after a failure; then one thread tries while the others wait for how it ends."""
    breaker = Breaker(0.05)
    assert breaker.lets_through()
    assert breaker.still_lets_through()
    breaker.succeeded()
    breaker.failed()
    assert not breaker.lets_through()
    assert not breaker.still_lets_through()
    time.sleep(0.06)
    assert breaker.lets_through()
    assert breaker.still_lets_through()
    other: list[bool] = []
    thread = threading.Thread(
        target=lambda: other.extend([breaker.lets_through(), breaker.still_lets_through()])
    )
    thread.start()
    thread.join()
    assert other == [False, False]
    breaker.succeeded()
    assert breaker.lets_through()


def test_pool_closes_what_comes_back_late(server: str) -> None:
    """A connection in use while its pool is closed is closed when it is put back."""
    pool = Pool(lambda: BoundedConnection.connect(server, autocommit=True), 1, 0.05)
    connection = pool.take()
    with pytest.raises(NoneFreeError, match=r"in use for 0.05 s"):
        pool.take()
    pool.close()
    assert not connection.closed
    pool.put_back(connection)
    assert connection.closed


def test_connection_that_waits_in_vain_is_closed(server: str) -> None:
    """A wait has an end also where no moment was set."""
    connection = BoundedConnection.connect(server, autocommit=True)
    connection.step_seconds = 0.2
    with pytest.raises(psycopg.OperationalError, match="did not answer in time"):
        connection.execute("SELECT pg_sleep(60)")
    assert connection.closed
