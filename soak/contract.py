"""The whole of /openapi.json, tried by schemathesis against the running service.

No 5xx, no status, header or content type that is not documented, no answer of another shape than
its schema, nothing taken in that the description forbids, no call without its key.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from soak.running import ROOT

CONFIG: Final = Path(__file__).parent / "schemathesis.toml"


class Verdict(NamedTuple):
    """What schemathesis came to: whether all is well, and what it printed."""

    is_kept: bool
    told: str

    @property
    def cases(self) -> str:
        """Its line of how many cases there were."""
        lines = [line.strip() for line in self.told.splitlines()]
        return next((line for line in lines if " generated" in line), "none")


def keeps_contract(
    url: str, key: str, *, examples: int, seed: int = 1, call: str | None = None
) -> Verdict:
    """Try every call of the service at `url`.

    Parameters
    ----------
    url : str
    key : str
        With every scope.
    examples : int
        Per call and phase, at most.
    seed : int
    call : str, optional
        The only operation that is tried; default: all of them.
    """
    only = [] if call is None else ["--include-operation-id", call]
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color",
        "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}",
        "--mode", "all", "--max-examples", str(examples), "--seed", str(seed),
        "--suppress-health-check", "all", "--generation-database", "none",
        "--request-timeout", "30", *only,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="personalize-contract-") as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HYPOTHESIS_STORAGE_DIRECTORY": folder,
        }
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment,
        )
    return Verdict(done.returncode == 0, done.stdout + done.stderr)
