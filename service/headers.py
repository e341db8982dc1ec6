"""What every answer carries, whoever writes it, and the id of the request at hand."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

FIXED: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""An answer is data: a browser that is made to open one runs nothing of it, and frames nothing."""

current_request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, for whoever logs meanwhile."""
