"""The values that bodies, paths and parameters are made of.

Reading is strict: numbers as text, unknown fields and times without meaning are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote_to_bytes

from fastapi import Path, Query
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

import personalize as pz

MAX_BATCH_LINES: Final = 10_000
MAX_ORDER_LINES: Final = 10_000
MAX_PRODUCTS: Final = 1_000
MAX_K: Final = 100
MAX_PAGE: Final = 1_000
SCOPES: Final = ("product", "item_group", "product_type")
"""In the order of the suppression list."""
MAX_QUANTITY: Final = 1_000_000_000

BAD_ESCAPE: Final = r"%(?![0-9A-Fa-f]{2})"
"""What begins no percent-encoding; taken as it stands it would be another id."""
_BAD_ESCAPE: Final = re.compile(BAD_ESCAPE)
_FIRST = pz.to_micros("0001-01-01")
_LAST = pz.to_micros("9999-12-31T23:59:59.999999")


def _moment(value: Any) -> int:
    if isinstance(value, str) and len(value) <= 64:
        micros = pz.to_micros(value)
        if _FIRST <= micros <= _LAST:
            return micros
    raise ValueError("give a moment as RFC 3339 text, such as 2026-11-22T05:04:00Z")


def _decoded(value: str) -> str:
    """Return a path segment as it was before it was percent-encoded."""
    if _BAD_ESCAPE.search(value):
        raise ValueError("a % begins no percent-encoding; send it as %25")
    return unquote_to_bytes(value).decode("utf-8")


MAX_ID_LENGTH: Final = 255
ID_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]+$"
Id = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)
]
Text = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=5000, pattern=r"^[^\x00]+$")
]
When = Annotated[
    int,
    BeforeValidator(_moment),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "description": "RFC 3339; without offset: UTC"}
    ),
]
"""A moment: RFC 3339 outside, microseconds since 1970 UTC inside."""
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A moment as it is written: RFC 3339, UTC, ``Z``."""
Currency = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Z]{3}$")]
Price = Annotated[float, Field(ge=0, le=1e12)]
Availability = Literal["in_stock", "out_of_stock", "preorder", "backorder"]
MessageMoment = Literal["order_confirmation", "shipped", "follow_up", "ad", "browse"]
K = Annotated[int, Field(ge=1, le=MAX_K, description="Length of the list")]

OrderId = Annotated[Id, BeforeValidator(_decoded), Path(description="Percent-encoded")]
CustomerId = Annotated[Id, BeforeValidator(_decoded), Path(description="Percent-encoded")]
ProductId = Annotated[Id, BeforeValidator(_decoded), Path(description="Percent-encoded")]
AsOf = Annotated[
    When | None, Query(description="The moment asked about; facts at or after it do not count")
]


class Body(BaseModel):
    """A body that is read: strict, and without unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Out(BaseModel):
    """A body that is written."""

    model_config = ConfigDict(extra="forbid")


def all_below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield every model that is made from `base`, in the order they were."""
    for model in base.__subclasses__():
        yield model
        yield from all_below(model)
