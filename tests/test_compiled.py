"""Compiled loops: what is cached on disk is what the code says now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOOP = """
import numpy as np
import rule
from personalize.compiled import compiled

def loop(values):
    out = np.zeros(len(values))
    for at in range(len(values)):
        out[at] = step(values[at])
    return out

step = rule.step
print(int(compiled(loop, (rule.step,))(np.ones(1))[0]))
"""


def test_a_cached_loop_follows_what_it_calls(tmp_path: Path) -> None:
    """A loop is compiled anew when what it calls in another file changes, constants included."""
    (tmp_path / "loop.py").write_text(LOOP, encoding="utf-8")
    printed = []
    for rule in (
        "N = 1\ndef step(x):\n    return x + N\n",
        "N = 1\ndef step(x):\n    return x - N\n",
        "N = 7\ndef step(x):\n    return x - N\n",
    ):
        (tmp_path / "rule.py").write_text(rule, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-B", "loop.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(int(done.stdout))
    assert printed == [2, 0, -6]
