"""What is handed to operators is true: alert rules, units of systemd, back-up and restore."""

from __future__ import annotations

import configparser
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from service_shop import COAT, NOW, Client
from typer.testing import CliRunner

import personalize as pz
from personalize.cli import app
from service import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
UNITS = sorted((ROOT / "deploy").glob("personalize*.*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    """Return every alert rule."""
    found = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def test_alerts_watch_what_there_is(client: Client, rules: list[dict[str, Any]]) -> None:
    """Each metric of a rule is in /metrics, and each label value that it names can come."""
    client.order("o", "c", COAT)
    client.decision("c", COAT)
    client.decision("c", "stray")
    lines = {"content-type": "application/x-ndjson"}
    client("POST", "/v1/orders/batch", content=b"{}", headers=lines)
    client.shop.store.create_key("test", ["decide"], created_at=NOW)
    client.get("/v1/policy", headers={"Authorization": "Bearer pk_no"})
    client.shop.vitals.refused("too_many")
    text = client.get("/metrics").text
    names = set(re.findall(r"^(\w+)[ {]", text, re.M))
    for rule in rules:
        watched = set(re.findall(r"\bpersonalize_\w+", rule["expr"]))
        assert watched or "up{" in rule["expr"]
        assert watched <= names, rule["alert"]
        for label, value in re.findall(r'(\w+)="([^"]+)"', rule["expr"]):
            if label != "job":
                assert f'{label}="{value}"' in text, rule["alert"]


def test_every_alert_says_what_to_do(rules: list[dict[str, Any]]) -> None:
    """Each alert has a heading of its own in docs/operations.md, and no heading is left over."""
    section = PAGE.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (\w+)$", section, re.M)
    assert headings == [rule["alert"] for rule in rules]
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")
        assert re.fullmatch(r"\d+[mh]", rule["for"])


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return the options of a unit, each with all of its values."""

    class Many(dict[str, Any]):
        def __setitem__(self, name: str, value: Any) -> None:
            if isinstance(value, list) and isinstance(self.get(name), list):
                self[name].extend(value)
            else:
                super().__setitem__(name, value)

    parser = configparser.RawConfigParser(dict_type=Many, strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return {name: dict(parser.items(name)) for name in parser.sections()}  # type: ignore[misc]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_units_shut_the_process_in(path: Path) -> None:
    """The service may write its own folder and gain no rights, under a user of its own."""
    options: Any = unit(path)["Service"]
    for name, value in {
        "ProtectSystem": "strict", "ProtectHome": "yes", "NoNewPrivileges": "yes",
        "PrivateTmp": "yes", "PrivateDevices": "yes", "CapabilityBoundingSet": "",
        "UMask": "0077", "StateDirectoryMode": "0700", "SystemCallFilter": "@system-service",
    }.items():  # fmt: skip
        assert options[name] == value, name
    assert options["User"] not in ("", "root")
    assert options["WorkingDirectory"] == f"/var/lib/{options['StateDirectory']}"
    assert "MemoryDenyWriteExecute" not in options


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_units_set_settings_that_there_are(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each PERSONALIZE_ of a unit is a setting, with a value that is allowed."""
    given = dict(re.findall(r"^Environment=PERSONALIZE_(\w+)=(.*)$", path.read_text(), re.M))
    assert {name.lower() for name in given} <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(f"PERSONALIZE_{name}", value)
    settings = Settings()
    if path.stem == "personalize":
        (longest,) = re.findall(r"^TimeoutStopSec=(\d+)$", path.read_text(), re.M)
        assert int(longest) > settings.drain_seconds + settings.shutdown_seconds


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing, once the command is one of this machine."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("this machine has no systemd-analyze")
    for path in UNITS:
        text = re.sub(r"/opt/personalize/bin/\w+", sys.executable, path.read_text())
        (tmp_path / path.name).write_text(text)
    run = subprocess.run(
        [analyze, "verify", "--man=no", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert [line for line in run.stderr.splitlines() if "personalize" in line] == []


def commands_of(heading: str) -> list[list[str]]:
    """Return the blocks of commands under a heading of docs/operations.md."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"^```\n(.*?)^```", section, re.M | re.S)]


def test_backup_restores(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow the page: back up while the service runs, lose the store, restore; all is there."""
    backup, restore, _ = commands_of("Back up")
    client.order("o-1", "c-1", COAT)
    client.shop.store.create_key("shop-backend", ["decide"], created_at=NOW)
    monkeypatch.chdir(tmp_path)
    for command in backup:
        file, sql = re.fullmatch(r'sqlite3 (\S+) "(.*)"', command).groups()  # type: ignore[union-attr]
        connection = sqlite3.connect(file)
        told = connection.execute(sql).fetchall()
        connection.close()
    assert told == [("ok",)]
    client.shop.store.close()
    (tmp_path / "shop.db-wal").write_bytes(b"of the store that broke")
    assert [command.split()[0] for command in restore] == ["mv", "rm", "cp", "personalize"]
    for command in restore[:3]:
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    listed = CliRunner().invoke(app, restore[3].split()[1:])
    assert listed.exit_code == 0, listed.output
    assert "shop-backend" in listed.output
    with pz.Store.open("sqlite:///shop.db") as store:
        assert store.order("o-1") is not None
