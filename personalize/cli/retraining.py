"""`personalize retrain`: learn from the store, compare, publish, tidy up; made for a timer."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from personalize.artifact import ModelsDirectory
from personalize.cli import options
from personalize.cli.console import progress, say, warn
from personalize.cli.present import now
from personalize.cli.reading import Reading, read_facts
from personalize.cli.training import warn_of_empty_days
from personalize.config import EngineConfig
from personalize.engine import Engine
from personalize.errors import ArtifactError
from personalize.purchases import PurchaseState
from personalize.times import to_micros

COUNTED = ("orders", "lines", "customers", "products")


def retrain(
    *,
    models: options.ModelsFolder,
    store: options.StoreOfTimer,
    catalog: options.CatalogFile = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="EngineConfig in TOML. Default: that of the current version.",
        ),
    ] = None,
    keep: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many of the newest versions stay.")
    ] = 5,
    min_share: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=10.0,
            metavar="SHARE",
            help="Least share of the current version's orders, lines, customers and products.",
        ),
    ] = 0.8,
    as_of: options.AsOf = None,
    timezone: options.Timezone = "UTC",
) -> None:
    """Learn from the store, and serve it if it loads and stands beside the current version."""
    directory = ModelsDirectory(models)
    with directory.locked("retrain") as is_ours:
        if not is_ours:
            raise ArtifactError(
                f"models {models}: another retraining is under way; wait for it to end", path=models
            )
        started = time.monotonic()
        before = _current(directory)
        settings = options.engine_config(config) if config is not None else _config_of(before)
        facts, products = read_facts(Reading(catalog_file=catalog, beside=models), store)
        moment = options.moment(as_of, timezone)
        if moment is None:
            moment = now()
            warn_of_empty_days(facts, to_micros(moment))
        with progress("learning", ""):
            engine = Engine.fit(facts, products, settings, moment)
        version = directory.new_version(now())
        engine.save(models / version)
        wrong = _shortcomings(Engine.load(models / version), before, min_share)
        if wrong:
            raise ArtifactError(
                f"models {models}: {version} is written and not made current, because "
                f"{'; '.join(wrong)}; look for what the store lacks, or, if all is right, "
                f"run `personalize models use {version} --models {models}`",
                path=models / version,
            )
        directory.use(version, verified=True)
        gone = directory.prune(keep)
    say(
        f"{models / version} is current: {engine.counts['orders']:,} orders of "
        f"{engine.counts['customers']:,} customers, {engine.counts['products']:,} products, in "
        f"{time.monotonic() - started:.1f} s; before: {before.get('version', 'none')}; removed: "
        f"{', '.join(gone) or 'none'}"
    )


def _current(directory: ModelsDirectory) -> Mapping[str, Any]:
    """Return what the current version says of itself, with its name; empty if there is none."""
    version = directory.current()
    if version is None:
        return {}
    try:
        return {**directory.manifest(version), "version": version}
    except ArtifactError as error:
        warn(f"{error}; so the new version is compared with none")
        return {"version": version}


def _config_of(before: Mapping[str, Any]) -> EngineConfig | None:
    return EngineConfig.from_dict(before["config"]) if "config" in before else None


def _shortcomings(engine: Engine, before: Mapping[str, Any], min_share: float) -> list[str]:
    """Return why a version should not be served without somebody having looked at it."""
    wrong = []
    known = before.get("counts", {})
    for name in COUNTED:
        was, is_now = known.get(name, 0), engine.counts[name]
        if is_now < min_share * was:
            wrong.append(
                f"{name} fell from {was:,} to {is_now:,}, below {min_share:.0%} (--min-share)"
            )
    wrong += [
        f"its metric {name} is missing or no number"
        for name in sorted({*before.get("metrics", {}), *engine.metrics})
        if not math.isfinite(engine.metrics.get(name, math.nan))
    ]
    if not engine.view().recommend(PurchaseState.unknown(""), 1, engine.as_of):
        wrong.append("it has nothing to recommend")
    return wrong
