"""What comes over the wire: limits of heads, bodies, times and connections, by raw sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from service_shop import Client
from wire import Wire, listening, rest_of, statuses

from service import Settings
from service.connections import SURPLUS, Connections, Limits
from service.headers import Head
from service.protocol import MAX_PIPELINED, GuardedProtocol

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
PUT = b"PUT / HTTP/1.1\r\n" + HOST
LAST = b"Connection: close\r\n\r\n"
NEXT = b"\r\n"
UPGRADE = b"Upgrade: h2c\r\nConnection: Upgrade\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Echo:
    """Answers with the body that came, once it may."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.disconnected = threading.Event()
        self.asked = threading.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.size = 0

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Any) -> None:
        """Answer."""
        self.asked.set()
        body = b""
        while not scope["path"].startswith("/early"):
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await self.may_answer.wait()
        content = b"x" * self.size + body
        head = [(b"content-length", b"%d" % (2 * len(content) if self.size else len(content)))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": content, "more_body": bool(self.size)})
        if self.size:
            if scope["path"] == "/broken":
                return
            if scope["path"] == "/stuck":
                await asyncio.sleep(60)
            await send({"type": "http.response.body", "body": content})


@pytest.fixture
def echo() -> Echo:
    """Return an application of this test alone."""
    return Echo()


SIZES = {
    "max_connections": 3, "max_head_bytes": 2048, "max_target_bytes": 256, "max_headers": 10,
}  # fmt: skip
TIMES = ("head", "body", "answer", "write", "keep_alive")


@pytest.fixture
def wire(echo: Echo) -> Iterator[Wire]:
    """Return a server of the application, with sizes that a test can reach."""
    with listening(echo, **SIZES) as served:
        yield served


@pytest.fixture
def hasty(echo: Echo) -> Iterator[Wire]:
    """Return a server that waits for nobody."""
    with listening(echo, **{f"{name}_seconds": 0.4 for name in TIMES}) as served:
        yield served


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something, ten seconds at most."""
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def problem(answer: bytes) -> dict[str, Any]:
    """Return the one problem that an answer is, its headers checked."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    told = dict(line.split(": ", 1) for line in lines[1:])
    assert told["content-type"] == "application/problem+json"
    assert told["connection"] == "close"
    assert told["content-length"] == str(len(body))
    assert told["x-content-type-options"] == "nosniff"
    found = dict(json.loads(body))
    assert found["status"] == statuses(answer)[0]
    assert found["request_id"] == told["x-request-id"]
    assert (found["status"] == 503) == ("retry-after" in told)
    return found


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/3.1\r\n" + HOST + NEXT, 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n" + HOST + NEXT, 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + NEXT, 400),
        (b"GET /a#b HTTP/1.1\r\n" + HOST + NEXT, 400),
        (b"GET v1 HTTP/1.1\r\n" + HOST + NEXT, 400),
        (b"CONNECT a:443 HTTP/1.1\r\n" + HOST + NEXT, 400),
        (b"BREW / HTTP/1.1\r\n" + HOST + NEXT, 400),
        (GET + b"X: a\x00b\r\n\r\n", 400),
        (GET + b"X: a\rb\r\n\r\n", 400),
        (GET + b"X: a\r\n b\r\n\r\n", 400),
        (GET + b"X\xff: a\r\n\r\n", 400),
        (GET.replace(b"\r\n", b"\n") + b"\n", 400),
        (PUT + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400),
        (PUT + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n", 400),
        (PUT + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (PUT + b"Content-Length: +2\r\n\r\n{}", 400),
        (PUT + b"Content-Length: 99999999999999999999999\r\n\r\n{}", 400),
        (PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (PUT + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (PUT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PUT / HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400),
        (PUT + CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        (PUT + CHUNKED + b"\r\n2\n{}\n0\n\n", 400),
        (PUT + CHUNKED + b"\r\nffffffffffffffffff\r\n{}", 400),
        (PUT + UPGRADE + CHUNKED + b"\r\nzz\r\n", 400),
        (GET + b"Expect: 200-maybe\r\n\r\n", 417),
        (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n" + HOST + NEXT, 414),
        (b"GET /" + b"a" * 1_000_000, 414),
        (GET + b"X: a\r\n" * 20 + NEXT, 431),
        (GET + b"X: a\r\n" * 100_000, 431),
        (GET + b"X: " + b"a" * 3000 + b"\r\n\r\n", 431),
        (GET + b"X: " + b"a" * 1_000_000, 431),
    ],
)  # fmt: skip
def test_bad_heads_are_refused_once(wire: Wire, echo: Echo, raw: bytes, status: int) -> None:
    """Whatever is no request of HTTP/1.1, or too large, is one problem and a closed connection."""
    answer = wire.ask(raw)
    assert statuses(answer) == [status]
    assert problem(answer)["detail"]
    assert len(wire.counted) == 1
    assert echo.bodies == []


@pytest.mark.parametrize(
    "raw",
    [
        (GET + LAST,),
        (b"GET / HTTP/1.0\r\n\r\n",),
        (b"GET http://localhost/ HTTP/1.1\r\n" + HOST + LAST,),
        (GET + b"X: \xff\xe9\r\n" + LAST,),
        (GET + UPGRADE + NEXT,),
        (GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nwhatever",),
        (GET + b"X: " + b"a" * 1000 + b"\r\n", b"Y: " + b"a" * 900 + b"\r\n" + LAST),
    ],
)
def test_odd_heads_are_answered(wire: Wire, raw: tuple[bytes, ...]) -> None:
    """Old, absolute, half-known and upgrading requests are answered as HTTP/1.1 has it."""
    answer = wire.ask(*raw)
    assert statuses(answer) == [200]
    assert b"connection: close" in answer
    assert wire.counted == []


@pytest.mark.parametrize(
    "raw",
    [
        (PUT + b"Content-Length: 4\r\n" + LAST + b"body",),
        (PUT + b"Content-Length: 4\r\n" + LAST, b"bo", b"dy"),
        (PUT + CHUNKED + LAST + b"4;a=b\r\nbody\r\n0\r\n\r\n",),
        (PUT + UPGRADE + b"Content-Length: 4\r\n\r\nbody",),
        (PUT + UPGRADE + b"Content-Length: 4\r\n\r\nbo", b"dyGARBAGE"),
        (PUT + UPGRADE + CHUNKED + b"\r\n", b"4\r\nbody\r\n", b"0\r\n\r\n"),
    ],
)
def test_bodies_come_whole(wire: Wire, echo: Echo, raw: tuple[bytes, ...]) -> None:
    """In pieces, in chunks, and behind an offer to upgrade: the application has the body."""
    answer = wire.ask(*raw)
    assert statuses(answer) == [200]
    assert answer.endswith(b"\r\n\r\nbody")
    assert echo.bodies == [b"body"]


def test_body_of_an_upgrade_may_be_empty(wire: Wire, echo: Echo) -> None:
    """An offer to upgrade with a body of no bytes is answered at once."""
    assert statuses(wire.ask(PUT + UPGRADE + b"Content-Length: 0\r\n\r\n")) == [200]
    assert echo.bodies == [b""]


def test_expectation_is_met(wire: Wire) -> None:
    """100-continue is sent when the body is wanted; the connection is not used again."""
    answer = wire.ask(PUT + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", b"body")
    assert statuses(answer) == [100, 200]
    assert b"connection: close" in answer


def test_expected_body_that_is_not_wanted_is_no_next_request(wire: Wire) -> None:
    """An answer without 100-continue ends the connection: what follows may be body or request."""
    raw = b"PUT /early HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    answer = wire.ask(raw, GET + NEXT)
    assert statuses(answer) == [200]


def test_requests_in_a_row_are_answered_in_their_order(wire: Wire, echo: Echo) -> None:
    """Pipelined requests, also with bodies in pieces, are each answered, one after another."""
    put = PUT + b"Content-Length: 3\r\n\r\n"
    answer = wire.ask(put + b"one" + put + b"two" + put + b"th", b"r" + GET + LAST)
    assert statuses(answer) == [200] * 4
    assert echo.bodies == [b"one", b"two", b"thr", b""]


def test_pipeline_is_bounded(wire: Wire, echo: Echo) -> None:
    """So many requests are taken without waiting for an answer; the rest gets none."""
    answer = wire.ask((GET + NEXT) * 200)
    assert statuses(answer) == [200] * (MAX_PIPELINED + 1)
    assert wire.counted == ["pipelined"]


@pytest.mark.parametrize("bad", [b"nonsense\r\n\r\n", PUT + CHUNKED + b"\r\nzz\r\n"])
@pytest.mark.parametrize("n_good", [1, 3])
def test_garbage_behind_good_requests(wire: Wire, echo: Echo, bad: bytes, n_good: int) -> None:
    """Requests before a garbled one are answered; the garbled one never answers in their place."""
    answer = wire.ask((GET + NEXT) * n_good + bad)
    assert statuses(answer) == [200] * n_good
    assert len(echo.bodies) == n_good
    assert wire.counted == ["malformed"]


def test_garbage_in_a_body_that_was_answered(wire: Wire) -> None:
    """A request that has had its answer gets no second one."""
    answer = wire.ask(b"PUT /early HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n", b"zz\r\n")
    assert statuses(answer) == [200]
    assert wire.counted == ["malformed"]


def test_early_answer_goes_on_after_the_body(wire: Wire) -> None:
    """What is left of a body that nobody wanted is skipped; the connection goes on."""
    raw = b"PUT /early HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\n"
    assert statuses(wire.ask(raw + b"one", b"two", GET + LAST)) == [200, 200]


def test_large_body_is_no_head(wire: Wire, echo: Echo) -> None:
    """What is read along with a body does not count for the head behind it."""
    raw = PUT + b"Content-Length: 5000\r\n\r\n" + b"b" * 5000 + GET
    assert statuses(wire.ask(raw, b"X: 1\r\n", LAST)) == [200, 200]


def test_head_in_pieces_is_measured_as_a_whole(wire: Wire) -> None:
    """Many small pieces make a head that is too large, whether it ends or not."""
    pieces = [b"X%d: " % n + b"a" * 500 + b"\r\n" for n in range(5)]
    assert statuses(wire.ask(GET, *pieces, NEXT)) == [431]
    assert statuses(wire.ask(GET, *pieces[:4], b"Y: " + b"a" * 300 + b"\r\n\r\n")) == [431]


def test_slow_head(hasty: Wire) -> None:
    """A head that does not end is a 408, however its bytes drip."""
    with hasty.open() as sock:
        sock.sendall(GET)
        answer = b""
        sock.settimeout(0.1)
        while not answer:
            try:
                answer = sock.recv(65536)
            except TimeoutError:
                sock.sendall(b"X: 1\r\n")
        sock.settimeout(10)
        answer += rest_of(sock)
    assert problem(answer)["detail"] == "the head of the request did not come in time"
    assert hasty.counted == ["head_timeout"]


def test_slow_second_head(hasty: Wire) -> None:
    """Half a head behind an answered request has its time too."""
    answer = hasty.ask(GET + NEXT + b"GET /")
    assert statuses(answer) == [200, 408]


@pytest.mark.parametrize("raw", [b"", GET + NEXT])
def test_idle_connections_are_closed(hasty: Wire, raw: bytes) -> None:
    """A connection on which nothing comes is closed without a word."""
    assert statuses(hasty.ask(raw)) == [200] * bool(raw)
    assert hasty.counted == []


def test_slow_body(hasty: Wire, echo: Echo) -> None:
    """A body that does not come is a 408 with the caller's request id; the application knows."""
    answer = hasty.ask(PUT + b"X-Request-Id: mine\r\nContent-Length: 9\r\n\r\nbody")
    assert problem(answer)["detail"] == "the body of the request did not come in time"
    assert problem(answer)["request_id"] == "mine"
    assert hasty.counted == ["body_timeout"]
    assert echo.disconnected.wait(10)
    until(lambda: hasty.connections.n_answering == 0)


def test_late_answer(hasty: Wire, echo: Echo) -> None:
    """An answer that does not come is a 503; what the application does goes on."""
    hasty.call(echo.may_answer.clear)
    answer = hasty.ask(GET + NEXT + GET + NEXT)
    assert "takes too long" in problem(answer)["detail"]
    assert hasty.counted == ["answer_timeout"]
    assert hasty.connections.n_answering == 0
    assert len(hasty.state.tasks) == 1
    hasty.call(echo.may_answer.set)
    until(lambda: not hasty.state.tasks)


def test_answer_that_stops_amid(hasty: Wire, echo: Echo) -> None:
    """An answer that has begun and does not go on is cut off: no problem can be put into it."""
    echo.size = 10
    answer = hasty.ask(b"GET /stuck HTTP/1.1\r\n" + HOST + NEXT)
    assert statuses(answer) == [200]
    assert answer.endswith(b"\r\n\r\n" + b"x" * 10)
    assert hasty.counted == ["answer_timeout"]


def test_caller_that_does_not_read(hasty: Wire, echo: Echo) -> None:
    """An answer that nobody reads is cut, and its memory is free again."""
    echo.size = 10_000_000
    with hasty.open() as sock:
        sock.sendall(GET + NEXT)
        until(lambda: "write_timeout" in hasty.counted)
    until(lambda: len(hasty.connections) == 0)


def test_caller_that_reads_slowly_enough(wire: Wire, echo: Echo) -> None:
    """A large answer that is read comes whole."""
    echo.size = 5_000_000
    assert len(wire.ask(GET + LAST)) > 10_000_000
    assert wire.counted == []


def test_closed_connection_that_is_not_read(hasty: Wire, echo: Echo) -> None:
    """The last answer of a connection does not wait for its reader without end."""
    echo.size = 3_000_000
    with hasty.open() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(GET + LAST)
        until(lambda: bool(hasty.connections))
        until(lambda: len(hasty.connections) == 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_broken_answer_that_is_not_read(hasty: Wire, echo: Echo) -> None:
    """An application that breaks off leaves no connection behind, read or not."""
    echo.size = 10_000_000
    with hasty.open() as sock:
        sock.sendall(b"GET /broken HTTP/1.1\r\n" + HOST + NEXT)
        until(lambda: hasty.connections.n_answering == 1)
        until(lambda: len(hasty.connections) == 0)
    until(lambda: hasty.connections.n_answering == 0)


def test_too_many_connections(wire: Wire, echo: Echo) -> None:
    """Over the limit a 503 is the answer, further over it there is none; then all is well again."""
    kept = [wire.open() for _ in range(3)]
    until(lambda: len(wire.connections) == 3)
    answer = wire.ask(GET + NEXT)
    assert "too many connections" in problem(answer)["detail"]
    more = [wire.open() for _ in range(SURPLUS + 5)]
    until(lambda: wire.counted.count("too_many") == SURPLUS + 6)
    assert len(wire.connections) <= 3 + SURPLUS
    for sock in [*kept, *more]:
        sock.close()
    until(lambda: len(wire.connections) == 0)
    assert statuses(wire.ask(GET + LAST)) == [200]


def test_refused_connection_that_says_nothing_is_closed(wire: Wire) -> None:
    """A connection over the limit is not kept waiting for its first word."""
    kept = [wire.open() for _ in range(3)]
    until(lambda: len(wire.connections) == 3)
    with wire.open() as sock:
        assert rest_of(sock) == b""
    for sock in kept:
        sock.close()


def test_caller_that_leaves_amid_its_request(wire: Wire, echo: Echo) -> None:
    """A connection that ends is told to the application and forgotten."""
    with wire.open() as sock:
        sock.sendall(GET + NEXT + PUT + b"Content-Length: 9\r\n\r\nbo")
        until(lambda: wire.connections.n_answering == 1)
    assert echo.disconnected.wait(10)
    until(lambda: len(wire.connections) == 0 and wire.connections.n_answering == 0)


def test_last_requests_of_a_stop_are_answered(wire: Wire, echo: Echo) -> None:
    """At a stop each connection answers what it has, says that it closes, and closes."""
    idle, busy, silent = wire.open(), wire.open(), wire.open()
    idle.sendall(GET + NEXT)
    assert idle.recv(1000)
    wire.call(echo.may_answer.clear)
    echo.asked.clear()
    busy.sendall(GET + NEXT)
    assert echo.asked.wait(10)
    until(lambda: len(wire.connections) == 3)

    def stop() -> None:
        for connection in list(wire.state.connections):
            connection.shutdown()

    wire.call(stop)
    idle.sendall(GET + NEXT)
    wire.call(echo.may_answer.set)
    for sock in (idle, busy):
        answer = rest_of(sock)
        assert statuses(answer) == [200]
        assert b"connection: close" in answer
    assert rest_of(silent) == b""
    for sock in (idle, busy, silent):
        sock.close()


def test_stop_closes_what_idles(echo: Echo) -> None:
    """Connections without a request are closed soon; one amid its head may finish."""
    with listening(echo) as wire, wire.open() as silent, wire.open() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        until(lambda: len(wire.connections) == 2)
        time.sleep(0.05)

        def stop() -> None:
            for connection in list(wire.state.connections):
                connection.shutdown()

        wire.call(stop)
        assert rest_of(silent) == b""
        slow.sendall(HOST + NEXT)
        assert b"connection: close" in rest_of(slow)


def test_stop_does_not_wait_for_the_refused(wire: Wire) -> None:
    """A connection whose last answer is written is closed at once by a stop."""
    with wire.open() as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert statuses(sock.recv(1000)) == [400]
        (protocol,) = wire.state.connections
        assert isinstance(protocol, GuardedProtocol)
        wire.call(protocol.shutdown)
        until(lambda: len(wire.connections) == 0)


def test_refused_during_a_stop(wire: Wire) -> None:
    """What is garbled during a stop is answered, and nothing lingers."""
    with wire.open() as sock:
        sock.sendall(b"GET")
        until(lambda: len(wire.connections) == 1)
        (protocol,) = wire.state.connections
        wire.call(protocol.shutdown)
        sock.sendall(b"TING\r\n\r\n")
        assert statuses(rest_of(sock)) == [400]


def test_draining_says_so_on_every_connection(wire: Wire) -> None:
    """While the service drains, answers are the last ones of their connections."""
    wire.connections.is_draining = True
    answer = wire.ask(GET + NEXT)
    assert statuses(answer) == [200]
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/v1/orders/%00", 422), (b"/v1/orders/%", 422), (b"/v1/orders/%zz", 422),
        (b"/v1/customers/%zz/suppressions/p", 422), (b"/v1/customers/c/suppressions/a%", 422),
        (b"/v1/orders/%c0%af", 422), (b"/v1/orders/%ed%a0%80", 422),
        (b"/v1/orders/../policy", 404), (b"/v1/orders/%2e%2e", 404), (b"//v1//policy", 404),
        (b"//evil.example/v1/policy", 404), (b"/v1/policy/", 404), (b"/v1%2fpolicy", 404),
        (b"/v1\\policy", 404), (b"/v1/orders/" + b"a" * 256, 422), (b"*", 404),
    ],
)  # fmt: skip
def test_tricks_of_paths(client: Client, target: bytes, status: int) -> None:
    """No detour of a path leads anywhere: what is no address or no id is a 4xx problem."""
    assert client.get("/v1/customers/c/suppressions/p").status_code == 200
    with listening(client.app) as wire:
        method = b"OPTIONS " if target == b"*" else b"GET "
        answer = wire.ask(method + target + b" HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n" + LAST)
    assert statuses(answer) == [status]
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert found["status"] == status
    assert re.search(rb"content-type: application/problem\+json", answer)


def instant(path: bytes, body: bytes | None, head: Head, client: Any) -> Any:
    """Answer what begins with /now, with path and body; leave the rest to the application."""
    if not path.startswith(b"/now"):
        return None
    assert client is not None
    assert head.host == b"localhost"
    told = path + (body or b"")
    mark = head.request_id.encode()
    return b"content-length: %d\r\nx-request-id: %b\r\n\r\n" % (len(told), mark), told


@pytest.fixture
def quick(echo: Echo) -> Iterator[Wire]:
    """Return a server that answers some addresses at once."""
    with listening(echo, at_once=instant, keep_alive_seconds=0.4, body_seconds=0.4) as served:
        yield served


def now(path: bytes, more: bytes = b"") -> bytes:
    """Return a request of a path that is answered at once."""
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + more + NEXT


def test_answers_at_once_keep_their_order(quick: Wire, echo: Echo) -> None:
    """At once or by the application, in one piece or in many: answers come in order, each once."""
    last = GET.replace(b"/", b"/last", 1) + LAST
    answer = quick.ask(
        now(b"/now-1") + now(b"/now-2"), now(b"/now-3")[:20], now(b"/now-3")[20:], last
    )
    assert statuses(answer) == [200] * 4
    assert re.findall(rb"/now-\d", answer) == [b"/now-1", b"/now-2", b"/now-3"]
    assert len(echo.bodies) == 1


def test_nothing_overtakes_an_answer(quick: Wire, echo: Echo) -> None:
    """Behind a request that is being answered, one that needs no waiting waits."""
    quick.portal.call(echo.may_answer.clear)
    with quick.open() as sock:
        sock.sendall(
            GET.replace(b"/", b"/first", 1) + NEXT + now(b"/now", b"Connection: close\r\n")
        )
        assert echo.asked.wait(10)
        quick.portal.call(echo.may_answer.set)
        answer = rest_of(sock)
    assert statuses(answer) == [200, 200]
    assert len(echo.bodies) == 2  # the second went to the application as well


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /now HTTP/1.0\r\n" + HOST + NEXT,
        now(b"/now", b"Connection: close\r\n"),
        now(b"/now?a=b", b"Connection: close\r\n"),
        now(b"/now", b"Content-Length: 2\r\nConnection: close\r\n") + b"{}",
        now(b"/now", UPGRADE),
        b"HEAD" + now(b"/now", b"Connection: close\r\n")[3:],
    ],
)
def test_odd_requests_are_not_answered_at_once(quick: Wire, echo: Echo, raw: bytes) -> None:
    """Old, last, with parameters or a body, of another method: the application has them."""
    assert statuses(quick.ask(raw)) == [200]
    assert len(echo.bodies) == 1


def test_a_flood_on_one_connection_is_bounded(quick: Wire) -> None:
    """So many in one piece are answered at once; of more, some wait, and of too many none."""
    answer = quick.ask(now(b"/now") * MAX_PIPELINED + now(b"/now", b"Connection: close\r\n"))
    assert statuses(answer) == [200] * (MAX_PIPELINED + 1)


def exchanged(sock: Any, *pieces: bytes) -> list[bytes]:
    """Return what comes back for each piece, one after the other."""
    out = []
    for piece in pieces:
        sock.sendall(piece)
        answer = sock.recv(65536)
        while answer:
            head, end, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if end and length and len(body) >= int(length[1]):
                break
            answer += sock.recv(65536)
        out.append(answer)
    return out


def post(path: bytes, body: bytes, more: bytes = b"") -> bytes:
    """Return a POST of a body."""
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + length + more + NEXT + body


def test_heads_that_come_again_are_not_parsed(quick: Wire, echo: Echo) -> None:
    """A head that was parsed once is known again, whatever the path and the length of the body."""
    with quick.open() as sock:
        answers = exchanged(
            sock,
            now(b"/now-1"),
            now(b"/now-2"),
            post(b"/now-3", b"ab"),  # the first of its kind is the application's
            post(b"/now-4", b"abc" * 50),
            now(b"/now-5"),
            post(b"/now-6", b""),
            post(b"/late", b"ab"),
            post(b"/now-7", b"abcd"),
        )
    assert statuses(b"".join(answers)) == [200] * 8
    assert [bytes(body) for body in echo.bodies] == [b"ab", b"ab"]
    told = [answer.rpartition(b"\r\n\r\n")[2] for answer in answers]
    assert told[1] == b"/now-2"
    assert told[3:6] == [b"/now-4" + b"abc" * 50, b"/now-5", b"/now-6"]
    assert told[7] == b"/now-7abcd"
    ids = re.findall(rb"x-request-id: (\w+)", b"".join(answers))
    assert len(ids) == len(set(ids)) == 6


def test_what_differs_from_a_known_head_is_parsed(quick: Wire, echo: Echo) -> None:
    """Other headers, pieces, rows of requests and long addresses go the long way, as before."""
    own_id = b"X-Request-Id: mine\r\n"
    with quick.open() as sock:
        answers = exchanged(sock, *[now(b"/now")] * 2, *[now(b"/now", own_id)] * 2)
        assert [answer.count(b"x-request-id: mine") for answer in answers] == [0, 0, 1, 1]
        sock.sendall(now(b"/now")[:-2])
        time.sleep(0.02)
        assert statuses(exchanged(sock, now(b"/now")[-2:])[0]) == [200]
        sock.sendall(now(b"/now") + now(b"/now", b"Connection: close\r\n"))
        assert statuses(rest_of(sock)) == [200, 200]
    long = b"/now" + b"x" * 10_000
    for last, status in ((now(long), 414), (now(b"/now\x80"), 400), (now(b"/now#a"), 400)):
        with quick.open() as sock:
            exchanged(sock, *[now(b"/now")] * 2)
            sock.sendall(last)
            assert statuses(rest_of(sock)) == [status]


@pytest.mark.parametrize("more", [b"Content-Length: 30\r\n", CHUNKED])
def test_a_head_that_announces_a_body_is_not_known_again(
    quick: Wire, echo: Echo, more: bytes
) -> None:
    """A GET may have a body: whatever comes behind its head is that, and no next request."""
    inner = post(b"/evil", b"")[:30].ljust(30)
    body = b"1e\r\n" + inner + b"\r\n0\r\n\r\n" if more is CHUNKED else inner
    with quick.open() as sock:
        for _ in range(3):
            sock.sendall(now(b"/now", more))
            time.sleep(0.02)
            assert statuses(exchanged(sock, body)[0]) == [200]
    assert [bytes(each) for each in echo.bodies] == [inner] * 3


def test_known_heads_wait_while_a_stop_is_near(quick: Wire, echo: Echo) -> None:
    """A connection that is told to end gives its last answer by the application, and says so."""
    with quick.open() as sock:
        exchanged(sock, *[now(b"/now")] * 2)
        quick.connections.is_draining = True
        (answer,) = exchanged(sock, now(b"/now"))
    assert b"connection: close" in answer


def test_idle_connections_end_after_answers_at_once(quick: Wire) -> None:
    """The time to be idle begins with the answer."""
    with quick.open() as sock:
        sock.sendall(now(b"/now"))
        assert statuses(rest_of(sock)) == [200]


def test_nobody_is_looked_at_for_long() -> None:
    """The timer that looks at connections ends with the last of them, and on demand."""
    limits = Limits.of(Settings(**{f"{name}_seconds": 0.04 for name in TIMES}))
    connections = Connections(limits, lambda _reason: None)
    expired: list[float] = []

    class Late:
        deadline = write_deadline = 0.0

        def expire(self, now: float) -> None:
            expired.append(now)

    one = Late()

    async def run() -> None:
        connections.stop()
        assert connections.enter(one, asyncio.get_running_loop())
        while not expired:
            await asyncio.sleep(0.01)
        connections.leave(one)
        while connections.is_looking:
            await asyncio.sleep(0.01)
        n_times = len(expired)
        assert connections.enter(one, asyncio.get_running_loop())
        assert connections.is_looking
        connections.stop()
        await asyncio.sleep(0.05)
        assert (len(expired), connections.is_looking) == (n_times, False)

    asyncio.run(run())
