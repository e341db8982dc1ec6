"""Artifacts are written whole or not at all, and never read when anything in them is off."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import personalize as pz
from personalize import artifact
from personalize.artifact import ModelsDirectory, read_artifact, read_manifest, write_artifact

ARRAYS = {
    "gaps": np.array([[1.0, 2.0], [3.0, np.nan]]),
    "counts": np.arange(1000, dtype=np.int32),
    "none": np.empty((0, 3), dtype=np.float32),
    "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
}
TABLES = {"products": pd.DataFrame({"product_id": ["a", "b"], "price": [1.5, np.nan]})}
MANIFEST = {"as_of": "2026-11-22T00:00:00Z", "metrics": {"orders": 4.0}}


def write(path: Path, **changes: Any) -> Path:
    """Write the artifact of these tests."""
    parts = {"manifest": MANIFEST, "arrays": ARRAYS, "tables": TABLES} | changes
    write_artifact(path, **parts)
    return path


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Overwrite keys of a manifest, its checksum made right."""
    file = folder / "manifest.json"
    edited = json.loads(file.read_text()) | changes
    edited["sha256"] = artifact.manifest_digest(edited)
    file.write_text(json.dumps(edited))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Arrays, tables and manifest come back equal; the parents of a path are made."""
    contents = read_artifact(write(tmp_path / "deep" / "model"))
    assert sorted(contents.arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(contents.arrays[name], array)
        assert contents.arrays[name].dtype == array.dtype
    pd.testing.assert_frame_equal(
        contents.tables["products"].to_pandas(), TABLES["products"], check_dtype=False
    )
    assert contents.manifest["metrics"] == {"orders": 4.0}
    assert contents.manifest["format_version"] == 1
    assert contents.manifest["library_version"] == pz.__version__


def test_the_manifest_alone_can_be_read(tmp_path: Path) -> None:
    """`read_manifest` reads no array: a damaged one does not matter to it."""
    folder = write(tmp_path / "model")
    (folder / "gaps.npy").unlink()
    assert read_manifest(folder)["metrics"] == {"orders": 4.0}


def test_arrays_are_mapped_and_read_only(tmp_path: Path) -> None:
    """Arrays are shared with the file, so that worker processes share them, and frozen."""
    gaps = read_artifact(write(tmp_path / "model")).arrays["gaps"]
    assert type(gaps) is np.ndarray
    assert isinstance(gaps.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        gaps[0, 0] = 5.0


def test_same_contents_same_bytes(tmp_path: Path) -> None:
    """Two writes of one model differ in no byte."""
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    """There is no pickle in an artifact, so no object array; nothing is left behind."""
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write(tmp_path / "model", arrays={"bad": np.array([{}, None])})
    assert list(tmp_path.iterdir()) == []


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    """A pickled array is damage, even if somebody made its checksum right."""
    folder = write(tmp_path / "model")
    np.save(folder / "gaps.npy", np.array([{}, None]), allow_pickle=True)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files["gaps.npy"]["sha256"] = artifact._sha256(folder / "gaps.npy")
    edit_manifest(folder, files=files)
    with pytest.raises(pz.ArtifactError, match=r"gaps\.npy is damaged"):
        read_artifact(folder)


def test_not_a_number_in_the_manifest_is_refused(tmp_path: Path) -> None:
    """A manifest is JSON that everybody reads; NaN is none, and the older artifact stays."""
    folder = write(tmp_path / "model")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(folder, manifest={"metrics": {"rate": float("nan")}})
    assert read_artifact(folder).manifest["metrics"] == {"orders": 4.0}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_older_artifact_is_replaced(tmp_path: Path) -> None:
    """Writing where an artifact is replaces it as a whole; no file of the old one stays."""
    folder = write(tmp_path / "model")
    write(folder, arrays={"other": np.ones(2)}, manifest={"n": 2})
    contents = read_artifact(folder)
    assert (contents.manifest["n"], sorted(contents.arrays)) == (2, ["other"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "other.npy",
        "products.parquet",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """Writing to a link replaces the artifact it points to; the link stays a link."""
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", manifest={"n": 2})
    assert (tmp_path / "link").is_symlink()
    assert read_artifact(tmp_path / "real").manifest["n"] == 2


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_only_an_artifact_is_replaced(tmp_path: Path, kind: str) -> None:
    """A file or folder that is no artifact is never overwritten."""
    target = tmp_path / "thesis"
    if kind == "file":
        target.write_text("years of work")
    else:
        target.mkdir()
        (target / "chapter-1.txt").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(pz.ArtifactError, match="exists and is no artifact") as caught:
        write(target)
    assert caught.value.path == target
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file where a folder should be is an error of one line, with a remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(pz.ArtifactError, match=r"cannot be written \(.+\); check"):
        write(tmp_path / "file" / "model")


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, when: int) -> None:
    """Let the call number `when` (from 1) of a function fail as if the disk were full."""
    real, calls = getattr(owner, name), []

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == when:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)


FAILURES: dict[str, tuple[Any, str, int]] = {
    "first array": (artifact.np, "save", 1),
    "second array": (artifact.np, "save", 2),
    "table": (pq, "write_table", 1),
    "sync of a file": (artifact.os, "fsync", 1),
    "manifest": (Path, "write_text", 1),
    "sync of the manifest": (artifact.os, "fsync", 6),
    "moving the old one away": (Path, "rename", 1),
    "moving the new one in": (Path, "rename", 2),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_write_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    """Whatever fails, and wherever: the old artifact is intact, and nothing else is left."""
    folder = write(tmp_path / "model")
    fail_at(monkeypatch, *FAILURES[failure])
    with pytest.raises(pz.ArtifactError, match=r"cannot be written \(No space left on device\)"):
        write(folder, manifest={"n": 2})
    monkeypatch.undo()
    assert read_artifact(folder).manifest["metrics"] == {"orders": 4.0}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_first_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an older artifact, a failed write leaves an empty folder."""
    fail_at(monkeypatch, Path, "rename", 1)
    with pytest.raises(pz.ArtifactError, match="cannot be written"):
        write(tmp_path / "model")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_between_the_renames_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the worst moment leaves the old artifact where it was."""
    folder, real, calls = write(tmp_path / "model"), Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(folder, manifest={"n": 2})
    monkeypatch.undo()
    assert read_artifact(folder).manifest["metrics"] == {"orders": 4.0}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_killed_swap_is_told(tmp_path: Path) -> None:
    """Killed between two renames, the older artifact is whole; the error says where it is."""
    write(tmp_path / "model").rename(tmp_path / ".model.0badcafe.old")
    with pytest.raises(
        pz.ArtifactError, match=r"an older one at .*\.model\.0badcafe\.old: rename it back"
    ):
        read_artifact(tmp_path / "model")


def cut(file: Path) -> None:
    """Keep the first half of a file."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    """Change one bit of the last byte."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, "is missing"),
    "flipped": (flip, "is damaged"),
    "cut": (cut, "is damaged"),
    "emptied": (lambda file: file.write_bytes(b"") and None, "is damaged"),
    "longer": (lambda file: file.write_bytes(file.read_bytes() + b"\0") and None, "is damaged"),
}


