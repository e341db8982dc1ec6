"""How much memory this process may still take."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_LIMITS: Final = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    (
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory(root: Path = _ROOT) -> int | None:
    """Return the bytes that may still be taken: of the machine, or of its container if less.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are found.

    Returns
    -------
    int or None
        None where the system does not tell.
    """
    known = [_container_left(root / limit, root / used) for limit, used in _LIMITS]
    known.append(_machine_left(root / "proc/meminfo"))
    return min((left for left in known if left is not None), default=None)


def _container_left(limit: Path, used: Path) -> int | None:
    try:
        return int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):
        return None  # no such container, or one without a limit ("max")


def _machine_left(meminfo: Path) -> int | None:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
    except OSError:
        found = None  # no Linux: what the machine has in all is the next best
    if found:
        return int(found[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # pragma: no cover - no POSIX system
        return None
