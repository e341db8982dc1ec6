"""Requests that nobody should send, by a seed, and what may become of each.

A request is bytes on a socket of its own. Each says what it may be answered with: a refusal (4xx,
or a connection that is closed), or, where what it does happens to be allowed, also a 2xx.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from soak.running import PRODUCTS

ANSWER_SECONDS: Final = 30.0
"""An answer that takes longer is a hang."""
_AT = "2026-11-20T12:00:00Z"
_LINE: Final[dict[str, Any]] = {"product_id": "coat-50", "quantity": 1, "unit_price": 9.5}
_ORDER: Final[dict[str, Any]] = {
    "customer_id": "c", "ordered_at": _AT, "updated_at": _AT, "currency": "EUR", "channel": "web",
    "lines": [_LINE],
}  # fmt: skip
_ADJUSTMENT: Final[dict[str, Any]] = {
    "adjustment_id": "a", "adjusted_at": _AT, "lines": [{"product_id": "coat-50", "quantity": -1}],
}  # fmt: skip
CALLS: Final[list[tuple[str, str, dict[str, Any]]]] = [
    ("PUT", "/v1/orders/hostile", _ORDER),
    ("POST", "/v1/orders/hostile/adjustments", _ADJUSTMENT),
    ("PUT", "/v1/products/hostile", {"title": "t", "price": 1.0, "availability": "in_stock"}),
    ("PUT", "/v1/policy", {"rules": {"purchased": True}, "thresholds": {"due_quantile": 0.5}}),
    ("POST", "/v1/suppressions/check", {"customer_id": "c", "product_ids": list(PRODUCTS)}),
    ("POST", "/v1/suppressions/check", {"pairs": [["c", "coat-50"], ["d", "socks"]]}),
    ("POST", "/v1/recommendations", {"customer_id": "c", "moment": "ad", "k": 3}),
]
BATCHES: Final = ["/v1/orders/batch", "/v1/products/batch"]
READS: Final = [
    "/v1/orders/{}", "/v1/customers/{}/suppressions", "/v1/customers/{}/suppressions/p",
    "/v1/customers/c/suppressions/{}", "/v1/products/{}/complements",
]  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """One request.

    Parameters
    ----------
    kind : str
    chunks : tuple of bytes
        Sent one after the other, `pause` seconds between them.
    may_pass : bool
        Whether it happens to be allowed, so that a 2xx is no mistake.
    pause : float
    ends : bool
        Whether our side is closed after it: it is known not to be finished.
    answers : int
        How many answers are read, at most.
    """

    kind: str
    chunks: tuple[bytes, ...]
    may_pass: bool = False
    pause: float = 0.0
    ends: bool = False
    answers: int = 1


def http(
    method: str, path: str, body: bytes = b"", *headers: str, length: bool = True, media: str = ""
) -> bytes:
    """Return a request as bytes; `path` may hold any Latin-1 character."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if media:
        lines.append(f"Content-Type: {media}")
    if length and (body or method in ("PUT", "POST")):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


def _call(method: str, path: str, body: bytes, media: str = JSON, *headers: str) -> bytes:
    return http(method, path, body, *headers, media=media)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a JSON document, the document's own too."""
    yield path
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _places(below, (*path, key))
    if isinstance(value, list):
        for number, below in enumerate(value):
            yield from _places(below, (*path, number))


def _with(value: Any, path: tuple[Any, ...], raw: str) -> str:
    """Return a document as text with the value at `path` replaced by the JSON text `raw`."""
    if not path:
        return raw
    first, rest = path[0], path[1:]
    if isinstance(value, dict):
        items = (
            f"{json.dumps(key)}:{_with(below, rest, raw) if key == first else json.dumps(below)}"
            for key, below in value.items()
        )
        return "{" + ",".join(items) + "}"
    items = (
        _with(below, rest, raw) if number == first else json.dumps(below)
        for number, below in enumerate(value)
    )
    return "[" + ",".join(items) + "]"


_NEVER: Final = [
    '"\x00"', r'"\u0000"', r'"\ud800"', r'"\udfff\ud800"', "NaN", "Infinity", "-Infinity",
    "1e400", "-1e999", "9" * 5000, '{"a":{}}', '[[[[[]]]]]', '"' + "x" * 6000 + '"', "tru", "'a'",
    "0x10", "01", "+1", ".5", '"\n"', '"\\x41"', "undefined",
]  # fmt: skip
"""JSON texts, or what looks like them, that no field of any body may be."""


