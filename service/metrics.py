"""What is counted and timed, in the text format of Prometheus.

With several workers each counts for itself in files of a shared folder
(``PROMETHEUS_MULTIPROC_DIR``, which ``python -m service`` sets), and a scrape sums them up.
"""

from __future__ import annotations

import os
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

import personalize as pz

_FREE = pz.unowned("", "").reason
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class _Model(Collector):
    """Which model answers, and how old its facts are, at the moment of the scrape."""

    def __init__(self, live: pz.Personalizer) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        version = self._live.model_version
        loaded = GaugeMetricFamily("personalize_model_loaded", "1 if a model answers questions")
        loaded.add_metric([], 0.0 if version is None else 1.0)
        yield loaded
        as_of = self._live.model_as_of
        if version is not None and as_of is not None:
            info = GaugeMetricFamily(
                "personalize_model_info", "The model that answers", labels=["model_version"]
            )
            info.add_metric([version], 1.0)
            yield info
            age = GaugeMetricFamily(
                "personalize_model_age_seconds", "Since the moment up to which the model learned"
            )
            age.add_metric([], (self._live.now() - as_of) / 1e6)
            yield age


class Metrics:
    """The counters of one process.

    Parameters
    ----------
    live : Personalizer
        Whose model is described.
    """

    def __init__(self, live: pz.Personalizer) -> None:
        self._model = _Model(live)
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "personalize_requests",
            "Requests by route and status",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "personalize_request_seconds",
            "Seconds from the request's head to the end of its answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._decisions = Counter(
            "personalize_decisions", "Decisions by reason", ["reason"], registry=self._registry
        )
        self._picks = Counter(
            "personalize_picks", "Products shown by reason", ["reason"], registry=self._registry
        )
        self._refreshes = Counter(
            "personalize_demand_refreshes",
            "Refreshes of demand by outcome",
            ["outcome"],
            registry=self._registry,
        )
        self._orders = Counter(
            "personalize_orders", "Orders taken in by outcome", ["outcome"], registry=self._registry
        )
        for outcome in (
            "applied",
            "stale",
            "rejected",
        ):  # from the start, so that rates see the first
            self._orders.labels(outcome)

        # Looking up labels takes longer than counting.
        self._by_reason: dict[str, Counter] = {}
        self._of_answer: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and how long it took."""
        key = (method, route, status)
        counted = self._of_answer.get(key)
        if counted is None:
            requests = self._requests.labels(method, route, str(status))
            counted = self._of_answer[key] = (requests, self._seconds.labels(route))
        counted[0].inc()
        counted[1].observe(seconds)

    def decisions(self, rows: Sequence[pz.Decision], n_asked: int | None = None) -> None:
        """Count decisions; of `n_asked` those that have no row left the product free."""
        n_free = 0 if n_asked is None else n_asked - len(rows)
        others: list[str] = []
        for row in rows:
            if row.reason == _FREE:
                n_free += 1
            else:
                others.append(row.reason)
        if n_free:
            self._of_reason(_FREE).inc(n_free)
        if others:
            for reason, n in Tally(others).items():
                self._of_reason(reason).inc(n)

    def _of_reason(self, reason: str) -> Counter:
        counted = self._by_reason.get(reason)
        if counted is None:
            counted = self._by_reason[reason] = self._decisions.labels(reason)
        return counted

    def picks(self, rows: Iterable[pz.Pick]) -> None:
        """Count products shown."""
        for reason, n in Tally(row.reason for row in rows).items():
            self._picks.labels(reason).inc(n)

    def orders(self, outcome: str, n: int = 1) -> None:
        """Count orders that were ``applied``, ``stale`` or ``rejected``."""
        self._orders.labels(outcome).inc(n)

    def refresh(self, outcome: str) -> None:
        """Count a refresh of demand that was ``done`` or ``failed``."""
        self._refreshes.labels(outcome).inc()

    def text(self) -> bytes:
        """Return everything that was counted, by all workers, and the model of this one."""
        counted = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            counted = CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        described = CollectorRegistry()
        described.register(self._model)
        return generate_latest(counted) + generate_latest(described)
