"""The hot path: single checks and checks of many products, with no router in between.

Ad platforms ask these thousands of times a second, and matching a route, running its dependencies
and building its models cost more than the decision. Only the plain case is answered here: a
well-formed request of a caller who is known, while the store answers. Everything else goes on to
the documented routes as it came, so that errors, parameters and rare forms are written once; the
bytes of an answer come from `service.answers` for both.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import personalize as pz
from service import answers
from service.edge import log_request
from service.headers import FIXED, Head
from service.problems import log_failure
from service.schemas import BAD_ESCAPE, ID_PATTERN, MAX_ID_LENGTH, CheckBody
from service.shop import Shop
from service.together import Together

ONE: Final = "/v1/customers/{customer_id}/suppressions/{product_id}"
MANY: Final = "/v1/suppressions/check"
_MANY: Final = MANY.encode()
_PREFIX: Final = b"/v1/customers/"
_MIDDLE: Final = b"/suppressions/"
_JSON: Final = frozenset({b"application/json", b"application/json; charset=utf-8"})
_BAD_ESCAPE: Final = re.compile(BAD_ESCAPE.encode())
_ID: Final = re.compile(ID_PATTERN)
_SIMPLE: Final = rb"([A-Za-z0-9._~-]{1,%d})" % MAX_ID_LENGTH
_PLAIN: Final = re.compile(_PREFIX + _SIMPLE + _MIDDLE + _SIMPLE)
_ANSWER: Final = b"".join(
    [
        *(name + b": " + value + b"\r\n" for name, value in answers.json_headers(b"")[:1]),
        b"content-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n",
        *(name + b": " + value.replace(b"%", b"%%") + b"\r\n" for name, value in FIXED),
        b"\r\n%b",
    ]
)
"""The same headers as everywhere, in the same order, on the wire."""
_FEW: Final = 200
"""Products of one question; a longer one is left to a thread, so that others need not wait."""


class Lean:
    """Answers plain checks; hands everything else to the application behind it.

    Parameters
    ----------
    app : ASGI application
        The documented routes.
    shop : Shop
    """

    def __init__(self, app: ASGIApp, shop: Shop) -> None:
        self.app = app
        self._shop = shop
        self._limit = shop.settings.max_body_bytes
        self._logs = shop.settings.access_log
        self._together = None if shop.store.is_embedded else Together(shop.live)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not scope["query_string"]:
            method, path = scope["method"], scope.get("raw_path") or b""
            if method == "GET" and path.startswith(_PREFIX):
                if await self._one(scope, path, send):
                    return
            elif method == "POST" and path == _MANY:
                taken: list[Message] = []
                if await self._many(scope, receive, send, taken):
                    return
                receive = again(taken, receive)
        await self.app(scope, receive, send)

    def at_once(
        self, path: bytes, headers: Iterable[tuple[bytes, bytes]], client: tuple[str, int] | None
    ) -> bytes | None:
        """Return what answers a single check, behind the status line; None: it has to wait.

        For whoever holds the connection itself: with no task and no messages in between, a check
        costs half as much.

        Parameters
        ----------
        path : bytes
            The target of a GET, as it was sent, without parameters.
        headers : iterable of (name, value)
            Names in lower case.
        client : (host, port), optional
            Who asks.
        """
        if self._together is not None or not path.startswith(_PREFIX):
            return None
        started = time.perf_counter()
        head = Head(headers)
        asked = self._asked(path, head, client)
        if asked is None:
            return None
        content = self._told(self._decided_here(asked[0], asked[1:], head), started, head)
        return None if content is None else _ANSWER % (
            len(content), head.request_id.encode(), content,
        )  # fmt: skip

    async def _one(self, scope: Scope, path: bytes, send: Send) -> bool:
        """Answer a single check, or return False."""
        started = time.perf_counter()
        head = Head.of(scope)
        asked = self._asked(path, head, scope["client"])
        if asked is None:
            return False
        content = self._told(await self._decided(asked[0], asked[1:], head), started, head)
        if content is None:
            return False
        await _send(send, answers.json_headers(content) + head.marks(), content)
        return True

    def _asked(
        self, path: bytes, head: Head, client: tuple[str, int] | None
    ) -> tuple[str, str] | None:
        """Return the pair of a single check of a caller who is known, or None."""
        asked = _pair(path)
        return asked if asked is not None and self._passes(head, client) else None

    def _told(
        self, decided: pz.Answer[pz.Decision] | None, started: float, head: Head
    ) -> bytes | None:
        if decided is None:
            return None
        content = answers.one(decided)
        self._note("GET", ONE, started, head, decided)
        return content

    async def _many(self, scope: Scope, receive: Receive, send: Send, taken: list[Message]) -> bool:
        """Answer a check of many products, or return False with what was read in `taken`."""
        started = time.perf_counter()
        head = Head.of(scope)
        if (
            head.content_type not in _JSON
            or head.content_encoding is not None
            or not self._passes(head, scope["client"])
        ):
            return False
        raw = await _body(receive, taken, self._limit)
        if raw is None:
            return False
        try:
            body = CheckBody.model_validate_json(raw)
        except ValidationError:
            return False
        customer_id, product_ids = body.customer_id, body.product_ids
        if (
            body.as_of is not None
            or customer_id is None
            or product_ids is None
            or len(product_ids) > _FEW
        ):
            return False
        decided = await self._decided(customer_id, product_ids, head)
        if decided is None:
            return False
        content = answers.many(decided)
        await _send(send, answers.json_headers(content) + head.marks(), content)
        self._note("POST", MANY, started, head, decided)
        return True

    def _passes(self, head: Head, client: tuple[str, int] | None) -> bool:
        """Return whether a caller is known, and no page of another origin."""
        return head.origin is None and self._shop.gate.remembers(head, client, "decide")

    async def _decided(
        self, customer_id: str, product_ids: Sequence[str], head: Head
    ) -> pz.Answer[pz.Decision] | None:
        """Return the decisions, or None where the documented route has to say what is wrong."""
        if self._together is None:
            return self._decided_here(customer_id, product_ids, head)
        try:
            return await self._together.decide([(customer_id, each) for each in product_ids])
        except (pz.StoreError, pz.ArtifactError):
            return None

    def _decided_here(
        self, customer_id: str, product_ids: Sequence[str], head: Head
    ) -> pz.Answer[pz.Decision] | None:
        try:
            return self._shop.live.decide(customer_id, product_ids)
        except (pz.StoreError, pz.ArtifactError):
            return None
        except Exception as error:  # noqa: BLE001 - no error may leave without a problem
            log_failure(head.request_id, error)
            return None

    def _note(
        self,
        method: str,
        route: str,
        started: float,
        head: Head,
        decided: pz.Answer[pz.Decision],
    ) -> None:
        self._shop.metrics.decisions(decided)
        seconds = time.perf_counter() - started
        self._shop.metrics.request(method, route, 200, seconds)
        if self._logs:
            log_request(method, route, 200, seconds, head.request_id)


async def _send(send: Send, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _pair(path: bytes) -> tuple[str, str] | None:
    """Return the customer and the product of a single check, or None if it is not plainly one."""
    plain = _PLAIN.fullmatch(path)
    if plain is not None:  # nothing to decode, as nearly always
        return plain[1].decode(), plain[2].decode()
    customer, middle, product = path.removeprefix(_PREFIX).partition(_MIDDLE)
    if not middle or b"/" in customer or b"/" in product:
        return None
    customer_id, product_id = _decoded(customer), _decoded(product)
    return None if customer_id is None or product_id is None else (customer_id, product_id)


def _decoded(segment: bytes) -> str | None:
    """Return the id that a segment of a path is, or None if it is not plainly one."""
    if b"%" in segment:
        if _BAD_ESCAPE.search(segment):
            return None
        segment = unquote_to_bytes(segment)
    try:
        text = segment.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) <= MAX_ID_LENGTH and _ID.fullmatch(text) else None


async def _body(receive: Receive, taken: list[Message], limit: int) -> bytes | None:
    """Return a body of up to `limit` bytes, or None; every message read is put into `taken`."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        taken.append(message)
        if message["type"] != "http.request":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def again(taken: list[Message], receive: Receive) -> Receive:
    """Return a `receive` that begins with what was taken already."""
    rest = iter(taken)

    async def read() -> Message:
        for message in rest:
            return message
        return await receive()

    return read
