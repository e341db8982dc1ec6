"""May this be shown to this customer: one, many, and the list of what may not."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

import personalize as pz
from service import answers, degraded
from service.inputs import cursor_after, place_of, takes
from service.openapi import answers as documented
from service.schemas import (
    MAX_PAGE,
    SCOPES,
    AsOf,
    CheckBody,
    CheckOut,
    CustomerId,
    OneDecisionOut,
    ProductId,
    SuppressionsOut,
)
from service.security import Decide

router = APIRouter(tags=["suppressions"])


@router.post(
    "/v1/suppressions/check",
    operation_id="check",
    responses=documented(CheckOut, 400, 401, 403, 413, 415, 422, 503),
)
def check(shop: Decide, body: Annotated[CheckBody, takes(CheckBody)]) -> Response:
    """Return a decision for each product of one customer, or for each pair, in the order asked."""
    try:
        if body.pairs is None:
            decided = shop.live.decide(body.customer_id or "", body.product_ids or [], body.as_of)
        else:
            decided = shop.live.check(body.pairs, body.as_of)
        content = answers.many(decided)
    except pz.StoreError as error:
        shop.vitals.store_failed(error)
        pairs = body.pairs or [(body.customer_id or "", each) for each in body.product_ids or []]
        decided = degraded.decisions(shop, pairs)
        content = answers.many_degraded(decided)
    shop.metrics.decisions(decided)
    return answers.written(content)


@router.get(
    "/v1/customers/{customer_id}/suppressions/{product_id}",
    operation_id="check_one",
    responses=documented(OneDecisionOut, 401, 403, 422, 503),
)
def check_one(
    shop: Decide, customer_id: CustomerId, product_id: ProductId, as_of: AsOf = None
) -> Response:
    """Return one decision."""
    try:
        decided = shop.live.decide(customer_id, [product_id], as_of)
        content = answers.one(decided)
    except pz.StoreError as error:
        shop.vitals.store_failed(error)
        decided = degraded.decisions(shop, [(customer_id, product_id)])
        content = answers.one_degraded(decided)
    shop.metrics.decisions(decided)
    return answers.written(content)


@router.get(
    "/v1/customers/{customer_id}/suppressions",
    operation_id="suppressions",
    responses=documented(SuppressionsOut, 401, 403, 422, 503),
)
def suppressions(
    shop: Decide,
    customer_id: CustomerId,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Rows of a page")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=4096, description="next_cursor of the page before")
    ] = None,
    as_of: AsOf = None,
) -> Response:
    """Return a page of what the customer must not be shown: products, then groups, then types.

    A cursor stands behind a row, not at a position: pages go on where the last one ended, also
    when another model answers meanwhile.
    """
    after = None if cursor is None else place_of(cursor)
    rows = shop.live.suppressions(customer_id, as_of)
    places = [(SCOPES.index(row.scope), row.target_id) for row in rows]
    start = 0 if after is None else bisect_right(places, after)
    page = rows[start : start + limit]
    is_last = start + limit >= len(rows)
    content = {
        "customer_id": customer_id,
        "model_version": rows.model_version,
        "suppressions": [answers.suppression(row) for row in page],
        "next_cursor": None if is_last else cursor_after(*places[start + limit - 1]),
    }
    return answers.reply(content)
