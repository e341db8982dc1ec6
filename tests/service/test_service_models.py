"""The versions of the model over HTTP: which there are, which is served, back and forth."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import Start
from service_shop import COAT, NOW, Client
from test_service_health import until

import personalize as pz
from service import Settings


@pytest.fixture
def folder(settings: Settings) -> Path:
    """Return the models directory of this test."""
    return settings.models


def pointed_at(folder: Path) -> str | None:
    """Return the version that every process is to serve."""
    return pz.ModelsDirectory(folder).current()


def test_versions_are_listed(client: Client, folder: Path) -> None:
    """Each version with what it learned from; a damaged one with what is wrong, not where."""
    shutil.copytree(folder / "v2", folder / "v3")
    (folder / "v3" / "manifest.json").write_text("{}")
    answer = client.get("/v1/models")
    assert answer.status_code == 200
    first, second, third = answer.json()["models"]
    assert answer.json()["current"] == "v1"
    as_of = "2026-06-30T00:00:00.000001Z"
    counts = {"orders": 10, "customers": 10, "products": 6}
    rest = {"as_of": as_of, **counts, "problem": None}
    assert first == {"version": "v1", "current": True, **rest}
    assert second == {"version": "v2", "current": False, **rest}
    assert (third["version"], third["as_of"], third["orders"]) == ("v3", None, None)
    assert third["problem"] == (
        "manifest.json is missing, damaged, or of another format; the log says more"
    )
    assert str(folder) not in answer.text


def test_switch_and_back(client: Client, folder: Path) -> None:
    """PUT serves another version at once and moves the pointer; putting the old one rolls back."""
    client.order("o-1", "c-1", "stray")  # nothing learned of it: the default cooldown tells
    before = client.decision("c-1", "stray")
    for version in ("v2", "v1", "v1"):
        answer = client.put("/v1/models/current", {"version": version})
        assert answer.status_code == 200, answer.text
        now = {"version": version, "model_version": version, "as_of": answer.json()["as_of"]}
        assert answer.json() == {"applied": True, **now}
        assert client.get("/v1/models/current").json() == now
        assert client.get("/health/ready").json()["model_version"] == version
        assert pointed_at(folder) == version
        decision = client.decision("c-1", "stray")
        assert (decision["model_version"], decision["until"] == before["until"]) == (
            version, version == "v1",
        )  # fmt: skip
    assert client.decision("c-1", "stray") == before


def test_command_line_and_http_switch_alike(client: Client, folder: Path) -> None:
    """What the pointer is set to from outside is served, and GET tells both names."""
    pz.ModelsDirectory(folder).use("v2")
    until(lambda: client.get("/health/ready").json()["model_version"] == "v2")
    assert client.get("/v1/models/current").json()["version"] == "v2"


def test_unknown_version_is_404(client: Client, folder: Path) -> None:
    """A version that is not there, whatever path it tries, changes nothing."""
    for version in ("v9", "../models/v2", ".", "current"):
        answer = client.put("/v1/models/current", {"version": version})
        assert answer.status_code == 404
        assert f"there is no version {version!r}" in answer.json()["detail"]
    assert pointed_at(folder) == "v1"


@pytest.mark.parametrize("body", [{}, {"version": 1}, {"version": "v2", "force": True}, []])
def test_body_is_strict(client: Client, folder: Path, body: object) -> None:
    """A body that is not one version is refused."""
    assert client.put("/v1/models/current", body).status_code == 422
    assert pointed_at(folder) == "v1"


def test_damaged_version_is_refused(
    client: Client, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A version with a flipped byte is a 422 that names the file; the one before goes on."""
    file = folder / "v2" / "popularity.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    answer = client.put("/v1/models/current", {"version": "v2"})
    assert answer.status_code == 422
    assert re.fullmatch(
        r"#/version: popularity\.npy is missing, damaged, or of another format; the log says "
        r"more; nothing was changed: train again, or choose another version",
        answer.json()["detail"],
    )
    assert answer.json()["errors"][0]["pointer"] == "#/version"
    assert "model v2 is not made current" in caplog.text
    assert pointed_at(folder) == "v1"
    assert client.get("/health/ready").json() == {
        "ready": True, "model_version": "v1", "warnings": [],
    }  # fmt: skip


def test_pointer_that_cannot_be_written_changes_nothing(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the pointer stays where it was, so does what answers."""

    def refuse(self: Path, target: object) -> Path:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "replace", refuse)
    answer = client.put("/v1/models/current", {"version": "v2"})
    assert answer.status_code == 503
    assert "models folder cannot be written, so nothing was changed" in answer.json()["detail"]
    assert client.decision("c-1", COAT)["model_version"] == "v1"
    assert pointed_at(folder) == "v1"


def test_first_model_over_http(start: Start, settings: Settings, folder: Path) -> None:
    """A service without a current model says 404, and serves the first one that is put."""
    (folder / "current").unlink()
    client = start(settings)
    assert client.get("/v1/models/current").status_code == 404
    assert client.get("/v1/models").json()["current"] is None
    assert client.put("/v1/models/current", {"version": "v1"}).status_code == 200
    assert client.get("/health/ready").status_code == 200


def test_store_out_of_reach_leaves_the_pointer(client: Client, folder: Path) -> None:
    """A version whose view needs the store is not made current while there is none."""
    client.shop.store.close()
    assert client.put("/v1/models/current", {"version": "v2"}).status_code == 503
    assert pointed_at(folder) == "v1"
    assert client.shop.live.model_version == "v1"


def test_only_admins_may(start: Start, settings: Settings) -> None:
    """The three calls need the scope `admin`."""
    with pz.Store.open(settings.store) as store:
        keys = {
            scope: store.create_key(scope, [scope], created_at=NOW) for scope in ("admin", "decide")
        }
    client = start(settings)
    for scope, expected in (("decide", 403), ("admin", 200)):
        client.headers = {"authorization": f"Bearer {keys[scope]}"}
        assert client.get("/v1/models").status_code == expected
        assert client.get("/v1/models/current").status_code == expected
        answer = client.put("/v1/models/current", {"version": "v2"})
        assert answer.status_code == expected


def test_what_is_served_is_not_pruned(start: Start, settings: Settings, folder: Path) -> None:
    """A worker holds what it serves, through switches, and lets go of it when it stops."""
    directory = pz.ModelsDirectory(folder)
    shutil.copytree(folder / "v2", folder / "v3")
    client = start(settings)
    directory.use("v3")
    until(lambda: client.get("/health/ready").json()["model_version"] == "v3")
    directory.use("v1")
    until(lambda: client.get("/health/ready").json()["model_version"] == "v1")
    (folder / "current").write_text("v9\n")  # it refuses that, and v1 goes on
    until(lambda: client.shop.watch.refused == "v9")
    assert directory.prune(1) == ["v2"]
    assert directory.versions() == ["v1", "v3"]
    client.shop.watch.stop()
    assert directory.prune(1) == ["v1"]
