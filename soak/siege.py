"""Hostile requests while others ask in earnest: nobody suffers, and memory stays where it was."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from soak.hostile import Report, assault, stalled
from soak.running import Client, Service

GROWTH_MB: Final = 32.0
"""What memory may grow by after the warm-up: the allocator keeps what the largest bodies took."""
STALLED: Final = 100
"""Requests that never end, open all at once."""
_PAUSE: Final = 0.02


@dataclass(frozen=True)
class Siege:
    """What it came to.

    Parameters
    ----------
    report : Report
    before_mb, after_mb : float
        Memory of all processes after the warm-up, and at the end.
    honest : int
        Ordinary requests that were answered meanwhile.
    honest_p99_ms : float
    faults : list of str
        Of hostile and of ordinary requests, of the log and of memory.
    """

    report: Report
    before_mb: float
    after_mb: float
    honest: int
    honest_p99_ms: float
    faults: list[str]


def besieged(service: Service, n: int, *, seed: int = 0, patience: float = 75.0) -> Siege:
    """Send `n` hostile requests to a running service; ask it in earnest all the while.

    A fifth as many come first, as a warm-up, and are judged alike. Some never end meanwhile: they
    must be closed within `patience` seconds, which is over its limits for head and body.
    """
    stop = threading.Event()
    taken: list[float] = []
    faults: list[str] = []

    def ask() -> None:
        with closing(Client(service.url)) as client:
            while not stop.wait(_PAUSE):
                started = time.perf_counter()
                try:
                    answer = client("GET", "/v1/customers/honest/suppressions/coat-50")
                except OSError as error:
                    faults.append(f"an ordinary request failed: {type(error).__name__}")
                    continue
                taken.append((time.perf_counter() - started) * 1e3)
                if answer.status != 200:
                    faults.append(f"an ordinary request was answered {answer.status}")

    waiting = threading.Thread(
        target=lambda: faults.extend(stalled(service.url, STALLED, patience, seed))
    )
    asking = threading.Thread(target=ask)
    asking.start()
    waiting.start()
    try:
        warm = assault(service.url, n // 5, seed + 1)
        before = service.resident_mb()
        report = assault(service.url, n, seed)
        after = service.resident_mb()
    finally:
        waiting.join()
        stop.set()
        asking.join()
    faults += warm.faults + report.faults
    if after > before + GROWTH_MB:
        faults.append(f"memory grew from {before:.0f} to {after:.0f} MB")
    if "Traceback" in service.logged():
        faults.append("the log has a traceback")
    if not taken:
        faults.append("no ordinary request was answered")
    p99 = statistics.quantiles(taken, n=100)[-1] if len(taken) > 1 else float("nan")
    return Siege(report, before, after, len(taken), p99, faults)
