"""Keys of the HTTP interface: who may ask what. A secret is shown once, its hash is kept.

Scopes imply nothing: a key with ``admin`` alone may not ask for decisions.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from typing import Final, NamedTuple

import sqlalchemy as sa

from personalize.errors import InvalidConfigError
from personalize.store.database import Database
from personalize.store.layout import api_keys

SCOPES: Final = ("ingest", "decide", "export", "admin")
_SCOPES_OF = sa.select(api_keys.c.scopes).where(
    api_keys.c.secret_hash == sa.bindparam("secret_hash"), ~api_keys.c.revoked
)
_ALL = sa.select(
    api_keys.c.key_id,
    api_keys.c.name,
    api_keys.c.scopes,
    api_keys.c.created_at,
    api_keys.c.revoked,
).order_by(api_keys.c.key_id)
_REVOKE = sa.update(api_keys).where(api_keys.c.key_id == sa.bindparam("which")).values(revoked=True)


class KeyRecord(NamedTuple):
    """A key without its secret; ``created_at`` in microseconds UTC."""

    key_id: int
    name: str
    scopes: frozenset[str]
    created_at: int
    revoked: bool


def create(connection: sa.Connection, name: str, scopes: Collection[str], created_at: int) -> str:
    """Store a new key; return its secret, which cannot be had again.

    Raises
    ------
    InvalidConfigError
        For no name, no scope or an unknown one.
    """
    if not name.strip():
        raise InvalidConfigError(
            "key name: it is empty; say who will use the key", field="name", value=name
        )
    chosen = sorted(set(scopes)) if not isinstance(scopes, str) else [scopes]
    unknown = [scope for scope in chosen if scope not in SCOPES]
    if unknown or not chosen:
        raise InvalidConfigError(
            f"key scopes: {', '.join(map(repr, unknown)) or 'none given'}; allowed are one or "
            f"more of {', '.join(SCOPES)}",
            field="scopes",
            value=chosen,
        )
    secret = "pk_" + secrets.token_urlsafe(32)
    connection.execute(
        sa.insert(api_keys),
        {
            "secret_hash": _hash(secret),
            "name": name,
            "scopes": " ".join(chosen),
            "created_at": created_at,
            "revoked": False,
        },
    )
    return secret


class ScopesOf:
    """What a secret allows, read on the bare driver: every request asks it."""

    def __init__(self, database: Database) -> None:
        self._rows = database.query(_SCOPES_OF)

    def __call__(self, secret: str) -> frozenset[str] | None:
        """Return its scopes, None if it is unknown or revoked.

        It is looked up by its hash: how long that takes tells nothing about any other secret.
        """
        found = self._rows(_hash(secret))
        return frozenset(found[0][0].split()) if found else None


def records(connection: sa.Connection) -> list[KeyRecord]:
    """Return every key there was, oldest first."""
    return [
        KeyRecord(row.key_id, row.name, frozenset(row.scopes.split()), row.created_at, row.revoked)
        for row in connection.execute(_ALL)
    ]


def revoke(connection: sa.Connection, key_id: int) -> bool:
    """Make a key worthless at once; return whether there is such a key."""
    return connection.execute(_REVOKE, {"which": key_id}).rowcount > 0


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