@pytest.mark.parametrize("name", ["counts.npy", "none.npy", "products.parquet"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(tmp_path: Path, name: str, damage: str) -> None:
    """A file that is missing or differs in one bit is named, and nothing is read."""
    folder = write(tmp_path / "model")
    do, state = DAMAGES[damage]
    do(folder / name)
    with pytest.raises(pz.ArtifactError, match=rf"{name} {state}; train again") as caught:
        read_artifact(folder)
    assert caught.value.path == folder / name


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '{"files": {}}', '{"format_version": 1}', "\xff"]
)
@pytest.mark.parametrize("read", [read_artifact, read_manifest])
def test_a_damaged_manifest_is_told(
    tmp_path: Path, text: str, read: Callable[[Path], object]
) -> None:
    """A manifest that is no JSON, or not what one is, is an error of one line."""
    folder = write(tmp_path / "model")
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(pz.ArtifactError, match=r"manifest\.json is damaged") as caught:
        read(folder)
    assert caught.value.path == folder / "manifest.json"


@pytest.mark.parametrize("files", [["gaps.npy"], "gaps.npy", None])
def test_files_of_a_manifest_are_a_table(tmp_path: Path, files: object) -> None:
    """A manifest whose files are no table is damaged."""
    folder = write(tmp_path / "model")
    edit_manifest(folder, files=files)
    with pytest.raises(pz.ArtifactError, match=r"manifest\.json is damaged"):
        read_artifact(folder)


