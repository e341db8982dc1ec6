"""The store taken away under load: an answer in time, a word that it is not ready, recovery."""

from __future__ import annotations

import http.client
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from soak.cluster import ROLE, Cluster
from soak.ledger import Ledger, audit, writing
from soak.running import Client, Service, is_ready, until
from soak.tables import damage

ANSWER_SECONDS: Final = 6.5
"""No answer takes longer, whatever has become of the store: the service is patient with a write for
4 s, and with a new connection for 2 s."""
UNREADY_SECONDS: Final = 5.0
READY_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Fault:
    """One way for a server to be of no use.

    Parameters
    ----------
    begins, ends : callable
        What brings it about, and what ends it.
    stops_reading : bool
        Whether questions suffer too, and not only writes.
    least_s : float
        Shorter than so many seconds nobody need notice it.
    """

    begins: Callable[[Cluster], None]
    ends: Callable[[Cluster], None]
    stops_reading: bool = True
    least_s: float = 0.0


def _full(cluster: Cluster) -> None:
    cluster.tell(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    cluster.cut_off()


def _read_only(cluster: Cluster) -> None:
    cluster.tell(f"ALTER ROLE {ROLE} SET default_transaction_read_only = on")
    cluster.cut_off()


def _writable(cluster: Cluster) -> None:
    cluster.tell(f"ALTER ROLE {ROLE} RESET default_transaction_read_only")
    cluster.cut_off()


FAULTS: Final[Mapping[str, Fault]] = {
    "stopped": Fault(Cluster.stop, Cluster.start),
    "frozen": Fault(Cluster.freeze, Cluster.thaw, least_s=ANSWER_SECONDS),
    "out of connections": Fault(
        _full, lambda cluster: cluster.tell(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
    ),
    "read-only": Fault(_read_only, _writable, stops_reading=False),
}


@dataclass
class Outage:
    """What came of one.

    Parameters
    ----------
    name : str
    unready_s, ready_s : float, seconds
        From its beginning to a 503 of /health/ready, and from its end to a 200.
    refused : int
        Orders that were answered 503, and came in when they were sent again.
    slowest_s : float
        The slowest answer of all.
    degraded, undecided : int
        Decisions given without the store, and those answered 503.
    orders : int
    faults : list of str
    """

    name: str
    unready_s: float = float("nan")
    ready_s: float = float("nan")
    refused: int = 0
    slowest_s: float = 0.0
    degraded: int = 0
    undecided: int = 0
    orders: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def is_unready(self) -> bool:
        """Whether it was noticed by /health/ready, as questions suffered."""
        return not math.isnan(self.unready_s)


class _Asker:
    """Asks for decisions all the while, and knows what they may be."""

    def __init__(self, url: str, degrades: bool) -> None:
        self.taken: list[tuple[float, int, bool]] = []
        self.faults: list[str] = []
        self._url = url
        self._degrades = degrades
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Asker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        asked: list[tuple[str, str, Any]] = [
            ("GET", "/v1/customers/asked/suppressions/coat-50", None),
            ("POST", "/v1/suppressions/check", {"customer_id": "asked", "product_ids": ["socks"]}),
            ("POST", "/v1/suppressions/check", {"pairs": [["asked", "belt"], ["b", "socks"]]}),
        ]
        with closing(Client(self._url)) as client:
            while not self._stop.wait(0.05):
                for method, path, body in asked:
                    started = time.monotonic()
                    try:
                        answer = client(method, path, body)
                    except (OSError, http.client.HTTPException) as error:
                        self.faults.append(f"{method} {path}: {type(error).__name__}")
                        continue
                    taken = time.monotonic() - started
                    is_degraded = answer.status == 200 and bool(answer.json.get("degraded"))
                    self.taken.append((taken, answer.status, is_degraded))
                    self._judge(path, answer.status, answer.json)

    def _judge(self, path: str, status: int, told: Any) -> None:
        if status == 503 and not self._degrades:
            return  # documented where it is not documented to do better
        if status != 200:
            self.faults.append(f"{path} was answered {status}")
            return
        marks = [bool(one.get("degraded")) for one in told.get("decisions", [told])]
        if any(mark != bool(told.get("degraded")) for mark in marks):
            self.faults.append(f"{path}: degraded here and not there: {told}")


def degrades(url: str) -> bool:
    """Return whether the service says that it decides without its store."""
    with closing(Client(url)) as client:
        schemas = client("GET", "/openapi.json").json["components"]["schemas"]
    return "degraded" in schemas["DecisionOut"]["properties"]


def taken_away(
    service: Service,
    cluster: Cluster,
    names: Iterable[str] = FAULTS,
    *,
    seconds: float = 6.0,
    answer_seconds: float = ANSWER_SECONDS,
) -> list[Outage]:
    """Bring about each fault for so many seconds under load, and look after each.

    The service must run on the cluster, its store empty.
    """
    decides = degrades(service.url)
    ledgers: list[Ledger] = []
    out = []
    for number, name in enumerate(names):
        found, fault = Outage(name), FAULTS[name]
        with (
            _Asker(service.url, decides) as asker,
            writing(service.url, f"o{number}", ends_when_cut=False) as now,
        ):
            time.sleep(1.0)
            started = time.monotonic()
            try:
                fault.begins(cluster)
                found.unready_s = until(
                    lambda: not is_ready(service.url), UNREADY_SECONDS, f"not ready: {name}"
                )
                time.sleep(max(max(seconds, fault.least_s) - (time.monotonic() - started), 0.0))
            finally:
                fault.ends(cluster)
            found.ready_s = until(
                lambda: is_ready(service.url), READY_SECONDS, f"ready after: {name}"
            )
            _until_taken_in(now)
        ledgers += now
        found.refused = sum(one.refusals for one in now)
        found.slowest_s = max([one.slowest for one in now] + [taken for taken, _, _ in asker.taken])
        found.degraded = sum(mark for _, _, mark in asker.taken)
        found.undecided = sum(status == 503 for _, status, _ in asker.taken)
        found.faults += asker.faults
        if found.slowest_s > answer_seconds:
            found.faults.append(f"an answer took {found.slowest_s:.1f} s")
        if not found.refused:
            found.faults.append("no order was refused: was the store away at all?")
        if decides and fault.stops_reading and not found.degraded:
            found.faults.append("no decision was given without the store")
        found.faults += audit(service.url, now)
        found.faults += damage(service.store, ledgers)
        found.orders = sum(len(one.orders) for one in now)
        out.append(found)
    return out


def _until_taken_in(ledgers: list[Ledger]) -> None:
    """Wait until every writer has had another order taken in."""
    before = [len(one.orders) for one in ledgers]
    until(
        lambda: all(len(one.orders) > n for one, n in zip(ledgers, before, strict=True)),
        READY_SECONDS,
        "orders of every writer taken in again",
    )
