"""``python -m service``: listen, say where, serve, stop in good order.

Exit codes: 0 after a stop that was asked for, 1 if it could not start, 2 for a setting that is
not allowed. An error is one line on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import http.client
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import uvicorn
from pydantic import ValidationError

import personalize as pz
from service.app import create_app, log_as, settle
from service.connections import SURPLUS
from service.protocol import GuardedProtocol
from service.settings import PATIENCE, Settings

_BACKLOG = 2048
_PREFIX = "PERSONALIZE_"
_ALIKE = 0.7
_READY_SECONDS = 120.0
_OTHER_FILES = 256
"""Open files beside connections: the store's, the model's, the log."""


class Refusal(Exception):  # noqa: N818 - a way out with a message, not a fault
    """The service cannot start; ``code`` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    try:
        settings = settings_of(argv)
        log_as(settings)
        make_room(settings)
        refuse_exposure(settings)
        with listening(settings) as sock:
            return serve(settings, sock)
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return refusal.code
    except pz.PersonalizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def settings_of(argv: Sequence[str] | None) -> Settings:
    """Return the settings: of the command line, else of the environment, else the defaults.

    Raises
    ------
    Refusal
        For one that is not allowed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve decisions and recommendations over HTTP.",
        epilog="Every setting can also be given as PERSONALIZE_... in the environment: "
        + ", ".join(f"PERSONALIZE_{name.upper()}" for name in Settings.model_fields),
    )
    for name, kind in (("store", str), ("models", str), ("host", str), ("port", int)):
        field = Settings.model_fields[name]
        help_text = f"{field.description} (default: {field.default})"
        parser.add_argument(f"--{name}", type=kind, help=help_text)
    parser.add_argument("--workers", type=int, help="Worker processes (default: 1)")
    given = {k: v for k, v in vars(parser.parse_args(argv)).items() if v is not None}
    for name in misspelt(os.environ):
        print(f"warning: {name} is no setting of the service; --help lists them", file=sys.stderr)
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        told = first["msg"][:1].lower() + first["msg"][1:]
        raise Refusal(
            f"setting {name}: {told}; see --{name} or PERSONALIZE_{name.upper()}", 2
        ) from error


def misspelt(environment: Iterable[str]) -> list[str]:
    """Return the names that look like a setting of ours, but are like none exactly.

    Examples
    --------
    >>> misspelt(["PERSONALIZE_STORE", "PERSONALIZE_STORE_FAILUR", "PERSONALIZE_TEST_POSTGRES"])
    ['PERSONALIZE_STORE_FAILUR']
    """
    known = [name.upper() for name in Settings.model_fields]
    ours = [name for name in sorted(environment) if name.startswith(_PREFIX)]
    return [
        name
        for name in ours
        if (rest := name.removeprefix(_PREFIX)) not in known
        and difflib.get_close_matches(rest, known, 1, _ALIKE)
    ]


def refuse_exposure(settings: Settings) -> None:
    """Open the store once, so that it is up to date; without keys allow loopback only.

    Raises
    ------
    Refusal
        If others could reach a service without keys.
    StoreError
        If the store cannot be opened.
    """
    with pz.Store.open(settings.store, patience=PATIENCE) as store:
        has_keys = bool(store.keys())
        is_empty = not store.catalog_revision() and not store.customers(limit=1)
    if is_empty and (has_keys or settings.is_loopback):
        print(
            f"store {store.url} is empty: everything may be shown until orders come in",
            file=sys.stderr,
        )
    if has_keys:
        return
    if not settings.is_loopback:
        raise Refusal(
            f"host {settings.host}: there are no API keys, so only this machine may be served; "
            "make one with `personalize keys create`, or leave --host at 127.0.0.1",
            2,
        )
    print(
        f"no API keys: open to everyone on this machine, to nobody else ({settings.host})",
        file=sys.stderr,
    )


def make_room(settings: Settings) -> None:
    """Have the system allow as many open files as the connections of a worker take.

    Raises
    ------
    Refusal
        If it does not.
    """
    needed = settings.max_connections + SURPLUS + _OTHER_FILES
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or needed <= allowed:
        return
    if most != resource.RLIM_INFINITY and needed > most:
        raise Refusal(
            f"setting max_connections: {settings.max_connections} of them need {needed} open "
            f"files, and the system allows {most}; lower it, or raise `ulimit -n`",
            2,
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """Yield the socket that is listened on.

    Raises
    ------
    Refusal
        If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host.strip("[]"), settings.port))
            sock.listen(_BACKLOG)
        except OSError as error:
            raise Refusal(
                f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}; "
                "choose another --port (0 picks a free one) or --host",
                1,
            ) from error
        sock.set_inheritable(True)
        yield sock


def url_of(sock: socket.socket) -> str:
    """Return the address that a socket listens on, as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(settings: Settings, sock: socket.socket) -> int:
    """Serve on `sock` until told to stop; return the exit code."""
    url = url_of(sock)

    def announce() -> None:
        print(f"listening on {url}", flush=True)

    if settings.workers == 1:
        return _serve_alone(settings, sock, announce)
    return _serve_by_workers(settings, sock, announce)


class _Server(uvicorn.Server):
    """A server that says when it is up."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def _config(settings: Settings, app: object, **more: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=GuardedProtocol,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=settings.shutdown_seconds,
        **more,  # type: ignore[arg-type]
    )


def _serve_alone(settings: Settings, sock: socket.socket, announce: Callable[[], None]) -> int:
    app = create_app(settings)
    settle()
    server = _Server(_config(settings, app), announce)
    # uvicorn raises the signal that stopped it once more; a stop in good order is no failure
    before = {one: signal.signal(one, _ignore) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[sock])
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    return 0


def _serve_by_workers(settings: Settings, sock: socket.socket, announce: Callable[[], None]) -> int:
    """Serve by processes of their own: they read their settings from the environment."""
    from service import workers  # here: a worker imports this file too, and needs none of that

    with tempfile.TemporaryDirectory(prefix="personalize-metrics-") as counted:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counted
        for name, value in settings:
            os.environ[f"PERSONALIZE_{name.upper()}"] = str(value)
        config = _config(settings, workers.APPLICATION, factory=True, workers=settings.workers)
        is_up = threading.Event()
        address = sock.getsockname()[:2]
        waiting = threading.Thread(
            target=_announce_when_up, args=(address, announce, is_up), daemon=True
        )
        waiting.start()
        supervisor = workers.Workers(config, [sock])
        supervisor.run()
    if supervisor.failed:
        raise Refusal(
            "no worker can start, so none is started any more; the lines above say why", 1
        )
    return 0 if is_up.is_set() else 1


def _announce_when_up(
    address: tuple[str, int], announce: Callable[[], None], is_up: threading.Event
) -> None:
    """Say that the service is up once the first worker answers."""
    give_up_at = time.monotonic() + _READY_SECONDS
    while time.monotonic() < give_up_at:
        connection = http.client.HTTPConnection(*address, timeout=5)
        try:
            connection.request("GET", "/health/live")
            connection.getresponse()
            announce()
            is_up.set()
            return
        except (http.client.HTTPException, OSError):
            time.sleep(0.05)
        finally:
            connection.close()


def _ignore(_number: int, _frame: object) -> None:
    """Let a second telling of the same signal pass."""


if __name__ == "__main__":  # pragma: no cover - the tests run it as a process
    sys.exit(main())