@pytest.mark.parametrize("facts", [None, {}, {"sha256": None}, "0"])
def test_a_file_without_checksum_is_damage(tmp_path: Path, facts: object) -> None:
    """No file is read unverified."""
    folder = write(tmp_path / "model")
    edit_manifest(folder, files={"gaps.npy": facts})
    with pytest.raises(pz.ArtifactError, match=r"gaps\.npy is damaged"):
        read_artifact(folder)


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    """A folder without manifest is no artifact."""
    folder = write(tmp_path / "model")
    (folder / "manifest.json").unlink()
    with pytest.raises(pz.ArtifactError, match=r"manifest\.json is missing or unreadable"):
        read_artifact(folder)


@pytest.mark.parametrize("kind", ["nothing", "file"])
def test_a_missing_artifact_is_told(tmp_path: Path, kind: str) -> None:
    """A path that is no folder is told, with what to do."""
    if kind == "file":
        (tmp_path / "model").write_text("")
    with pytest.raises(pz.ArtifactError, match=r"there is no such folder; train again") as caught:
        read_artifact(tmp_path / "model")
    assert caught.value.path == tmp_path / "model"


@pytest.mark.parametrize("version", [0, 2, "2"])
def test_another_format_is_told(tmp_path: Path, version: object) -> None:
    """An artifact of another format says which library wrote it, however its files are said."""
    folder = write(tmp_path / "model")
    edit_manifest(folder, format_version=version, library_version="9.9", files=["gaps.npy"])
    with pytest.raises(
        pz.ArtifactError, match=r"format 0|2 where this library reads 1; .*\(9\.9\), or train"
    ):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["../other/gaps.npy", "sub/gaps.npy", "/etc/hostname", "..", ""])
def test_no_file_outside_the_folder_is_read(tmp_path: Path, name: str) -> None:
    """A manifest cannot name a file elsewhere, though its checksum be right."""
    folder, other = write(tmp_path / "model"), write(tmp_path / "other")
    shutil.copytree(other, folder / "sub")
    edit_manifest(folder, files={name: {"sha256": artifact._sha256(other / "gaps.npy")}})
    with pytest.raises(pz.ArtifactError, match=r"is (damaged|missing); train again"):
        read_artifact(folder)


# --- the models directory ---


@pytest.fixture
def models(tmp_path: Path) -> ModelsDirectory:
    """A directory of the versions v1 and v2; v1 is current."""
    directory = ModelsDirectory(tmp_path / "models")
    for name in ("v1", "v2"):
        write(directory.folder / name)
    directory.use("v1")
    return directory


def test_an_empty_directory_has_no_version(tmp_path: Path) -> None:
    """Before the first version there is none, and the error says what to do."""
    directory = ModelsDirectory(tmp_path / "models")
    assert (directory.versions(), directory.current()) == ([], None)
    with pytest.raises(pz.ArtifactError, match="no current version; run `personalize train`"):
        directory.path()
    with pytest.raises(pz.ArtifactError, match=r"no version 'v1' \(present: none\)"):
        directory.use("v1")


def test_a_file_is_no_directory_of_models(tmp_path: Path) -> None:
    """A file in the directory's place holds no version."""
    (tmp_path / "models").write_text("")
    directory = ModelsDirectory(tmp_path / "models")
    assert (directory.versions(), directory.current()) == ([], None)


