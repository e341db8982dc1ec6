"""Which core a process runs on, so that server and generator do not take each other's time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SERVER_CORE: Final = 0
GENERATOR_CORE: Final = 1


def can_pin() -> bool:
    """Return whether processes can be held on cores here, and there are two."""
    return hasattr(os, "sched_setaffinity") and {SERVER_CORE, GENERATOR_CORE} <= set(
        os.sched_getaffinity(0)
    )


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Start processes on one core within the block; where that cannot be had, anywhere."""
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
