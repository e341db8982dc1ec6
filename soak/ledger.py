"""Writers who remember what they were promised, and whether it was kept.

Every order of a writer has an id of its own, so that each can be looked for afterwards: what was
answered with 2xx must be there with its content, once; what got no answer may be there or not,
but whole; and sent again, as a caller would, it counts once.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from soak.running import PRODUCTS, Answer, Client

WRITERS: Final = 16
_AT: Final = "2026-11-20T12:00:00Z"
_QUANTITY: Final = 1_000
"""Units of a line: more than are ever sent back."""
Key = tuple[str, str]
"""An order and, of an adjustment, its id; of an order itself "" in its place."""


@dataclass
class Ledger:
    """What one writer sent, and what became of it.

    Parameters
    ----------
    orders, adjustments : dict
        Bodies that were answered with 2xx, by order (and adjustment).
    doubtful : dict
        Bodies sent without an answer, or with a 503.
    checks : int
        Decisions that were asked for meanwhile.
    refusals : int
        Answers of 503.
    degraded, undecided : int
        Decisions given without the store, and those answered 503.
    slowest : float
        Seconds of the slowest answer, whatever it was.
    faults : list of str
        Promises that were not kept.
    """

    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    adjustments: dict[Key, dict[str, Any]] = field(default_factory=dict)
    doubtful: dict[Key, dict[str, Any]] = field(default_factory=dict)
    checks: int = 0
    refusals: int = 0
    degraded: int = 0
    undecided: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def settle(self, key: Key, body: dict[str, Any]) -> None:
        """Note that a change was answered with 2xx."""
        self.doubtful.pop(key, None)
        if key[1]:
            self.adjustments[key] = body
        else:
            self.orders[key[0]] = body

    def returned(self, order_id: str) -> int:
        """Return the units of an order's first line that went back by what was answered."""
        return sum(-body["lines"][0]["quantity"] for body in self._of(order_id, self.adjustments))

    def doubtfully_returned(self, order_id: str) -> int:
        """Return those of adjustments without an answer."""
        return sum(
            -body["lines"][0]["quantity"]
            for body in self._of(order_id, {k: v for k, v in self.doubtful.items() if k[1]})
        )

    @staticmethod
    def _of(order_id: str, found: dict[Key, dict[str, Any]]) -> Iterator[dict[str, Any]]:
        return (body for (order, _), body in found.items() if order == order_id)


class Writer:
    """Puts orders, sends some back, and asks about them; one thread, one connection.

    Parameters
    ----------
    url : str
    name : str
        Begins the ids of its orders and customers.
    seed : int
    ends_when_cut : bool
        Whether it stops at the first connection that breaks, or goes on asking.
    """

    def __init__(self, url: str, name: str, seed: int, *, ends_when_cut: bool) -> None:
        self.ledger = Ledger()
        self._url = url
        self._name = name
        self._random = random.Random(seed)
        self._ends_when_cut = ends_when_cut
        self._n = 0

    def run(self, stop: threading.Event) -> None:
        """Go on until told to stop, or cut off."""
        with closing(Client(self._url)) as client:
            while not stop.is_set():
                try:
                    self._one_more(client, stop)
                except (OSError, http.client.HTTPException) as error:
                    if isinstance(error, TimeoutError):
                        self.ledger.faults.append("an answer did not come: a hang")
                    if self._ends_when_cut:
                        return
                    stop.wait(0.1)

    def _one_more(self, client: Client, stop: threading.Event) -> None:
        self._n += 1
        order_id = f"{self._name}-{self._n}"
        customer = f"c-{self._name}-{self._n % 20}"
        products = self._random.sample(PRODUCTS, self._random.randint(1, 3))
        lines = [
            {"product_id": name, "quantity": _QUANTITY, "unit_price": 9.5} for name in products
        ]
        body = {"customer_id": customer, "ordered_at": _AT, "updated_at": _AT, "lines": lines}
        if not self._change(client, (order_id, ""), body, stop):
            return
        if self._n % 3 == 0:
            units = self._random.randint(1, 5)
            returned: dict[str, Any] = {
                "adjustment_id": f"r{self._n}",
                "adjusted_at": "2026-11-21T12:00:00Z",
                "lines": [{"product_id": products[0], "quantity": -units}],
            }
            self._change(client, (order_id, returned["adjustment_id"]), returned, stop)
        if self._n % 4 == 0:
            self._check(client, customer, products[0])

    def _change(
        self, client: Client, key: Key, body: dict[str, Any], stop: threading.Event
    ) -> bool:
        """Send a change until it is answered with 2xx; return whether that came."""
        self.ledger.doubtful[key] = body
        while True:
            try:
                answer = self._timed(client, *change_of(key), body)
            except (OSError, http.client.HTTPException):
                if self._ends_when_cut or stop.is_set():
                    raise
                stop.wait(0.1)
                continue
            if answer.status == 200:
                if answer.json != {"applied": True}:
                    self.ledger.faults.append(f"{key} is new, but was answered {answer.json}")
                self.ledger.settle(key, body)
                return True
            if answer.status != 503:
                self.ledger.faults.append(f"{key} was answered {answer.status}")
                return False
            self.ledger.refusals += 1
            if int(answer.headers.get("retry-after", "0")) < 1:
                self.ledger.faults.append("a 503 without Retry-After")
            if stop.wait(0.2):
                return False

    def _check(self, client: Client, customer: str, product: str) -> None:
        path = f"/v1/customers/{customer}/suppressions/{product}"
        answer = self._timed(client, "GET", path)
        self.ledger.checks += 1
        if answer.status == 503:
            self.ledger.undecided += 1
            return
        if answer.status != 200:
            self.ledger.faults.append(f"a check was answered {answer.status}")
            return
        told = answer.json
        if told.get("degraded"):
            self.ledger.degraded += 1
        elif not told["suppress"] or told["reason"] != "purchased":
            self.ledger.faults.append(f"{customer} just bought {product}: {told}")

    def _timed(self, client: Client, method: str, path: str, body: Any = None) -> Answer:
        started = time.monotonic()
        try:
            return client(method, path, body)
        finally:
            self.ledger.slowest = max(self.ledger.slowest, time.monotonic() - started)


