"""A versioned, checksummed folder of arrays and tables; knows no model.

A write goes to a temporary sibling, is fsynced and renamed: a crash leaves the old folder or the
new one, never half of one. A read verifies every file before it is used. No pickle anywhere.
"""

from __future__ import annotations

import datetime as dt
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from personalize.errors import ArtifactError
from personalize.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
CURRENT: Final = "current"
_REFRESHED: Final = ".refreshed"
"""Folder of refreshes: a folder per version that was refreshed, in it one per refresh."""
_REMEDY = "train again, or switch to another version with `personalize models use`"


@dataclass(frozen=True, eq=False)
class Contents:
    """What an artifact holds, as read back.

    Parameters
    ----------
    manifest : mapping
        What was written, with ``format_version``, ``library_version`` and ``files``.
    arrays : mapping of str to ndarray
        Memory-mapped, read-only.
    tables : mapping of str to pyarrow Table
    """

    manifest: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    tables: Mapping[str, pa.Table]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_parts(
    folder: Path, arrays: Mapping[str, NDArray[Any]], tables: Mapping[str, pd.DataFrame]
) -> dict[str, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    for name, table in tables.items():
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        pq.write_table(arrow, folder / f"{name}.parquet", compression="zstd")
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.iterdir()):
        _fsync(path)
        files[path.name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
    return files


def write_artifact(
    path: str | Path,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    tables: Mapping[str, pd.DataFrame],
) -> None:
    """Write an artifact folder, all or nothing; an older one of that name is replaced.

    Parameters
    ----------
    path : path
        The folder; its parent is made if missing.
    manifest : mapping
        JSON values.
    arrays : mapping of str to ndarray
        No object arrays.
    tables : mapping of str to DataFrame

    Raises
    ------
    ArtifactError
        If it cannot be written, or `path` is something else than an artifact.
    """
    target = Path(path).resolve()  # through a link to the folder itself, which is what is renamed
    if target.exists() and not (target / MANIFEST).is_file():
        raise ArtifactError(
            f"artifact {target}: exists and is no artifact; choose another path", path=target
        )
    sibling = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        sibling.mkdir(parents=True)
        full = {
            **manifest,
            "format_version": FORMAT_VERSION,
            "library_version": __version__,
            "files": _write_parts(sibling, arrays, tables),
        }
        full["sha256"] = manifest_digest(full)
        text = json.dumps(full, indent=2, sort_keys=True, allow_nan=False)
        (sibling / MANIFEST).write_text(text + "\n", encoding="utf-8")
        _fsync(sibling / MANIFEST)
        _fsync(sibling)
        _swap(sibling, target)
        _fsync(target.parent)
    except OSError as error:
        raise ArtifactError(
            f"artifact {target}: cannot be written ({error.strerror or error}); "
            "check the folder's permissions and the space left",
            path=target,
        ) from error
    finally:
        shutil.rmtree(sibling, ignore_errors=True)


def _swap(new: Path, target: Path) -> None:
    """Put `new` where `target` is; a folder cannot be renamed over one that holds files."""
    if target.exists():
        old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
        target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)  # the new one is in place, come what may
    else:
        new.rename(target)


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Return the checksum of a manifest's values, its own checksum left out."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        if version == FORMAT_VERSION:  # another one may say its files otherwise
            manifest["files"].items()
            if manifest["sha256"] != manifest_digest(manifest):
                raise ValueError("checksum")
    except OSError as error:
        raise ArtifactError(
            f"artifact {folder}: {MANIFEST} is missing or unreadable; {_REMEDY}", path=file
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"artifact {folder}: {MANIFEST} is damaged; {_REMEDY}", path=file
        ) from error
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"artifact {folder}: format {version} where this library reads {FORMAT_VERSION}; "
            "use the library version that wrote it "
            f"({manifest.get('library_version', 'unknown')}), or train again",
            path=file,
        )
    return dict(manifest)


def _left_behind(folder: Path) -> str:
    """Return where a write that was killed between two renames left the older artifact."""
    found = sorted(folder.parent.glob(f".{glob.escape(folder.name)}.*.old/{MANIFEST}"))
    return f", but an older one at {found[0].parent}: rename it back" if found else ""


