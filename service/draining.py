"""From the signal to stop until the stop: not ready any more, and still answering.

A load balancer that asks ``/health/ready`` so has time to send new requests elsewhere, while
callers are told with each answer that it is the last one of their connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from service.connections import Connections

log = logging.getLogger("personalize.service")


@contextlib.contextmanager
def draining(connections: Connections, seconds: float) -> Iterator[None]:
    """Hold a signal to stop back for so many seconds; a second one is let through at once.

    Without seconds, and outside of the main thread, which no signal reaches, nothing is changed.
    Must be entered in a running event loop, after the server has set its own handlers.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int) -> None:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, None)

    def hold(number: int, _frame: FrameType | None) -> None:
        if connections.is_draining:
            stop(number)
            return
        connections.is_draining = True
        log.info("draining for %g s before the stop", seconds)
        loop.call_soon_threadsafe(loop.call_later, seconds, stop, number)

    for one in before:
        signal.signal(one, hold)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
