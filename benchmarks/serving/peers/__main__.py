"""Serve one peer on a free loopback port, and say where."""

from __future__ import annotations

import importlib
import socket
import sys

import uvicorn


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"listening on {self._url}", flush=True)


def main(name: str) -> None:
    """Serve until told to stop."""
    app = importlib.import_module(f"benchmarks.serving.peers.{name}").app
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
    )
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen(2048)
        host, port = sock.getsockname()
        _Server(config, f"http://{host}:{port}").run(sockets=[sock])


if __name__ == "__main__":
    main(sys.argv[1])
