"""A store in one SQLite file, in write-ahead mode: readers never wait for a writer.

What every request asks goes to a connection of its thread's own, past SQLAlchemy and its pool.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from personalize.errors import StoreError
from personalize.store.driver import (
    CLOSED,
    Access,
    Row,
    Rows,
    RowsOfEach,
    insert_each,
    upsert_each,
)
from personalize.store.patience import Patience

_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a power cut
    "PRAGMA fullfsync = ON",  # the same on macOS, where fsync alone does not reach the disk
    "PRAGMA cache_size = -65536",  # KiB; the default of 2 MiB makes large imports crawl
)
_REMEDIES: Final = {
    "unable to open": "the folder must exist and be writable",
    "readonly": "the file and its folder must be writable",
    "not a database": "it is no SQLite file; give another one",
    "malformed": "the file is damaged; restore a backup",
    "full": "make room on the disk",
}


class SQLite:
    """One file; safe to share between threads.

    Writers wait for one another, first within the process, then between processes.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, url: sa.URL, patience: Patience) -> None:
        self.url = url.render_as_string(hide_password=True)
        self.file = Path(url.database or "")
        self._patience = patience
        # As many connections as there are threads that ask at once; the ones in use are few.
        engine = sa.create_engine(url, pool_size=16, max_overflow=-1, pool_use_lifo=True)
        sa.event.listen(engine, "connect", self._configure)
        sa.event.listen(engine, "begin", _begin)
        self._engine = engine.execution_options(driver=self)
        self._writer = self._engine.execution_options(is_write=True)
        self._turn = threading.Lock()
        self._connections = _Connections(self.file, patience)

    @cached_property
    def _bare(self) -> _Bare:
        return _Bare(self._connections)

    @contextmanager
    def transaction(self, access: Access) -> Iterator[sa.Connection]:
        """Yield a connection within a transaction; a writer is alone from its beginning on."""
        if not access.is_write:
            with self._engine.begin() as connection:
                yield connection
            return
        if not self._turn.acquire(timeout=self._patience.write_seconds):
            raise StoreError(
                f"store {self.url}: other threads have been writing for "
                f"{self._patience.write_seconds:g} s; try again later",
                url=self.url,
            )
        try:
            with self._writer.begin() as connection:
                yield connection
        finally:
            self._turn.release()

    def query(self, statement: sa.Select[Any]) -> Rows:
        """Return a function that asks a statement of one parameter on the bare driver."""
        sql = str(statement.compile(dialect=self._engine.dialect))
        bare = self._bare

        def rows(value: object) -> Sequence[Row]:
            return bare.cursor.execute(sql, (value,)).fetchall()

        return rows

    def query_each(self, one: sa.Select[Any], many: sa.Select[Any]) -> RowsOfEach:  # noqa: ARG002
        """Return a function that asks `one` for each of many values in one transaction.

        Nothing lies between us and the file: one by one is quicker than a list.
        """
        rows = self.query(one)
        bare = self._bare

        def rows_of_each(values: Collection[str]) -> Iterable[tuple[str, Iterable[Row]]]:
            cursor = bare.cursor
            cursor.execute("BEGIN")
            try:
                return [(value, rows(value)) for value in values]
            finally:
                cursor.connection.rollback()

        return rows_of_each

    def insert(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert new rows of plain values, in the order of the table's columns."""
        if rows:
            insert_each(connection, table, "?", rows)

    def upsert(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert rows, each in place of one that begins with the same value, the table's key."""
        if rows:
            upsert_each(connection, table, "?", rows)

    def lock(self, connection: sa.Connection, what: str) -> None:
        """Do nothing: whoever writes is alone."""

    def claim_orders(self, connection: sa.Connection, order_ids: Collection[str]) -> None:
        """Do nothing: whoever writes is alone."""

    def keep_writers_off(self, connection: sa.Connection, table: sa.Table) -> None:
        """Do nothing: whoever writes is alone."""

    def claim_customers(self, connection: sa.Connection, customer_ids: Sequence[str]) -> None:
        """Do nothing: whoever writes is alone."""

    def takes_writes(self, connection: sa.Connection) -> bool:  # noqa: ARG002
        """Return True: a file that became read-only says so with the next write."""
        return True

    def check_present(self) -> None:
        """Raise `StoreError` if there is no file."""
        if not self.file.exists():
            raise StoreError(
                f"store {self.url}: there is no such file; check the path, or import orders first",
                url=self.url,
            )

    def make_room(self) -> None:
        """Do nothing: a file is made by writing to it."""

    def settle(self) -> None:
        """Switch to write-ahead logging, once per file: readers never wait for a writer."""
        patience = time.monotonic() + self._patience.write_seconds
        while True:
            try:
                with self._engine.connect() as connection:
                    bare = connection.connection.cursor()
                    mode = bare.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                    break
            except sqlite3.OperationalError:
                # The switch does not wait for other processes that open the file just now.
                if time.monotonic() > patience:
                    raise
                time.sleep(0.02)
        if mode != "wal":  # pragma: no cover - takes a disk without shared memory
            raise StoreError(
                f"store {self.url}: its disk allows no write-ahead log (journal mode {mode!r}); "
                "put the file on a local disk",
                url=self.url,
            )

    def may_repeat(self, error: Exception) -> bool:  # noqa: ARG002
        """Return False: whoever writes is alone, so waiting was all there was to do."""
        return False

    def told(self, error: Exception) -> str:
        """Return what happened and what to do, in one line."""
        text = " ".join(str(error).split())
        remedy = next((advice for sign, advice in _REMEDIES.items() if sign in text), "")
        if "locked" in text:
            remedy = (
                "another process has been writing for "
                f"{self._patience.write_seconds:g} s; try again later"
            )
        return f"{text}; {remedy or 'nothing was stored; try again'}"

    def close(self) -> None:
        """Close every connection; the last one of all processes tidies up the write-ahead log."""
        with self._turn:
            self._connections.close()
            self._engine.dispose()

    def _configure(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        connection.execute(f"PRAGMA busy_timeout = {self._patience.write_seconds * 1000:.0f}")
        for pragma in _PRAGMAS:
            connection.execute(pragma)


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can fail half-way when another one writes
    # in between; one that begins as a writer waits at its start instead.
    is_write = connection.get_execution_options().get("is_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


class _Connections:
    """The connections of threads that ask: one each, closed with its thread or with the store."""

    def __init__(self, file: Path, patience: Patience) -> None:
        self._file = file
        self._busy = f"PRAGMA busy_timeout = {patience.read_seconds * 1000:.0f}"
        self._lock = threading.Lock()
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()
        self.is_closed = False

    def opened(self) -> _Held:
        """Return a new connection."""
        with self._lock:
            if self.is_closed:
                raise sqlite3.ProgrammingError(CLOSED)
            held = _Held(sqlite3.connect(self._file, isolation_level=None, check_same_thread=False))
            self._held.add(held)
        for pragma in (*_PRAGMAS, self._busy, "PRAGMA query_only = ON"):
            held.cursor.execute(pragma)
        return held

    def close(self) -> None:
        """Close them all; none is opened after."""
        with self._lock:
            self.is_closed = True
            for held in self._held:
                held.connection.close()


class _Held:
    """A connection that is closed when nothing holds it any more."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.cursor = connection.cursor()

    def __del__(self) -> None:
        self.connection.close()


class _Bare(threading.local):
    """The cursor of the thread that asks; a thread's first look at it opens its connection."""

    def __init__(self, connections: _Connections) -> None:
        self._held = connections.opened()
        self.cursor = self._held.cursor
