"""The catalogue as it changes, and what the shop decides."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

import personalize as pz
from service.schemas.fields import Availability, Body, Currency, Id, Out, Price, Text


class ProductBody(Body):
    """A product as it is now; what is left out is unknown."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "item_group_id": "sport-coat-navy",
                "title": "Navy sport coat, 50",
                "product_type": "Apparel > Suits > Sport coats",
                "brand": "Harrow",
                "price": 249.0,
                "currency": "EUR",
                "availability": "in_stock",
                "link": "https://shop.example/sport-coat-navy-50",
                "image_link": "https://shop.example/sport-coat-navy-50.jpg",
                "sensitive": False,
            }
        }
    )

    item_group_id: Id | None = None
    title: Text | None = None
    product_type: Text | None = None
    brand: Text | None = None
    price: Price | None = None
    currency: Currency | None = None
    availability: Availability | None = None
    link: Text | None = None
    image_link: Text | None = None
    sensitive: bool = False

    def product(self, product_id: str) -> pz.Product:
        """Return it as the library's product."""
        fields = {name: getattr(self, name) for name in ProductBody.model_fields}
        if self.product_type is not None:
            fields["product_type"] = pz.normalise_type(self.product_type) or None
        return pz.Product(product_id, **fields)


class BatchProductBody(ProductBody):
    """One line of a batch of products."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"product_id": "tie-silk-red", "title": "Red silk tie", "price": 39.0}
        }
    )

    product_id: Id


class ProductApplied(Out):
    """The product is stored; every worker knows it within 5 seconds."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"applied": True, "catalog_revision": 42}}
    )

    applied: bool
    catalog_revision: int


class PolicyBody(Body):
    """What the shop decides; what is left out is left to what is learned."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "rules": {"purchased_substitute": True},
                "types": {
                    "Apparel > Socks": {"suppress": False},
                    "Apparel > Coats": {"cooldown_days": 700},
                },
                "thresholds": {"due_quantile": 0.35},
            }
        }
    )

    version: Annotated[int | None, Field(ge=0)] = Field(
        None, description="Refused with 409 unless this is the newest version"
    )
    rules: dict[str, Any] = Field(default_factory=dict, description="Suppression rule: on or off")
    types: dict[str, Any] = Field(
        default_factory=dict,
        description="By category path: suppress, cooldown_days (or for_good), one_per_need, "
        "max_per_list, sensitive",
    )
    thresholds: dict[str, Any] = Field(
        default_factory=dict,
        description="due_quantile, repurchase_threshold, min_cooldown_days, "
        "default_cooldown_days, return_cooldown_days",
    )


class PolicyOut(Out):
    """The policy, and which version it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": 3,
                "rules": {"purchased_substitute": True},
                "types": {"Apparel > Socks": {"suppress": False}},
                "thresholds": {"due_quantile": 0.35},
            }
        }
    )

    version: int
    rules: dict[str, bool]
    types: dict[str, dict[str, Any]]
    thresholds: dict[str, float]


class PolicyApplied(PolicyOut):
    """The policy as it was stored; in force in every worker within 5 seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "applied": True,
                "version": 4,
                "rules": {},
                "types": {"Apparel > Socks": {"suppress": False}},
                "thresholds": {},
            }
        }
    )

    applied: bool
