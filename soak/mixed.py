"""Minutes of everything that a shop sends: nothing fails, and memory stays where it was."""

from __future__ import annotations

import http.client
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from soak.running import PRODUCTS, Client, Service
from soak.siege import GROWTH_MB

CLIENTS: Final = 8
_SHARES: Final = {
    "single check": 60,
    "check of many": 10,
    "recommendations": 10,
    "order": 10,
    "adjustment": 3,
    "complements": 3,
    "list": 2,
    "product": 1,
    "read order": 1,
}
"""In a hundred requests."""
_AT: Final = "2026-11-20T12:00:00Z"


@dataclass
class Mixed:
    """What came of it.

    Parameters
    ----------
    seconds : float
    taken_ms : dict of str to list of float
        Milliseconds of every answer, by kind.
    memory_mb : list of float
        Of all processes together, at equal distances; the first after the warm-up.
    faults : list of str
    """

    seconds: float = 0.0
    taken_ms: dict[str, list[float]] = field(default_factory=dict)
    memory_mb: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str, int, float, float]]:
        """Yield kind, count, and the median and 99th percentile in milliseconds."""
        for kind, taken in self.taken_ms.items():
            yield kind, len(taken), statistics.median(taken), quantile(taken, 0.99)


def quantile(values: list[float], q: float) -> float:
    """Return a quantile of values, one of them."""
    ranked = sorted(values)
    return ranked[min(int(q * len(ranked)), len(ranked) - 1)]


def mixed(service: Service, seconds: float, *, seed: int = 0, warm_up: float = 0.25) -> Mixed:
    """Send a running service everything for so many seconds, after a share of them as warm-up."""
    out = Mixed(seconds)
    _drive(service, Mixed(), seconds * warm_up, seed + 1)
    out.memory_mb.append(service.resident_mb())
    n_looks = 4
    for look in range(n_looks):
        _drive(service, out, seconds / n_looks, seed + 10 * (look + 1))
        out.memory_mb.append(service.resident_mb())
    if max(out.memory_mb) > out.memory_mb[0] + GROWTH_MB:
        out.faults.append(f"memory grew: {[round(each) for each in out.memory_mb]} MB")
    if "Traceback" in service.logged():
        out.faults.append("the log has a traceback")
    return out


def _drive(service: Service, out: Mixed, seconds: float, seed: int) -> None:
    until = time.monotonic() + seconds
    found: list[list[tuple[str, float]]] = [[] for _ in range(CLIENTS)]
    threads = [
        threading.Thread(target=_one, args=(service.url, until, seed + n, taken, out.faults))
        for n, taken in enumerate(found)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind, taken in (each for one in found for each in one):
        out.taken_ms.setdefault(kind, []).append(taken)


def _one(
    url: str, until: float, seed: int, taken: list[tuple[str, float]], faults: list[str]
) -> None:
    drawn = random.Random(seed)
    kinds, shares = list(_SHARES), list(_SHARES.values())
    with closing(Client(url)) as client:
        while time.monotonic() < until:
            kind = drawn.choices(kinds, shares)[0]
            method, path, body, allowed = _request(kind, drawn)
            started = time.perf_counter()
            try:
                answer = client(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                faults.append(f"{kind}: {type(error).__name__}")
                continue
            taken.append((kind, (time.perf_counter() - started) * 1e3))
            if answer.status not in allowed:
                faults.append(f"{kind} was answered {answer.status}")


def _request(kind: str, drawn: random.Random) -> tuple[str, str, Any, tuple[int, ...]]:
    """Return method, path, body and the statuses that are right."""
    customer, product = f"m{drawn.randrange(500)}", drawn.choice(PRODUCTS)
    # A few customers with a few orders each: what there is to keep does not grow without end.
    order = f"{customer}-{drawn.randrange(5)}"
    match kind:
        case "single check":
            return "GET", f"/v1/customers/{customer}/suppressions/{product}", None, (200,)
        case "check of many":
            asked = {"customer_id": customer, "product_ids": list(PRODUCTS) * 10}
            return "POST", "/v1/suppressions/check", asked, (200,)
        case "recommendations":
            about = {"customer_id": customer, "product_ids": [product], "k": 5}
            return "POST", "/v1/recommendations", about, (200,)
        case "order":
            lines = [{"product_id": product, "quantity": drawn.randint(1, 3)}]
            at = f"2026-11-20T12:00:{drawn.randrange(60):02}Z"
            body = {"customer_id": customer, "ordered_at": _AT, "updated_at": at, "lines": lines}
            return "PUT", f"/v1/orders/{order}", body, (200,)
        case "adjustment":
            lines = [{"product_id": product, "quantity": -1}]
            sent = {"adjustment_id": "a", "adjusted_at": _AT, "lines": lines}
            return "POST", f"/v1/orders/{order}/adjustments", sent, (200,)
        case "complements":
            return "GET", f"/v1/products/{product}/complements?k=5", None, (200,)
        case "list":
            return "GET", f"/v1/customers/{customer}/suppressions?limit=20", None, (200,)
        case "product":
            told = {"title": product, "price": 1.0 + drawn.randrange(50), "currency": "EUR"}
            return "PUT", f"/v1/products/{product}", told, (200,)
        case _:
            return "GET", f"/v1/orders/{order}", None, (200, 404)