def read_artifact(path: str | Path) -> Contents:
    """Return the contents of an artifact folder, every file verified first.

    Raises
    ------
    ArtifactError
        If it is missing, damaged (says which file) or of another format version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(path)
    if not folder.is_dir():
        raise ArtifactError(
            f"artifact {folder}: there is no such folder{_left_behind(folder)}; {_REMEDY}",
            path=folder,
        )
    manifest = _read_manifest(folder)
    arrays: dict[str, NDArray[Any]] = {}
    tables: dict[str, pa.Table] = {}
    for name, facts in manifest["files"].items():
        file = folder / name
        try:
            if file.parent != folder or _sha256(file) != facts["sha256"]:
                raise ValueError("checksum")
            if file.suffix == ".npy":
                mapped = np.load(file, mmap_mode="r", allow_pickle=False)
                arrays[file.stem] = np.asarray(mapped)  # the plain class: slicing it is faster
            else:
                with pq.ParquetFile(file) as parquet:  # `read_table` would import pandas
                    tables[file.stem] = parquet.read()
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            state = "is damaged" if file.is_file() else "is missing"
            raise ArtifactError(
                f"artifact {folder}: {name} {state}; {_REMEDY}", path=file
            ) from error
    return Contents(manifest, arrays, tables)


def read_manifest(path: str | Path) -> Mapping[str, Any]:
    """Return what an artifact says of itself, without reading its arrays.

    Raises
    ------
    ArtifactError
        If the manifest is missing, damaged or of another format version.
    """
    return _read_manifest(Path(path))


def base_of(path: str | Path, manifest: Mapping[str, Any]) -> Path:
    """Return the folder of the version that a refresh, at `path`, refreshes."""
    return Path(path).resolve().parent.parent.parent / str(manifest["refreshes"])


class Hold:
    """A mark on a version, seen by every process: as long as it is there, nobody prunes it.

    The kernel keeps it, so that it is gone with the process, however that ends.
    """

    def __init__(self, manifest: Path) -> None:
        import fcntl

        self._handle: int | None = None
        self._handle = os.open(manifest, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._handle, fcntl.LOCK_SH)

    def close(self) -> None:
        """Take the mark away; doing it twice does no harm."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self.close()


