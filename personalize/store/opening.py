"""From a URL to an open database; the only file that knows which databases there are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from personalize.errors import StoreError
from personalize.store.database import Database
from personalize.store.driver import Driver
from personalize.store.patience import Patience
from personalize.store.sqlite import SQLite

_FORMS: Final = "write sqlite:///path/to/shop.db, or postgresql://user@host/database?schema=shop"


def open_database(url: str, *, create: bool, patience: Patience) -> Database:
    """Return the database at `url`, ready for use.

    Raises
    ------
    StoreError
        If there is none and `create` is False, or it cannot be opened or is not ours.
    """
    database = Database(_driver(_parsed(url), patience))
    try:
        database.prepare(create)
    except StoreError:
        database.close()
        raise
    return database


def database_file(url: str) -> Path | None:
    """Return the file that a store's URL names, there or not; None if it names a server.

    Raises
    ------
    StoreError
        If it is no URL of a store.
    """
    parsed = _parsed(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def _driver(url: sa.URL, patience: Patience) -> Driver:
    if url.get_backend_name() == "sqlite":
        return SQLite(url, patience)
    try:
        from personalize.store.postgres import Postgres
    except ModuleNotFoundError as error:
        shown = url.render_as_string(hide_password=True)
        raise StoreError(
            f"store {shown}: PostgreSQL needs psycopg, which is not installed; run "
            "pip install 'personalize[postgres]'",
            url=shown,
        ) from error
    return Postgres(url, patience)


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        # Not echoed: what cannot be parsed may hold a password anywhere.
        raise StoreError(f"store: the URL cannot be read; {_FORMS}") from error
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername not in ("sqlite", "postgresql", "postgres"):
        raise StoreError(
            f"store {shown}: only SQLite and PostgreSQL are supported; {_FORMS}", url=shown
        )
    if parsed.drivername == "postgres":
        return parsed.set(drivername="postgresql")
    if parsed.drivername == "sqlite" and (
        parsed.database in (None, "", ":memory:") or parsed.query
    ):
        raise StoreError(f"store {shown}: a store is a plain file; {_FORMS}", url=shown)
    return parsed
