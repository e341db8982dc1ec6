"""How schemathesis writes the lines of a batch; loaded by it, see schemathesis.toml."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """Return one JSON text per line."""
    every = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(one).encode() + b"\n" for one in every)
