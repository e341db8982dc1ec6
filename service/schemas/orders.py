"""Orders as they come in and as they stand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from service.schemas.fields import (
    MAX_ORDER_LINES,
    MAX_QUANTITY,
    Body,
    Currency,
    Id,
    Moment,
    Out,
    Price,
    When,
)


class OrderLineBody(Body):
    """One product of an order."""

    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
    returned_quantity: Annotated[int | None, Field(ge=0, le=MAX_QUANTITY)] = None
    returned_at: When | None = None
    unit_price: Price | None = None
    gift: bool = False

    @field_validator("returned_quantity")
    @classmethod
    def _at_most_what_was_bought(cls, value: int | None, info: ValidationInfo) -> int | None:
        quantity = info.data.get("quantity")
        if value is not None and quantity is not None and value > quantity:
            raise ValueError(f"at most quantity, {quantity}")
        return value


class OrderBody(Body):
    """A whole order, as it is now; a newer ``updated_at`` replaces an older one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c-1001",
                "ordered_at": "2026-11-20T09:30:00Z",
                "updated_at": "2026-11-20T09:30:00Z",
                "currency": "EUR",
                "channel": "web",
                "lines": [
                    {"product_id": "sport-coat-navy-50", "quantity": 1, "unit_price": 249.0},
                    {"product_id": "tie-silk-red", "quantity": 1, "gift": True},
                ],
            }
        }
    )

    customer_id: Id | None = Field(description="null: a guest")
    ordered_at: When
    updated_at: When
    currency: Currency | None = None
    channel: Literal["web", "app", "store", "phone"] | None = None
    lines: Annotated[list[OrderLineBody], Field(min_length=1, max_length=MAX_ORDER_LINES)]


class BatchOrderBody(OrderBody):
    """One line of a batch of orders."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "order_id": "o-5001",
                "customer_id": "c-1001",
                "ordered_at": "2026-11-20T09:30:00Z",
                "updated_at": "2026-11-20T09:30:00Z",
                "lines": [{"product_id": "sport-coat-navy-50", "quantity": 1}],
            }
        }
    )

    order_id: Id


class AdjustmentLineBody(Body):
    """Units that went back (negative) or were taken back again (positive)."""

    product_id: Id
    quantity: Annotated[
        int, Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY, json_schema_extra={"not": {"const": 0}})
    ]

    @field_validator("quantity")
    @classmethod
    def _not_zero(cls, value: int) -> int:
        if value == 0:
            raise ValueError("negative for units sent back, positive to take that back; not 0")
        return value


class AdjustmentBody(Body):
    """A change of an order by units, for sources that send refunds as differences."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "adjustment_id": "refund-1",
                "adjusted_at": "2026-11-22T08:00:00Z",
                "lines": [{"product_id": "sport-coat-navy-50", "quantity": -1}],
            }
        }
    )

    adjustment_id: Id
    adjusted_at: When
    lines: Annotated[list[AdjustmentLineBody], Field(min_length=1, max_length=MAX_ORDER_LINES)]


class Applied(Out):
    """Whether this changed anything: false if something newer was known already."""

    model_config = ConfigDict(json_schema_extra={"example": {"applied": True}})

    applied: bool


class OrderLineOut(Out):
    """One product of an order, adjustments counted."""

    product_id: str
    quantity: int
    returned_quantity: int
    returned_at: Moment | None
    unit_price: float | None
    gift: bool


class OrderOut(Out):
    """An order as it stands: its newest snapshot and its adjustments."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "order_id": "o-5001",
                "customer_id": "c-1001",
                "ordered_at": "2026-11-20T09:30:00Z",
                "updated_at": "2026-11-20T09:30:00Z",
                "currency": "EUR",
                "channel": "web",
                "lines": [
                    {
                        "product_id": "sport-coat-navy-50",
                        "quantity": 1,
                        "returned_quantity": 0,
                        "returned_at": None,
                        "unit_price": 249.0,
                        "gift": False,
                    }
                ],
            }
        }
    )

    order_id: str
    customer_id: str | None
    ordered_at: Moment
    updated_at: Moment
    currency: str | None
    channel: str | None
    lines: list[OrderLineOut]
