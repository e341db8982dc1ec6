"""The process itself: its gauges, how it drains, its workers, what the system must allow."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Start
from service_shop import COAT, NOW, Client
from uvicorn.supervisors import Multiprocess

import personalize as pz
from service import Settings
from service.__main__ import Refusal, make_room
from service.app import sampling
from service.connections import Connections, Limits
from service.draining import draining
from service.vitals import Vitals
from service.workers import Workers


def value_of(text: str, name: str) -> float:
    """Return the value of a metric."""
    (found,) = [line.split()[1] for line in text.splitlines() if line.split()[0] == name]
    return float(found)


def test_metrics_of_the_process(client: Client) -> None:
    """Release, store, refresh, memory, open files, connections."""
    client.decision("c", COAT)
    text = client.get("/metrics").text
    assert f'version="{pz.__version__}"' in text
    assert value_of(text, "personalize_store_reachable") == 1
    assert 0 <= value_of(text, "personalize_refresh_age_seconds") < 60
    assert value_of(text, "process_resident_memory_bytes") > 1e6
    assert value_of(text, "personalize_connections_open") == 0
    assert value_of(text, "personalize_keys_remembered") == 0


def test_store_errors_are_counted_by_kind(client: Client) -> None:
    """A store out of reach shows in the metrics, which are answered all the same."""
    client.shop.store.close()
    assert client.put("/v1/products/p", {}).status_code == 503
    text = client.get("/metrics").text
    assert value_of(text, 'personalize_store_errors_total{kind="StoreError"}') == 1
    assert value_of(text, "personalize_store_reachable") == 0


def test_kind_of_a_store_error_is_its_cause() -> None:
    """The driver's class says what happened, a class of our own says it better."""

    class StoreIsSlowError(pz.StoreError):
        """One of a kind."""

    vitals = Vitals()
    caused = pz.StoreError("store: gone")
    caused.__cause__ = TimeoutError("gone")
    for error in (caused, StoreIsSlowError("store: slow")):
        vitals.store_failed(error)
    seen = SimpleNamespace(n_connections=2, n_answering=1, n_keys_remembered=3)
    text = vitals.text(
        seen, store_is_reachable=True, model_is_refused=False, refresh_age_seconds=None
    ).decode()
    for kind in ("TimeoutError", "StoreIsSlowError"):
        assert value_of(text, f'personalize_store_errors_total{{kind="{kind}"}}') == 1
    assert value_of(text, "personalize_connections_open") == 2
    assert "personalize_refresh_age_seconds" not in text


def test_failed_authentications_are_counted(client: Client) -> None:
    """By reason; keys that are looked up and remembered show too."""
    secret = client.shop.store.create_key("test", ["decide"], created_at=NOW)
    for header in ("", "Basic x", "Bearer pk_no", f"Bearer {secret}"):
        client.get("/v1/policy", headers={"Authorization": header})
    text = client.get("/metrics").text
    for reason in ("missing", "malformed", "unknown", "scope"):
        assert value_of(text, f'personalize_auth_failures_total{{reason="{reason}"}}') == 1
    assert value_of(text, "personalize_key_lookups_total") == 2
    assert value_of(text, "personalize_keys_remembered") == 1


