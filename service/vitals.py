"""How the process itself fares, in the text format of Prometheus: connections, keys, store.

What requests do is counted in `service.metrics`. Counters of all workers are summed in files of
the shared folder, and so are these gauges of the workers that are alive; what a scrape looks at
itself (the store, the age of the last refresh) is that of the worker that answers it.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Iterator
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import personalize as pz

_SAMPLE_SECONDS = 1.0


class Sampled(Protocol):
    """What the gauges show; `service.shop.Shop` is one."""

    @property
    def n_connections(self) -> int:
        """Open connections."""

    @property
    def n_answering(self) -> int:
        """Requests that have begun and are not answered."""

    @property
    def n_keys_remembered(self) -> int:
        """Keys whose scopes are remembered."""


def has_other_workers() -> bool:
    """Return whether what is counted is shared with other processes."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


class Vitals:
    """Counters and gauges of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._refused = self._counter(
            "personalize_connections_refused",
            "Connections that were refused or cut, by reason",
            "reason",
        )
        self._auth_failures = self._counter(
            "personalize_auth_failures", "Requests without a valid key, by reason", "reason"
        )
        self._store_errors = self._counter(
            "personalize_store_errors", "Requests that failed at the store, by kind", "kind"
        )
        self._key_lookups = Counter(
            "personalize_key_lookups",
            "Keys that were looked up in the store, not in memory",
            registry=self._registry,
        )
        self._connections = self._gauge("personalize_connections_open", "Open connections")
        self._in_flight = self._gauge(
            "personalize_requests_in_flight", "Requests that have begun and are not answered"
        )
        self._keys = self._gauge(
            "personalize_keys_remembered", "Keys whose scopes are remembered, summed over workers"
        )

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(name, text, [label], registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry, multiprocess_mode="livesum")

    def refused(self, reason: str) -> None:
        """Count a connection that was refused or cut."""
        self._refused.labels(reason).inc()

    def not_authenticated(self, reason: str) -> None:
        """Count a request whose key is none: ``missing``, ``unknown``, ``scope``, ``slowed``."""
        self._auth_failures.labels(reason).inc()

    def store_failed(self, error: pz.StoreError) -> None:
        """Count a request that the store failed, by the class of what it said."""
        told = error if type(error) is not pz.StoreError else error.__cause__ or error
        self._store_errors.labels(type(told).__name__).inc()

    def key_looked_up(self) -> None:
        """Count a key that had to be looked up."""
        self._key_lookups.inc()

    def sample(self, seen: Sampled) -> None:
        """Set the gauges to what is seen now."""
        self._connections.set(seen.n_connections)
        self._in_flight.set(seen.n_answering)
        self._keys.set(seen.n_keys_remembered)

    async def keep_sampling(self, seen: Sampled) -> None:
        """Set the gauges every second, so that another worker's scrape has them."""
        while True:
            self.sample(seen)
            await asyncio.sleep(_SAMPLE_SECONDS)

    def text(
        self,
        seen: Sampled,
        *,
        store_is_reachable: bool,
        model_is_refused: bool,
        refresh_age_seconds: float | None,
    ) -> bytes:
        """Return what is not in the files that workers share.

        Parameters
        ----------
        seen : Sampled
        store_is_reachable : bool
        model_is_refused : bool
            Whether the version that is current cannot be loaded.
        refresh_age_seconds : float or None
            Since policy and catalogue were last looked at; None if they never could be.
        """
        self.sample(seen)
        told = CollectorRegistry()
        told.register(_Now(store_is_reachable, model_is_refused, refresh_age_seconds))
        if has_other_workers():
            return generate_latest(told)
        ProcessCollector(registry=told)
        GCCollector(registry=told)
        return generate_latest(self._registry) + generate_latest(told)


class _Now(Collector):
    """What a scrape has seen itself."""

    def __init__(
        self, store_is_reachable: bool, model_is_refused: bool, refresh_age_seconds: float | None
    ) -> None:
        self._store_is_reachable = store_is_reachable
        self._model_is_refused = model_is_refused
        self._refresh_age_seconds = refresh_age_seconds

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "personalize_build_info", "The release that runs", labels=["version", "python"]
        )
        info.add_metric([pz.__version__, platform.python_version()], 1.0)
        yield info
        reachable = GaugeMetricFamily(
            "personalize_store_reachable", "1 if the store answered the scrape"
        )
        reachable.add_metric([], float(self._store_is_reachable))
        yield reachable
        refused = GaugeMetricFamily(
            "personalize_model_refused", "1 if the version that is current cannot be loaded"
        )
        refused.add_metric([], float(self._model_is_refused))
        yield refused
        if self._refresh_age_seconds is not None:
            age = GaugeMetricFamily(
                "personalize_refresh_age_seconds",
                "Since model pointer, policy and catalogue were last looked at with success",
            )
            age.add_metric([], self._refresh_age_seconds)
            yield age
