"""`personalize retrain` publishes what stands beside the current version; `prune` tidies up."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path

import pytest
import small_shop

import personalize as pz
from personalize.artifact import ModelsDirectory, manifest_digest
from personalize.cli import main, retraining

NOW = small_shop.day(81)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a store that holds the small shop."""
    file = tmp_path_factory.mktemp("stored") / "shop.db"
    with pz.Store.open(f"sqlite:///{file}") as store:
        store.import_orders(pz.Orders.from_frame(small_shop.frame()))
    return file


@pytest.fixture
def shop(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options of a store and a models directory of this test alone; fix the present."""
    shutil.copy(stored, tmp_path / "shop.db")
    monkeypatch.setattr(retraining, "now", lambda: pz.to_datetime(pz.to_micros(NOW)))
    return ["--store", f"sqlite:///{tmp_path}/shop.db", "--models", str(tmp_path / "models")]


@pytest.fixture
def directory(tmp_path: Path) -> ModelsDirectory:
    """Return the models directory of this test."""
    return ModelsDirectory(tmp_path / "models")


def edit(folder: Path, **changes: object) -> None:
    """Change what a version says of itself, its checksum made right."""
    file = folder / "manifest.json"
    manifest = {**json.loads(file.read_text()), **changes}
    manifest["sha256"] = manifest_digest(manifest)
    file.write_text(json.dumps(manifest))


def test_the_first_one_is_published(
    shop: list[str], directory: ModelsDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no version to compare with, what is learned is current; one line says so."""
    assert main(["retrain", *shop]) == 0
    version = directory.current()
    assert version is not None
    out = capsys.readouterr().out
    assert out.startswith(f"{directory.folder / version} is current: ")
    assert "before: none; removed: none\n" in out
    assert out.count("\n") == 1


def test_the_next_one_keeps_the_configuration(
    shop: list[str], directory: ModelsDirectory, tmp_path: Path
) -> None:
    """A version is learned with the parameters of the one before, unless others are given."""
    (tmp_path / "engine.toml").write_text("default_cooldown_days = 50\n")
    assert main(["retrain", *shop, "--config", str(tmp_path / "engine.toml")]) == 0
    assert main(["retrain", *shop]) == 0
    assert len(directory.versions()) == 2
    assert pz.Engine.load(directory.path()).config.default_cooldown_days == 50


def test_a_version_that_lost_much_is_not_published(
    shop: list[str], directory: ModelsDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer orders than most of the current one's: exit code 1, the reason, and what to do."""
    assert main(["retrain", *shop]) == 0
    first = directory.current()
    assert first is not None
    counts = dict(directory.manifest(first)["counts"])
    n_orders = counts["orders"]
    edit(
        directory.folder / first,
        counts={**counts, "orders": 2 * n_orders},
        metrics={**directory.manifest(first)["metrics"], "lost": 1.0},
    )
    capsys.readouterr()
    assert main(["retrain", *shop]) == 1
    (second,) = set(directory.versions()) - {first}
    told = capsys.readouterr()
    assert told.out == ""
    last = told.err.splitlines()[-1]
    assert f"{second} is written and not made current, because orders fell from" in last
    assert f"{2 * n_orders:,} to {n_orders:,}, below 80% (--min-share)" in last
    assert "its metric lost is missing or no number" in last
    assert f"personalize models use {second} --models" in last
    assert directory.current() == first
    edit(directory.folder / first, metrics={})
    assert main(["retrain", *shop, "--min-share", "0.4"]) == 0
    assert directory.current() not in (first, second)


def test_a_version_without_anything_to_show_is_not_published(
    shop: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that recommends nothing to anybody is looked at by somebody first."""
    with pz.Store.open(f"sqlite:///{tmp_path}/shop.db") as store:
        ids = store.orders().product_ids.to_pylist()
        store.put_products([pz.Product(each, availability="out_of_stock") for each in ids])
    assert main(["retrain", *shop]) == 1
    assert "because it has nothing to recommend; look for" in capsys.readouterr().err


def test_a_damaged_current_version_is_no_hindrance(
    shop: list[str], directory: ModelsDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to compare with then, which is said."""
    assert main(["retrain", *shop]) == 0
    first = directory.current()
    (directory.path() / "manifest.json").write_text("{}")
    assert main(["retrain", *shop]) == 0
    told = capsys.readouterr()
    assert "so the new version is compared with none" in told.err
    assert f"before: {first}" in told.out


def test_two_never_run_at_once(
    shop: list[str], directory: ModelsDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one ends with 1, before it reads anything."""
    with directory.locked("retrain") as is_ours:
        assert is_ours
        assert main(["retrain", *shop]) == 1
    assert "another retraining is under way; wait for it to end" in capsys.readouterr().err
    assert directory.versions() == []


def test_empty_days_are_told_and_a_moment_can_be_given(
    shop: list[str],
    directory: ModelsDirectory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `train`: long after the newest order the days since count as days without sales."""
    later = pz.to_datetime(pz.to_micros(NOW)) + dt.timedelta(days=30)
    monkeypatch.setattr(retraining, "now", lambda: later)
    assert main(["retrain", *shop]) == 0
    assert "count as days without sales" in capsys.readouterr().err
    assert main(["retrain", *shop, "--as-of", str(NOW)]) == 0
    assert "without sales" not in capsys.readouterr().err
    assert len(directory.versions()) == 2


def written(directory: ModelsDirectory, *names: str) -> None:
    """Write empty versions, one a second."""
    for second, name in enumerate(names):
        folder = directory.folder / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
        os.utime(folder / "manifest.json", (second, second))


def test_prune_keeps_what_is_needed(
    directory: ModelsDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest by time of writing, the current one, and those held; refreshes go along."""
    written(directory, "z-first", "current-one", "held", "b", "a-last")
    (directory.folder / "current").write_text("current-one\n")
    (directory.folder / ".refreshed" / "z-first").mkdir(parents=True)
    hold = directory.hold("held")
    assert main(["models", "prune", "--keep", "1", "--models", str(directory.folder)]) == 0
    assert capsys.readouterr().out == "removed: z-first, b\n"
    assert directory.versions() == ["a-last", "current-one", "held"]
    assert not (directory.folder / ".refreshed" / "z-first").exists()
    hold.close()
    hold.close()
    assert directory.prune(1) == ["held"]
    assert main(["models", "prune", "--models", str(directory.folder)]) == 0
    assert capsys.readouterr().out == "removed: none\n"


def test_a_version_that_is_gone_cannot_be_held(
    directory: ModelsDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that never was, nor one that goes in that very moment."""
    written(directory, "v1")
    with pytest.raises(pz.ArtifactError, match="no version 'v2'"):
        directory.hold("v2")
    monkeypatch.setattr(directory, "path", lambda version: directory.folder / "v2")
    with pytest.raises(pz.ArtifactError, match=r"manifest\.json is missing or unreadable"):
        directory.hold("v2")
