"""The facts of a shop on disk: orders, returns, products; its policy and keys.

::

    store.py        Store: what is one transaction
    state.py        what an order is, as pure functions
    orders.py purchase_states.py lines.py transfer.py     what is in a transaction: orders
    catalogue.py policies.py keys.py     and the rest
    database.py patience.py     reading, writing, errors, whatever the database
    opening.py driver.py     which databases there are, and what differs between them
    sqlite.py     one file
    postgres.py postgres_connection.py breaker.py     one schema of a server, which may fail
    upgrade.py layout.py migrations/     the tables and their history
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personalize.store.keys import SCOPES, KeyRecord
from personalize.store.patience import Patience
from personalize.store.state import (
    Adjustment,
    OrderSnapshot,
    SnapshotLine,
    StoredLine,
    StoredOrder,
)
from personalize.store.store import Store

if TYPE_CHECKING:
    from personalize.store.transfer import ImportReport

__all__ = [
    "SCOPES",
    "Adjustment",
    "ImportReport",
    "KeyRecord",
    "OrderSnapshot",
    "Patience",
    "SnapshotLine",
    "Store",
    "StoredLine",
    "StoredOrder",
]


def __getattr__(name: str) -> Any:
    """Return what only an import needs, loaded when it is asked for."""
    if name == "ImportReport":
        from personalize.store.transfer import ImportReport

        return ImportReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
