"""What to show a customer, for a message or a page."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from service import answers
from service.inputs import takes
from service.openapi import answers as documented
from service.schemas import RecommendBody, RecommendOut
from service.security import Decide

router = APIRouter(tags=["recommendations"])


@router.post(
    "/v1/recommendations",
    operation_id="recommend",
    responses=documented(RecommendOut, 400, 401, 403, 404, 413, 415, 422, 503),
)
def recommend(shop: Decide, body: Annotated[RecommendBody, takes(RecommendBody)]) -> Response:
    """Return what goes with an order, with products, or with what the customer owns.

    Nothing that is suppressed for the customer is ever among it.
    """
    picks = shop.live.recommend(
        body.customer_id,
        body.k,
        body.as_of,
        moment=body.moment,
        order_id=body.order_id,
        product_ids=body.product_ids,
        exclude=body.exclude_product_ids,
        include_due=body.include_due,
        fill=body.fill,
    )
    shop.metrics.picks(picks)
    content = {
        "recommendation_id": str(uuid.uuid4()),
        "model_version": picks.model_version,
        "items": answers.items(picks),
    }
    return answers.reply(content)
