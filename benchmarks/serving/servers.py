"""The processes that are measured: the service as it is run, and its peers alike."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.cores import SERVER_CORE, on_core

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers.

    Parameters
    ----------
    url : str
    pid : int
    start_s : float
        Seconds from its start to its first word that it listens.
    """

    url: str
    pid: int
    start_s: float


@contextmanager
def serving(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run ``python -m module`` on the servers' core until the block ends.

    It must print ``listening on URL`` once it answers.

    Raises
    ------
    RuntimeError
        If it does not; with what it said.
    """
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile("w+") as told:
        started = time.perf_counter()
        with on_core(SERVER_CORE):
            child = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            seconds = time.perf_counter() - started
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            if found is None:
                child.wait(timeout=10)
                told.seek(0)
                raise RuntimeError(f"{' '.join(command)} did not start: {told.read()[-2000:]}")
            yield Server(found[1], child.pid, seconds)
        finally:
            child.terminate()
            child.communicate(timeout=30)


def service(store: str, models: Path, *arguments: str) -> tuple[str, ...]:
    """Return what `serving` needs to run the service of a shop, one worker."""
    return ("service", "--store", store, "--models", str(models), "--port", "0", *arguments)


def resident_mb(pid: int) -> float:
    """Return how much memory a process holds, in MB; what it shares with others counts in full."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else float("nan")
