"""Questions and their answers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from service.schemas.fields import MAX_PRODUCTS, Body, Id, K, MessageMoment, Moment, Out, When

_DECISION: Final[dict[str, Any]] = {
    "customer_id": "c-1001",
    "product_id": "sport-coat-navy-50",
    "suppress": True,
    "reason": "purchased",
    "since": "2026-11-20T09:30:00Z",
    "until": "2027-11-20T09:30:00Z",
    "basis": "product_type",
    "repurchase_probability": 0.02,
}


class CheckBody(Body):
    """Either one customer and their products, or pairs."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c-1001",
                "product_ids": ["sport-coat-navy-50", "trousers-grey"],
            },
            "oneOf": [
                {
                    "required": ["customer_id", "product_ids"],
                    "properties": {
                        "customer_id": {"type": "string"},
                        "product_ids": {"type": "array"},
                        "pairs": {"type": "null"},
                    },
                },
                {
                    "required": ["pairs"],
                    "properties": {
                        "customer_id": {"type": "null"},
                        "product_ids": {"type": "null"},
                        "pairs": {"type": "array"},
                    },
                },
            ],
        }
    )

    customer_id: Id | None = None
    product_ids: Annotated[list[Id] | None, Field(min_length=1, max_length=MAX_PRODUCTS)] = None
    pairs: Annotated[
        list[tuple[Id, Id]] | None,
        Field(min_length=1, max_length=MAX_PRODUCTS, description="[customer_id, product_id] each"),
    ] = None
    as_of: When | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        one, many = (self.customer_id, self.product_ids), self.pairs
        if (many is None and None in one) or (many is not None and one != (None, None)):
            raise ValueError("give customer_id and product_ids, or pairs")
        return self


class DecisionOut(Out):
    """Whether one customer may be shown one product, why, and until when."""

    model_config = ConfigDict(json_schema_extra={"example": _DECISION})

    customer_id: str
    product_id: str
    suppress: bool
    reason: str
    since: Moment | None
    until: Moment | None = Field(description="First moment it may show again; null: for good")
    basis: str | None
    repurchase_probability: float | None
    degraded: bool = Field(
        default=False,
        description="There, and true, only if the store could not be reached: the decision is what "
        "the setting `store_failure` says, for every product",
    )


class CheckOut(Out):
    """Decisions, in the order asked."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"model_version": "2026-11-22T05-04-00Z", "decisions": [_DECISION]}
        }
    )

    model_version: str
    degraded: bool = Field(
        default=False, description="There, and true, only if every decision is degraded"
    )
    decisions: list[DecisionOut]


class OneDecisionOut(DecisionOut):
    """One decision, and the model that made it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"model_version": "2026-11-22T05-04-00Z", **_DECISION}}
    )

    model_version: str


class SuppressionOut(Out):
    """One row of the list: a product, an item group or a product type."""

    scope: Literal["product", "item_group", "product_type"]
    target_id: str
    reason: str
    since: Moment
    until: Moment | None
    basis: str
    repurchase_probability: float | None


class SuppressionsOut(Out):
    """A page of the suppression list, products, then groups, then types."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c-1001",
                "model_version": "2026-11-22T05-04-00Z",
                "suppressions": [
                    {
                        "scope": "product",
                        "target_id": "sport-coat-navy-50",
                        "reason": "purchased",
                        "since": "2026-11-20T09:30:00Z",
                        "until": None,
                        "basis": "product",
                        "repurchase_probability": 0.02,
                    }
                ],
                "next_cursor": None,
            }
        }
    )

    customer_id: str
    model_version: str
    suppressions: list[SuppressionOut]
    next_cursor: str | None = Field(description="Hand it back as cursor; null: the last page")


class RecommendBody(Body):
    """What a message is about, and how long its list is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c-1001",
                "order_id": "o-5001",
                "moment": "order_confirmation",
                "k": 4,
            },
            "not": {
                "required": ["order_id", "product_ids"],
                "properties": {"order_id": {"type": "string"}, "product_ids": {"type": "array"}},
            },
        }
    )

    customer_id: Id | None = None
    order_id: Id | None = None
    product_ids: Annotated[list[Id] | None, Field(max_length=MAX_PRODUCTS)] = None
    moment: MessageMoment = "follow_up"
    k: K = 10
    exclude_product_ids: Annotated[list[Id], Field(default_factory=list, max_length=MAX_PRODUCTS)]
    include_due: bool = False
    fill: bool = True
    as_of: When | None = None

    @model_validator(mode="after")
    def _one_anchor(self) -> Self:
        if self.order_id is not None and self.product_ids is not None:
            raise ValueError("give order_id or product_ids, not both")
        return self


_ITEM: Final[dict[str, Any]] = {
    "product_id": "trousers-grey",
    "rank": 1,
    "score": 0.31,
    "reason": "goes_with",
    "because_product_id": "sport-coat-navy-50",
    "title": "Grey dress trousers",
    "link": "https://shop.example/trousers-grey",
    "image_link": "https://shop.example/trousers-grey.jpg",
    "price": 89.0,
    "currency": "EUR",
}


class ItemOut(Out):
    """One product to show, with what the catalogue knows of it."""

    product_id: str
    rank: int
    score: float
    reason: str
    because_product_id: str | None
    title: str | None
    link: str | None
    image_link: str | None
    price: float | None
    currency: str | None


class RecommendOut(Out):
    """What to show, best first; perhaps fewer than k."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "recommendation_id": "5f0f1a0e-6a0d-4a51-9d3f-0b8f4f6f2a11",
                "model_version": "2026-11-22T05-04-00Z",
                "items": [_ITEM],
            }
        }
    )

    recommendation_id: str
    model_version: str
    items: list[ItemOut]


class ComplementOut(ItemOut):
    """One product that goes with another, and on what evidence."""

    support: int | None
    lift: float | None


class ComplementsOut(Out):
    """What goes with a product, best first; the same for everyone."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "product_id": "sport-coat-navy-50",
                "model_version": "2026-11-22T05-04-00Z",
                "items": [{**_ITEM, "support": 57, "lift": 8.4}],
            }
        }
    )

    product_id: str
    model_version: str
    items: list[ComplementOut]
