"""A network that goes wrong on demand, between a store and its server."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 65536


class Proxy:
    """Passes bytes between a loopback port and a server.

    ``is_silent``: it takes what it is sent and new connections too, and passes nothing on, as a
    server whose process was stopped. ``refuse`` and ``accept`` close and open the port; ``cut``
    breaks every connection there is.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.is_silent = False
        self.n_connections = 0
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._lock = threading.RLock()
        self._listener: socket.socket | None = None
        self.port = 0
        self.accept()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def accept(self) -> None:
        """Open the port, the same as before."""
        with self._lock:
            listener = socket.create_server(("127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
            self._selector.register(listener, selectors.EVENT_READ)
            self._listener = listener

    def refuse(self) -> None:
        """Close the port: who connects is refused."""
        with self._lock:
            if self._listener is not None:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None

    def cut(self) -> None:
        """Break every connection."""
        with self._lock:
            for each in list(self._peers):
                self._drop(each)

    def close(self) -> None:
        """Stop, and leave no socket open."""
        self._stop.set()
        self._thread.join()
        self.refuse()
        self.cut()
        self._selector.close()

    def _drop(self, one: socket.socket) -> None:
        self._peers.pop(one, None)
        if one.fileno() >= 0:
            self._selector.unregister(one)
            one.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            events = self._selector.select(0.01)
            with self._lock:
                for key, _ in events:
                    each = key.fileobj
                    assert isinstance(each, socket.socket)
                    if each is self._listener:
                        self._connect()
                    elif each in self._peers:
                        self._pass_on(each)

    def _connect(self) -> None:
        assert self._listener is not None
        client, _ = self._listener.accept()
        self.n_connections += 1
        server = socket.create_connection(self._server)
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        other = self._peers[one]
        try:
            data = one.recv(CHUNK)
            if data:
                if not self.is_silent:
                    other.sendall(data)
                return
        except OSError:
            data = b""
        self._drop(one)
        self._drop(other)


@contextmanager
def proxied(host: str, port: int) -> Iterator[Proxy]:
    """Yield a proxy in front of a server."""
    proxy = Proxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
