"""A store in one schema of a PostgreSQL database.

Writers take turns by order, not by store: the rows of ``orders`` are their locks, taken in sorted
order. What has one number for all of it, the catalogue's revision and the policy's version, has
an advisory lock.

Nothing waits without end: the server gives up by its own time limits, and where it does not even
do that (stopped, or behind a network that swallows everything) `postgres_connection` hangs up.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.pool import NullPool

from personalize.errors import StoreError
from personalize.store.breaker import Breaker
from personalize.store.driver import (
    Access,
    Row,
    Rows,
    RowsOfEach,
    insert_each,
    on_conflict,
    upsert_each,
)
from personalize.store.patience import Patience
from personalize.store.postgres_connection import (
    BoundedConnection,
    NoneFreeError,
    Pool,
    TimedOutError,
    settings,
)
from personalize.times import MISSING

CONNECTIONS: Final = 8
"""At most so many for questions, and as many again for writes: those that wait for a lock must
not keep decisions from being made."""
READERS: Final = 4
"""At most so many for what is not asked by every request."""
_ROLLBACK_SECONDS: Final = 1.0
_COPY_FROM: Final = 200
"""So many rows are quicker copied than inserted."""
_BEGIN: Final = {
    Access.READ: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    Access.EXPORT: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    # Rows are read after they are locked, and then as they stand.
    Access.WRITE: "BEGIN ISOLATION LEVEL READ COMMITTED",
    Access.IMPORT: "BEGIN ISOLATION LEVEL READ COMMITTED",
}
_DIALECT: Final = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_ENCODING: Final = "UTF8"
_SCHEMA: Final = re.compile("[a-z_][a-z0-9_]{0,62}")
# An order that nobody has seen has no row to lock. The row that is made for it is older than every
# snapshot and stands for no order.
_CLAIM: Final = f"""
    INSERT INTO orders (order_id, updated_at, content_hash)
    SELECT order_id, {MISSING + 1} - 1, '' FROM unnest(%s::varchar[]) AS order_id
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - no value from outside
_CLAIM_CUSTOMERS: Final = """
    INSERT INTO purchase_states SELECT customer_id, '', '' FROM unnest(%s::varchar[]) AS customer_id
    ON CONFLICT DO NOTHING
"""
_LOCK_CUSTOMERS: Final = """
    SELECT FROM purchase_states WHERE customer_id = ANY(%s::varchar[])
    ORDER BY customer_id FOR UPDATE
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s || current_schema(), 0))"
_DURABLE: Final = """
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""
_TAKES_WRITES: Final = """
    SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'
"""
_MAKE_ROOM: Final = "SELECT pg_advisory_xact_lock(hashtextextended('personalize schemas', 0))"
_REMEDIES: Final = {
    "25006": "the server takes no writes; give the address of the one that does",
    "3F000": "check the schema's name, or import orders first",
    "42501": "the user must own the schema, or be allowed to make it",
    "53100": "make room on the server's disk",
}
# Of a connection that was not made the server's words are all there is.
_REFUSALS: Final = {
    "password": "check the user and the password",
    'role "': "check the user and the password",
    "pg_hba.conf": "the server must let this user and address in",
    'database "': "make the database first, with createdb",
    "too many clients": "raise max_connections of the server, or run fewer workers",
    "connection slots": "raise max_connections of the server, or run fewer workers",
    "connection option": "take it out of the URL",
    "NUL": "no text here may hold it",
}
_UNREACHABLE: Final = (
    "check that the server runs and can be reached, then send what was not acknowledged again: it "
    "is not stored twice"
)
_LOCKED: Final = "55P03"
_CANCELLED: Final = "57014"
_UNDONE: Final = ("40001", "40P01")


class QuietError(psycopg.OperationalError):
    """The server could not be reached a moment ago and was not asked again."""


