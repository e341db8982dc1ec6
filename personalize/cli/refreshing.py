"""`personalize refresh-demand`: what is wanted now, from recent orders of the store alone."""

from __future__ import annotations

from personalize.artifact import ModelsDirectory
from personalize.cli import options
from personalize.cli.console import say
from personalize.cli.present import now
from personalize.cli.training import QUIET_DAYS
from personalize.engine import Engine
from personalize.errors import StoreError
from personalize.orders import Orders
from personalize.store import Store
from personalize.times import DAY, MISSING, SECOND, to_datetime, to_micros, to_rfc3339


def refresh_demand(
    *,
    models: options.ModelsFolder,
    store: options.StoreOfTimer,
    as_of: options.AsOf = None,
    timezone: options.Timezone = "UTC",
) -> None:
    """Refresh what the current version holds to be wanted now; nothing is learned again."""
    given = options.moment(as_of, timezone)
    moment = to_micros(now() if given is None else given) // SECOND * SECOND
    directory = ModelsDirectory(models)
    base = directory.path()
    with directory.locked("refresh-demand") as is_ours:
        if not is_ours:
            say(f"{base}: another process is refreshing its demand; nothing to do")
            return
        version = base.name
        engine = Engine.load(base)
        with Store.open(store, create=False) as opened:
            recent = opened.orders(engine.demand_since).before(moment)
            _check_is_busy(recent, moment, opened.url)
        today = engine.refreshed(recent, to_datetime(moment), recent=True)
        if today.model_version not in directory.refreshes(version):
            today.save_demand(directory.refresh_path(version, today.model_version), version)
        directory.keep_refreshes(version)
    say(
        f"{models / version} is refreshed with {recent.n_lines:,} lines: {today.model_version} is "
        "what answers"
    )


def _check_is_busy(recent: Orders, moment: int, url: str) -> None:
    """Refuse to take a store that orders do not come into for a shop that sells nothing."""
    if recent.newest != MISSING and moment - recent.newest <= QUIET_DAYS * DAY:
        return
    newest = "" if recent.newest == MISSING else f" (the newest: {to_rfc3339(recent.newest)})"
    raise StoreError(
        f"store {url}: no order of the last {QUIET_DAYS} days before {to_rfc3339(moment)}"
        f"{newest}, so what is wanted now cannot be told and stays as it was; bring orders in as "
        "they happen, or give --as-of",
        url=url,
    )
