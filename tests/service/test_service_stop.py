"""A service that is told to stop while it works: what it took on it finishes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_shop import COAT, order_body

import personalize as pz
from service import Settings

ROOT = Path(__file__).parents[2]
N_CALLERS = 4


@contextmanager
def service(settings: Settings, workers: int, **more: str) -> Iterator[tuple[int, int]]:
    """Run ``python -m service`` and yield its process and port; it must end with 0 by itself."""
    command = [
        sys.executable, "-m", "service", "--store", settings.store,
        "--models", str(settings.models), "--port", "0", "--workers", str(workers),
    ]  # fmt: skip
    environment = {**os.environ, **{f"PERSONALIZE_{k.upper()}": v for k, v in more.items()}}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", line)
            assert found, (line, running.stderr and running.stderr.read())
            yield running.pid, int(found[1])
            _, errors = running.communicate(timeout=60)
            assert running.returncode == 0, errors
        finally:
            if running.poll() is None:
                running.kill()


class Caller(threading.Thread):
    """Puts one order after another on one connection, until the service says that it closes."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(daemon=True)
        self.mark = name
        self.acknowledged: list[str] = []
        self.failure: Exception | None = None
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def run(self) -> None:
        """Call until told not to."""
        body = json.dumps(order_body(f"c-{self.mark}", COAT))
        head = {"Content-Type": "application/json"}
        try:
            while True:
                order_id = f"{self.mark}-{len(self.acknowledged)}"
                self._http.request("PUT", f"/v1/orders/{order_id}", body, head)
                answer = self._http.getresponse()
                text = answer.read()
                assert answer.status == 200, text
                self.acknowledged.append(order_id)
                if answer.headers.get("Connection") == "close":
                    return
        except (AssertionError, OSError, http.client.HTTPException) as error:
            self.failure = error
        finally:
            self._http.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_stop_under_load_loses_nothing(settings: Settings, workers: int) -> None:
    """Each caller has its answers up to one that says close; what was acknowledged is stored."""
    with service(settings, workers) as (pid, port):
        callers = [Caller(f"k{n}", port) for n in range(N_CALLERS)]
        for caller in callers:
            caller.start()
        end = time.monotonic() + 30
        while min(len(caller.acknowledged) for caller in callers) < 5:
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        for caller in callers:
            caller.join(timeout=30)
        assert [caller.failure for caller in callers] == [None] * N_CALLERS
    with pz.Store.open(settings.store) as store:
        lost = [o for caller in callers for o in caller.acknowledged if store.order(o) is None]
    assert lost == []


def test_workers_end_with_their_supervisor(settings: Settings) -> None:
    """Where the supervisor is killed, no worker goes on that nobody watches over."""
    command = [
        sys.executable, "-m", "service", "--store", settings.store,
        "--models", str(settings.models), "--port", "0", "--workers", "2",
    ]  # fmt: skip
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as running:
        assert running.stdout is not None
        url = running.stdout.readline().removeprefix("listening on ").strip()
        running.kill()
        # Both pipes end with the last process that holds them: the workers.
        _, errors = running.communicate(timeout=60)
    assert errors.count("the supervisor is gone; this worker stops") == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)


def test_draining_service_goes_on(settings: Settings) -> None:
    """Told to stop, it is not ready at once, still answers, and then stops by itself."""
    with service(settings, 2, drain_seconds="5") as (pid, port):
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/health/ready").status_code == 200
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 4.5
        while (answer := httpx.get(f"{url}/health/ready")).status_code == 200:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert answer.json()["reasons"] == ["the service is about to stop"]
        answer = httpx.put(f"{url}/v1/orders/o", json=order_body("c", COAT))
        assert answer.json() == {"applied": True}
        assert answer.headers["connection"] == "close"
