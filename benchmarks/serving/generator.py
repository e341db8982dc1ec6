"""The load generators, run by Node on a core of their own: a closed and an open loop.

autocannon of the version that package.json names is installed into ``out/`` on first use.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.cores import GENERATOR_CORE, on_core

HERE: Final = Path(__file__).parent
CONNECTIONS: Final = 16

Request = dict[str, Any]
"""``method``, ``path``, and perhaps ``headers`` and ``body``."""


class GeneratorMissingError(RuntimeError):
    """There is no Node.js here, or the generator cannot be installed."""


class Generator:
    """Sends requests and says how that went.

    Parameters
    ----------
    folder : Path
        Where autocannon is installed, once.

    Raises
    ------
    GeneratorMissingError
        Without node or npm, or if npm cannot install it.
    """

    def __init__(self, folder: Path) -> None:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            missing = " and ".join(name for name in ("node", "npm") if shutil.which(name) is None)
            raise GeneratorMissingError(
                f"{missing} not found: the load generator is autocannon; install Node.js 20 or "
                "newer, or leave this benchmark out"
            )
        self._node = node
        self._modules = folder.resolve()
        wanted = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
        installed = self._modules / "node_modules" / "autocannon" / "package.json"
        if (
            not installed.exists()
            or json.loads(installed.read_text(encoding="utf-8"))["version"] != wanted["autocannon"]
        ):
            self._install(npm)

    def _install(self, npm: str) -> None:
        self._modules.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", self._modules)
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*command, "--prefix", str(self._modules)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise GeneratorMissingError(f"npm cannot install autocannon: {done.stderr[-500:]}")

    def throughput(
        self,
        url: str,
        requests: Sequence[Request],
        seconds: float,
        *,
        connections: int = CONNECTIONS,
        first: int | None = None,
    ) -> dict[str, Any]:
        """Return what a closed loop comes to.

        Parameters
        ----------
        url : str
        requests : sequence of Request, at least one per connection
            Shared out between the connections and sent over and over.
        seconds : float
        connections : int
        first : int, optional
            With it every ``{n}`` in path and body is a number that is given once, from here on.

        Returns
        -------
        dict
            ``ok``, ``failed`` (answers but 2xx, errors, timeouts), ``seconds``, ``per_second``,
            ``statuses``, ``latency_ms``: ``p50``, ``p99``, ``p999``; ``next``: the first number
            that was not given yet.
        """
        given = {
            "modules": str(self._modules),
            "url": url,
            "requests": list(requests),
            "seconds": seconds,
            "connections": connections,
            "numbered": first is not None,
            "first": first,
        }
        found = self._run("throughput.mjs", given)
        found["per_second"] = found["ok"] / found["seconds"]
        return found

    def open_loop(
        self,
        url: str,
        requests: Sequence[Request],
        rate: float,
        seconds: float,
        *,
        connections: int = 64,
        warm_up: float = 0.0,
    ) -> dict[str, Any]:
        """Return the latency at a fixed rate, each request counted from when it was due.

        Those of the first `warm_up` seconds are sent, and not measured.

        Returns
        -------
        dict
            ``ok``, ``failed``, ``statuses``, ``waited`` (requests that found no idle connection),
            ``latency_ms``: ``p50``, ``p99``, ``p999``, ``max``; ``lag_ms_p99``: how late the
            generator itself sent.
        """
        given = {
            "url": url,
            "requests": list(requests),
            "rate": rate,
            "seconds": seconds,
            "connections": connections,
            "warm_up": warm_up,
        }
        return self._run("open_loop.mjs", given)

    def _run(self, script: str, given: dict[str, Any]) -> dict[str, Any]:
        with on_core(GENERATOR_CORE):
            child = subprocess.Popen(
                [self._node, str(HERE / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        out, errors = child.communicate(json.dumps(given))
        if child.returncode:
            raise RuntimeError(f"{script} ended with {child.returncode}: {errors[-2000:]}")
        found: dict[str, Any] = json.loads(out)
        return found
