"""Demand is refreshed beside the service, and every process then answers with the same."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

import pytest
from conftest import Start
from service_shop import NOW, TIE, Client
from test_service_health import until

import personalize as pz
from personalize.cli import main, refreshing
from personalize.times import DAY, SECOND
from service import Settings, demand
from service.demand import DemandRefresh

TODAY = "2026-11-22T12-00-00Z"


@pytest.fixture
def folder(settings: Settings) -> pz.ModelsDirectory:
    """Return the models directory of this test."""
    return pz.ModelsDirectory(settings.models)


@pytest.fixture(autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshing, "now", lambda: pz.to_datetime(NOW))


def sell(settings: Settings, product_id: str, at: int = NOW - 3600 * SECOND, n: int = 30) -> None:
    """Put orders of guests that make a product wanted."""
    line = (pz.SnapshotLine(product_id, 1),)
    with pz.Store.open(settings.store) as store:
        store.put_orders(
            [pz.OrderSnapshot(f"{product_id}-{k}", None, at, at, lines=line) for k in range(n)]
        )


def refresh(settings: Settings, *more: str) -> int:
    """Run the command; return its exit code."""
    where = ["--store", settings.store, "--models", str(settings.models)]
    return main(["refresh-demand", *where, *more])


def wanted(client: Client) -> tuple[str, str]:
    """Return the model that answers, and what somebody unknown is shown first."""
    answer = client.post("/v1/recommendations", {"k": 1, "moment": "browse"}).json()
    return answer["model_version"], answer["items"][0]["product_id"]


def test_what_sells_now_is_shown(
    client: Client,
    settings: Settings,
    folder: pz.ModelsDirectory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refresh is served at once under a name of its own; versions and pointer stay."""
    assert wanted(client)[0] == "v1"
    assert wanted(client)[1] != TIE
    sell(settings, TIE)
    assert refresh(settings) == 0
    assert capsys.readouterr().out == (
        f"{settings.models}/v1 is refreshed with 30 lines: v1+{TODAY} is what answers\n"
    )
    until(lambda: wanted(client) == (f"v1+{TODAY}", TIE))
    assert client.get("/health/ready").json()["model_version"] == f"v1+{TODAY}"
    assert (folder.versions(), folder.current()) == (["v1", "v2"], "v1")
    current = client.get("/v1/models/current").json()
    assert (current["version"], current["model_version"]) == ("v1", f"v1+{TODAY}")
    assert len(client.get("/v1/models").json()["models"]) == 2
    asked = ["recommend", "--store", settings.store, "--models", str(settings.models)]
    assert main([*asked, "--out", f"{settings.models}/picks.csv"]) == 0
    assert f"by model v1+{TODAY}" in capsys.readouterr().out  # every channel says the same
    assert main([*asked, "--version", "v1", "--out", f"{settings.models}/picks.csv"]) == 0
    assert "by model v1\n" in capsys.readouterr().out
    assert refresh(settings) == 0  # within the same second: it is there already
    assert folder.refreshes("v1") == [f"v1+{TODAY}"]


def test_a_switch_takes_the_refresh_of_its_version(client: Client, settings: Settings) -> None:
    """Each version has refreshes of its own: switching goes to them and back."""
    sell(settings, TIE)
    assert refresh(settings) == 0
    until(lambda: wanted(client)[0] == f"v1+{TODAY}")
    for version, name in (("v2", "v2"), ("v1", f"v1+{TODAY}")):
        answer = client.put("/v1/models/current", {"version": version})
        assert answer.json()["model_version"] == name
        assert wanted(client)[0] == name
    pz.ModelsDirectory(settings.models).use("v2")
    until(lambda: wanted(client)[0] == "v2")
    pz.ModelsDirectory(settings.models).use("v1")
    until(lambda: wanted(client)[0] == f"v1+{TODAY}")


