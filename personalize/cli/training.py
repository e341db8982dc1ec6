"""`personalize train` and `personalize import`: what is learned, what is stored."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from personalize.artifact import ModelsDirectory
from personalize.cli import options
from personalize.cli.console import progress, say, tell, warn
from personalize.cli.policies import warn_of_unknown_types
from personalize.cli.present import now
from personalize.cli.reading import Reading, read_facts
from personalize.engine import Engine
from personalize.errors import StoreError
from personalize.orders import Orders
from personalize.policy import Policy
from personalize.store import Store
from personalize.store.opening import database_file
from personalize.times import DAY, MISSING, SECOND, to_micros, to_rfc3339

QUIET_DAYS = 2


def train(
    *,
    models: options.ModelsFolder,
    orders: options.OrderFiles = None,
    store: options.StoreUrl = None,
    catalog: options.CatalogFile = None,
    columns: options.Columns = None,
    catalog_columns: options.CatalogColumns = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="EngineConfig in TOML: name = value."),
    ] = None,
    use: Annotated[
        bool, typer.Option("--use/--no-use", help="Whether the new version is served from now on.")
    ] = True,
    as_of: options.AsOf = None,
    timezone: options.Timezone = "UTC",
    returns: options.Returns = "columns",
    not_products: options.NotProducts = None,
    encoding: options.Encoding = "utf-8",
    strict: options.Strict = False,
    rejects: options.RejectsFile = None,
) -> None:
    """Learn from orders; write a version into the models and make it the current one."""
    reading = Reading(
        files=orders or (),
        catalog_file=catalog,
        columns=options.column_map(columns),
        catalog_columns=options.column_map(catalog_columns, "--map-catalog"),
        timezone=timezone,
        returns=returns,
        not_products=not_products,
        encoding=encoding,
        strict=strict,
        rejects=rejects,
        beside=models,
    )
    reading.choose(store)
    moment = options.moment(as_of, timezone)
    settings = options.engine_config(config)
    facts, products = read_facts(reading, store)
    if store and moment is None:
        moment = now()
        warn_of_empty_days(facts, to_micros(moment))
    started = time.monotonic()
    with progress("learning", ""):
        engine = Engine.fit(facts, products, settings, moment)
    directory = ModelsDirectory(models)
    version = directory.new_version(now())
    engine.save(models / version)
    tell(f"learned in {time.monotonic() - started:.1f} s")
    if use:
        directory.use(version)
    say(f"{models / version} is {'current' if use else 'written, and not current'}")


def import_(
    *,
    store: Annotated[str, typer.Option("--store", metavar="URL", help="Where to; made if new.")],
    orders: options.OrderFiles = None,
    catalog: options.CatalogFile = None,
    policy: options.PolicyFile = None,
    columns: options.Columns = None,
    catalog_columns: options.CatalogColumns = None,
    as_of: options.AsOf = None,
    timezone: options.Timezone = "UTC",
    returns: options.Returns = "columns",
    not_products: options.NotProducts = None,
    encoding: options.Encoding = "utf-8",
    strict: options.Strict = False,
    rejects: options.RejectsFile = None,
) -> None:
    """Bring orders, products and a policy into a store; doing it again changes nothing."""
    if not (orders or catalog or policy):
        raise typer.BadParameter("give --orders FILE..., --catalog FILE or --policy FILE")
    reading = Reading(
        files=orders or (),
        catalog_file=catalog,
        columns=options.column_map(columns),
        catalog_columns=options.column_map(catalog_columns, "--map-catalog"),
        timezone=timezone,
        returns=returns,
        not_products=not_products,
        encoding=encoding,
        strict=strict,
        rejects=rejects,
        beside=Path("import"),
    )
    decided = None if policy is None else Policy.read(policy)
    moment = options.moment(as_of, timezone)
    _check_store(store)
    facts = reading.read_orders().before(moment) if orders else None
    products = reading.read_catalog()
    with Store.open(store) as opened:
        if facts is not None:
            with progress("importing", "orders") as advance:
                report = opened.import_orders(facts, progress=advance)
            say(
                f"orders: {report.applied:,} of {report.orders:,} are in the store now; of the "
                f"other {report.stale:,} it has a newer version"
            )
        if products is not None:
            opened.import_catalog(products)
            say(f"products: {len(products):,} are in the store now")
        if policy and decided:
            warn_of_unknown_types(decided, policy, opened.catalog())
            version = opened.put_policy(decided, created_at=to_micros(now()))
            say(f"policy: version {version} is in force now")


def _check_store(url: str) -> None:
    """Refuse before the orders are read a store that could not be opened after it."""
    file = database_file(url)
    if file is None or file.exists():
        Store.open(url).close()
    elif not file.parent.is_dir():
        raise StoreError(f"store {url}: there is no folder {file.parent}", url=url)


def warn_of_empty_days(orders: Orders, moment: int) -> None:
    """Say when the newest order is so old that the days since would count as days without sales."""
    if orders.newest == MISSING or moment - orders.newest <= QUIET_DAYS * DAY:
        return
    after = to_rfc3339((orders.newest // SECOND + 1) * SECOND)
    warn(
        f"the newest order is {(moment - orders.newest) // DAY:,} days old, and the days since "
        f"count as days without sales; if later orders are not in the store, give --as-of {after}"
    )
