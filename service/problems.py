"""What goes wrong, as RFC 9457 problem details: the only shape of an error that leaves the service.

One table says which status each exception class has. Details never repeat a key, a body or more
of a value than is needed to find it.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

import personalize as pz
from service.logs import stack_of

log = logging.getLogger("personalize.service")

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5
MAX_ERRORS: Final = 100
_MAX_TEXT: Final = 500


class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A request that is answered with a problem.

    Parameters
    ----------
    detail : str
        What was seen, what is allowed, what to do.
    errors : sequence of (pointer, detail)
        Each place at fault.
    headers : mapping, optional
    """

    def __init__(
        self,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


class Malformed(Refused):
    """A body that is no JSON at all."""


class NotAuthenticated(Refused):
    """No key, or one that is unknown."""


class NotAllowed(Refused):
    """A key without the scope."""


class NotFound(Refused):
    """Nothing there."""


class Conflict(Refused):
    """Somebody else was first."""


class TooLarge(Refused):
    """A body over the limit."""


class WrongMediaType(Refused):
    """A body of another content type."""


class TooManyFailures(Refused):
    """An address that tried too many bad keys."""


class Invalid(Refused):
    """A request that can be read, with values that are not allowed."""


class NotReady(Refused):
    """Not now; later perhaps."""


STATUS: Final[Mapping[type[Exception], int]] = {
    Malformed: 400,
    NotAuthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    WrongMediaType: 415,
    Invalid: 422,
    TooManyFailures: 429,
    NotReady: 503,
    RequestValidationError: 422,
    pz.UnknownProductError: 404,
    pz.UnknownOrderError: 404,
    pz.InvalidOrdersError: 422,
    pz.InvalidCatalogError: 422,
    pz.InvalidConfigError: 422,
    pz.ArtifactError: 503,
    pz.StoreError: 503,
}
"""The status of each exception class; of a subclass, its nearest parent's. Others are 500."""

_TITLES: Final = {
    400: "The body cannot be read",
    401: "A valid API key is needed",
    403: "The API key lacks a scope",
    404: "Not found",
    405: "Method not allowed",
    408: "The request came too slowly",
    409: "Changed by somebody else",
    413: "The body is too large",
    414: "The address is too long",
    415: "The content type is not supported",
    422: "The request is not valid",
    429: "Too many bad API keys",
    431: "The head of the request is too large",
    500: "Something went wrong on our side",
    503: "Not ready",
}

_HIDDEN: Final[Mapping[type[Exception], str]] = {
    pz.ArtifactError: (
        "no model is current, so no question can be answered; run `personalize train`, or "
        "`personalize models use VERSION`; orders and products are taken in meanwhile"
    ),
    pz.StoreError: "the store cannot be reached; try again, nothing was changed halfway",
}
"""Messages that name folders and servers stay inside; this is said in their place."""


def status_of(error: Exception) -> int:
    """Return the status that an exception is answered with."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


def json_pointer(path: Iterable[str | int]) -> str:
    """Return a place in a body as a JSON pointer in its URI fragment form (RFC 6901).

    Examples
    --------
    >>> json_pointer(["lines", 0, "a/b"])
    '#/lines/0/a~1b'
    """
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + "".join("/" + quote(part, safe="~!$&'()*+,;=:@") for part in parts)[:_MAX_TEXT]


def body_errors(errors: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return what pydantic found wrong with a body, as pointers and sentences."""
    return [(json_pointer(error["loc"]), _sentence(error)) for error in errors]


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown field; see docs/http-api.md for those there are"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:_MAX_TEXT]


def document(
    status: int,
    detail: str,
    errors: Sequence[tuple[str, str]] = (),
    **members: Any,
) -> dict[str, Any]:
    """Return the members of a problem; at most `MAX_ERRORS` places are named."""
    return {
        "type": "about:blank",
        "title": _TITLES.get(status) or http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"pointer": p, "detail": d} for p, d in errors[:MAX_ERRORS]],
        **members,
    }


def problem_of(error: Exception) -> dict[str, Any]:
    """Return an exception as a problem."""
    status = status_of(error)
    for cls, detail in _HIDDEN.items():
        if isinstance(error, cls):
            return document(status, detail)
    if isinstance(error, Refused):
        return document(status, error.detail, error.errors)
    if isinstance(error, RequestValidationError):
        errors = [(f"{e['loc'][0]}/{e['loc'][-1]}", _sentence(e)) for e in error.errors()]
        return document(status, f"{errors[0][0]}: {errors[0][1]}", errors)
    if status == 500:
        return document(status, "an unexpected error; the log has it under this request's id")
    return document(status, str(error)[:_MAX_TEXT])


def respond(
    problem: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, request_id: str
) -> Response:
    """Return a problem as a response."""
    out = {"Cache-Control": "no-store", **(headers or {})}
    if problem["status"] == 503:
        out["Retry-After"] = str(RETRY_AFTER_SECONDS)
    content = to_json({**problem, "request_id": request_id})
    return Response(content, problem["status"], out, media_type=MEDIA_TYPE)


def answer(request: Request, error: Exception) -> Response:
    """Return the response to a request that raised `error`; a store out of reach is logged."""
    request_id = request.state.request_id
    if isinstance(error, pz.StoreError):
        log.error("request %s failed: %s", request_id, error, extra={"request_id": request_id})
        request.app.state.shop.vitals.store_failed(error)
    problem = problem_of(error)
    headers = error.headers if isinstance(error, Refused) else None
    return respond(problem, headers, request_id=request_id)


def log_failure(request_id: str, error: BaseException) -> None:
    """Log where an error was raised, without its message: that may name a customer."""
    cls = type(error).__name__
    told = {"request_id": request_id, "error": cls, "stack": stack_of(error.__traceback__)}
    log.error("request %s failed: %s", request_id, cls, extra=told)


def _answer_http(request: Request, error: Exception, routes: Sequence[APIRoute]) -> Response:
    """Return what the router says (404, 405) as a problem."""
    status = getattr(error, "status_code", 500)
    details = {
        404: "there is nothing at this address; see /openapi.json",
        405: f"{request.method} is not a method of this address",
    }
    detail = details.get(status, http.HTTPStatus(status).phrase)
    headers = getattr(error, "headers", None)
    methods = methods_at(request.scope["path"], routes)
    if status == 405 and methods:
        headers = {"Allow": ", ".join(methods)}
    return respond(document(status, detail), headers, request_id=request.state.request_id)


def methods_at(path: str, routes: Sequence[APIRoute]) -> list[str]:
    """Return the methods of an address, sorted: of all its calls, not of the first one found.

    An address that is spelt out, such as a batch, goes before one that an id makes.
    """
    found = [route for route in routes if route.path_regex.match(path)]
    spelt_out = [route for route in found if route.path == path]
    return sorted({method for route in spelt_out or found for method in route.methods or ()})


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Make `app` answer every error of `STATUS`, and the router's own, with a problem.

    `routes` are its calls, which say what a method that is none could have been.
    """
    for cls in STATUS:
        app.add_exception_handler(cls, answer)
    app.add_exception_handler(HTTPException, partial(_answer_http, routes=routes))
