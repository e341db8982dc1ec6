"""How a request is read: its body within limits, its batch line by line, its cursor.

Everything that a caller can get wrong about bytes is decided here; what the values may be is
decided by `service.schemas`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, Final, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

import personalize as pz
from service.problems import Invalid, Malformed, TooLarge, WrongMediaType, body_errors, json_pointer
from service.schemas import MAX_BATCH_LINES, SCOPES, PolicyBody

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_LINES: Final = frozenset({NDJSON, "application/ndjson", "application/jsonl"})
_CURSOR_MARK: Final = "s1"
Model = TypeVar("Model", bound=BaseModel)


def takes(model: type[BaseModel]) -> Any:
    """Return the dependency that reads a JSON body as `model`."""

    async def read(request: Request) -> BaseModel:
        limit = request.app.state.shop.settings.max_body_bytes
        return parsed(model, await body_of(request, {JSON}, limit))

    read.documented = (model, JSON)  # type: ignore[attr-defined]
    return Depends(read)


def takes_lines_of(model: type[BaseModel]) -> Any:
    """Return the dependency that reads a batch, whose lines are each a `model`."""

    async def read(request: Request) -> list[tuple[int, bytes]]:
        limit = request.app.state.shop.settings.max_batch_bytes
        raw = await body_of(request, _LINES | {JSON}, limit)
        return list(lines_of(raw, is_array=media_type(request) == JSON))

    read.documented = (model, NDJSON)  # type: ignore[attr-defined]
    return Depends(read)


Reader = Callable[[Request], Awaitable[Any]]


def media_type(request: Request) -> str:
    """Return the content type of a body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_of(request: Request, accepted: Collection[str], limit: int) -> bytes:
    """Return a body of an accepted content type and size.

    Raises
    ------
    WrongMediaType
        If it is of another content type, or compressed.
    TooLarge
        If it is over the limit; the rest is not read.
    """
    seen = media_type(request)
    if seen not in accepted:
        raise WrongMediaType(
            f"the content type is {seen[:100] or 'missing'}; send {' or '.join(sorted(accepted))}"
        )
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise WrongMediaType(f"the content encoding is {encoding[:100]}; send it uncompressed")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body is over {limit:,} bytes; send less at once")
        chunks.append(chunk)
    return b"".join(chunks)


def parsed(model: type[Model], raw: bytes) -> Model:
    """Return a JSON text as `model`.

    Raises
    ------
    Malformed
        If it is no JSON (or no UTF-8, or nested too deep).
    Invalid
        With a pointer to everything that is not allowed.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        if found[0]["type"] == "json_invalid":
            message = found[0]["msg"].removeprefix("Invalid JSON: ")
            raise Malformed(f"the body is no JSON: {message}") from error
        errors = body_errors(found)
        raise Invalid(f"{errors[0][0]}: {errors[0][1]}", errors) from error


def lines_of(raw: bytes, *, is_array: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a batch with their 1-based numbers; empty ones are skipped.

    Raises
    ------
    Malformed
        If an array was announced and this is none.
    TooLarge
        If there are more than a batch may hold.
    """
    lines = raw.split(b"\n")
    if is_array:
        try:
            items = from_json(raw)
        except ValueError as error:
            raise Malformed(f"the body is no JSON: {error}; or is it {NDJSON}?") from error
        if not isinstance(items, list):
            raise Malformed(f"the body is no JSON array; send one, or {NDJSON}")
        lines = [to_json(item) for item in items]
    n_lines = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            n_lines += 1
            if n_lines > MAX_BATCH_LINES:
                raise TooLarge(f"a batch holds at most {MAX_BATCH_LINES:,} lines; send several")
            yield number, line


def policy_of(body: PolicyBody) -> pz.Policy:
    """Return the policy of a body.

    Raises
    ------
    Invalid
        With a pointer to what is not allowed.
    """
    given = body.model_dump(include={"rules", "types", "thresholds"})
    try:
        return pz.Policy.from_dict(given)
    except pz.InvalidConfigError as error:
        pointer = json_pointer(_path_to(error.field, given) or [])
        raise Invalid(str(error)[:500], [(pointer, str(error)[:500])]) from error


def _path_to(field: str | None, within: dict[str, Any]) -> list[str] | None:
    for key, value in within.items():
        if key == field:
            return [key]
        below = _path_to(field, value) if isinstance(value, dict) else None
        if below is not None:
            return [key, *below]
    return None


def cursor_after(scope: int, target_id: str) -> str:
    """Return the opaque cursor behind one row of the suppression list; `scope` as in `SCOPES`."""
    text = to_json([_CURSOR_MARK, SCOPES[scope], target_id])
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def place_of(cursor: str) -> tuple[int, str]:
    """Return the (scope, target) that a cursor stands behind.

    Raises
    ------
    Invalid
        If it is no cursor of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, scope, target_id = from_json(text)
        if mark == _CURSOR_MARK and scope in SCOPES and isinstance(target_id, str):
            return SCOPES.index(scope), target_id
    except (binascii.Error, ValueError, TypeError) as error:
        raise _bad_cursor() from error
    raise _bad_cursor()


def _bad_cursor() -> Invalid:
    detail = "it is no cursor of this list; use next_cursor of the page before as it is"
    return Invalid(f"query/cursor: {detail}", [("query/cursor", detail)])
