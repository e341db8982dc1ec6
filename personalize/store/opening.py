"""From a URL to an open database; the only file that knows which databases there are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from personalize.errors import StoreError
from personalize.store.database import Database
from personalize.store.patience import Patience
from personalize.store.sqlite import SQLite

_FORMS: Final = "write sqlite:///path/to/shop.db"


def open_database(url: str, *, create: bool, patience: Patience) -> Database:
    """Return the database at `url`, ready for use.

    Raises
    ------
    StoreError
        If there is none and `create` is False, or it cannot be opened or is not ours.
    """
    database = Database(SQLite(_parsed(url), patience))
    try:
        database.prepare(create)
    except StoreError:
        database.close()
        raise
    return database


def database_file(url: str) -> Path:
    """Return the file that a store's URL names, there or not.

    Raises
    ------
    StoreError
        If it names none.
    """
    return Path(_parsed(url).database or "")


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        # Not echoed: what cannot be parsed may hold a password anywhere.
        raise StoreError(f"store: the URL cannot be read; {_FORMS}") from error
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(f"store {shown}: only SQLite is supported; {_FORMS}", url=shown)
    if parsed.database in (None, "", ":memory:") or parsed.query:
        raise StoreError(f"store {shown}: a store is a plain file; {_FORMS}", url=shown)
    return parsed
