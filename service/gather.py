"""Many callers, one piece of work: what comes while it is under way goes together with the next.

The busier the service, the less each caller costs; a quiet one works at once for whoever comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Gather(Generic[Asked, Told]):
    """Does work for groups of callers, in threads of its own.

    Parameters
    ----------
    work : callable from what a group asks to what each of them is told
        An exception in place of an answer is raised for that caller alone; one that is raised, for
        all of the group.
    n_at_once : int
        Groups under way at the same time.
    most : int
        Size of a group; what one caller asks is never divided.
    size_of : callable, optional
        Size of what one caller asks; default: 1.
    """

    def __init__(
        self,
        work: Callable[[list[Asked]], Sequence[Told | Exception]],
        *,
        n_at_once: int,
        most: int,
        size_of: Callable[[Asked], int] = lambda _: 1,
    ) -> None:
        self._work = work
        self._n_at_once = n_at_once
        self._most = most
        self._size_of = size_of
        self._waiting: list[tuple[Asked, asyncio.Future[Told]]] = []
        self._tasks: set[asyncio.Task[None]] = set()  # a loop holds tasks only weakly
        self._n_working = 0
        self._limiter = CapacityLimiter(n_at_once)

    async def ask(self, asked: Asked) -> Told:
        """Return what this caller is told, once the group's work is done."""
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, told))
        if self._n_working < self._n_at_once:
            self._n_working += 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await told

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._serve(self._next())
        finally:  # at once: whoever asks in the same turn of the loop must find nobody working
            self._n_working -= 1

    async def _serve(self, group: list[tuple[Asked, asyncio.Future[Told]]]) -> None:
        outcomes: Sequence[Told | Exception]
        try:
            outcomes = await run_sync(
                self._work, [asked for asked, _ in group], limiter=self._limiter
            )
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            outcomes = [error] * len(group)
        for (_, told), outcome in zip(group, outcomes, strict=True):
            if told.done():  # the caller has gone
                continue
            if isinstance(outcome, Exception):
                told.set_exception(outcome)
            else:
                told.set_result(outcome)

    def _next(self) -> list[tuple[Asked, asyncio.Future[Told]]]:
        n = size = 0
        while n < len(self._waiting):
            size += self._size_of(self._waiting[n][0])
            if n and size > self._most:
                break
            n += 1
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group
