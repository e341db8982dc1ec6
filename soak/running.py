"""The service as a process of its own: started, asked, killed, stopped, its memory read."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import pandas as pd

import personalize as pz

ROOT: Final = Path(__file__).resolve().parent.parent
TIMEOUT: Final = 30.0
"""Seconds after which an answer that has not come is called a hang."""
_TYPES: Final = {
    "coat-50": "Apparel > Suits > Sport coats",
    "coat-52": "Apparel > Suits > Sport coats",
    "trousers-grey": "Apparel > Trousers",
    "tie-red": "Apparel > Ties",
    "socks": "Apparel > Socks",
    "belt": "Apparel > Belts",
}
PRODUCTS: Final = tuple(_TYPES)


class Answer(NamedTuple):
    """What came back: a status, headers by lower-case name, a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Client:
    """One connection, opened anew where it was lost; for one thread.

    Parameters
    ----------
    url : str
        Of the service.
    timeout : float, seconds
        Raises `TimeoutError` when an answer takes longer.
    """

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)

    def __call__(self, method: str, path: str, body: Any = None) -> Answer:
        """Return the answer to a request.

        Raises
        ------
        OSError, http.client.HTTPException
            If the connection breaks before there is one.
        """
        raw = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._http.request(method, path, raw, headers)
            answer = self._http.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        except BaseException:
            self._http.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


@dataclass
class Service:
    """A service that can be killed and started again at the same address.

    Parameters
    ----------
    store : str
        URL of the store.
    models : Path
    log : Path
        What the processes write to stderr, appended.
    workers : int
    environment : mapping
        Further settings.
    """

    store: str
    models: Path
    log: Path
    workers: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port())
    _running: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return once it listens.

        Raises
        ------
        RuntimeError
            If it does not come up.
        """
        command = [
            sys.executable, "-m", "service", "--store", self.store, "--models", str(self.models),
            "--port", str(self.port), "--workers", str(self.workers),
        ]  # fmt: skip
        with self.log.open("a", encoding="utf-8") as log:
            self._running = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                # What it cannot tidy up when it is killed goes where its log goes.
                env={**os.environ, "TMPDIR": str(self.log.parent.resolve()), **self.environment},
            )
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if line != f"listening on {self.url}\n":
            self.kill()
            raise RuntimeError(f"the service did not start: {line!r}, {self.logged()[-2000:]}")

    def kill(self) -> None:
        """Kill every process of it at once; nothing gets to tidy up."""
        assert self._running is not None
        os.killpg(self._running.pid, signal.SIGKILL)
        self._running.communicate()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self._running is not None
        self._running.send_signal(signal.SIGTERM)
        try:
            self._running.communicate(timeout=60)
        finally:
            self.end()
        return self._running.returncode

    def end(self) -> None:
        """Leave no process of it behind."""
        if self._running is None:
            return
        with suppress(ProcessLookupError):  # every one of them may have ended
            os.killpg(self._running.pid, signal.SIGKILL)
        self._running.communicate()

    @contextmanager
    def up(self) -> Iterator[Service]:
        """Have it run within the block; no process is left behind it."""
        self.start()
        try:
            yield self
        finally:
            self.end()

    def resident_mb(self) -> float:
        """Return the memory of all its processes together, in MB (proportional: shared once)."""
        assert self._running is not None
        group = self._running.pid
        return sum(_proportional_kb(pid) for pid in _group(group)) * 1024 / 1e6

    def logged(self) -> str:
        """Return what it has logged so far."""
        return self.log.read_text(encoding="utf-8")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _group(group: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                found.append(int(folder.name))
        except ProcessLookupError:
            continue  # it ended while we looked
    return found


def _proportional_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def until(claim: Any, seconds: float, what: str) -> float:
    """Wait until `claim()` holds; return the seconds that took.

    Raises
    ------
    AssertionError
        If it does not hold within `seconds`.
    """
    started = time.monotonic()
    while not claim():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.05)
    return time.monotonic() - started


def is_ready(url: str) -> bool:
    """Return whether the service says that it is ready."""
    with closing(Client(url, timeout=5)) as ask:
        try:
            return ask("GET", "/health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False


def make_models(folder: Path) -> Path:
    """Return a models directory with two versions of a small shop, ``v1`` (current) and ``v2``.

    They differ in how long a product that was sent back is not shown again.
    """
    catalog = pz.Catalog.from_products(
        [
            pz.Product(name, title=name, product_type=kind, price=10.0, currency="EUR")
            for name, kind in _TYPES.items()
        ]
    )
    rows = []
    for n in range(10):
        day = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=20 * n)
        basket = ["coat-50", "trousers-grey", "tie-red"] if n < 8 else ["socks", "belt"]
        rows += [(f"t{n}", f"learned-{n}", name, day, 1) for name in basket]
    columns = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    orders = pz.Orders.from_frame(pd.DataFrame(rows, columns=columns))
    for version, days in (("v1", 30.0), ("v2", 60.0)):
        config = pz.EngineConfig(return_cooldown_days=days)
        pz.Engine.fit(orders, catalog, config).save(folder / version)
    pz.ModelsDirectory(folder).use("v1")
    return folder
