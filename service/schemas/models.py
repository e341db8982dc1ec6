"""The versions of the model: which there are, which is served."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from service.schemas.fields import Body, Id, Out


class ModelOut(Out):
    """One version in the models directory."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": "2026-11-22T05-04-00Z",
                "current": True,
                "as_of": "2026-11-22T05:00:00Z",
                "orders": 412350,
                "customers": 81204,
                "products": 20110,
                "problem": None,
            }
        }
    )

    version: str
    current: bool
    as_of: str | None = Field(description="The moment up to which it learned")
    orders: int | None
    customers: int | None
    products: int | None
    problem: str | None = Field(description="Why it cannot be used; null if it can be read")


class ModelsOut(Out):
    """The versions, oldest name first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "current": "2026-11-22T05-04-00Z",
                "models": [ModelOut.model_config["json_schema_extra"]["example"]],  # type: ignore[index]
            }
        }
    )

    current: str | None
    models: list[ModelOut]


class ModelCurrent(Out):
    """The version that the pointer names, and what this process answers with."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": "2026-11-22T05-04-00Z",
                "model_version": "2026-11-22T05-04-00Z",
                "as_of": "2026-11-22T05:00:00Z",
            }
        }
    )

    version: str
    model_version: str | None = Field(
        description="What this process answers with; null if it has no model"
    )
    as_of: str | None = Field(description="The moment up to which that learned")


class ModelBody(Body):
    """The version to serve from now on."""

    model_config = ConfigDict(json_schema_extra={"example": {"version": "2026-11-22T05-04-00Z"}})

    version: Id


class ModelApplied(ModelCurrent):
    """The version is current; in force in every worker within 5 seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "applied": True,
                "version": "2026-11-22T05-04-00Z",
                "model_version": "2026-11-22T05-04-00Z",
                "as_of": "2026-11-22T05:00:00Z",
            }
        }
    )

    applied: bool
