"""Which revision a database is of, and the way to the newest.

A revision is a file in ``migrations/versions``. Alembic keeps the number in the database and is
imported only when there is something to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from personalize.store.driver import driver_of
from personalize.store.layout import HEAD
from personalize.store.purchase_states import rebuild

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_TABLE: Final = "alembic_version"
VERSION: Final = sa.select(sa.table(_TABLE, sa.column("version_num")).c.version_num)


class ForeignSchemaError(Exception):
    """The database cannot become ours: it belongs to something else, or to a newer version."""


def revision(connection: sa.Connection) -> str | None:
    """Return the revision of a database, or None if it is empty.

    Raises
    ------
    ForeignSchemaError
        If it has tables, but none that tells our revision.
    """
    names = sa.inspect(connection).get_table_names()
    if _TABLE in names:
        found: str | None = connection.scalar(VERSION)
        return found
    if names:
        raise ForeignSchemaError(
            f"it is the database of something else (it has {len(names)} tables, among them "
            f"{min(names)!r}); give a file, database or schema of its own"
        )
    return None


def upgrade(connection: sa.Connection) -> None:
    """Bring a database to the newest revision, within the transaction that is open.

    Raises
    ------
    ForeignSchemaError
        If its revision is none that this version knows.
    """
    driver_of(connection).lock(connection, "tables")
    seen = revision(connection)
    if seen == HEAD:
        return  # another process was faster
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    scripts = scripts_of_store()
    known = {script.revision for script in scripts.walk_revisions()}
    if seen is not None and seen not in known:
        raise ForeignSchemaError(
            f"its tables are of revision {seen!r}, which this version does not know (the newest "
            f"known is {HEAD!r}); install the version of personalize that wrote it, or a newer one"
        )
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        steps = list(reversed(list(scripts.iterate_revisions(HEAD, seen or "base"))))
        for script in steps:
            script.module.upgrade()
            context.stamp(scripts, script.revision)
    # What is derived is made by today's code, so in the tables as they are in the end.
    if any(getattr(script.module, "derives", False) for script in steps):
        rebuild(connection)


def scripts_of_store() -> ScriptDirectory:
    """Return the migrations of the store."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS))
