"""``python -m benchmarks.serving.undurable``: the service, with durability switched off.

Only to be compared with: what the store promises of an answered order does not hold here. Every
connection to SQLite is told ``synchronous = OFF`` where the store says ``FULL``, and looks that it
is so before its first transaction that writes.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from typing import Any, Final

from service.__main__ import main

_SYNCHRONOUS: Final = re.compile(r"\s*PRAGMA\s+(synchronous|fullfsync)\s*=", re.IGNORECASE)
_WRITES: Final = re.compile(r"\s*BEGIN\s+(IMMEDIATE|EXCLUSIVE)", re.IGNORECASE)
_OFF: Final = "PRAGMA synchronous = OFF"


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *parameters: Any) -> Any:
        return super().execute(_rewritten(self.connection, sql), *parameters)


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def execute(self, sql: str, *parameters: Any) -> Any:
        return super().execute(_rewritten(self, sql), *parameters)


def _rewritten(connection: sqlite3.Connection, sql: str) -> str:
    if _WRITES.match(sql):
        level = sqlite3.Connection.execute(connection, "PRAGMA synchronous").fetchone()[0]
        if level != 0:
            raise RuntimeError(f"durability is not off: synchronous is {level}")
    return _OFF if _SYNCHRONOUS.match(sql) else sql


def switch_off() -> None:
    """Make every connection of this process that is opened from now on an undurable one."""
    connect = sqlite3.dbapi2.connect

    def undurable(*arguments: Any, **more: Any) -> Any:
        connection = connect(*arguments, **{**more, "factory": _Connection})
        connection.execute(_OFF)
        return connection

    sqlite3.dbapi2.connect = sqlite3.connect = undurable


if __name__ == "__main__":
    switch_off()
    sys.exit(main())
