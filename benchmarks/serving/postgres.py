"""A bare connection to the PostgreSQL store of a URL, its schema included."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa


def connect(url: str) -> psycopg.Connection[Any]:
    """Return a connection whose tables are those of the store."""
    parsed = sa.make_url(url)
    query = dict(parsed.query)
    schema = query.pop("schema", None)
    bare = parsed.set(drivername="postgresql", query=query)
    options = "" if schema is None else f"-csearch_path={schema}"
    return psycopg.connect(bare.render_as_string(hide_password=False), options=options)