class Postgres:
    """One schema of one database; safe to share between threads."""

    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: sa.URL, patience: Patience) -> None:
        self.url = url.render_as_string(hide_password=True)
        self.schema = _schema(url, self.url)
        self._url = url
        self._patience = patience
        self._breaker = Breaker(patience.quiet_seconds)
        reads, writes, bulk = patience.read_seconds, patience.write_seconds, patience.bulk_seconds
        self._pool = Pool(partial(self._connect, reads), CONNECTIONS, reads)
        kept = {"max_overflow": 0, "pool_use_lifo": True}
        self._engines = {
            Access.READ: self._engine(reads, pool_size=READERS, pool_timeout=reads, **kept),
            Access.WRITE: self._engine(writes, pool_size=CONNECTIONS, pool_timeout=writes, **kept),
            Access.EXPORT: self._engine(bulk, poolclass=NullPool),
        }
        self._engines[Access.IMPORT] = self._engines[Access.EXPORT]
        self._seconds = {Access.READ: reads, Access.WRITE: writes}

    def _engine(self, seconds: float, **pool: Any) -> sa.Engine:
        # SQLAlchemy is told no more than the kind of database: the rest is ours to say.
        engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=partial(self._connect, seconds),
            use_native_hstore=False,
            **pool,
        )
        return engine.execution_options(driver=self)

    def _connect(self, seconds: float) -> BoundedConnection:
        if not self._breaker.still_lets_through():
            raise QuietError
        try:
            connection = BoundedConnection.connect(
                **settings(self._url, self.schema, seconds, self._patience), autocommit=True
            )
            connection.step_seconds = seconds
            connection.execute(_DURABLE)
        except psycopg.OperationalError:
            self._breaker.failed()
            raise
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != _ENCODING:
            connection.close()
            raise StoreError(
                f"store {self.url}: the database keeps text as {encoding}; make one with "
                f"createdb --template=template0 --encoding={_ENCODING}",
                url=self.url,
            )
        return connection

    def _check_reachable(self) -> None:
        if not self._breaker.lets_through():
            raise QuietError

    @contextmanager
    def transaction(self, access: Access) -> Iterator[sa.Connection]:
        """Yield a connection within a transaction."""
        self._check_reachable()
        seconds = self._seconds.get(access)
        until = None if seconds is None else time.monotonic() + seconds
        try:
            with self._begun(access, until) as connection:
                self._breaker.succeeded()
                try:
                    yield connection
                    connection.commit()
                except BaseException:
                    if not connection.invalidated:
                        _bare(connection).until = time.monotonic() + _ROLLBACK_SECONDS
                    raise
        except sa.exc.DBAPIError as error:
            if isinstance(error.orig, TimedOutError):
                self._breaker.failed()
            raise

    def _begun(self, access: Access, until: float | None) -> sa.Connection:
        """Return a connection whose transaction has begun, which shows that it is alive.

        One that was lost while it lay idle, as in a restart of the server, is replaced.
        """
        connection = self._engines[access].connect()
        try:
            return _begin(connection, access, until)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated or isinstance(error.orig, TimedOutError):
                raise
        # SQLAlchemy has by now given up all connections that are as old.
        return _begin(self._engines[access].connect(), access, until)

    def query(self, statement: sa.Select[Any]) -> Rows:
        """Return a function that asks a statement of one parameter on the bare driver."""
        sql = str(statement.compile(dialect=_DIALECT))

        def rows(value: object) -> Sequence[Row]:
            self._check_reachable()
            until = time.monotonic() + self._patience.read_seconds
            try:
                try:
                    found = self._rows(sql, value, until)
                except LostError:
                    self._pool.drop_idle()
                    found = self._rows(sql, value, until)
            except TimedOutError:
                self._breaker.failed()
                raise
            self._breaker.succeeded()
            return found

        return rows

    def _rows(self, sql: str, value: object, until: float) -> Sequence[Row]:
        connection = self._pool.take()
        try:
            connection.until = until
            return connection.questions.execute(sql, (value,), prepare=True).fetchall()
        except psycopg.OperationalError as error:
            if connection.broken and not isinstance(error, TimedOutError):
                raise LostError(str(error)) from error
            raise
        finally:
            self._pool.put_back(connection)

    def query_each(self, one: sa.Select[Any], many: sa.Select[Any]) -> RowsOfEach:  # noqa: ARG002
        """Return a function that asks `many` for a list of values: one trip to the server."""
        rows = self.query(many)

        def rows_of_each(values: Collection[str]) -> Iterable[tuple[str, Iterable[Row]]]:
            found = rows(list(values)) if values else ()
            return [
                (value, [row[1:] for row in theirs])
                for value, theirs in groupby(found, key=itemgetter(0))
            ]

        return rows_of_each

    def insert(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert new rows of plain values, in the order of the table's columns."""
        if len(rows) >= _COPY_FROM:
            copy_rows(connection, table.name, table.columns.keys(), rows)
        elif rows:
            insert_each(connection, table, "%s", rows)

    def upsert(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert rows, each in place of one that begins with the same value, the table's key."""
        if len(rows) >= _COPY_FROM:
            given = f"given_{table.name}"
            connection.exec_driver_sql(
                f"CREATE TEMPORARY TABLE {given} (LIKE {table.name}) ON COMMIT DROP"
            )
            copy_rows(connection, given, table.columns.keys(), rows)
            connection.exec_driver_sql(
                f"INSERT INTO {table.name} SELECT * FROM {given}{on_conflict(table)}"  # noqa: S608
            )
            connection.exec_driver_sql(f"DROP TABLE {given}")
        elif rows:
            upsert_each(connection, table, "%s", rows)

    def lock(self, connection: sa.Connection, what: str) -> None:
        """Wait until no other transaction has `what` of this schema; keep it."""
        connection.exec_driver_sql(_LOCK, (f"{what} of ",))

    def claim_orders(self, connection: sa.Connection, order_ids: Collection[str]) -> None:
        """Make sure that every order has a row to lock."""
        connection.exec_driver_sql(_CLAIM, (sorted(order_ids),))

    def claim_customers(self, connection: sa.Connection, customer_ids: Sequence[str]) -> None:
        """Make sure that every customer has a row, and lock it.

        Rows are made before any is locked, both in sorted order, so that nobody waits in a circle.
        Where one is deleted while we wait for it, all are let go of before it is made anew.
        """
        wanted = list(customer_ids)
        while wanted:
            with connection.begin_nested() as attempt:
                connection.exec_driver_sql(_CLAIM_CUSTOMERS, (wanted,))
                if len(connection.exec_driver_sql(_LOCK_CUSTOMERS, (wanted,)).all()) == len(wanted):
                    return
                attempt.rollback()

    def keep_writers_off(self, connection: sa.Connection, table: sa.Table) -> None:
        """Wait for those who write to a table, and keep others from it; it may be read."""
        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE")

    def takes_writes(self, connection: sa.Connection) -> bool:
        """Return whether the server is neither a replica nor set to read only."""
        return bool(connection.exec_driver_sql(_TAKES_WRITES).scalar_one())

    def check_present(self) -> None:
        """Raise `StoreError` if the schema is missing."""
        if self.schema is not None:
            with closing(self._connect(self._patience.write_seconds)) as connection:
                connection.execute("SELECT %s::regnamespace", (self.schema,))

    def make_room(self) -> None:
        """Make the schema where it is missing."""
        if self.schema is None:
            return
        with closing(self._connect(self._patience.write_seconds)) as connection:
            known = "SELECT FROM pg_namespace WHERE nspname = %s"
            if connection.execute(known, (self.schema,)).fetchone() is None:
                with connection.transaction():
                    connection.execute(_MAKE_ROOM)
                    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")

    def settle(self) -> None:
        """Do nothing: the tables are all there is."""

    def may_repeat(self, error: Exception) -> bool:
        """Return whether the server undid a transaction in favour of another one."""
        return isinstance(error, psycopg.Error) and error.sqlstate in _UNDONE

    def told(self, error: Exception) -> str:
        """Return what happened and what to do, in one line."""
        if isinstance(error, QuietError):
            return "it could not be reached a moment ago, and was not asked again; try again later"
        if isinstance(error, NoneFreeError | sa.exc.TimeoutError):
            return (
                f"all {CONNECTIONS} connections of this process were in use for too long; try "
                "again later, or run more workers"
            )
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        if state in (_LOCKED, _CANCELLED):
            return "it took too long, or others have been writing the same; try again later"
        # Its other lines may show the values of a row, which are customers' data.
        said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        text = " ".join((said or str(error)).split())
        if state is not None and not state.startswith(("08", "57")):
            return f"{text}; {_REMEDIES.get(state, 'nothing was stored; try again')}"
        refusal = text.partition("FATAL:")[2] or ("" if "connection to server" in text else text)
        remedy = next((advice for sign, advice in _REFUSALS.items() if sign in refusal), "")
        return f"{text}; {remedy or _UNREACHABLE}"

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        for engine in self._engines.values():
            engine.dispose()


class LostError(psycopg.OperationalError):
    """A connection turned out to be dead when it was used."""


def copy_rows(
    connection: sa.Connection,
    table: str,
    columns: Iterable[str],
    rows: Iterable[tuple[object, ...]],
) -> None:
    """Write rows into a table by COPY."""
    sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with _bare(connection).cursor() as cursor, cursor.copy(sql) as copy:
        for row in rows:
            copy.write_row(row)


def _begin(connection: sa.Connection, access: Access, until: float | None) -> sa.Connection:
    try:
        _bare(connection).until = until
        connection.exec_driver_sql(_BEGIN[access])
    except BaseException:
        connection.close()
        raise
    return connection


def _bare(connection: sa.Connection) -> BoundedConnection:
    bare: BoundedConnection = connection.connection.dbapi_connection  # type: ignore[assignment]
    return bare


def _schema(url: sa.URL, shown: str) -> str | None:
    schema = url.query.get("schema")
    if schema is None or (isinstance(schema, str) and _SCHEMA.fullmatch(schema)):
        return schema
    raise StoreError(
        f"store {shown}: schema is {schema!r}; allowed is one name of lower-case letters, digits "
        "and _, at most 63, that begins with a letter",
        url=shown,
    )
