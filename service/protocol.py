"""HTTP/1.1 on a connection, within limits: uvicorn's own protocol, with an end to everything.

A head that is too large, garbled or slow, a body that does not come, an answer that nobody reads
or that takes too long: each ends with a problem where HTTP allows an answer, and always with a
closed connection. What this file refuses never reaches the application.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterable
from typing import Any, Final

import httptools
from pydantic_core import to_json
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from service.connections import NEVER, Connections
from service.headers import FIXED, Head, request_id_of
from service.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, document
from service.repeats import Known

MAX_PIPELINED: Final = 32
"""Requests that may wait behind the one that is being answered."""

_LINGER_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 0.5


AtOnce = Callable[
    [bytes, bytes | None, Head, "tuple[str, int] | None"], "tuple[bytes, bytes] | None"
]
"""Answers a GET of a path, or a POST where there is a body, of a client: headers, and a body.

None: it takes longer, or is for others to answer.
"""

_FRESH: Final = 0  # nothing has come yet
_IDLE: Final = 1  # between two requests
_HEAD: Final = 2
_BODY: Final = 3
_ANSWER: Final = 4  # the application has the request in full
_LINGER: Final = 5  # the last answer is written; what still comes is thrown away
_CLOSING: Final = 6  # closed on our side, perhaps with bytes that nobody reads


_TELLING: Final = frozenset({b"host", b"expect", b"transfer-encoding", b"content-length"})


class _Fault(enum.Enum):
    """Why a request is refused: reason, status, what is told."""

    MALFORMED = ("malformed", 400, "the request is no HTTP/1.1 as RFC 9112 has it")
    NO_HOST = ("malformed", 400, "a request has exactly one Host header")
    TIMED_OUT_HEAD = ("head_timeout", 408, "the head of the request did not come in time")
    TIMED_OUT_BODY = ("body_timeout", 408, "the body of the request did not come in time")
    LONG_TARGET = ("long_target", 414, "the address is too long; send ids of up to 255 characters")
    EXPECTATION = ("malformed", 417, "the only expectation that can be met is 100-continue")
    LARGE_HEAD = ("large_head", 431, "the head of the request has too many headers or bytes")
    TOO_MANY = ("", 503, "too many connections; try again later, or keep fewer open")
    LATE_ANSWER = (
        "answer_timeout",
        503,
        "the answer takes too long; a write may have been stored, repeating it does no harm",
    )
    PIPELINED = ("pipelined", 400, "too many requests without waiting for an answer")

    def __init__(self, reason: str, status: int, detail: str) -> None:
        self.reason = reason
        self.status = status
        self.detail = detail


class _RestOfBody:
    """What a parser calls that is to see nothing but a body."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete


