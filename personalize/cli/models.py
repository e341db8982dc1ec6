"""`personalize models`: which versions there are, which is served."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from personalize.artifact import ModelsDirectory, read_manifest
from personalize.cli.console import say, show, warn
from personalize.cli.options import ModelsFolder
from personalize.errors import ArtifactError

app = typer.Typer(help="List trained versions, choose the one that is served, show one.")
VersionName = Annotated[str, typer.Argument(metavar="VERSION")]


@app.command("list")
def list_versions(models: ModelsFolder) -> None:
    """List the versions, oldest first; the served one is marked."""
    if not models.is_dir():
        raise ArtifactError(
            f"models {models}: there is no such folder; check the path, or personalize train makes "
            "it",
            path=models,
        )
    directory = ModelsDirectory(models)
    current = directory.current()
    table = Table("", "version", "as_of", "products", "orders", box=None, pad_edge=False)
    for version in directory.versions():
        table.add_row("*" if version == current else "", version, *_facts(directory, version))
    if table.row_count:
        show(table)
    else:
        say(f"no versions in {models}; personalize train writes one")


def _facts(directory: ModelsDirectory, version: str) -> list[str]:
    """Return what the list says of a version; of one that cannot be read, that, with a warning."""
    try:
        manifest = read_manifest(directory.path(version))
    except ArtifactError as error:
        warn(str(error))
        # Only a version of another format is refused without something that went wrong.
        return ["damaged" if error.__cause__ else "of another format"]
    counts = manifest.get("counts", {})
    numbers = (f"{counts[key]:,}" if key in counts else "" for key in ("products", "orders"))
    return [str(manifest.get("as_of", "")), *numbers]


@app.command()
def use(version: VersionName, models: ModelsFolder) -> None:
    """Serve VERSION from now on; roll back by using an older one."""
    ModelsDirectory(models).use(version)
    say(f"current: {version}")


@app.command()
def prune(
    models: ModelsFolder,
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="How many of the newest stay.")] = 5,
) -> None:
    """Remove old versions; the current one and those that are being served stay in any case."""
    gone = ModelsDirectory(models).prune(keep)
    say(f"removed: {', '.join(gone) or 'none'}")


@app.command("show")
def show_version(version: VersionName, models: ModelsFolder) -> None:
    """Print what VERSION says of itself: configuration, counts, metrics (JSON)."""
    manifest: dict[str, Any] = dict(read_manifest(ModelsDirectory(models).path(version)))
    manifest.pop("files", None)
    say(json.dumps({"version": version, **manifest}, indent=2, ensure_ascii=False))
