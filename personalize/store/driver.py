"""What differs from one database to another; `sqlite` and `postgres` are the two there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from itertools import islice
from typing import Any, Final, Protocol

import sqlalchemy as sa

Row = tuple[Any, ...]
Rows = Callable[[object], Sequence[Row]]
"""Asks a statement of one parameter."""
RowsOfEach = Callable[[Collection[str]], Iterable[tuple[str, Iterable[Row]]]]
"""Asks a statement for many values at once; yields those that have rows, each with its rows."""

CLOSED: Final = "it is closed; open it again"
_IDS_AT_ONCE: Final = 500


class Access(Enum):
    """What a transaction is for: it decides how it begins and how long it may take."""

    READ = "read"
    WRITE = "write"
    EXPORT = "export"
    IMPORT = "import"

    @property
    def is_write(self) -> bool:
        """Whether it changes anything."""
        return self in (Access.WRITE, Access.IMPORT)


class Driver(Protocol):
    """One database that is open.

    Its errors come out as they are; ``told`` says them in one line.
    """

    url: str
    """Where it is, without a password."""
    errors: tuple[type[Exception], ...]
    """What the bare driver raises."""

    def transaction(self, access: Access) -> AbstractContextManager[sa.Connection]:
        """Return a block with a transaction of its own: one state; all or nothing; durable."""
        ...

    def query(self, statement: sa.Select[Any]) -> Rows:
        """Return a function that asks a statement of one parameter on the bare driver."""
        ...

    def query_each(self, one: sa.Select[Any], many: sa.Select[Any]) -> RowsOfEach:
        """Return a function that asks for many values and sees one state.

        `one` asks for a single value; `many` for a list of them, and its rows begin with the
        value. A driver uses what is quicker.
        """
        ...

    def insert(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert new rows of plain values, in the order of the table's columns."""
        ...

    def upsert(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert rows, each in place of one that begins with the same value, the table's key."""
        ...

    def lock(self, connection: sa.Connection, what: str) -> None:
        """Wait until no other transaction has `what`; keep it until this one ends."""
        ...

    def claim_orders(self, connection: sa.Connection, order_ids: Collection[str]) -> None:
        """Make sure that every order has a row to lock, or that there is no need to."""
        ...

    def claim_customers(self, connection: sa.Connection, customer_ids: Sequence[str]) -> None:
        """Keep other writers from the states of these customers, sorted, there or not."""
        ...

    def keep_writers_off(self, connection: sa.Connection, table: sa.Table) -> None:
        """Wait for those who write to a table, and keep others from it; it may be read."""
        ...

    def takes_writes(self, connection: sa.Connection) -> bool:
        """Return whether writes are taken at all: a replica answers, and takes none."""
        ...

    def check_present(self) -> None:
        """Raise `StoreError` where there is nothing to open."""
        ...

    def make_room(self) -> None:
        """Make what tables are put into, where it is missing."""
        ...

    def settle(self) -> None:
        """Do what is left to do once the tables are there."""
        ...

    def may_repeat(self, error: Exception) -> bool:
        """Return whether a transaction that failed so was undone and may pass another time."""
        ...

    def told(self, error: Exception) -> str:
        """Return what happened and what to do, in one line, without values of a statement."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def driver_of(connection: sa.Connection) -> Driver:
    """Return the driver whose transaction this is."""
    driver: Driver = connection.get_execution_options()["driver"]
    return driver


class Among:
    """A statement about a list of ids, in the form that each database is quickest with."""

    def __init__(self, statement: sa.Select[Any], column: sa.ColumnElement[str]) -> None:
        listed: sa.BindParameter[list[str]] = sa.bindparam("ids", expanding=True)
        # A plan for hundreds of single values reads the whole table; one for a list does not.
        array = sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.String)))
        self._forms = {
            "sqlite": statement.where(column.in_(listed)),
            "postgresql": statement.where(column == array),
        }

    def rows(
        self, connection: sa.Connection, ids: Iterable[str], **parameters: object
    ) -> Iterator[Any]:
        """Yield the rows; each of the ids is asked for once."""
        form = self._forms[connection.dialect.name]
        rest = iter(ids)
        while some := list(islice(rest, _IDS_AT_ONCE)):
            yield from connection.execute(form, {"ids": some, **parameters})


def insert_each(
    connection: sa.Connection, table: sa.Table, mark: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert rows one by one, handed to the bare driver as they are.

    Preparing half a million rows took SQLAlchemy as long as storing them.
    """
    connection.exec_driver_sql(_insert(table, mark), list(rows))


def upsert_each(
    connection: sa.Connection, table: sa.Table, mark: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert rows one by one, each in place of one that begins with the same value."""
    connection.exec_driver_sql(_insert(table, mark) + on_conflict(table), list(rows))


def _insert(table: sa.Table, mark: str) -> str:
    marks = ", ".join([mark] * len(table.columns))
    # No value is part of the text, only names of our own tables.
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) VALUES ({marks})"  # noqa: S608


def on_conflict(table: sa.Table) -> str:
    """Return what makes an INSERT replace the row that has the same first column, the key."""
    key, *names = table.columns.keys()
    changes = ", ".join(f"{name} = excluded.{name}" for name in names)
    return f" ON CONFLICT ({key}) DO UPDATE SET {changes}"