_BOMB: Final = gzip.compress(b" " * 20_000_000)


class Generator:
    """Hostile requests without end, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._kinds: list[Callable[[], Hostile]] = [
            self._random_bytes, self._half, self._dribbled, self._wrong_value, self._not_json,
            self._deep, self._not_utf8, self._twice, self._media, self._compressed, self._path,
            self._header_flood, self._pipelined, self._oversized, self._framing, self._method,
            self._parameter, self._version, self._batch, self._unknown_field, self._long_path,
            self._header_bytes, self._missing_field, self._bad_key,
        ]  # fmt: skip

    def __iter__(self) -> Iterator[Hostile]:
        """Yield kinds in turn."""
        while True:
            for kind in self._kinds:
                yield kind()

    def _choice(self) -> tuple[str, str, dict[str, Any]]:
        return self._random.choice(CALLS)

    def _bytes(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randint(1, most))

    def _random_bytes(self) -> Hostile:
        tail = self._random.choice([b"", b"\r\n\r\n", b"\n\n", b" HTTP/1.1\r\n\r\n"])
        return Hostile("random bytes", (self._bytes(4000) + tail,), ends=True)

    def _half(self) -> Hostile:
        method, path, body = self._choice()
        whole = _call(method, path, json.dumps(body).encode())
        return Hostile(
            "half a request", (whole[: self._random.randrange(1, len(whole))],), ends=True
        )

    def _dribbled(self) -> Hostile:
        method, path, body = self._choice()
        whole = _call(method, path, json.dumps(body).encode())
        cuts = sorted(self._random.sample(range(1, len(whole)), 8))
        parts = tuple(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True))
        return Hostile("dribbled", parts, may_pass=True, pause=0.02)

    def _wrong_value(self) -> Hostile:
        method, path, body = self._choice()
        place = self._random.choice(list(_places(body)))
        raw = _with(body, place, self._random.choice(_NEVER))
        return Hostile("wrong value", (_call(method, path, raw.encode("utf-8", "replace")),))

    def _unknown_field(self) -> Hostile:
        method, path, body = self._choice()
        name = self._random.choice(["", "asof", "__proto__", "x" * 3000, "\u202e", "customer_id "])
        return Hostile(
            "unknown field", (_call(method, path, json.dumps({**body, name: 1}).encode()),)
        )

    def _missing_field(self) -> Hostile:
        required = [
            (m, p, b) for m, p, b in CALLS if m + p != "PUT/v1/policy" and "products" not in p
        ]
        required = [each for each in required if "recommend" not in each[1]]
        method, path, body = self._random.choice(required)
        name = self._random.choice([n for n in body if n not in ("currency", "channel")])
        rest = {key: value for key, value in body.items() if key != name}
        return Hostile("missing field", (_call(method, path, json.dumps(rest).encode()),))

    def _not_json(self) -> Hostile:
        method, path, _ = self._choice()
        raw = self._random.choice(
            [b"", b"{", b"hello", b"{} {}", b"{'a':1}", b"[1,]", b"\xef\xbb\xbf{}", b"<xml/>",
             b"null",
             b"[]", b'"x"', b"3", b"{\x00}", b"/* */ {}", self._bytes(300)]
        )  # fmt: skip
        return Hostile("no JSON", (_call(method, path, raw),))

    def _deep(self) -> Hostile:
        method, path, body = self._choice()
        depth = self._random.choice([200, 3_000, 100_000])
        opened = self._random.choice(["[", '{"a":'])
        raw = opened * depth
        if self._random.random() < 0.5:
            raw += "1" + {"[": "]"}.get(opened, "}") * depth
        place = self._random.choice(list(_places(body)))
        return Hostile("deep JSON", (_call(method, path, _with(body, place, raw).encode()),))

    def _not_utf8(self) -> Hostile:
        method, path, body = self._choice()
        whole = json.dumps(body)
        raw = self._random.choice(
            [whole.encode("utf-16"), whole.encode("utf-32"), whole.encode("cp037"),
             whole.replace('"c', '"\udcff').encode("utf-8", "surrogateescape") + b"\xff",
             b'{"a":"' + self._random.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"]) + b'"}']
        )  # fmt: skip
        return Hostile("no UTF-8", (_call(method, path, raw),))

    def _twice(self) -> Hostile:
        method, path, body = self._choice()
        name = self._random.choice(list(body))
        raw = json.dumps(body)
        doubled = f"{{{json.dumps(name)}:{self._random.choice(_NEVER[5:9])},{raw[1:]}"
        if self._random.random() < 0.5:  # the last one counts: this is allowed
            doubled = f"{{{json.dumps(name)}:null,{raw[1:]}"
            return Hostile("a field twice", (_call(method, path, doubled.encode()),), may_pass=True)
        return Hostile("a field twice", (_call(method, path, doubled.encode()),), may_pass=True)

    def _media(self) -> Hostile:
        method, path, body = self._choice()
        media = self._random.choice(
            ["text/plain", "", "application/xml", "application/jsonx", "json", "*/*", "a" * 5000,
             "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
        )  # fmt: skip
        return Hostile("content type", (_call(method, path, json.dumps(body).encode(), media),))

    def _compressed(self) -> Hostile:
        method, path, _ = self._choice()
        encoding = self._random.choice(["gzip", "deflate", "br", "gzip, gzip", "x" * 300])
        return Hostile(
            "compressed", (_call(method, path, _BOMB, JSON, f"Content-Encoding: {encoding}"),)
        )

    def _path(self) -> Hostile:
        trick = self._random.choice(
            ["/..", "/../../etc/passwd", "/v1/../v1/policy/x", "//", "///v1/policy", "/v1//policy",
             "/v1/policy/", "/v1/policy%2F", "/v1/policy%00", "/%76%31/nothing", "/v1/orders/",
             "/v1/orders/%00", "/v1/orders/%FF", "/v1/orders/%", "/v1/orders/%zz",
             "/v1/orders/\xe9",
             "/v1/orders/%2e%2e%2f%2e%2e", "/v1/orders/a/../../policy", "/v1/orders/%ED%A0%80",
             "/v1/orders/" + "x" * 256, "/v1/orders/%0d%0aSet-Cookie:x", "/v1/orders/a\\b", "/v1;x",
             "http://127.0.0.1/v1/nothing", "http://evil.example/v1/policy/x", "*",
             "evil.example:80",
             "/v1/customers/%00/suppressions", "/v1/customers//suppressions", "?", "/?a=b", "#",
             "/#",
             "/v1/customers/" + "%F0%9F%98%80" * 256 + "/suppressions", "/.git/config", "/docs",
             "/v1/products/%C2%85/complements", "/v1/customers/c/suppressions/" + "y" * 300]
        )  # fmt: skip
        return Hostile("path", (http("GET", trick),))

    def _long_path(self) -> Hostile:
        n = self._random.choice([1_000, 10_000, 70_000, 400_000])
        path = self._random.choice(
            ["/v1/orders/" + "x" * n, "/" * n, "/v1/orders/o?" + "a=1&" * (n // 4)]
        )
        return Hostile("long path", (http("GET", path),))

    def _header_flood(self) -> Hostile:
        n = self._random.choice([200, 2_000, 20_000])
        headers = self._random.choice(
            [[f"X-{i}: y" for i in range(n)], [f"X: {'y' * n * 10}"], ["Cookie: a=b"] * n]
        )
        return Hostile("header flood", (http("GET", "/v1/orders/nobody", b"", *headers),))

    def _header_bytes(self) -> Hostile:
        line = self._random.choice(
            ["X: a\x00b", "X\x00: a", "X : a", ": a", "X: a\rb", " folded: a", "X: \x7f",
             "X\xe9: a", "no colon here", "Host: a\r\nHost: b\x00", "X: a\nY: b\x00", "(x): 1"]
        )  # fmt: skip
        return Hostile("header bytes", (http("GET", "/v1/orders/nobody", b"", line),))

    def _bad_key(self) -> Hostile:
        key = self._random.choice(
            ["Bearer", "Bearer ", "Bearer " + "x" * 5000, "Basic eDp5", "bearer \xff\xfe", "x",
             "Bearer pk_\xe9", "Bearer a b c"]
        )  # fmt: skip
        return Hostile("key", (http("GET", "/v1/orders/nobody", b"", f"Authorization: {key}"),))

    def _pipelined(self) -> Hostile:
        check = "/v1/customers/c/suppressions/coat-50"
        good = http("GET", self._random.choice(["/health/live", "/v1/policy", check]))
        n = self._random.randint(1, 30)
        bad = self._random.choice(
            [b"\x00\x01\x02\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n", b"GET\r\n\r\n"]
        )
        return Hostile("pipelined", (good * n + bad,), may_pass=True, ends=True, answers=n + 1)

    def _oversized(self) -> Hostile:
        method, path, _ = self._choice()
        size = self._random.choice([4 << 20, 5_000_000, 8_000_000]) + 1
        if self._random.random() < 0.5:
            whole = _call(method, path, b" " * size)
            return Hostile("oversized", (whole[:100], whole[100:]))
        head = http(method, path, b"", "Transfer-Encoding: chunked", length=False, media=JSON)
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        return Hostile("oversized", (head, chunk * (size // 0x10000 + 1), b"0\r\n\r\n"))

    def _framing(self) -> Hostile:
        method, path, body = self._choice()
        raw = json.dumps(body).encode()
        headers, sent = self._random.choice(
            [
                (["Content-Length: -1"], raw),
                (["Content-Length: 1e3"], raw),
                (["Content-Length: 99999999999999999999999"], raw),
                (["Content-Length: 5", "Content-Length: 6"], raw),
                (["Content-Length: 3", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
                (["Transfer-Encoding: chunked"], b"zz\r\n\r\n"),
                (["Transfer-Encoding: chunked"], b"-5\r\nhello\r\n0\r\n\r\n"),
                (["Transfer-Encoding: chunked"], b"fffffffffffffffff\r\nx"),
                (["Transfer-Encoding: gzip, chunked, x"], raw),
                (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"x\r\n"),
                (["Content-Length: +5"], raw[:5]),
                (["Content-Length: 2"], b"{}GET / HTTP/1.1\r\n\r\n"),
            ]
        )
        head = http(method, path, b"", *headers, length=False, media=JSON)
        may_pass = headers == ["Content-Length: 2"] and path in (
            "/v1/policy",
            "/v1/products/hostile",
        )
        return Hostile("framing", (head + sent,), may_pass or "recommend" in path, ends=True)

    def _method(self) -> Hostile:
        method = self._random.choice(
            [
                "BREW",
                "TRACE",
                "PATCH",
                "PROPFIND",
                "get",
                "G\x00T",
                "GET" * 50,
                "CONNECT",
                "HEAD",
                "",
            ]
        )
        path = self._random.choice(["/v1/policy", "/v1/suppressions/check", "/health/ready", "/"])
        return Hostile("method", (http(method, path),), ends=True)

    def _parameter(self) -> Hostile:
        query = self._random.choice(
            ["cursor=x", "cursor=%FF", "limit=0", "limit=99999999999999999999", "limit=1e3",
             "limit=NaN", "as_of=x", "as_of=2026-02-30", "asof=2026-01-01", "=", "a&b&c", "limit=",
             "as_of=" + "9" * 9000, "as_of=0001-01-01T00:00:00%2B23:59", "limit=-1", "limit=%00",
             "cursor=" + "A" * 5000, "limit=\xb2", "as_of=2026-11-22T00:00:00+00:00"]
        )  # fmt: skip
        return Hostile("parameter", (http("GET", f"/v1/customers/c/suppressions?{query}"),))

    def _version(self) -> Hostile:
        line = self._random.choice(
            [b"GET /v1/nothing\r\n\r\n", b"GET /v1/nothing HTTP/3.7\r\n\r\n",
             b"GET / HTTP/\r\n\r\n",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1 x\r\n\r\n",
             b"\r\n\r\n\r\n\r\nx\r\n\r\n",
             b"GET  /  HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"]
        )  # fmt: skip
        return Hostile("version", (line,), ends=True)

    def _batch(self) -> Hostile:
        path = self._random.choice(BATCHES)
        lines = [self._bytes(200).replace(b"\n", b" ") for _ in range(self._random.randint(1, 50))]
        lines += [b"[" * 50_000, b'{"order_id":"\\ud800"}', b"null", b"\xff"]
        media = self._random.choice([NDJSON, JSON, "text/plain"])
        # Lines are judged one by one: the batch itself is answered.
        return Hostile("batch", (_call("POST", path, b"\n".join(lines), media),), media == NDJSON)


@dataclass(frozen=True)
class Outcome:
    """What became of a request: statuses in order, and whether it was ended by the other side."""

    statuses: tuple[int, ...]
    hung: bool

    def fault(self, request: Hostile) -> str | None:
        """Return what is wrong about it, None if nothing is."""
        if self.hung:
            return "no answer and no closed connection"
        if any(status >= 500 for status in self.statuses):
            return f"answered {self.statuses}"
        if not request.may_pass and any(200 <= status < 400 for status in self.statuses):
            return f"taken for valid: {self.statuses}"
        return None


def send(url: str, request: Hostile) -> Outcome:
    """Send one request on a connection of its own; return what became of it."""
    parts = urlsplit(url)
    seen = b""
    with socket.create_connection(
        (parts.hostname, parts.port or 80), timeout=ANSWER_SECONDS
    ) as raw:
        try:
            for number, chunk in enumerate(request.chunks):
                if number and request.pause:
                    time.sleep(request.pause)
                raw.sendall(chunk)
            if request.ends:
                raw.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before its end: the answer may still be there to be read
        hung = False
        try:
            while len(_statuses(seen)) < request.answers or not _is_whole(seen):
                more = raw.recv(65536)
                if not more:
                    break
                seen += more
        except ConnectionResetError:
            pass  # closed on us, which is an answer too
        except TimeoutError:
            hung = not seen
    return Outcome(_statuses(seen), hung)


def stalled(url: str, n: int, seconds: float, seed: int = 0) -> list[str]:
    """Begin `n` requests and never end them; return a fault if any is still open after `seconds`.

    All are open at once: whoever only waits must not keep others out, nor be waited for.
    """
    drawn = random.Random(seed)
    parts = urlsplit(url)
    address = (parts.hostname, parts.port or 80)
    opened: list[socket.socket] = []
    try:
        for _ in range(n):
            method, path, body = drawn.choice(CALLS)
            whole = _call(method, path, json.dumps(body).encode())
            opened.append(socket.create_connection(address, timeout=ANSWER_SECONDS))
            opened[-1].sendall(whole[: drawn.randrange(1, len(whole))])
        until = time.monotonic() + seconds
        return [
            "a request that was never ended was waited for"
            for one in opened
            if not _is_ended(one, until - time.monotonic())
        ]
    finally:
        for one in opened:
            one.close()


def _is_ended(one: socket.socket, seconds: float) -> bool:
    """Return whether the other side closes a connection within so many seconds."""
    until = time.monotonic() + max(seconds, 0.1)
    try:
        while True:
            one.settimeout(max(until - time.monotonic(), 0.01))
            if not one.recv(65536):
                return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def _statuses(seen: bytes) -> tuple[int, ...]:
    return tuple(int(part[:3]) for part in seen.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit())


def _is_whole(seen: bytes) -> bool:
    """Return whether the last answer's head and body are there."""
    head, found, body = seen[seen.rfind(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    if not found:
        return False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return True


@dataclass(frozen=True)
class Report:
    """What became of many: counts by kind, and every fault."""

    n: int
    refused: int
    closed: int
    passed: int
    faults: list[str]
    kinds: Counter[str]


def assault(url: str, n: int, seed: int, *, threads: int = 8) -> Report:
    """Send `n` hostile requests and return what became of them."""
    requests = [request for request, _ in zip(Generator(seed), range(n), strict=False)]
    with ThreadPoolExecutor(threads) as pool:
        outcomes = list(pool.map(lambda request: send(url, request), requests))
    faults = []
    for number, (request, outcome) in enumerate(zip(requests, outcomes, strict=True)):
        fault = outcome.fault(request)
        if fault is not None:
            shown = b" | ".join(chunk[:300] for chunk in request.chunks[:3])
            faults.append(f"{request.kind} (number {number} of seed {seed}): {fault}: {shown!r}")
    statuses = [outcome.statuses for outcome in outcomes]
    return Report(
        n,
        refused=sum(any(400 <= each < 500 for each in one) for one in statuses),
        closed=sum(not one for one in statuses),
        passed=sum(bool(one) and max(one) < 400 for one in statuses),
        faults=faults,
        kinds=Counter(request.kind for request in requests),
    )
