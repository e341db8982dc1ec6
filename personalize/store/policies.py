"""The shop's policy, versioned: every one there was, the newest in force."""

from __future__ import annotations

import json

import sqlalchemy as sa

from personalize.policy import Policy
from personalize.store.driver import driver_of
from personalize.store.layout import policies

_NEWEST = (
    sa.select(policies.c.version, policies.c.policy).order_by(policies.c.version.desc()).limit(1)
)


def newest(connection: sa.Connection) -> tuple[int, Policy]:
    """Return the version in force and its policy; version 0 is the empty policy."""
    row = connection.execute(_NEWEST).one_or_none()
    return (0, Policy()) if row is None else (row.version, Policy.from_dict(json.loads(row.policy)))


def put(connection: sa.Connection, policy: Policy, created_at: int | None) -> int:
    """Store a policy; return its version: a new one, or that in force if it is the same."""
    driver_of(connection).lock(connection, "policy")
    version, known = newest(connection)
    if version and known == policy:
        return version
    text = json.dumps(policy.to_dict(), sort_keys=True, allow_nan=False)
    row = {"version": version + 1, "policy": text, "created_at": created_at}
    connection.execute(sa.insert(policies), row)
    return version + 1