class ModelsDirectory:
    """A folder of artifact versions and a pointer to the current one.

    Parameters
    ----------
    path : path
        Made when the first version is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = Path(path)

    def versions(self) -> list[str]:
        """Return the versions present, oldest name first."""
        try:
            if not self.folder.is_dir():
                return []
            return sorted(
                entry.name
                for entry in self.folder.iterdir()
                if not entry.name.startswith(".") and (entry / MANIFEST).is_file()
            )
        except PermissionError as error:
            raise self._unreadable(error) from error

    def current(self) -> str | None:
        """Return the version that is served, or None before the first `use`."""
        try:
            return (self.folder / CURRENT).read_text(encoding="utf-8").strip() or None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> ArtifactError:
        return ArtifactError(
            f"models {self.folder}: {error.filename} cannot be read; check who owns it and its "
            "permissions",
            path=self.folder,
        )

    def path(self, version: str | None = None) -> Path:
        """Return the folder of a version; default: the current one.

        Raises
        ------
        ArtifactError
            If there is no such version, with those that exist, or no current one.
        """
        name = self.current() if version is None else version
        if name is not None and "+" in name and name not in self.versions():
            for base in self.versions():
                if name in self.refreshes(base):
                    return self.refresh_path(base, name)
        if name is None:
            raise ArtifactError(
                f"models {self.folder}: no current version; run `personalize train`, or "
                "`personalize models use VERSION`",
                path=self.folder,
            )
        if name not in self.versions():
            known = ", ".join(self.versions()) or "none"
            raise ArtifactError(
                f"models {self.folder}: no version {name!r} (present: {known})", path=self.folder
            )
        return self.folder / name

    def manifest(self, version: str) -> Mapping[str, Any]:
        """Return what a version says of itself; see `read_manifest`.

        Raises
        ------
        ArtifactError
            If there is no such version, or its manifest is damaged or of another format version.
        """
        return read_manifest(self.path(version))

    def use(self, version: str, *, verified: bool = False) -> None:
        """Make a version the current one, atomically; its files are verified first.

        Parameters
        ----------
        version : str
        verified : bool
            Whether the caller has just loaded it, so that its files need not be read again.

        Raises
        ------
        ArtifactError
            If there is no such version, it is damaged, or the folder cannot be written; the
            pointer stays where it was.
        """
        folder = self.path(version)
        if not verified:
            read_artifact(folder)
        pointer = self.folder / f".{CURRENT}.{secrets.token_hex(4)}.tmp"
        try:
            pointer.write_text(version + "\n", encoding="utf-8")
            _fsync(pointer)
            pointer.replace(self.folder / CURRENT)
            _fsync(self.folder)
        except OSError as error:
            raise ArtifactError(
                f"models {self.folder}: the pointer cannot be written "
                f"({error.strerror or error}); check the folder's permissions",
                path=self.folder,
            ) from error
        finally:
            pointer.unlink(missing_ok=True)

    def hold(self, version: str) -> Hold:
        """Return a mark that keeps `prune` from removing a version until it is closed.

        Raises
        ------
        ArtifactError
            If there is no such version.
        """
        manifest = self.path(version) / MANIFEST
        try:
            return Hold(manifest)
        except OSError as error:
            raise ArtifactError(
                f"artifact {manifest.parent}: {MANIFEST} is missing or unreadable; {_REMEDY}",
                path=manifest,
            ) from error

    def prune(self, keep: int) -> list[str]:
        """Remove old versions and return their names, oldest first.

        The newest `keep` by the time they were written stay, and so do the current one and every
        one that a process holds.

        Parameters
        ----------
        keep : int, > 0
        """
        import fcntl

        def written(version: str) -> tuple[int, str]:
            return (self.folder / version / MANIFEST).stat().st_mtime_ns, version

        gone = []
        for version in sorted(self.versions(), key=written)[:-keep]:
            folder = self.folder / version
            with (folder / MANIFEST).open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if version == self.current():
                    continue
                aside = folder.with_name(f".{version}.{secrets.token_hex(4)}.tmp")
                folder.rename(aside)  # at once: a version is whole or not there
                shutil.rmtree(aside, ignore_errors=True)
            gone.append(version)
            shutil.rmtree(self.folder / _REFRESHED / version, ignore_errors=True)
        return gone

    def refreshes(self, version: str) -> list[str]:
        """Return the refreshes of a version's demand that are kept, oldest first."""
        folder = self.folder / _REFRESHED / version
        if not folder.is_dir():
            return []
        return sorted(
            entry.name
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and (entry / MANIFEST).is_file()
        )

    def served(self) -> str | None:
        """Return what a service answers with now: the current version with its newest refresh."""
        version = self.current()
        return None if version is None else self.newest(version)

    def newest(self, version: str) -> str:
        """Return the newest refresh of a version, or itself."""
        return next(iter(self.refreshes(version)[-1:]), version)

    def refresh_path(self, version: str, name: str) -> Path:
        """Return the folder of one refresh of a version; beside the versions and not among them."""
        return self.folder / _REFRESHED / version / name

    def keep_refreshes(self, version: str, keep: int = 2) -> None:
        """Remove all but the newest `keep` refreshes of a version, and those of versions gone.

        A process that serves one has read it already.
        """
        for name in self.refreshes(version)[:-keep]:
            shutil.rmtree(self.refresh_path(version, name), ignore_errors=True)
        known = self.versions()
        for entry in (self.folder / _REFRESHED).glob("*"):
            if entry.name not in known:
                shutil.rmtree(entry, ignore_errors=True)

    @contextmanager
    def locked(self, purpose: str) -> Iterator[bool]:
        """Yield whether this process alone holds the lock of that name, until the block ends.

        The lock is the kernel's, on a file of the folder: it is gone with the process, however
        that ends.
        """
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{purpose}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def new_version(self, moment: dt.datetime) -> str:
        """Return a free version name for an artifact written at `moment`."""
        stem = moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        taken, name, n = set(self.versions()), stem, 1
        while name in taken:
            n += 1
            name = f"{stem}-{n}"
        return name
