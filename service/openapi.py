"""/openapi.json: what each call takes, answers and refuses, each with an example.

FastAPI writes the paths and parameters; this file adds what our own readers and writers know:
bodies, examples, problems, scopes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, document
from service.schemas import ProblemOut

_REF: Final = "#/components/schemas/{model}"
_PROBLEMS: Final[dict[int, tuple[str, list[tuple[str, str]]]]] = {
    400: ("the body is no JSON: EOF while parsing a value at line 1 column 0", []),
    401: ("no API key; send `Authorization: Bearer KEY`", []),
    403: (
        "the API key lacks the scope decide; make one with `personalize keys create` that has it",
        [],
    ),
    404: ("order 'o-1' is unknown, or of another customer", []),
    408: ("the body of the request did not come in time", []),
    409: ("the policy is at version 4 by now, not 3; read it again", []),
    413: ("the body is over 4,194,304 bytes; send less at once", []),
    415: ("the content type is text/plain; send application/json", []),
    422: (
        "#/lines/0/quantity: input should be greater than or equal to 1",
        [("#/lines/0/quantity", "input should be greater than or equal to 1")],
    ),
    429: ("too many bad API keys came from this address; wait, then try one that is known", []),
    503: ("no model is current, so no question can be answered", []),
}


def answers(
    model: type[BaseModel], *problems: int, description: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return what a call answers, for FastAPI's ``responses``: `model`, or one of the problems."""
    out: dict[int | str, dict[str, Any]] = {
        200: {
            "description": description or (model.__doc__ or "").split("\n")[0],
            "content": {"application/json": {"schema": _ref(model), "example": example(model)}},
        }
    }
    return out | {status: problem(status) for status in problems}


def problem(status: int) -> dict[str, Any]:
    """Return how a problem of a status looks."""
    detail, errors = _PROBLEMS[status]
    shown = document(status, detail, errors, request_id="8c7e1f0b9d2f4c1c8d0a5f4e3b2a1908")
    out: dict[str, Any] = {
        "description": shown["title"],
        "content": {MEDIA_TYPE: {"schema": _ref(ProblemOut), "example": shown}},
    }
    if status == 503:
        out["headers"] = {
            "Retry-After": {"schema": {"type": "integer", "example": RETRY_AFTER_SECONDS}}
        }
    if status == 429:
        out["headers"] = {"Retry-After": {"schema": {"type": "integer", "example": 42}}}
    if status == 401:
        out["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return out


def example(model: type[BaseModel]) -> Any:
    """Return the example of a model."""
    extra = model.model_config.get("json_schema_extra")
    return extra["example"] if isinstance(extra, dict) else None


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def described(
    app: FastAPI, routes: Sequence[APIRoute], models: Sequence[type[BaseModel]]
) -> dict[str, Any]:
    """Return the OpenAPI document of `app`: its routes, and the models that they speak of."""
    if app.openapi_schema is None:
        out = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        _, schemas = models_json_schema(
            [(model, "validation") for model in models], ref_template=_REF
        )
        components = out.setdefault("components", {})
        components["schemas"] = dict(sorted(schemas["$defs"].items()))
        components["securitySchemes"] = {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key with the scope of the call; not needed while the "
                "store has no keys, which only works on this machine",
            }
        }
        for route in routes:
            _complete(out, route)
        app.openapi_schema = out
    return app.openapi_schema


def _complete(out: dict[str, Any], route: APIRoute) -> None:
    """Add scope, body and whole examples to a call."""
    for method in route.methods or ():
        operation = out["paths"][route.path_format][method.lower()]
        for status, given in route.responses.items():  # FastAPI drops what is null in examples
            for media, content in given.get("content", {}).items():
                shown = operation["responses"][str(status)]["content"][media]
                shown["example"] = content["example"]
        operation["responses"]["default"] = {
            **problem(408),
            "description": "Any other problem: of the connection (400, 408, 414, 417, 431), or 500",
        }
        for dependency in route.dependant.dependencies:
            scope = getattr(dependency.call, "scope", None)
            if scope is not None:
                operation["security"] = [{"key": [scope]}]
                operation["responses"]["429"] = problem(429)
                operation["description"] = (
                    f"{operation.get('description', '')}\n\nScope: `{scope}`."
                ).strip()
            documented = getattr(dependency.call, "documented", None)
            if documented is not None:
                operation["requestBody"] = {"required": True, "content": _content(*documented)}


def _content(model: type[BaseModel], media: str) -> dict[str, Any]:
    """Return what a body may be: one object, or a batch of them in lines or in an array."""
    one = {"schema": _ref(model), "example": example(model)}
    if media == "application/json":
        return {media: one}
    many = {"schema": {"type": "array", "items": _ref(model)}, "example": [example(model)]}
    return {media: one, "application/json": many}