def change_of(key: Key) -> tuple[str, str]:
    """Return method and path of a change."""
    order_id, adjustment_id = key
    if adjustment_id:
        return "POST", f"/v1/orders/{order_id}/adjustments"
    return "PUT", f"/v1/orders/{order_id}"


@contextmanager
def writing(
    url: str, name: str, *, writers: int = WRITERS, seed: int = 0, ends_when_cut: bool = True
) -> Iterator[list[Ledger]]:
    """Have so many writers at work within the block; yield their ledgers."""
    stop = threading.Event()
    every = [
        Writer(url, f"{name}-{n}", seed * 1000 + n, ends_when_cut=ends_when_cut)
        for n in range(writers)
    ]
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in every]
    for thread in threads:
        thread.start()
    try:
        yield [one.ledger for one in every]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def audit(url: str, ledgers: Iterable[Ledger]) -> list[str]:
    """Compare what was promised with what the service has now; send again what got no answer.

    Afterwards nothing of these ledgers is in doubt. Returns what was not as promised.
    """
    faults: list[str] = []
    with closing(Client(url)) as client:
        for ledger in ledgers:
            faults += ledger.faults
            for order_id, body in ledger.orders.items():
                most = ledger.returned(order_id) + ledger.doubtfully_returned(order_id)
                faults += _differs(client, order_id, body, (ledger.returned(order_id), most))
            doubtful = dict(ledger.doubtful)
            for (order_id, adjustment_id), body in doubtful.items():
                if not adjustment_id:
                    faults += _differs(client, order_id, body, (0, 0), may_miss=True)
            for key, body in doubtful.items():
                answer = client(*change_of(key), body)
                if answer.status != 200 or answer.json != {"applied": True}:
                    faults.append(f"{key} sent again was answered {answer.status}")
                ledger.settle(key, body)
                of_order = ledger.orders[key[0]]
                exact = ledger.returned(key[0])
                faults += _differs(client, key[0], of_order, (exact, exact))
    return faults


def _differs(
    client: Client,
    order_id: str,
    body: dict[str, Any],
    returned: tuple[int, int],
    *,
    may_miss: bool = False,
) -> list[str]:
    """Return how a stored order differs from what was sent, with so many units sent back."""
    answer = client("GET", f"/v1/orders/{order_id}")
    if answer.status == 404:
        return [] if may_miss else [f"{order_id} was answered with 2xx, and is lost"]
    found = answer.json
    faults = []
    for name in ("customer_id", "ordered_at", "updated_at"):
        if found[name] != body[name]:
            faults.append(f"{order_id}: {name} is {found[name]}")
    sent = {line["product_id"]: line["quantity"] for line in body["lines"]}
    if {line["product_id"]: line["quantity"] for line in found["lines"]} != sent:
        faults.append(f"{order_id}: its lines are {found['lines']}")
    units = sum(line["returned_quantity"] for line in found["lines"])
    if not returned[0] <= units <= returned[1]:
        faults.append(f"{order_id}: {units} units returned, not {returned[0]} to {returned[1]}")
    return faults