def test_a_damaged_refresh_is_refused(
    client: Client, settings: Settings, folder: pz.ModelsDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    """What was served goes on, and the next good refresh is taken up."""
    sell(settings, TIE)
    assert refresh(settings) == 0
    until(lambda: wanted(client)[0] == f"v1+{TODAY}")
    later = folder.refresh_path("v1", "v1+2026-11-22T13-00-00Z")
    shutil.copytree(folder.refresh_path("v1", f"v1+{TODAY}"), later)
    (later / "popularity.npy").write_bytes(b"")
    until(lambda: client.shop.watch.refused == later.name)
    assert "the refreshed demand v1+2026-11-22T13-00-00Z is refused" in caplog.text
    assert wanted(client)[0] == f"v1+{TODAY}"
    assert client.get("/health/ready").json()["warnings"] == [
        "model v1+2026-11-22T13-00-00Z cannot be loaded; the log says why"
    ]
    assert refresh(settings, "--as-of", "2026-11-22T14:00:00Z") == 0
    until(lambda: wanted(client)[0] == "v1+2026-11-22T14-00-00Z")
    until(lambda: client.shop.watch.refused is None)


def test_a_service_starts_with_what_it_can_load(
    start: Start, settings: Settings, folder: pz.ModelsDirectory
) -> None:
    """With a damaged refresh only, the version itself is served."""
    sell(settings, TIE)
    assert refresh(settings) == 0
    (folder.refresh_path("v1", f"v1+{TODAY}") / "season.npy").unlink()
    client = start(settings)
    assert wanted(client)[0] == "v1"
    assert client.shop.watch.refused == f"v1+{TODAY}"


def test_a_quiet_store_is_refused(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no orders come in, what is wanted now cannot be told: nothing changes."""
    assert refresh(settings) == 1
    assert "no order of the last 2 days before 2026-11-22T12:00:00Z, so" in capsys.readouterr().err
    sell(settings, TIE, at=NOW - 3 * DAY)
    assert refresh(settings) == 1
    assert "(the newest: 2026-11-19T12:00:00Z)" in capsys.readouterr().err
    assert not (settings.models / ".refreshed").exists()


def test_one_refresh_at_a_time(
    settings: Settings, folder: pz.ModelsDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who comes second says so and leaves."""
    with folder.locked("refresh-demand") as is_ours:
        assert is_ours
        assert refresh(settings) == 0
    assert "another process is refreshing its demand; nothing to do" in capsys.readouterr().out


def test_the_service_refreshes_by_itself(start: Start, settings: Settings) -> None:
    """Once demand is too old a process beside the service refreshes it; it is counted."""
    now = time.time_ns() // 1_000
    sell(settings, TIE, at=now - 3600 * SECOND)
    client = start(settings.model_copy(update={"demand_seconds": 3600.0}), now=now)
    until_much_later(lambda: wanted(client)[0].startswith("v1+20"))
    assert wanted(client)[1] == TIE
    until(lambda: 'refreshes_total{outcome="done"} 1.0' in client.get("/metrics").text)


def until_much_later(is_so: object) -> None:
    """Wait for something that a process of its own does."""
    end = time.monotonic() + 60
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


@pytest.fixture
def refresher(client: Client, settings: Settings) -> DemandRefresh:
    """Return what refreshes demand that is older than an hour."""
    given = settings.model_copy(update={"demand_seconds": 3600.0})
    return DemandRefresh(given, client.shop.watch.directory, client.shop.live, client.shop.metrics)


def test_a_failure_is_told_and_counted_once(
    client: Client, refresher: DemandRefresh, caplog: pytest.LogCaptureFixture
) -> None:
    """A store without sales: one line with the reason, a count, and no new attempt right after."""
    refresher.look()
    refresher.look()
    told = [r.getMessage() for r in caplog.records if "demand is not refreshed" in r.getMessage()]
    assert len(told) == 1
    assert "the one before goes on: error: store sqlite:///" in told[0]
    assert "bring orders in as they happen" in told[0]
    assert 'refreshes_total{outcome="failed"} 1.0' in client.get("/metrics").text
    os.utime(client.shop.watch.directory.folder / ".demand.tried", (0, 0))
    refresher.look()  # a while later it is tried again
    assert 'refreshes_total{outcome="failed"} 2.0' in client.get("/metrics").text


def test_what_is_fresh_is_left_alone(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, refresher: DemandRefresh
) -> None:
    """Without a model, with a demand that is new enough, or while another worker is at it."""
    monkeypatch.setattr(refresher, "_refresh", lambda: pytest.fail("it refreshed"))
    with client.shop.watch.directory.locked("demand"):
        refresher.look()
    monkeypatch.setattr(refresher, "_is_due", lambda as_of: DemandRefresh._is_due(refresher, NOW))
    refresher.look()
    monkeypatch.setattr(refresher, "_is_due", lambda as_of: DemandRefresh._is_due(refresher, None))
    refresher.look()


def test_a_process_that_dies_or_cannot_start(
    refresher: DemandRefresh,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Its exit code is told where it said nothing, and so is a program that is missing."""
    monkeypatch.setattr(demand, "_COMMAND", "raise SystemExit(7)")
    refresher.look()
    assert "the one before goes on: it ended with 7" in caplog.text
    (refresher._directory.folder / ".demand.tried").unlink()
    monkeypatch.setattr(demand.sys, "executable", str(tmp_path / "none"))
    monkeypatch.setattr(demand, "LOOK_SECONDS", 0.01)
    refresher.start()
    until(lambda: "it cannot be started: No such file or directory" in caplog.text)
    refresher.stop()


def test_a_stop_cuts_a_refresh_off(
    refresher: DemandRefresh, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that stops does not wait for a refresh, and that is no failure."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(demand, "_COMMAND", "import time; time.sleep(600)")
    monkeypatch.setattr(demand, "LOOK_SECONDS", 0.01)
    refresher.start()
    until(lambda: (refresher._directory.folder / ".demand.tried").exists())
    refresher.stop()
    assert "demand is" not in caplog.text
