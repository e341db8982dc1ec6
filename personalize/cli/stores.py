"""`personalize store`: whether a store is in order, and putting it in order."""

from __future__ import annotations

from typing import Annotated

import typer

from personalize.cli.console import say
from personalize.errors import StoreError
from personalize.store import Store

app = typer.Typer(help="Look after a store.")
StoreUrl = Annotated[str, typer.Option("--store", metavar="URL", help="The service's store.")]
_SHOWN = 10


@app.command()
def check(store: StoreUrl) -> None:
    """Compare what is packed of each customer with their orders; 1 if anything differs."""
    with Store.open(store, create=False) as opened:
        differing = opened.check()
        if differing:
            raise StoreError(
                f"store {opened.url}: what is packed of {len(differing):,} customers is not what "
                f"their orders say ({', '.join(differing[:_SHOWN])}"
                f"{', ...' if len(differing) > _SHOWN else ''}); "
                "personalize store repair packs it anew",
                url=opened.url,
            )
    say("in order")


@app.command()
def repair(store: StoreUrl) -> None:
    """Pack anew what every customer owns; questions go on meanwhile, orders wait."""
    with Store.open(store, create=False) as opened:
        opened.repair()
    say("repaired")
