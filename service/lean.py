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
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import personalize as pz
from service import answers
from service.edge import log_request
from service.headers import FIXED, Head
from service.problems import log_failure
from service.schemas import BAD_ESCAPE, ID_PATTERN, MAX_ID_LENGTH
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
_HEAD: Final = b"".join(
    [
        *(name + b": " + value + b"\r\n" for name, value in answers.json_headers(b"")[:1]),
        b"content-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n",
        *(name + b": " + value.replace(b"%", b"%%") + b"\r\n" for name, value in FIXED),
        b"\r\n",
    ]
)
"""The same headers as everywhere, in the same order, on the wire."""
_PLAIN_FIELDS: Final = frozenset({"customer_id", "product_ids"})
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What no id holds."""
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
            is_many = method == "POST" and path == _MANY
            if is_many or (method == "GET" and path.startswith(_PREFIX)):
                taken: list[Message] = []
                if await self._answer(scope, path, receive, send, taken):
                    return
                if taken:
                    receive = again(taken, receive)
        await self.app(scope, receive, send)

    def at_once(
        self, path: bytes, body: bytes | None, head: Head, client: tuple[str, int] | None
    ) -> tuple[bytes, bytes] | None:
        """Return what answers a plain check: headers and body; None: it has to wait.

        For whoever holds the connection itself: with no task and no messages in between, a check
        costs half as much.

        Parameters
        ----------
        path : bytes
            The target, as it was sent, without parameters.
        body : bytes, optional
            Of a POST; None: a GET.
        head : Head
        client : (host, port), optional
            Who asks.
        """
        if self._together is not None:
            return None
        started = time.perf_counter()
        asked = None
        if body is None:
            if path.startswith(_PREFIX):
                asked = _one(path)
        elif path == _MANY and len(body) <= self._limit and _takes(head):
            asked = _many(body)
        if asked is None or not self._passes(head, client):
            return None
        try:
            content = self._told(asked, self._touched(asked), started, head)
        except Exception as error:  # noqa: BLE001 - no error may leave without a problem
            log_failure(head.request_id, error)
            return None
        if content is None:
            return None
        return _HEAD % (len(content), head.request_id.encode()), content

    async def _answer(
        self, scope: Scope, path: bytes, receive: Receive, send: Send, taken: list[Message]
    ) -> bool:
        """Answer a plain check, or return False with what was read in `taken`."""
        started = time.perf_counter()
        head = Head.of(scope)
        if not self._passes(head, scope["client"]):
            return False
        if path == _MANY:
            if not _takes(head):
                return False
            raw = await _body(receive, taken, self._limit)
            asked = None if raw is None else _many(raw)
        else:
            asked = _one(path)
        if asked is None:
            return False
        try:
            content = self._told(asked, await self._decided(asked), started, head)
        except Exception as error:  # noqa: BLE001 - no error may leave without a problem
            log_failure(head.request_id, error)
            return False
        if content is None:
            return False
        headers = answers.json_headers(content) + head.marks()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        return True

    def _passes(self, head: Head, client: tuple[str, int] | None) -> bool:
        """Return whether a caller is known, and no page of another origin."""
        return head.origin is None and self._shop.gate.remembers(head, client, "decide")

    async def _decided(self, asked: _Asked) -> pz.Answer[pz.Decision] | None:
        """Return decisions, or None where the documented route has to say what is wrong."""
        if self._together is None:
            return self._touched(asked)
        try:
            return await self._together.decide(
                [(asked.customer_id, product_id) for product_id in asked.product_ids]
            )
        except (pz.StoreError, pz.ArtifactError):
            return None

    def _touched(self, asked: _Asked) -> pz.Answer[pz.Decision] | None:
        """Return the same without those of products that may be shown as a matter of course."""
        try:
            return self._shop.live.touched(asked.customer_id, asked.product_ids)
        except (pz.StoreError, pz.ArtifactError):
            return None

    def _told(
        self,
        asked: _Asked,
        decided: pz.Answer[pz.Decision] | None,
        started: float,
        head: Head,
    ) -> bytes | None:
        """Return the JSON text that tells decisions, and note that it was told."""
        if decided is None:
            return None
        if asked.is_single:
            method, route = "GET", ONE
            content = answers.check_one(asked.customer_id, asked.product_ids[0], decided)
        else:
            method, route = "POST", MANY
            content = answers.check(asked.customer_id, asked.product_ids, decided)
        metrics = self._shop.metrics
        metrics.decisions(decided, len(asked.product_ids))
        seconds = time.perf_counter() - started
        metrics.request(method, route, 200, seconds)
        if self._logs:
            log_request(method, route, 200, seconds, head.request_id)
        return content


class _Asked(NamedTuple):
    """A plain check."""

    customer_id: str
    product_ids: Sequence[str]
    is_single: bool


def _takes(head: Head) -> bool:
    """Return whether a body is plain JSON."""
    return head.content_type in _JSON and head.content_encoding is None


def _many(body: bytes) -> _Asked | None:
    """Return a check of some products of one customer, or None if it is not plainly one."""
    try:
        asked = from_json(body, cache_strings="keys")
    except ValueError:
        return None
    if type(asked) is not dict or asked.keys() != _PLAIN_FIELDS:
        return None
    customer_id, product_ids = asked["customer_id"], asked["product_ids"]
    if type(customer_id) is not str or type(product_ids) is not list:
        return None
    if not 0 < len(product_ids) <= _FEW or not _are_ids([customer_id, *product_ids]):
        return None
    return _Asked(customer_id, product_ids, is_single=False)


def _are_ids(given: list[object]) -> bool:
    """Return whether all are ids, as `service.schemas` has them: looked at as one text."""
    try:
        joined = "".join(given)  # type: ignore[arg-type] # what is no text raises
    except TypeError:
        return False
    return (
        (joined.isprintable() or _CONTROLS.search(joined) is None)
        and all(given)
        and (len(joined) <= MAX_ID_LENGTH or max(map(len, given)) <= MAX_ID_LENGTH)  # type: ignore[arg-type]
    )


def _one(path: bytes) -> _Asked | None:
    """Return a single check, or None if a path is not plainly one."""
    plain = _PLAIN.fullmatch(path)
    if plain is not None:  # nothing to decode, as nearly always
        return _Asked(plain[1].decode(), (plain[2].decode(),), is_single=True)
    customer, middle, product = path.removeprefix(_PREFIX).partition(_MIDDLE)
    if not middle or b"/" in customer or b"/" in product:
        return None
    customer_id, product_id = _decoded(customer), _decoded(product)
    if customer_id is None or product_id is None:
        return None
    return _Asked(customer_id, (product_id,), is_single=True)


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
