"""`personalize evaluate`, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from random_orders import shop

import personalize as pz
from personalize.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with orders, two trained versions and two configurations."""
    path = tmp_path_factory.mktemp("shop")
    orders = shop(300, guests=0.1, days=240, returns=0.0)
    orders.to_frame().to_parquet(path / "orders.parquet")
    for version, config in (("v1", pz.EngineConfig()), ("v2", pz.EngineConfig(half_life_days=20))):
        pz.Engine.fit(orders, config=config, as_of="2026-07-01").save(path / "models" / version)
    pz.ModelsDirectory(path / "models").use("v2")
    (path / "a.toml").write_text("half_life_days = 10\n", encoding="utf-8")
    (path / "b.toml").write_text("half_life_days = 400\n", encoding="utf-8")
    (path / "policy.toml").write_text("[thresholds]\ndue_quantile = 0.5\n", encoding="utf-8")
    return path


def run(folder: Path, *options: str) -> int:
    """Run the command on the folder's orders; paths in braces are of the folder."""
    told = [option.format(folder) for option in options]
    return main(["evaluate", "--orders", str(folder / "orders.parquet"), *told])


class TestEvaluate:
    def test_tables_report_and_json(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One run prints tables and writes both files."""
        report, figures = tmp_path / "report.html", tmp_path / "found.json"
        files = ["--report", str(report), "--json", str(figures)]
        options = ["--peers", "best", "--policy", "{0}/policy.toml", "--horizon-days", "20"]
        assert run(folder, *files, *options, "--as-of", "2026-08-20") == 0
        printed = capsys.readouterr()
        assert "A. Basket completion" in printed.out
        assert "due_quantile 0.5 (in force)" in printed.out
        assert f"{report}: the report" in printed.err
        found = json.loads(figures.read_text(encoding="utf-8"))
        assert found["repurchase"]["horizon_days"] == 20
        assert found["facts"]["last"] < "2026-08-20"
        assert "<svg" in report.read_text(encoding="utf-8")

    def test_from_a_store(self, folder: Path, tmp_path: Path) -> None:
        """Orders may come from a store."""
        store = f"sqlite:///{tmp_path}/shop.db"
        assert main(["import", "--orders", str(folder / "orders.parquet"), "--store", store]) == 0
        assert main(["evaluate", "--store", store, "--peers", "none"]) == 0

    def test_samples_are_told(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With --max-queries the tables say what was drawn, and by which seed."""
        options = ["--peers", "none", "--max-queries", "10", "--seed", "3"]
        assert run(folder, *options, "--cutoff", "2026-07-01") == 0
        printed = capsys.readouterr().out
        assert "note: A asks 10 of" in printed
        assert "(seed 3)" in printed


class TestAgainst:
    @pytest.mark.parametrize(
        ("options", "first", "second"),
        [
            (["--models", "{0}/models", "--against", "v1"], "v1", "v2"),
            (["--models", "{0}/models", "--version", "v1", "--against", "v2"], "v2", "v1"),
            (["--against", "{0}/a.toml"], "{0}/a.toml", "defaults"),
            (["--config", "{0}/b.toml", "--against", "{0}/a.toml"], "{0}/a.toml", "{0}/b.toml"),
            (
                ["--config", "{0}/b.toml", "--models", "{0}/models", "--against", "v1"],
                "v1",
                "{0}/b.toml",
            ),
        ],
    )
    def test_versions_and_configurations(
        self, folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], first: str,
        second: str,
    ) -> None:  # fmt: skip
        """The ratio is of the one asked for to the one it is held against."""
        assert run(folder, *options) == 0
        first, second = first.format(folder), second.format(folder)
        assert f"NDCG@10 of {second} to {first}" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--models", "{0}/models"], "--models is for --against: name what to compare with"),
            (["--version", "v1"], "--version is for --against"),
            (["--against", "v1"], "'v1' is no .toml file; of a version, say with --models DIR"),
            (
                ["--models", "{0}/models", "--version", "v1", "--against", "v1"],
                "'v1' would be compared with itself; name another",
            ),
            (["--against", "{0}/a.toml", "--report", "r.html"], "a report is of one evaluation"),
            (["--report", "r.pdf"], "r.pdf does not end in .html"),
            (["--report", "{0}/none/r.html"], "there is no folder"),
            (["--json", "{0}"], "is a folder; name a file"),
            (["--cutoff", "soon"], "'soon' is no moment"),
        ],
    )
    def test_asked_wrongly(
        self, folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
    ) -> None:
        """One line, and 2."""
        assert run(folder, *options) == 2
        assert told in capsys.readouterr().err

    def test_a_version_that_has_seen_the_test(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is refused with the remedy, and 1."""
        models = ["--models", "{0}/models", "--against", "v1", "--cutoff", "2026-06-01"]
        assert run(folder, *models) == 1
        error = capsys.readouterr().err
        assert "v1 (v1) learned from orders up to 2026-07-01T00:00:00Z" in error
        assert "give a cutoff at or after that" in error
