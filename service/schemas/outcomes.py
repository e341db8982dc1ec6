"""What became of a call: problems, the lines of a batch, health."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from service.schemas.fields import Out


class Fault(Out):
    """One place at fault."""

    pointer: str = Field(
        description="A JSON pointer into the body (#/lines/0/quantity), or where else: "
        "path/order_id, query/as_of"
    )
    detail: str


class LineProblem(Out):
    """Why one line of a batch was not taken."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault]


class ProblemOut(LineProblem):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    request_id: str


class BatchLine(Out):
    """What became of one line: ``applied``, or the ``problem`` with it."""

    line: int = Field(description="1-based line of the body")
    order_id: str | None = None
    product_id: str | None = None
    applied: bool
    problem: LineProblem | None = None


class BatchOut(Out):
    """One result per line; good lines are kept whatever the others are."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "n_applied": 1,
                "n_stale": 0,
                "n_rejected": 1,
                "results": [
                    {"line": 1, "order_id": "o-5001", "applied": True},
                    {
                        "line": 2,
                        "applied": False,
                        "problem": {
                            "type": "about:blank",
                            "title": "The request is not valid",
                            "status": 422,
                            "detail": "#/lines/0/quantity: input should be greater than or "
                            "equal to 1",
                            "errors": [
                                {
                                    "pointer": "#/lines/0/quantity",
                                    "detail": "input should be greater than or equal to 1",
                                }
                            ],
                        },
                    },
                ],
            }
        }
    )

    n_applied: int
    n_stale: int = Field(description="Something newer was known already")
    n_rejected: int
    results: list[BatchLine]


class Live(Out):
    """The process runs."""

    model_config = ConfigDict(json_schema_extra={"example": {"live": True}})

    live: bool


class Ready(Out):
    """Questions are answered, and by which model; ``warnings`` says what is amiss all the same."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"ready": True, "model_version": "2026-11-22T05-04-00Z", "warnings": []}
        }
    )

    ready: bool
    model_version: str
    warnings: list[str]
