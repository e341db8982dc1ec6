"""Heads that come again: most callers send the same one with every request of a connection.

A head that was parsed once need not be parsed again: whatever has the very same bytes, but for the
path and the length of the body, means the same. Only whole requests that come in one piece, and
are nothing but plain, are known again; all else is parsed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

from service.headers import Head

MAX_BYTES: Final = 2048
"""Longer heads are not remembered."""
_GET: Final = re.compile(rb"GET (/[A-Za-z0-9._~%/:@!$&'()*+,;=-]*) HTTP/1\.1\r\n")
_POST: Final = re.compile(rb"POST (/[A-Za-z0-9._~%/:@!$&'()*+,;=-]*) HTTP/1\.1\r\n")
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)


class Repeat(NamedTuple):
    """A request whose head was known: its path, and its body, None for a GET."""

    path: bytes
    body: bytes | None


class Known(NamedTuple):
    """The head of a request, to be known again.

    Parameters
    ----------
    head : Head
        What it says.
    before, after : bytes
        Its bytes behind the first line, up to the length of the body and from there on; of a GET
        all of them are in `before`.
    """

    head: Head
    before: bytes
    after: bytes

    @classmethod
    def of(cls, data: bytes, head: Head) -> Self | None:
        """Return what is to be known again of a whole request that was parsed as a plain one.

        Parameters
        ----------
        data : bytes
            One request and nothing else.
        head : Head
            As it was parsed: one host; to be kept alive; of a GET nothing about a body, of a POST
            no more than its length.
        """
        line = _GET.match(data) or _POST.match(data)
        end = data.find(_END)
        if line is None or end < 0 or end > MAX_BYTES:
            return None
        fields = data[line.end() : end + len(_END)]
        found = _LENGTH.search(b"\r\n" + fields)
        if data.startswith(b"GET "):
            is_whole = found is None and end + len(_END) == len(data)
            return cls(head, fields, b"") if is_whole else None
        if found is None or int(found[1]) != len(data) - end - len(_END):
            return None
        # Found two bytes further on than they lie.
        return cls(head, fields[: found.start(1) - 2], fields[found.end(1) - 2 :])

    def again(self, data: bytes) -> Repeat | None:
        """Return what a piece asks if it is one whole request with this head, else None."""
        if not self.after:
            line = _GET.match(data)
            if line is None or data[line.end() :] != self.before:
                return None
            return Repeat(line[1], None)
        line = _POST.match(data)
        if line is None or not data.startswith(self.before, line.end()):
            return None
        start = line.end() + len(self.before)
        end = data.find(b"\r\n", start, start + 10)
        length = data[start:end]
        if end < 0 or not length.isdigit() or not data.startswith(self.after, end):
            return None
        body = data[end + len(self.after) :]
        return Repeat(line[1], body) if len(body) == int(length) else None
