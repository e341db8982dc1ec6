"""A server of one application on loopback in this process, and raw bytes sent to it."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from uvicorn.config import Config
from uvicorn.server import ServerState

from service import Settings
from service.connections import Connections, Limits
from service.protocol import AtOnce, GuardedProtocol


@dataclass
class Wire:
    """Where an application listens, and what became of its connections."""

    portal: BlockingPortal
    address: tuple[str, int]
    connections: Connections
    state: ServerState
    counted: list[str] = field(default_factory=list)

    def open(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(self.address, timeout=10)

    def ask(self, *pieces: bytes) -> bytes:
        """Return all that comes back for some bytes, up to the end of the connection."""
        with self.open() as sock:
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(0.02 if len(pieces) > 1 else 0)
            return rest_of(sock)

    def call(self, then: Any, *given: Any) -> Any:
        """Return what a function says that is called within the loop."""
        return self.portal.call(then, *given)


def rest_of(sock: socket.socket) -> bytes:
    """Return what comes until the other side closes; a reset ends it too."""
    out = b""
    try:
        while piece := sock.recv(65536):
            out += piece
    except ConnectionResetError:
        pass
    return out


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of all answers in some bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@contextmanager
def listening(
    app: Any,
    portal: BlockingPortal | None = None,
    at_once: AtOnce = lambda *_: None,
    **given: Any,
) -> Iterator[Wire]:
    """Serve an application within limits; `given` are settings that differ from the defaults."""
    if portal is None:
        with start_blocking_portal() as own, listening(app, own, at_once, **given) as wire:
            yield wire
        return
    config = Config(app, log_config=None, ws="none", access_log=False)
    config.load()
    counted: list[str] = []
    state = ServerState()
    connections = Connections(Limits.of(Settings(**given)), counted.append)

    async def start() -> asyncio.Server:
        loop = asyncio.get_running_loop()
        shared = {"connections": connections, "at_once": at_once}
        return await loop.create_server(
            lambda: GuardedProtocol(config, state, shared, loop), "127.0.0.1", 0
        )

    async def stop() -> None:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        while len(connections) or state.tasks:
            await asyncio.sleep(0.01)
        connections.stop()
        await server.wait_closed()

    server = portal.call(start)
    try:
        yield Wire(portal, server.sockets[0].getsockname()[:2], connections, state, counted)
    finally:
        portal.call(stop)
