"""The outermost layer: request ids, paths as they were sent, metrics, the error of last resort."""

from __future__ import annotations

import logging
import time
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.headers import Head, current_request_id
from service.metrics import Metrics
from service.problems import log_failure, problem_of, respond

log = logging.getLogger("personalize.access")

_SAFE: Final = "%/!$&'()*+,;=:@~-._"
_GONE: Final = 499
"""Nobody waits for the answer any more; only counted, never sent."""


class Edge:
    """Everything before the router sees a request and after it has answered.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    access_log : bool
        Whether each request is one line of the log: method, route, status, milliseconds. Never
        its path, which holds ids.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, access_log: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        head = Head.of(scope)
        current_request_id.set(head.request_id)
        scope["state"] = {**scope.get("state", {}), "request_id": head.request_id}
        scope["path"] = encoded_path(scope)
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *head.marks()]
            try:
                await send(message)
            except RuntimeError as error:
                if is_gone(error):
                    status = _GONE
                    raise ClientDisconnect from error
                raise

        try:
            await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            status = status or _GONE
        except Exception as error:  # noqa: BLE001 - no error may leave without a problem
            log_failure(head.request_id, error)
            if not status:
                problem = respond(problem_of(error), request_id=head.request_id)
                await problem(scope, receive, send_marked)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.request(_method(scope), route, status, seconds)
            if self._access_log:
                log_request(_method(scope), route, status, seconds, head.request_id)


def is_gone(error: RuntimeError) -> bool:
    """Return whether sending failed because the connection is closed.

    Of requests that a caller sends ahead, uvicorn tells only the newest that the caller is gone.
    """
    return "handler is closed" in str(error)


def encoded_path(scope: Scope) -> str:
    """Return the path as it was sent, still percent-encoded: an id may hold a slash.

    The router so splits at the slashes of the address alone; `service.schemas` decodes the ids.
    """
    raw: Any = scope.get("raw_path")
    if raw is None:
        return quote(scope["path"], safe="/!$&'()*+,;=:@~-._")
    return quote(raw, safe=_SAFE)


def _method(scope: Scope) -> str:
    known = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH")
    return scope["method"] if scope["method"] in known else "other"


def log_request(method: str, route: str, status: int, seconds: float, request_id: str) -> None:
    """Log one request that was answered."""
    told = {
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "milliseconds": round(seconds * 1e3, 3),
    }
    log.info("%s %s %d", method, route, status, extra=told)
