"""Which pages of the web may call from a browser: those of the origins that are named.

Origins are exact. ``*`` is refused: a key that any page may use is a key that any page has, and
without keys any page that is open on this machine could read and write the shop.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

_ASKED = ("Authorization", "Content-Type", "If-None-Match", "X-Request-Id")
_SHOWN = ("ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id")
_MAX_AGE_SECONDS = 600


def allow(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of `origins` call; keys come in a header, so cookies are never allowed."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "PUT", "POST", "DELETE"),
        allow_headers=_ASKED,
        expose_headers=_SHOWN,
        max_age=_MAX_AGE_SECONDS,
    )
