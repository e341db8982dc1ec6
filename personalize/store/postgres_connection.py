"""Connections to PostgreSQL that never wait without end, and a small pool of them.

A server that is stopped, or a network that swallows everything, keeps a socket open and silent:
no time limit of the server fires then. So every wait for the socket has an end here.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import cached_property
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy as sa

from personalize.store.driver import CLOSED
from personalize.store.patience import Patience

_CONNECT_SECONDS: Final = 2
"""The shortest time to connect that libpq knows."""
# The server gives up a little earlier than we do: it says why, and the connection stays good.
_LOCK_SHARE: Final = 0.7
_STATEMENT_SHARE: Final = 0.8
Result = TypeVar("Result")


class TimedOutError(psycopg.OperationalError):
    """The server did not answer in time; what became of the question is not known."""


class NoneFreeError(psycopg.OperationalError):
    """All connections of a pool were in use for too long."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose every wait for the server has an end.

    ``until`` (seconds of the monotonic clock) is that end; None: each wait may take
    ``step_seconds``. A connection that waited in vain is closed.
    """

    until: float | None = None
    step_seconds: float = float(_CONNECT_SECONDS)

    @cached_property
    def questions(self) -> psycopg.RawCursor[Any]:
        """The one cursor for what every request asks; its parameters are ``$1`` and so on."""
        return psycopg.RawCursor(self)

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **options: Any) -> Result:
        """Run one of psycopg's conversations with the server."""
        until = time.monotonic() + self.step_seconds if self.until is None else self.until
        try:
            return super().wait(_bounded(gen, until), *args, **options)
        except TimedOutError:
            self.pgconn.finish()
            raise


def _bounded(
    conversation: Generator[Any, Any, Result], until: float
) -> Generator[Any, Any, Result]:
    """Pass a conversation on, but end it at `until`; psycopg looks in several times a second."""
    try:
        wanted = next(conversation)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() >= until:
                raise TimedOutError("the server did not answer in time")
            wanted = conversation.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result


class Pool:
    """Up to `size` connections, the one used last first; safe to share between threads."""

    def __init__(
        self, connect: Callable[[], BoundedConnection], size: int, wait_seconds: float
    ) -> None:
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._places = threading.Semaphore(size)
        self._idle: deque[BoundedConnection] = deque()
        self._is_closed = False

    def take(self) -> BoundedConnection:
        """Return a connection, a new one if none is idle; it must be put back."""
        if self._is_closed:
            raise psycopg.InterfaceError(CLOSED)
        if not self._places.acquire(timeout=self._wait_seconds):
            raise NoneFreeError(f"all connections were in use for {self._wait_seconds:g} s")
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._connect()
        except BaseException:
            self._places.release()
            raise

    def put_back(self, connection: BoundedConnection) -> None:
        """Take a connection back; one that is broken is not used again."""
        if connection.broken or self._is_closed:
            connection.close()
        if not connection.closed:
            self._idle.append(connection)
        self._places.release()

    def drop_idle(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close every connection, those in use when they are put back."""
        self._is_closed = True
        self.drop_idle()


def settings(url: sa.URL, schema: str | None, seconds: float, patience: Patience) -> dict[str, Any]:
    """Return how to connect: what the URL says, and limits of `seconds` for every statement."""
    query = {
        name: value if isinstance(value, str) else ",".join(value)
        for name, value in url.query.items()
        if name != "schema"
    }
    limits = {
        "statement_timeout": round(seconds * 1000 * _STATEMENT_SHARE),
        "lock_timeout": round(seconds * 1000 * _LOCK_SHARE),
        "idle_in_transaction_session_timeout": round(seconds * 1000),
    }
    options = [f"-c{name}={max(value, 1)}" for name, value in limits.items()]
    if schema is not None:
        options.append(f"-csearch_path={schema}")
    return {
        "application_name": "personalize",
        "connect_timeout": max(math.ceil(patience.read_seconds), _CONNECT_SECONDS),
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": round(patience.write_seconds * 1000),
        **url.translate_connect_args(username="user", database="dbname"),
        **query,
        "options": " ".join([query.get("options", ""), *options]).strip(),
    }