def test_versions_are_told_apart(models: ModelsDirectory) -> None:
    """Versions are the artifacts present: no hidden folder, no file, no folder of other things."""
    write(models.folder / ".v0.1234.tmp")
    (models.folder / "notes").mkdir()
    (models.folder / "README").write_text("")
    assert models.versions() == ["v1", "v2"]


def test_use_switches_and_switches_back(models: ModelsDirectory) -> None:
    """The current version is the last one used; rolling back is using the one before."""
    assert models.path() == models.folder / "v1"
    models.use("v2")
    assert (models.current(), models.path()) == ("v2", models.folder / "v2")
    assert models.path("v1") == models.folder / "v1"
    models.use("v1")
    assert models.current() == "v1"
    assert sorted(path.name for path in models.folder.iterdir()) == ["current", "v1", "v2"]


@pytest.mark.parametrize("version", ["v3", "", "..", "../models/v2", ".", "current"])
def test_unknown_versions_are_refused(models: ModelsDirectory, version: str) -> None:
    """What is no version here is refused, with those present; the pointer stays."""
    with pytest.raises(pz.ArtifactError, match=r"no version .*\(present: v1, v2\)"):
        models.use(version)
    with pytest.raises(pz.ArtifactError, match=r"no version .*\(present: v1, v2\)"):
        models.path(version)
    assert models.current() == "v1"


def test_a_damaged_version_is_not_used(models: ModelsDirectory) -> None:
    """Every file is verified before the switch; the pointer stays where it was."""
    flip(models.folder / "v2" / "counts.npy")
    with pytest.raises(pz.ArtifactError, match=r"counts\.npy is damaged"):
        models.use("v2")
    assert models.current() == "v1"


@pytest.mark.parametrize(
    ("owner", "name"), [(Path, "write_text"), (os, "fsync"), (Path, "replace")]
)
def test_a_pointer_that_cannot_be_written_stays(
    models: ModelsDirectory, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """A failed switch leaves the pointer as it was, and nothing beside it."""
    fail_at(monkeypatch, owner, name, 1)
    with pytest.raises(pz.ArtifactError, match=r"pointer cannot be written \(No space left"):
        models.use("v2")
    monkeypatch.undo()
    assert models.current() == "v1"
    assert sorted(path.name for path in models.folder.iterdir()) == ["current", "v1", "v2"]


def test_a_pointer_to_nowhere_is_told(models: ModelsDirectory) -> None:
    """If somebody removed the current version, the error names it."""
    shutil.rmtree(models.folder / "v1")
    with pytest.raises(pz.ArtifactError, match=r"no version 'v1' \(present: v2\)"):
        models.path()


def test_an_empty_pointer_is_none(models: ModelsDirectory) -> None:
    """An empty pointer says that no version is current."""
    (models.folder / "current").write_text("\n")
    assert models.current() is None


def test_new_versions_are_named_by_their_moment(models: ModelsDirectory) -> None:
    """A version is named by its moment in UTC; in the same second, by a number too."""
    moment = dt.datetime(2026, 11, 22, 6, 4, 0, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert models.new_version(moment) == "2026-11-22T05-04-00Z"
    for expected in ("2026-11-22T05-04-00Z", "2026-11-22T05-04-00Z-2", "2026-11-22T05-04-00Z-3"):
        version = models.new_version(moment)
        assert version == expected
        write(models.folder / version)


def test_a_changed_manifest_is_told(tmp_path: Path) -> None:
    """A value that was changed by hand or by a disk is damage, whatever it says."""
    folder = write(tmp_path / "a")
    file = folder / "manifest.json"
    file.write_text(file.read_text().replace("4.0", "5.0"))
    with pytest.raises(pz.ArtifactError, match=r"manifest\.json is damaged"):
        read_artifact(folder)


def test_a_folder_that_cannot_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a traceback, and not as if there were no version."""
    models = pz.ModelsDirectory(tmp_path)

    def forbidden(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    monkeypatch.setattr(Path, "read_text", forbidden)
    for ask in (models.versions, models.current):
        with pytest.raises(pz.ArtifactError, match="cannot be read; check who owns it"):
            ask()
