"""A constant answer in raw ASGI: what any answer of that size costs, its body read first.

``PEER_ANSWER`` names a JSON file with ``headers`` (pairs) and ``body``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_answer = json.loads(Path(os.environ["PEER_ANSWER"]).read_text(encoding="utf-8"))
_body = _answer["body"].encode()
_start = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(name.encode(), value.encode()) for name, value in _answer["headers"]],
}
_end = {"type": "http.response.body", "body": _body}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer the same to everyone."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["method"] == "POST":
        while (await receive()).get("more_body"):
            pass
    await send(_start)
    await send(_end)
