"""The model switched again and again under load: nothing fails, no answer mixes two."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import personalize as pz
from soak.running import PRODUCTS, Client, Service, until

CLIENTS: Final = 8
_AT: Final = "2026-11-20T12:00:00Z"
_AS_OF: Final = "2026-11-21T12:00:00Z"
_ASKED: Final = {"customer_id": "switched", "product_ids": list(PRODUCTS) * 20, "as_of": _AS_OF}


@dataclass
class Switches:
    """What came of it.

    Parameters
    ----------
    switches : int
    answers : Counter
        By model version.
    slowest_s : float
        From a switch to the first answer of the new version that was looked for.
    faults : list of str
    """

    switches: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)


def switched(service: Service, times: int, *, seconds: float = 1.0) -> Switches:
    """Switch between ``v1`` and ``v2`` so often, every so many seconds, under load.

    The service must run, with these two versions in its models directory.
    """
    directory = pz.ModelsDirectory(service.models)
    out = Switches()
    with closing(Client(service.url)) as client:
        sent_back = {"quantity": 1, "returned_quantity": 1, "returned_at": _AT}
        lines = [{"product_id": name, **sent_back} for name in PRODUCTS[:3]]
        body = {"customer_id": "switched", "ordered_at": _AT, "updated_at": _AT, "lines": lines}
        assert client("PUT", "/v1/orders/switched", body).status == 200
        right: dict[str, Any] = {}
        for version in ("v2", "v1"):
            _use(directory, client, version)
            right[version] = client("POST", "/v1/suppressions/check", _ASKED).json["decisions"]
        assert right["v1"] != right["v2"], "the versions cannot be told apart"
        stop = threading.Event()
        tallies: list[Counter[str]] = [Counter() for _ in range(CLIENTS)]
        threads = [
            threading.Thread(target=_ask, args=(service.url, right, stop, tally, out.faults))
            for tally in tallies
        ]
        for thread in threads:
            thread.start()
        try:
            for number in range(times):
                started = time.monotonic()
                taken = _use(directory, client, ("v2", "v1")[number % 2])
                out.slowest_s = max(out.slowest_s, taken)
                out.switches += 1
                time.sleep(max(seconds - (time.monotonic() - started), 0.0))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    out.answers = sum(tallies, Counter())
    if set(out.answers) != {"v1", "v2"}:
        out.faults.append(f"not both versions answered: {dict(out.answers)}")
    return out


def _use(directory: pz.ModelsDirectory, client: Client, version: str) -> float:
    """Make a version current, and wait until it answers; return the seconds that took."""
    directory.use(version)
    path = "/v1/customers/nobody/suppressions/coat-50"
    return until(
        lambda: client("GET", path).json["model_version"] == version, 10, f"{version} is served"
    )


def _ask(
    url: str, right: dict[str, Any], stop: threading.Event, tally: Counter[str], faults: list[str]
) -> None:
    with closing(Client(url)) as client:
        while not stop.is_set():
            try:
                answer = client("POST", "/v1/suppressions/check", _ASKED)
            except (OSError, http.client.HTTPException) as error:
                faults.append(f"a request failed: {type(error).__name__}")
                continue
            if answer.status != 200:
                faults.append(f"a request was answered {answer.status}")
                continue
            version = answer.json["model_version"]
            tally[version] += 1
            if answer.json["decisions"] != right[version]:
                faults.append(f"an answer of {version} is not what {version} says")
