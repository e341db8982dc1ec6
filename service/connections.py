"""The connections of one worker: how many there may be, and an end to each that takes too long.

One timer looks at all of them several times a second. A request so costs no timer of its own:
it only writes down until when its next step must have been made.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from service.settings import Settings

SURPLUS: Final = 64
"""So many connections over the limit are told that it is reached; further ones are cut."""

_MAX_PAUSE: Final = 0.5


class Connection(Protocol):
    """What is looked at: a time of the loop's clock by which something must have happened."""

    deadline: float
    write_deadline: float

    def expire(self, now: float) -> None:
        """Do what is to be done when a deadline has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a connection may take; sizes in bytes, times in seconds."""

    connections: int
    head_bytes: int
    headers: int
    target_bytes: int
    head_seconds: float
    body_seconds: float
    answer_seconds: float
    write_seconds: float
    keep_alive_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits that settings set."""
        return cls(
            connections=settings.max_connections,
            head_bytes=settings.max_head_bytes,
            headers=settings.max_headers,
            target_bytes=settings.max_target_bytes,
            head_seconds=settings.head_seconds,
            body_seconds=settings.body_seconds,
            answer_seconds=settings.answer_seconds,
            write_seconds=settings.write_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
        )


class Connections:
    """Every open connection of a worker.

    Parameters
    ----------
    limits : Limits
    count : callable of a reason
        Told of each connection that is refused or cut, and why.
    """

    def __init__(self, limits: Limits, count: Callable[[str], None]) -> None:
        self.limits = limits
        self.count = count
        self.is_draining = False
        """Whether answers say that theirs is the last one on the connection."""
        self.n_answering = 0
        self._open: set[Connection] = set()
        self._surplus: set[Connection] = set()
        self._begun: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")
        times = (limits.head_seconds, limits.body_seconds, limits.answer_seconds)
        shortest = min(*times, limits.write_seconds, limits.keep_alive_seconds)
        self._pause = min(_MAX_PAUSE, shortest / 4)
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many connections are open, those included that are being refused."""
        return len(self._open) + len(self._surplus)

    def begun(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return how every good answer begins: its status and the server's headers.

        The server has another list of them every second.
        """
        if self._begun[0] is not headers:
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self._begun = (headers, b"HTTP/1.1 200 OK\r\n" + lines)
        return self._begun[1]

    def enter(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> bool | None:
        """Return whether a new connection is let in; None if it is not even to be answered."""
        admitted = len(self._open) < self.limits.connections
        if not admitted:
            self.count("too_many")
            if len(self._surplus) >= SURPLUS:
                return None
        (self._open if admitted else self._surplus).add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._pause, self._look, loop)
        return admitted

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)
        self._surplus.discard(connection)

    @property
    def is_looking(self) -> bool:
        """Whether deadlines are looked at: while there are connections."""
        return self._timer is not None

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        everyone = [*self._open, *self._surplus]
        for connection in everyone:
            if now >= connection.deadline or now >= connection.write_deadline:
                connection.expire(now)
        if everyone:
            self._timer = loop.call_later(self._pause, self._look, loop)


NEVER: Final = math.inf