def test_gauges_of_workers_are_kept_up_to_date(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other workers the gauges are written every second, and a scrape adds only its own."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    seen: list[Any] = []
    vitals = Vitals()
    monkeypatch.setattr(vitals, "sample", seen.append)
    shop: Any = SimpleNamespace(vitals=vitals)

    async def run() -> None:
        async with sampling(shop):
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert seen == [shop]
    text = vitals.text(
        shop, store_is_reachable=True, model_is_refused=False, refresh_age_seconds=1.0
    ).decode()
    assert "personalize_store_reachable 1.0" in text
    assert "personalize_connections_open" not in text
    assert "process_resident_memory_bytes" not in text


def test_draining_holds_the_stop_back(caplog: pytest.LogCaptureFixture) -> None:
    """The first signal takes the service out, the stop follows; a second one stops at once."""
    caplog.set_level(logging.INFO)
    stopped: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    connections = Connections(Limits.of(Settings()), lambda _reason: None)

    async def run(seconds: float, n_signals: int) -> bool:
        with draining(connections, seconds):
            for _ in range(n_signals):
                signal.raise_signal(signal.SIGTERM)
            was_draining, at_once = connections.is_draining, len(stopped)
            await asyncio.sleep(0.1)
            return was_draining and not at_once

    try:
        assert asyncio.run(run(0.02, 1))
        assert stopped == [signal.SIGTERM]
        connections.is_draining = False
        assert not asyncio.run(run(60.0, 2))
        assert stopped == [signal.SIGTERM] * 2
        assert "draining for 60 s before the stop" in caplog.text
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        connections.is_draining = False
        assert asyncio.run(run(0.02, 1)) is False  # nobody listens: there is nothing to call
        assert len(stopped) == 2
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_draining_service_is_not_ready(client: Client) -> None:
    """While it drains the service answers questions, and says that it is about to stop."""
    client.shop.connections.is_draining = True
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the service is about to stop"]
    assert client.decision("c", COAT)["suppress"] is False


def test_signals_are_left_alone_elsewhere(start: Start, settings: Settings) -> None:
    """Outside of the main thread no signal is touched, whatever the settings."""
    before = signal.getsignal(signal.SIGTERM)
    start(settings.model_copy(update={"drain_seconds": 5.0}))
    assert signal.getsignal(signal.SIGTERM) is before
    assert threading.current_thread() is threading.main_thread()


def test_room_for_connections_is_made(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open files are allowed as far as the system lets us, else the start is refused."""
    allowed: list[tuple[int, int]] = []
    limit = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limit[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, pair: allowed.append(pair))
    make_room(settings.model_copy(update={"max_connections": 100}))
    assert allowed == []
    make_room(settings)
    assert allowed == [(1320, 4096)]
    with pytest.raises(Refusal, match=r"max_connections: 5000 .* the system allows 4096; lower"):
        make_room(settings.model_copy(update={"max_connections": 5000}))
    limit[0] = (1024, resource.RLIM_INFINITY)
    make_room(settings)
    limit[0] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    make_room(settings)
    assert allowed == [(1320, 4096), (1320, resource.RLIM_INFINITY)]


class Worker:
    """A worker that is there or gone, in place of a process."""

    exitcode = 1

    def __init__(self, pid: object = None, sockets: object = None, is_there: bool = True) -> None:
        self.pid = pid if isinstance(pid, int) else 9
        self.is_there = is_there

    def is_alive(self, timeout: float) -> bool:
        """Return whether it is there."""
        return self.is_there

    def start(self) -> None:
        """Do nothing, like the others."""

    kill = join = start


def test_dead_workers_are_not_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a worker that died showed of itself goes; what it counted stays."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for name in ("gauge_livesum_7.db", "gauge_livesum_8.db", "counter_7.db"):
        (tmp_path / name).write_bytes(b"")
    workers = Workers.__new__(Workers)
    vars(workers).update(
        config=SimpleNamespace(timeout_worker_healthcheck=1),
        should_exit=threading.Event(),
        processes_num=2,
        sockets=[],
        processes=[Worker(7, is_there=False), Worker(8)],
        failed=False,
        _in_vain=0,
        _has_served={7, 8},
    )
    workers.keep_subprocess_alive()
    assert [process.pid for process in workers.processes] == [9, 8]
    assert "worker 7 ended with 1; another one is started" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_7.db", "gauge_livesum_8.db",
    ]  # fmt: skip


def test_parent_stops_listening_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is taken in by the parent while its workers stop."""
    seen: list[bool] = []
    workers = Workers.__new__(Workers)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        workers.sockets = [sock]
        closed = lambda _self: seen.append(sock.fileno() == -1)  # noqa: E731
        monkeypatch.setattr(Multiprocess, "terminate_all", closed)
        workers.terminate_all()
    assert seen == [True]
