"""The benchmarks of the service run end to end, on a shop as small as can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import startup, switching

OPTIONS = ["--lines", "2000", "--customers", "100", "--products", "50"]


def test_startup_and_switching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prints what it measured and writes it as JSON."""
    for module in (startup, switching):
        monkeypatch.setattr(module, "SHOPS", tmp_path / "shops")
    monkeypatch.setattr(startup, "WORKERS", (2,))
    monkeypatch.setattr(startup, "QUESTIONS", 2)
    out = tmp_path / "found.json"
    assert startup.main([*OPTIONS, "--runs", "1", "--json", str(out)]) == 0
    row = json.loads(out.read_text())["this, 2"]
    assert row["first_s"] > 0
    assert 20 < row["pss_mb"] <= row["rss_mb"]
    assert row["pss_mb"] < row["all_pss_mb"]
    assert "first answer s" in capsys.readouterr().out
    assert switching.main([*OPTIONS, "--switches", "2", "--json", str(out)]) == 0
    told = json.loads(out.read_text())
    assert 0 < told["p99_ms"] <= told["longest_ms"] <= told["worst_ms"]
    assert capsys.readouterr().out.startswith("a switch takes ")


def test_a_service_that_does_not_start_is_told(tmp_path: Path) -> None:
    """A benchmark never measures a service that is not there, or that answers with an error."""
    with (
        pytest.raises(RuntimeError, match="does not start"),
        startup.service(tmp_path, tmp_path, "mysql://h/shop", 1),
    ):
        pass
