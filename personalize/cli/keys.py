"""`personalize keys`: who may call the service."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from personalize.cli.console import say, show, tell
from personalize.cli.options import KeyScopes
from personalize.cli.present import now
from personalize.errors import InvalidConfigError
from personalize.store import Store
from personalize.times import to_micros, to_rfc3339

app = typer.Typer(help="Create, list and revoke API keys of the service.")
StoreUrl = Annotated[str, typer.Option("--store", metavar="URL", help="The service's store.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    scope: KeyScopes,
    store: StoreUrl,
) -> None:
    """Create a key and print its secret, this once."""
    with Store.open(store, create=False) as opened:
        secret = opened.create_key(name, scope, created_at=to_micros(now()))
    tell("keep it: only its hash is stored, so it cannot be shown again")
    say(secret)


@app.command("list")
def list_keys(store: StoreUrl) -> None:
    """List the keys, without their secrets."""
    table = Table("key_id", "name", "scopes", "created_at", "revoked", box=None, pad_edge=False)
    with Store.open(store, create=False) as opened:
        for key in opened.keys():  # noqa: SIM118 - a store is no dict
            table.add_row(
                str(key.key_id),
                key.name,
                " ".join(sorted(key.scopes)),
                to_rfc3339(key.created_at),
                "yes" if key.revoked else "",
            )
    if table.row_count:
        show(table)
    else:
        say("no keys; personalize keys create NAME --scope SCOPE makes one")


@app.command()
def revoke(
    key_id: Annotated[int, typer.Argument(metavar="KEY_ID", help="As `keys list` names it.")],
    store: StoreUrl,
) -> None:
    """Revoke a key: calls with it are refused from now on."""
    with Store.open(store, create=False) as opened:
        known = opened.revoke_key(key_id)
    if not known:
        raise InvalidConfigError(
            f"key_id: there is no key {key_id}; personalize keys list names them",
            field="key_id",
            value=key_id,
        )
    say(f"revoked: {key_id}")
