"""Orders that arrive at the same time, made durable together.

A write costs one wait for the disk, however many orders are in it. While one group is on its way
to the disk, the next one gathers; nobody is answered before their own group is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

import personalize as pz

MAX_ORDERS: Final = 500
"""Of one group."""
_WRITERS: Final = 4
"""Groups at once where the database lets several write; a file has one writer."""

Outcome = bool | Exception
Waiting = tuple[pz.OrderSnapshot, asyncio.Future[bool]]


class Commits:
    """Stores orders for many callers at once.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: pz.Store) -> None:
        self._store = store
        self._waiting: list[Waiting] = []
        self._writers: set[asyncio.Task[None]] = set()
        self._n_writers = 1 if store.is_embedded else _WRITERS
        self._limiter = CapacityLimiter(self._n_writers)

    async def put(self, snapshot: pz.OrderSnapshot) -> bool:
        """Return as `Store.put_order`, once the order is durable.

        Raises
        ------
        InvalidOrdersError
            If this order is not allowed; the others of its group are stored.
        StoreError
            If the store cannot be reached; nothing of the group is stored.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((snapshot, done))
        if len(self._writers) < self._n_writers:
            writer = asyncio.create_task(self._write())
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        return await done

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MAX_ORDERS], self._waiting[MAX_ORDERS:]
            snapshots = [snapshot for snapshot, _ in group]
            try:
                outcomes = await run_sync(self._stored, snapshots, limiter=self._limiter)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                outcomes = [error] * len(group)
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if done.done():  # the caller has gone; the order is stored all the same
                    continue
                if isinstance(outcome, Exception):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)

    def _stored(self, snapshots: Sequence[pz.OrderSnapshot]) -> Sequence[Outcome]:
        try:
            return self._store.put_orders(snapshots)
        except pz.InvalidOrdersError:  # all or none: find the one, keep the others
            return [self._stored_alone(snapshot) for snapshot in snapshots]

    def _stored_alone(self, snapshot: pz.OrderSnapshot) -> Outcome:
        try:
            return self._store.put_order(snapshot)
        except pz.PersonalizeError as error:
            return error
