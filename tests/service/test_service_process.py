"""The service as a process: it starts, says where, keeps what it took in, stops in good order."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_shop import COAT, NOW, order_body

import personalize as pz
from service import Settings, workers
from service.__main__ import _announce_when_up, main, settings_of
from service.app import from_environment

ROOT = Path(__file__).parents[2]
HANDLED = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def arguments(settings: Settings) -> list[str]:
    """Return the command line of a service for this test alone, on a free port."""
    return ["--store", settings.store, "--models", str(settings.models), "--port", "0"]


@contextmanager
def process(arguments: list[str], stop: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """Run ``python -m service`` and yield its URL; stopped in the end, it must end with 0."""
    command = [sys.executable, "-m", "service", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert found, (line, running.stderr and running.stderr.read())
            yield found[1]
            running.send_signal(stop)
            more, errors = running.communicate(timeout=30)
            assert (running.returncode, more) == (0, ""), errors
            assert "Traceback" not in errors
        finally:
            if running.poll() is None:
                running.kill()


def test_orders_survive_a_restart(arguments: list[str]) -> None:
    """PUT, check, stop, start: the order is still there, and the model answers as before."""
    path = f"/v1/customers/c%2F1/suppressions/{COAT}"
    with process(arguments) as url, httpx.Client(base_url=url) as http:
        assert http.get(path).json()["suppress"] is False
        answer = http.put("/v1/orders/o%2F1", json=order_body("c/1", COAT))
        assert answer.json() == {"applied": True}
        first = http.get(path).json()
        assert (first["suppress"], first["model_version"]) == (True, "v1")
    with process(arguments, signal.SIGINT) as url, httpx.Client(base_url=url) as http:
        assert http.get(path).json() == first
        assert http.get("/health/ready").status_code == 200


def test_every_worker_sees_every_order(arguments: list[str]) -> None:
    """Two workers: what one took in, both answer with; metrics are summed over both."""
    with process([*arguments, "--workers", "2"]) as url:
        for n in range(10):  # a new connection each time: any of the workers may get it
            answer = httpx.put(f"{url}/v1/orders/o-{n}", json=order_body(f"c-{n}", COAT))
            assert answer.json() == {"applied": True}
            answer = httpx.get(f"{url}/v1/customers/c-{n}/suppressions/{COAT}")
            assert answer.json()["suppress"] is True
        counted = httpx.get(f"{url}/metrics").text
        assert 'personalize_orders_total{outcome="applied"} 10.0' in counted
        assert 'personalize_decisions_total{reason="purchased"} 10.0' in counted
        assert "personalize_model_loaded 1.0" in counted


def test_hostile_bytes_on_the_wire(arguments: list[str]) -> None:
    """Raw paths and oversized bodies over a real socket end in a 4xx, and the service goes on."""
    with process(arguments) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        for head in (
            b"GET /v1/orders/%FF HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v1/orders/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v1/orders/% HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v1/orders/%2F%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n",
            b"PUT /v1/orders/o HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9999999\r\n\r\n" + b" " * 5_000_000,
            b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"nonsense\r\n\r\n",
        ):
            with socket.create_connection(address, timeout=10) as raw:
                raw.sendall(head)
                assert re.match(rb"HTTP/1\.1 4\d\d ", raw.recv(100)), head[:80]
        assert httpx.get(f"{url}/health/live").status_code == 200


def test_proxied_strangers_are_refused_without_keys(arguments: list[str]) -> None:
    """A proxy on this machine does not open a service without keys to the world."""
    with process(arguments) as url:
        assert httpx.get(f"{url}/v1/policy").status_code == 200
        through = {"X-Forwarded-For": "203.0.113.9"}
        assert httpx.get(f"{url}/v1/policy", headers=through).status_code == 401
        check = f"{url}/v1/customers/c/suppressions/{COAT}"
        for _ in range(2):  # the second time the answer could come by what is remembered
            assert httpx.get(check).status_code == 200
            assert httpx.get(check, headers=through).status_code == 401


def test_no_keys_no_other_machine(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    """Without keys a public address is refused in one line that says what to do."""
    assert main(["--host", "0.0.0.0", "--store", settings.store]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(
        r"error: host 0\.0\.0\.0: there are no API keys, .*keys create.*\n", told.err
    )


def test_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    """A port that somebody else has is an error of one line, with a remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port), "--store", settings.store]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert (
        lines[0] == f"store {settings.store} is empty: everything may be shown until orders come in"
    )
    assert lines[1].startswith("no API keys: open to everyone on this machine")
    assert lines[2] == (
        f"error: 127.0.0.1:{port} cannot be listened on: Address already in use; choose another "
        "--port (0 picks a free one) or --host"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "99999"], "setting port: .*less than or equal to 65535; see --port or PERSON"),
        (["--workers", "0"], "setting workers: .*greater than or equal to 1"),
        (["--host", ""], "setting host: "),
    ],
)
def test_bad_settings_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """A setting out of its range is named with the places to set it."""
    assert main(arguments) == 2
    assert re.match(f"error: {told}", capsys.readouterr().err)


