"""What one process of the service holds: settings, store, questions, keys, metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request

import personalize as pz
from service.commits import Commits
from service.connections import Connections
from service.headers import Head
from service.metrics import Metrics
from service.settings import Settings
from service.vitals import Vitals
from service.watch import ModelWatch

T = TypeVar("T")


class Admits(Protocol):
    """Who may ask; see `service.security.Gate`."""

    def remembers(self, head: Head, client: tuple[str, int] | None, scope: str) -> bool:
        """Return whether a request passes by what is remembered."""

    async def admit(self, request: Request, scope: str) -> None:
        """Let a request pass, or raise."""

    @property
    def n_remembered(self) -> int:
        """How many keys are remembered."""

    async def admit_to_metrics(self, request: Request) -> None:
        """Let a request for the metrics pass, or raise."""


@dataclass(frozen=True)
class Shop:
    """The parts that routes work with.

    Writes have threads of their own: however long they wait for one another, questions do not
    wait with them.
    """

    settings: Settings
    store: pz.Store
    live: pz.Personalizer
    watch: ModelWatch
    gate: Admits
    metrics: Metrics
    vitals: Vitals
    connections: Connections
    writers: CapacityLimiter
    commits: Commits

    @property
    def n_connections(self) -> int:
        """How many connections are open."""
        return len(self.connections)

    @property
    def n_answering(self) -> int:
        """How many requests have begun and are not answered."""
        return self.connections.n_answering

    @property
    def n_keys_remembered(self) -> int:
        """How many keys have their scopes remembered."""
        return self.gate.n_remembered

    async def write(self, change: Callable[[], T]) -> T:
        """Return what `change` returns, run in a thread of the writers."""
        return await run_sync(change, limiter=self.writers)