class _Refusal(Exception):  # noqa: N818 - ends the parsing, is never seen outside
    """Stops the parser amid what it was given."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection; uvicorn makes one for each.

    Its limits and the other connections are in the state of the application's lifespan, under
    ``connections``.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all: Connections = app_state["connections"]
        self._limits = self._all.limits
        self._at_once: AtOnce = app_state["at_once"]
        self._n_at_once = 0
        self._is_answered = False
        self._known: dict[bytes, Known] = {}
        self._plain: Head | None = None  # of the last request that could come again
        self.deadline = NEVER
        self.write_deadline = NEVER
        self._phase: int = _FRESH
        self._fault: _Fault | None = None
        self._is_deaf = False
        self._is_stopping = False
        self._in_head = False
        self._in_body = False
        self._n_heads = 0
        self._n_hosts = 0
        self._framing: list[tuple[bytes, bytes]] = []  # the headers that say how long a body is
        self._n_received = 0
        self._first_bytes = 0  # of the piece in which the head began
        self._head_bytes = 0  # of the pieces since
        self._now = 0.0
        self._running: RequestResponseCycle | None = None

    # What the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the connection in, or prepare to refuse it."""
        super().connection_made(transport)
        self._now = self.loop.time()
        self.deadline = self._now + self._limits.head_seconds
        admitted = self._all.enter(self, self.loop)
        if admitted is None:
            transport.abort()
        elif not admitted:
            self._fault = _Fault.TOO_MANY
            self.deadline = self._now + _LINGER_SECONDS

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and let whoever works for it know."""
        self._all.leave(self)
        if self._is_answering():
            self._all.n_answering -= 1
        running, self._running = self._running, None
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        self._is_deaf = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless the last answer has been written."""
        if self._is_deaf:
            return
        if self._fault is not None:
            self._refuse(self._fault)
            return
        self._now = self.loop.time()
        is_between = self._phase == _IDLE or self._phase == _FRESH
        if is_between:
            if self._answers_again(data):
                return
            self._phase = _HEAD
            self.deadline = self._now + self._limits.head_seconds
        self._n_received = len(data)
        self._n_at_once = 0
        self._plain = None
        n_heads = self._n_heads
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._fault or _Fault.MALFORMED)
        else:
            if self._in_head and n_heads == self._n_heads:
                self._head_bytes += len(data)
                if self._head_bytes > self._limits.head_bytes:
                    self._refuse(_Fault.LARGE_HEAD)
            elif self._plain is not None and is_between and n_heads + 1 == self._n_heads:
                self._remember(data, self._plain)

    def pause_writing(self) -> None:
        """Begin to wait for the caller to read."""
        self.write_deadline = self.loop.time() + self._limits.write_seconds
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on: the caller has read."""
        self.write_deadline = NEVER
        super().resume_writing()

    # What the parser says

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = True
        self._n_heads += 1
        self._n_hosts = 0
        self._framing = []
        self._first_bytes, self._head_bytes = self._n_received, 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self.url += url
        if b"#" in url:  # what follows would be cut off in silence
            self._stop_parsing(_Fault.MALFORMED)
        if len(self.url) > self._limits.target_bytes:
            self._stop_parsing(_Fault.LONG_TARGET)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        name = name.lower()
        if name in _TELLING:
            self._note(name, value)
        self.headers.append((name, value))
        if len(self.headers) > self._limits.headers:
            self._stop_parsing(_Fault.LARGE_HEAD)

    def _note(self, name: bytes, value: bytes) -> None:
        """Remember a header that says how the request is to be read."""
        if name == b"host":
            self._n_hosts += 1
        elif name == b"expect":
            if value.lower() != b"100-continue":
                self._stop_parsing(_Fault.EXPECTATION)
            self.expect_100_continue = True
        else:
            is_chunked = name == b"transfer-encoding"
            if is_chunked and (value.lower() != b"chunked" or self._is_old()):
                self._stop_parsing(_Fault.MALFORMED)
            self._framing.append((name, value))

    def _is_old(self) -> bool:
        return bool(self.parser.get_http_version() == "1.0")

    def on_headers_complete(self) -> None:
        """Hand the request to the application, or queue it behind the one before."""
        at_most = self._first_bytes + self._head_bytes + self._n_received
        if at_most > self._limits.head_bytes:
            n_bytes = len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers)
            if n_bytes > self._limits.head_bytes:
                self._stop_parsing(_Fault.LARGE_HEAD)
        if self._n_hosts != 1 and (self._n_hosts or not self._is_old()):
            self._stop_parsing(_Fault.NO_HOST)
        if self._answer_at_once():
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop_parsing(_Fault.PIPELINED)
        self._hand_over()
        self._in_head, self._in_body = False, True
        # A body that was asked for by 100-continue may never come; what follows an offer to
        # upgrade may be of another protocol.
        if self.expect_100_continue or self.parser.should_upgrade() or self._is_leaving():
            self.cycle.keep_alive = False
        if not self.pipeline:
            self._all.n_answering += 1
            self._run(self.cycle, self._now)

    def _hand_over(self) -> None:
        """Make what the application is told of the request; uvicorn does so before it has it."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.headers.extend(headers)  # the list is the scope's own
        self.url, self.expect_100_continue = url, expects
        super().on_headers_complete()

    def _answer_at_once(self) -> bool:
        """Answer a request that needs no waiting, past the application; return whether it was one.

        Nothing may be under way on the connection, and as many in a row as may wait: then others
        get their turn.
        """
        parser = self.parser
        is_get, framing = parser.get_method() == b"GET", [name for name, _ in self._framing]
        if (
            self.expect_100_continue
            or not parser.should_keep_alive()
            or parser.should_upgrade()
            or framing != ([] if is_get else [b"content-length"])
        ):
            return False
        self._plain = Head(self.headers)
        if (
            self._n_at_once >= MAX_PIPELINED
            or not is_get
            or b"?" in self.url
            or not self._is_free()
            or not self._wrote_at_once(self.url, None, self._plain)
        ):
            return False
        self._n_at_once += 1
        self._is_answered = True
        return True

    def _answers_again(self, data: bytes) -> bool:
        """Answer a whole request with a head that was parsed before; return whether it was one."""
        known = self._known.get(data[:4])
        if known is None or not self._is_free():
            return False
        asked = known.again(data)
        if (
            asked is None
            or len(asked.path) > self._limits.target_bytes
            or len(data) - len(asked.body or b"") > self._limits.head_bytes
        ):
            return False
        known.head.comes_again()
        if not self._wrote_at_once(asked.path, asked.body, known.head):
            return False
        self._rest(self._now)
        return True

    def _remember(self, data: bytes, head: Head) -> None:
        """Know a head again that was parsed, of a request that came in one piece."""
        known = Known.of(data, head)
        if known is not None:
            self._known[data[:4]] = known

    def _is_free(self) -> bool:
        """Return whether an answer may be written past everything else."""
        return not (self._is_answering() or self._is_leaving() or self.flow.write_paused)

    def _wrote_at_once(self, path: bytes, body: bytes | None, head: Head) -> bool:
        answer = self._at_once(path, body, head, self.client)
        if answer is None:
            return False
        begun = self._all.begun(self.server_state.default_headers)
        self.transport.write(b"".join((begun, *answer)))
        self.server_state.total_requests += 1
        return True

    def on_message_complete(self) -> None:
        """Know that the request has come in full."""
        if self._is_answered:
            self._is_answered = self._in_head = False
            self._rest(self._now)
            return
        if self.parser.should_upgrade() and self._framing:
            return  # the parser leaves the body of an upgrade to others: to `_decline_upgrade`
        self._in_body = False
        super().on_message_complete()
        if self._phase == _BODY:
            if self._running is None:  # it was answered before it had come in full
                self._rest(self._now)
            else:
                self._phase = _ANSWER
                self.deadline = self._now + self._limits.answer_seconds

    def _decline_upgrade(self, rest: bytes) -> None:
        """Go on with HTTP/1.1 (RFC 9110, 7.8): read the body, for which the parser has no mind.

        Java's own client offers to upgrade with the first request to each server.
        """
        if not self._framing:
            self._is_deaf = True
            return
        self.parser = httptools.HttpRequestParser(_RestOfBody(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        framing = b"".join(name + b": " + value + b"\r\n" for name, value in self._framing)
        self._framing = []
        self.parser.feed_data(b"PUT / HTTP/1.1\r\nConnection: close\r\n" + framing + b"\r\n")
        if self._in_body:
            self.data_received(rest)

    # What the application has done

    def on_response_complete(self) -> None:
        """Turn to the next request of the connection, or wait for one."""
        self.server_state.total_requests += 1
        self._running = None
        now = self.loop.time()
        if self.transport.is_closing():
            self._all.n_answering -= 1
            self._phase, self.deadline = _CLOSING, now + self._limits.write_seconds
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._run(cycle, now)
            self._start_asgi_task(cycle, app)
            return
        self._all.n_answering -= 1
        self.flow.resume_reading()
        if not self._in_body:
            self._rest(now)

    def _run(self, cycle: RequestResponseCycle, now: float) -> None:
        self._running = cycle
        if cycle is self.cycle and self._in_body:
            self._phase, self.deadline = _BODY, now + self._limits.body_seconds
        else:
            self._phase, self.deadline = _ANSWER, now + self._limits.answer_seconds

    def _rest(self, now: float) -> None:
        """Wait for a request, or for the rest of its head."""
        if self._in_head:
            self._phase, self.deadline = _HEAD, now + self._limits.head_seconds
        else:
            self._phase, self.deadline = _IDLE, now + self._limits.keep_alive_seconds

    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    # Ends

    def expire(self, now: float) -> None:
        """End what has taken too long."""
        if self.transport.is_closing():
            if self._phase == _CLOSING:
                self.transport.abort()
            else:
                self._phase, self.deadline = _CLOSING, now + self._limits.write_seconds
        elif now >= self.write_deadline:
            self._all.count("write_timeout")
            self.transport.abort()
        elif self._phase == _HEAD:
            self._refuse(_Fault.TIMED_OUT_HEAD)
        elif self._phase == _BODY:
            self._refuse(_Fault.TIMED_OUT_BODY)
        elif self._phase == _ANSWER and self.write_deadline < NEVER:
            self.deadline = self.write_deadline  # the answer has begun: it waits for its reader
        elif self._phase == _ANSWER:
            self._refuse(_Fault.LATE_ANSWER)
        else:
            self._close(now)

    def shutdown(self) -> None:
        """Let this be the connection's last request; an idle connection waits for one a moment."""
        self._is_stopping = True
        if self._is_answering():
            self.cycle.keep_alive = False
        elif self._phase == _LINGER:
            self.transport.close()
        else:
            self.loop.call_later(_STOP_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        if self._phase == _IDLE or self._phase == _FRESH:
            self._close(self.loop.time())

    def _close(self, now: float) -> None:
        self._is_deaf = True
        self._phase, self.deadline = _CLOSING, now + _LINGER_SECONDS
        self.transport.close()

    def _is_leaving(self) -> bool:
        return self._is_stopping or self._all.is_draining

    def _stop_parsing(self, fault: _Fault) -> None:
        self._fault = fault
        raise _Refusal

    def _refuse(self, fault: _Fault) -> None:
        """Answer with a problem if nothing else is being answered, and read no more."""
        self._is_deaf = True
        if fault.reason:
            self._all.count(fault.reason)
        now = self.loop.time()
        cycle = self._running
        if cycle is None or cycle.response_complete:
            if not self._in_body:  # else the request that is coming in has had its answer
                self._write(fault, self.headers or [])
            self._linger(now)
            return
        of_running = fault is _Fault.LATE_ANSWER or (self._in_body and not self.pipeline)
        if not of_running:  # requests before this one are answered still, and nothing after them
            if self._in_body:
                self.pipeline.popleft()
            last = self.pipeline[0][0] if self.pipeline else cycle
            last.keep_alive = False
            return
        cycle.disconnected = True
        cycle.message_event.set()
        self.pipeline.clear()
        self._running = None
        self._all.n_answering -= 1
        if cycle.response_started:
            self.transport.abort()
            return
        self._write(fault, cycle.scope["headers"], cycle.scope["state"].get("request_id"))
        self._linger(now)

    def _linger(self, now: float) -> None:
        """Say that nothing more will come, and let the caller read that before the end."""
        self._phase, self.deadline = _LINGER, now + _LINGER_SECONDS
        self.flow.resume_reading()
        if self._is_stopping or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.transport.write_eof()

    def _write(
        self, fault: _Fault, headers: Iterable[tuple[bytes, bytes]], request_id: str | None = None
    ) -> None:
        request_id = request_id or request_id_of(headers)
        problem = document(fault.status, fault.detail)
        body = to_json({**problem, "request_id": request_id})
        head = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-request-id", request_id.encode()),
            *FIXED,
            (b"connection", b"close"),
        ]
        if fault.status == 503:
            head.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
        lines = [name + b": " + value + b"\r\n" for name, value in head]
        self.transport.write(b"".join([STATUS_LINE[fault.status], *lines, b"\r\n", body]))