def test_bad_environment_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says is checked alike; the command line wins over it."""
    monkeypatch.setenv("PERSONALIZE_PORT", "http")
    assert main([]) == 2
    assert "PERSONALIZE_PORT" in capsys.readouterr().err
    monkeypatch.setenv("PERSONALIZE_PORT", "1")
    assert main(["--port", "70000"]) == 2


def test_bad_store_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A store that cannot be opened ends the start with its own message, without a password."""
    assert main(["--store", "mysql://u:secret@h/shop"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: store mysql://u:***@h/shop: only SQLite")
    assert told.count("\n") == 1


def test_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """An option that there is none of ends with 2."""
    with pytest.raises(SystemExit, match="2"):
        main(["--prot", "80"])
    assert "unrecognized arguments: --prot" in capsys.readouterr().err


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the signal handlers back that a server changes."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def once_up(then: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> threading.Thread:
    """Return a thread that waits for the ready line, does something, and stops this process."""

    def run() -> None:
        told = ""
        while "listening on" not in told:
            time.sleep(0.02)
            told += capsys.readouterr().out
        then(told.split()[-1])
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out of the environment, in the end, what a service sets for its workers."""
    for name in ("PROMETHEUS_MULTIPROC_DIR", *Settings.model_fields):
        monkeypatch.setenv(name if name.isupper() else f"PERSONALIZE_{name.upper()}", "x")
        monkeypatch.delenv(name if name.isupper() else f"PERSONALIZE_{name.upper()}")


@pytest.mark.parametrize("n_workers", ["1", "2"])
@pytest.mark.usefixtures("handlers", "clean")
def test_stop_is_no_failure(
    arguments: list[str], capsys: pytest.CaptureFixture[str], n_workers: str
) -> None:
    """A signal stops the service with 0, and its own handlers are back afterwards."""
    answers: list[int] = []
    thread = once_up(
        lambda url: answers.append(httpx.get(f"{url}/health/ready").status_code), capsys
    )
    assert main([*arguments, "--workers", n_workers]) == 0
    thread.join(timeout=10)
    assert answers == [200]


@pytest.mark.usefixtures("handlers")
def test_ipv6_loopback(
    arguments: list[str], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other loopback works too, and is written the way URLs have it."""
    if not socket.has_ipv6:  # pragma: no cover - machines without it
        pytest.skip("this machine has no IPv6")
    with pz.Store.open(settings.store) as store:
        store.create_key("test", ["admin"], created_at=NOW)
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    urls: list[str] = []
    thread = once_up(urls.append, capsys)
    assert main([*arguments, "--host", "::1"]) == 0
    thread.join(timeout=10)
    assert re.fullmatch(r"http://\[::1\]:\d+", urls[0])


def test_settings_that_are_almost_one_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that would be ignored in silence is one line, and no more."""
    monkeypatch.setenv("PERSONALIZE_STORE_FAILUR", "fail_closed")
    monkeypatch.setenv("PERSONALIZE_TEST_POSTGRES", "")
    settings_of([])
    assert capsys.readouterr().err == (
        "warning: PERSONALIZE_STORE_FAILUR is no setting of the service; --help lists them\n"
    )


def test_factory_reads_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_environment` makes an application for other servers, from PERSONALIZE_ alone."""
    monkeypatch.setenv("PERSONALIZE_STORE", settings.store)
    monkeypatch.setenv("PERSONALIZE_MODELS", str(settings.models))
    monkeypatch.setenv("PERSONALIZE_ACCESS_LOG", "true")
    app = from_environment()
    shop = app.state.shop
    assert shop.settings.access_log is True
    assert shop.live.model_version == "v1"
    shop.store.close()


@pytest.mark.usefixtures("handlers", "clean")
def test_a_killed_worker_is_replaced(
    arguments: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """SIGKILL of a worker: the other one answers, and another one is there soon."""
    own = {child.pid for child in multiprocessing.active_children()}

    def workers() -> set[int]:
        alive = {child.pid for child in multiprocessing.active_children()} - own
        return {pid for pid in alive if pid is not None}

    seen: list[set[int]] = []

    def kill_one(url: str) -> None:
        end = time.monotonic() + 60
        before = workers()
        os.kill(min(before), signal.SIGKILL)
        while len(workers() - before) < 1:
            assert time.monotonic() < end
            time.sleep(0.05)
        seen.extend([before, workers()])
        assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 200

    thread = once_up(kill_one, capsys)
    assert main([*arguments, "--workers", "2"]) == 0
    thread.join(timeout=10)
    assert (len(seen[0]), len(seen[1]), len(seen[0] & seen[1])) == (2, 2, 1)
    killed = min(seen[0])
    assert f"worker {killed} was killed by SIGKILL; another one is started" in caplog.text


@pytest.mark.usefixtures("handlers", "clean")
def test_workers_that_cannot_start_end_the_service(
    arguments: list[str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each says why in one line, and after a few attempts the service ends with 1 and says so."""
    monkeypatch.setattr("service.__main__.refuse_exposure", lambda settings: None)
    monkeypatch.setattr("service.workers.ATTEMPTS", 1)
    store = ["--store", "mysql://u:secret@h/shop", "--port", "0"]
    assert main([*store, "--workers", "2"]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines.count(lines[0]) in (2, 3)  # the one started for the first may end before we look
    assert lines[0].startswith("error: store mysql://u:***@h/shop: only SQLite")
    assert lines[-1] == (
        "error: no worker can start, so none is started any more; the lines above say why"
    )
    assert "ended with 1; another one is started" in caplog.text


def test_a_worker_stops_when_its_supervisor_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for the end of the process that started it, and then stops in good order."""
    told: list[Any] = []

    class Supervisor:
        def join(self) -> None:
            told.append("waited")

    monkeypatch.setattr("service.workers.os.kill", lambda *given: told.append(given))
    monkeypatch.setattr("service.workers.multiprocessing.parent_process", lambda: None)
    workers._end_with_supervisor()  # started by hand: nobody watches over it
    assert told == []
    monkeypatch.setattr("service.workers.multiprocessing.parent_process", Supervisor)
    workers._end_with_supervisor()
    assert told == ["waited", (os.getpid(), signal.SIGTERM)]
    assert "the supervisor is gone; this worker stops" in caplog.text


def test_no_worker_no_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker answers in time, the service is never said to listen."""
    monkeypatch.setattr("service.__main__._READY_SECONDS", 0.1)
    is_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()[:2]
    _announce_when_up(address, lambda: pytest.fail("it said so"), is_up)
    assert not is_up.is_set()


def test_a_worker_says_why_it_cannot_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """What ends a worker is one line; else it makes the application of the environment."""
    monkeypatch.setenv("PERSONALIZE_STORE", "mysql://u:secret@h/shop")
    with pytest.raises(SystemExit, match="1"):
        workers.application()
    assert capsys.readouterr().err.startswith("error: store mysql://u:***@h/shop: only SQLite")
    monkeypatch.setenv("PERSONALIZE_STORE", settings.store)
    monkeypatch.setenv("PERSONALIZE_MODELS", str(settings.models))
    shop = workers.application().state.shop
    assert shop.live.model_version == "v1"
    shop.store.close()


def test_import_reads_no_environment() -> None:
    """Importing the service reads no setting: a bad one is told when the settings are made."""
    environment = {**os.environ, "PERSONALIZE_PORT": "not a port"}
    code = "import service, service.app, service.__main__; print('fine')"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "fine\n"), run.stderr
