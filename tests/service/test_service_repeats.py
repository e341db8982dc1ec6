"""Heads that are known again mean what they meant when they were parsed."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.headers import Head
from service.repeats import MAX_BYTES, Known

HEAD = Head([])
GET = b"GET /a HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX: y\r\n\r\n{}"


class Parsed:
    """What the parser says of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.path, self.body = b"", b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.n_begun = self.n_complete = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)
        self.method: bytes = self.parser.get_method()

    def on_message_begin(self) -> None:
        """Count."""
        self.n_begun += 1

    def on_message_complete(self) -> None:
        """Count."""
        self.n_complete += 1

    def on_url(self, url: bytes) -> None:
        """Keep the address."""
        self.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Keep the body."""
        self.body += body

    def told(self) -> list[tuple[bytes, bytes]]:
        """Return the headers but the length."""
        return [each for each in self.fields if each[0].lower() != b"content-length"]


def known(data: bytes) -> Known:
    """Return what is remembered of a request."""
    found = Known.of(data, HEAD)
    assert found is not None
    return found


@pytest.mark.parametrize("data", [GET, POST, POST.replace(b"Content-Length: ", b"content-length:")])
def test_the_same_comes_again(data: bytes) -> None:
    """A request is known again, with another path and another length too."""
    for again in (data, data.replace(b"/a", b"/b/c%20d", 1)):
        asked = known(data).again(again)
        assert asked is not None
        assert asked.path == Parsed(again).path
        assert asked.body == (b"{}" if data.startswith(b"POST") else None)
    for mine, other in ((b"Host: h", b"Host: i"), (b"X: y", b"X: z"), (b": 2", b": two")):
        assert known(POST).again(POST.replace(mine, other)) is None
    longer = POST.replace(b"2", b"12") + b" " * 10
    assert known(POST).again(longer) == (b"/a", b"{}" + b" " * 10)


@pytest.mark.parametrize(
    "data",
    [
        GET.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GET.replace(b"GET", b"PUT"),
        GET[:-2],
        GET + b"x",
        GET.replace(b"y", b"y" * MAX_BYTES),
        GET.replace(b"X: y", b"Content-Length: 0"),
        POST[:-1],
        POST + b" ",
        POST.replace(b"Content-Length: 2", b"X-Content-Length: 2"),
        POST.replace(b"/a", b"/a?b=c"),
    ],
)
def test_odd_requests_are_not_remembered(data: bytes) -> None:
    """What is no whole plain request is parsed every time."""
    assert Known.of(data, HEAD) is None


SHREDS = st.sampled_from(
    [b"", b"\r\n", b"\n", b" ", b":", b"0", b"9", b"+1", b"\t", b"\x00", b"\xff", b"?", b"#", b"a",
     b"Host: h\r\n", b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b"{}", GET, POST]
)  # fmt: skip


@given(st.sampled_from([GET, POST]), st.data())
def test_what_is_known_again_is_what_the_parser_sees(data: bytes, draw: st.DataObject) -> None:
    """Whatever is changed: if it is known again, the parser finds the same in it, and no more."""
    changed = draw.draw(st.sampled_from([data, data.replace(b"/a", b"/other")]))
    for _ in range(draw.draw(st.integers(0, 3))):
        start = draw.draw(st.integers(0, len(changed)))
        end = draw.draw(st.integers(start, min(start + 4, len(changed))))
        changed = changed[:start] + draw.draw(SHREDS) + changed[end:]
    asked = known(data).again(changed)
    if asked is None:
        return
    before, after = Parsed(data), Parsed(changed)
    assert after.method == before.method
    assert after.n_begun == after.n_complete == 1
    assert asked == (after.path, after.body if before.method == b"POST" else None)
    assert after.told() == before.told()
    assert after.parser.should_keep_alive()
