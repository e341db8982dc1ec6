"""Compiled loops: only when called, once, and cached as what the code says now."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from personalize.compiled import compiled

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


def total(values: Any) -> float:
    """Return the sum."""
    found = 0.0
    for value in values:
        found += value
    return found


def half(value: float) -> float:
    """Return half."""
    return value / 2


def quarter(value: float) -> float:
    """Return a quarter."""
    return half(half(value))


def quarters(values: Any) -> float:
    """Return the sum of quarters."""
    found = 0.0
    for value in values:
        found += quarter(value)
    return found


VALUES = np.array([0.1, 0.2, 0.3])


def test_importing_the_package_imports_no_numba() -> None:
    """A serving process never pays for the compiler."""
    code = "import sys, personalize, personalize.association; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_loop_is_compiled_when_first_called() -> None:
    """Before the first call nothing is compiled; the plain function is there all along."""
    fast = compiled(total)
    assert (fast.py, fast.__name__, fast.__doc__) == (total, "total", "Return the sum.")
    assert fast.py(VALUES) == total(VALUES)
    assert not fast.is_ready
    assert fast(VALUES) == total(VALUES)
    assert fast.is_ready


def test_a_loop_may_call_plain_functions() -> None:
    """What a loop uses is compiled with it, in order; one may call an earlier one."""
    assert compiled(quarters, (half, quarter))(VALUES) == quarters(VALUES)


def test_a_loop_is_wrapped_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that call at the same time share one compilation."""
    wrapped: list[Any] = []
    start = threading.Barrier(8)

    def njit(**_: Any) -> Any:
        return lambda py: wrapped.append(py) or py

    def call() -> None:
        start.wait()
        fast(VALUES)

    monkeypatch.setattr(numba, "njit", njit)
    fast = compiled(total)
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrapped == [total]


def test_without_a_folder_for_the_cache_it_compiles_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where numba finds no folder to write to, the loop is compiled in memory."""
    asked: list[bool] = []

    def njit(*, cache: bool, nogil: bool) -> Any:
        def wrap(py: Any) -> Any:
            asked.append(cache)
            if cache:
                raise RuntimeError("cannot cache function 'total': no locator available")
            return py

        return wrap

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled(total)(VALUES) == total(VALUES)
    assert asked == [True, False]


def test_two_threads_that_meet_in_the_lock_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited for the lock finds the loop compiled."""
    fast = compiled(total)
    fast(VALUES)
    monkeypatch.setattr(numba, "njit", None)
    assert fast._compile()(VALUES) == total(VALUES)


DAMAGED = """
import logging
import numpy as np
from personalize.compiled import compiled

def loop(values):
    return values.sum()

logging.basicConfig(format="%(message)s")
fast = compiled(loop)
print(fast(np.ones(3)), fast(np.ones(3, dtype=np.int64)), fast(np.ones(4)))
"""


@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
@pytest.mark.parametrize("length", [0, 100])
def test_a_damaged_cache_is_passed_by(tmp_path: Path, suffix: str, length: int) -> None:
    """What was cut off in the cache is compiled anew, and the folder to look at is named."""
    (tmp_path / "loop.py").write_text(DAMAGED, encoding="utf-8")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-B", "loop.py"],
            cwd=tmp_path,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        )

    first = run()
    assert (first.stdout, first.stderr) == ("3.0 3 4.0\n", "")
    for path in (tmp_path / "cache").rglob(f"*{suffix}"):
        path.write_bytes(path.read_bytes()[:length])
    second = run()
    assert second.stdout == first.stdout
    assert second.stderr.count("is compiled without it") == 1
    assert str(tmp_path / "cache") in second.stderr


@pytest.mark.parametrize("error", [EOFError(), OSError("no space left")])
def test_a_cache_that_fails_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Whether it cannot be read or cannot be written: there is an answer, and a warning."""

    def njit(*, cache: bool, nogil: bool) -> Any:
        def fail(_values: Any) -> float:
            raise error

        return lambda py: fail if cache else py

    monkeypatch.setattr(numba, "njit", njit)
    fast = compiled(total)
    assert [fast(VALUES) for _ in range(2)] == [total(VALUES)] * 2
    (record,) = caplog.records
    assert f"({type(error).__name__}); total is compiled without it" in record.getMessage()


def test_one_thread_of_many_compiles_without_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fails while another thread compiles anew takes what that one made."""
    fast = compiled(total)
    fast(VALUES)
    stale, made = fast._fast, fast._compile_anew
    assert stale is not None
    anew = made(stale, EOFError())
    monkeypatch.setattr(numba, "njit", None)
    assert made(stale, EOFError()) is anew
    assert fast(VALUES) == total(VALUES)
