"""One database: how it is opened, read and written, whatever it is called.

This file is the only one that knows which database there is. Reads see one consistent state;
writes are exclusive from their first statement on and durable when they return. Every error of
the database comes out as a `StoreError`, without a password and without a customer's data.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from personalize.errors import StoreError
from personalize.store.layout import HEAD
from personalize.store.upgrade import ForeignSchemaError, revision, upgrade

BUSY_SECONDS: Final = 30.0
_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a power cut
    "PRAGMA fullfsync = ON",  # the same on macOS, where fsync alone does not reach the disk
    "PRAGMA cache_size = -65536",  # KiB; the default of 2 MiB makes large imports crawl
)
_REMEDIES: Final = {
    "unable to open": "the folder must exist and be writable",
    "readonly": "the file and its folder must be writable",
    "locked": f"another process has been writing for {BUSY_SECONDS:.0f} s; try again later",
    "not a database": "it is no SQLite file; give another one",
    "malformed": "the file is damaged; restore a backup",
    "full": "make room on the disk",
}


class Database:
    """An open database; safe to share between threads.

    Readers take a connection of a pool each; writers wait for one another, first within the
    process, then between processes.
    """

    def __init__(self, url: sa.URL) -> None:
        self.url = url.render_as_string(hide_password=True)
        # As many connections as there are threads that ask at once; the ones in use are few.
        self._engine = sa.create_engine(url, pool_size=16, max_overflow=-1, pool_use_lifo=True)
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(writes=True)
        self._dbapi_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        self._turn = threading.Lock()
        self._is_closed = False

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection that sees one state of the database until the block ends."""
        with self._telling(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield the one connection that may write; what it wrote is durable after the block."""
        with self._telling(), self._turn, self._writer.begin() as connection:
            yield connection

    def query(self, statement: sa.Select[Any]) -> Callable[[object], Sequence[Any]]:
        """Return a function that runs a statement of one parameter on the bare driver.

        It is several times as fast as `read`, gives rows in the driver's own types, and is
        for what every request asks.
        """
        compiled = statement.compile(dialect=self._engine.dialect)
        sql = str(compiled)
        (name,) = compiled.params

        def rows(value: object) -> Sequence[Any]:
            with self._telling():
                pooled = self._engine.raw_connection()
                try:
                    cursor = pooled.cursor()
                    cursor.execute(sql, (value,) if compiled.positional else {name: value})
                    return cursor.fetchall()
                finally:
                    pooled.close()

        return rows

    def close(self) -> None:
        """Close every connection; the last one of all processes tidies up the write-ahead log."""
        with self._turn:
            self._is_closed = True
            self._engine.dispose()

    def prepare(self, create: bool) -> None:
        """Make or upgrade the tables where that is needed and safe.

        Raises
        ------
        StoreError
            If the database is not ours, of an unknown revision, or empty without `create`.
        """
        try:
            with self.read() as connection:
                seen = revision(connection)
            if seen is None and not create:
                raise ForeignSchemaError("it is empty; import orders, or open it with create=True")
            if seen != HEAD:
                with self.write() as connection:
                    upgrade(connection)
        except ForeignSchemaError as error:
            raise StoreError(f"store {self.url}: {error}", url=self.url) from error
        self._log_ahead()

    def _log_ahead(self) -> None:
        """Switch to write-ahead logging, once per file: readers never wait for a writer."""
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self._telling(), self._engine.connect() as connection:
                    bare = connection.connection.cursor()
                    mode = bare.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                    break
            except StoreError:
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

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the database says into a `StoreError` of one line."""
        if self._is_closed:
            raise StoreError(f"store {self.url}: it is closed; open it again", url=self.url)
        try:
            yield
        except sa.exc.DBAPIError as error:
            # Its own text would show the statement's parameters, which are customers' data.
            raise self._told(error.orig or error) from error
        except (self._dbapi_error, sa.exc.SQLAlchemyError) as error:
            raise self._told(error) from error
        except UnicodeEncodeError as error:
            raise self._told("an id is no valid Unicode text") from error

    def _told(self, cause: object) -> StoreError:
        text = " ".join(str(cause).split())
        remedy = next((advice for sign, advice in _REMEDIES.items() if sign in text), "")
        return StoreError(
            f"store {self.url}: {text}; {remedy or 'nothing was stored; try again'}", url=self.url
        )


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows of plain values, in the order of the table's columns.

    Handed to the driver as they are: preparing half a million rows one by one took SQLAlchemy
    as long as storing them.
    """
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    names = ", ".join(table.columns.keys())
    marks = ", ".join([mark] * len(table.columns))
    # No value is part of the text, only names of our own tables.
    sql = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608
    if rows:
        connection.exec_driver_sql(sql, list(rows))


def open_database(url: str, *, create: bool) -> Database:
    """Return the database at `url`, ready for use.

    Raises
    ------
    StoreError
        If there is none and `create` is False, or it cannot be opened or is not ours.
    """
    parsed = _parsed(url)
    database = Database(parsed)
    if not create and not Path(parsed.database or "").exists():
        raise StoreError(
            f"store {database.url}: there is no such file; check the path, or import orders first",
            url=database.url,
        )
    try:
        database.prepare(create)
    except StoreError:
        database.close()
        raise
    return database


def database_file(url: str) -> Path:
    """Return the file that a store's URL names, there or not.

    Raises
    ------
    StoreError
        If it names none.
    """
    return Path(_parsed(url).database or "")


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        # Not echoed: what cannot be parsed may hold a password anywhere.
        raise StoreError(
            "store: the URL cannot be read; write sqlite:///path/to/shop.db"
        ) from error
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(
            f"store {shown}: only SQLite is supported; write sqlite:///path/to/shop.db", url=shown
        )
    if parsed.database in (None, "", ":memory:") or parsed.query:
        raise StoreError(
            f"store {shown}: a store is a plain file; write sqlite:///path/to/shop.db", url=shown
        )
    return parsed


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see below
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can fail half-way when another one writes
    # in between; one that begins as a writer waits at its start instead.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
