"""What every answer carries, whoever writes it, and which id a request has."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final, Self

from starlette.types import Scope

FIXED: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""An answer is data: a browser that is made to open one runs nothing of it, and frames nothing."""

current_request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, for whoever logs meanwhile."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEAD: Final = "personalize.head"


class Head:
    """What is read of a request's head at the edge: each header once, the first one counts.

    Parameters
    ----------
    headers : iterable of (name, value)
        Names in lower case.
    """

    __slots__ = (
        "authorization", "content_encoding", "content_type", "has_own_id", "host", "is_forwarded",
        "origin", "request_id",
    )  # fmt: skip

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.authorization: bytes | None = None
        self.content_type: bytes | None = None
        self.content_encoding: bytes | None = None
        self.host: bytes | None = None
        self.origin: bytes | None = None
        self.is_forwarded = False
        request_id = b""
        for name, value in headers:
            if name == b"authorization":
                if self.authorization is None:
                    self.authorization = value
            elif name == b"content-type":
                if self.content_type is None:
                    self.content_type = value
            elif name == b"content-encoding":
                if self.content_encoding is None:
                    self.content_encoding = value
            elif name == b"host":
                if self.host is None:
                    self.host = value
            elif name == b"origin":
                self.origin = value
            elif name == b"x-forwarded-for":
                self.is_forwarded = True
            elif name == b"x-request-id" and not request_id and _REQUEST_ID.fullmatch(value):
                request_id = value
        self.has_own_id = bool(request_id)
        self.request_id = request_id.decode() if request_id else _new_id()

    def comes_again(self) -> None:
        """Be the head of another request with the same headers: it has an id of its own."""
        if not self.has_own_id:
            self.request_id = _new_id()

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return the head of a request, read once however many layers ask."""
        known = scope.get(_HEAD)
        if known is None:
            known = scope[_HEAD] = cls(scope["headers"])
        return known

    def marks(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that every answer to this request carries."""
        return [(b"x-request-id", self.request_id.encode()), *FIXED]


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the caller's id of the request if it is a decent one, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return _new_id()


def _new_id() -> str:
    return f"{random.getrandbits(128):032x}"  # a name in a log: it guards nothing
