"""One open database: how it is read and written, whatever it is called.

Reads see one consistent state; writes are all or nothing and durable when they return. Every error
of the database comes out as a `StoreError`, without a password and without a customer's data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy as sa

from personalize.errors import StoreError
from personalize.store.driver import CLOSED, Access, Driver, Row, Rows, RowsOfEach
from personalize.store.layout import HEAD
from personalize.store.upgrade import VERSION, ForeignSchemaError, revision, upgrade

_ATTEMPTS: Final = 5
P = ParamSpec("P")
Result = TypeVar("Result")


class Database:
    """An open database; safe to share between threads."""

    def __init__(self, driver: Driver) -> None:
        self.url = driver.url
        self._driver = driver
        self._is_closed = False
        self._is_prepared = False
        self._errors: tuple[type[Exception], ...] = (
            *driver.errors,
            sa.exc.SQLAlchemyError,
            UnicodeEncodeError,
        )

    @contextmanager
    def transaction(self, access: Access) -> Iterator[sa.Connection]:
        """Yield a connection that sees one state; what a writer wrote is durable after it."""
        if self._is_closed:
            raise self._failed(CLOSED)
        try:
            with self._driver.transaction(access) as connection:
                if access.is_write and self._is_prepared:
                    self._check_revision(connection)
                yield connection
        except self._errors as error:
            raise self._told(error) from error

    def read(
        self,
        work: Callable[Concatenate[sa.Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Return what `work` makes of one state of the database."""
        with self.transaction(Access.READ) as connection:
            return work(connection, *args, **kwargs)

    def export(
        self,
        work: Callable[Concatenate[sa.Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Return the same where `work` reads whole tables."""
        with self.transaction(Access.EXPORT) as connection:
            return work(connection, *args, **kwargs)

    def write(
        self,
        work: Callable[Concatenate[sa.Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Return what `work` returns, once what it wrote is durable.

        Where the database undid it in favour of another writer, it is done again.
        """
        return self._write(Access.WRITE, lambda connection: work(connection, *args, **kwargs))

    def load(
        self,
        work: Callable[Concatenate[sa.Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Return the same where `work` writes many rows or whole tables."""
        return self._write(Access.IMPORT, lambda connection: work(connection, *args, **kwargs))

    def _write(self, access: Access, work: Callable[[sa.Connection], Result]) -> Result:
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                with self.transaction(access) as connection:
                    return work(connection)
            except StoreError as error:
                cause = _cause(error.__cause__)
                if not attempts_left or cause is None or not self._driver.may_repeat(cause):
                    raise
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def query(self, statement: sa.Select[Any]) -> Rows:
        """Return a function that asks a statement of one parameter on the bare driver.

        It is several times as fast as `read`, gives rows in the driver's own types (a boolean
        may be 0 or 1), and is for what every request asks.
        """
        ask = self._driver.query(statement)

        def rows(value: object) -> Sequence[Row]:
            try:
                return ask(value)
            except self._errors as error:
                raise self._told(error) from error

        return rows

    def query_each(self, one: sa.Select[Any], many: sa.Select[Any]) -> RowsOfEach:
        """Return the same for many values at once, all answered from one state.

        `one` asks for a single value; `many` for a list of them, and its rows begin with the
        value. What comes back are the values that have rows (others may be there), with them.
        """
        ask = self._driver.query_each(one, many)

        def rows_of_each(values: Collection[str]) -> Iterable[tuple[str, Iterable[Row]]]:
            try:
                return ask(values)
            except self._errors as error:
                raise self._told(error) from error

        return rows_of_each

    def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        self._driver.close()

    def prepare(self, create: bool) -> None:
        """Make or upgrade the tables where that is needed and safe.

        Raises
        ------
        StoreError
            If the database is not ours, of an unknown revision, or empty without `create`.
        """
        try:
            if create:
                self._driver.make_room()
            else:
                self._driver.check_present()
            seen = self.export(revision)  # nobody waits for it as for an answer
            if seen is None and not create:
                raise ForeignSchemaError("it is empty; import orders, or open it with create=True")
            if seen != HEAD:
                self.load(upgrade)
            self._driver.settle()
            self._is_prepared = True
        except ForeignSchemaError as error:
            raise self._failed(str(error)) from error
        except self._errors as error:
            raise self._told(error) from error

    def _check_revision(self, connection: sa.Connection) -> None:
        """Refuse to write what a newer version would read otherwise: it came while we ran."""
        found = connection.scalar(VERSION)
        if found != HEAD:
            raise self._failed(
                f"another version of personalize has brought its tables to revision {found!r}, and "
                f"this one writes {HEAD!r}; nothing was stored; restart with that version"
            )

    def _told(self, error: Exception) -> StoreError:
        if isinstance(error, UnicodeEncodeError):
            return self._failed("an id is no valid Unicode text; nothing was stored")
        cause = _cause(error) or error
        return self._failed(CLOSED if self._is_closed else self._driver.told(cause))

    def _failed(self, text: str) -> StoreError:
        return StoreError(f"store {self.url}: {text}", url=self.url)


def _cause(error: BaseException | None) -> Exception | None:
    """Return what the driver said.

    SQLAlchemy's own text would show the statement's parameters, which are customers' data.
    """
    if isinstance(error, sa.exc.DBAPIError) and isinstance(error.orig, Exception):
        return error.orig
    return error if isinstance(error, Exception) else None
