"""The service killed under load, again and again: what it promised, it has kept."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from soak.ledger import Ledger, audit, writing
from soak.running import Service, is_ready, until
from soak.tables import damage


@dataclass
class Kills:
    """What came of it.

    Parameters
    ----------
    kills : int
    orders, adjustments : int
        Answered with 2xx, or sent again until they were.
    doubtful : int
        Sent without an answer when the service was killed.
    checks : int
    faults : list of str
    """

    kills: int = 0
    orders: int = 0
    adjustments: int = 0
    doubtful: int = 0
    checks: int = 0
    faults: list[str] = field(default_factory=list)


def killed(
    service: Service, times: int, *, seed: int = 0, least: float = 0.3, most: float = 2.0
) -> Kills:
    """Kill a service so often at random moments under load, and look after each.

    The service must be stopped, its store empty; it is stopped in the end.

    Parameters
    ----------
    service : Service
    times : int
    seed : int
    least, most : float, seconds
        Of load before it is killed.
    """
    drawn = random.Random(seed)
    out = Kills()
    ledgers: list[Ledger] = []
    service.start()
    try:
        for number in range(times):
            with writing(service.url, f"k{number}", seed=seed + number) as now:
                time.sleep(drawn.uniform(least, most))
                service.kill()
            out.kills += 1
            if any(one.refusals or one.undecided for one in now):
                out.faults.append("answered 503, with the store at hand")
            out.doubtful += sum(len(one.doubtful) for one in now)
            service.start()
            until(lambda: is_ready(service.url), 30, "ready after it was killed")
            out.faults += audit(service.url, now)
            ledgers += now
            out.faults += damage(service.store, ledgers)
        service.stop()
    finally:
        service.end()
    out.orders = sum(len(one.orders) for one in ledgers)
    out.adjustments = sum(len(one.adjustments) for one in ledgers)
    out.checks = sum(one.checks for one in ledgers)
    return out
