"""The catalogue as it changes, and what goes with a product."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

import personalize as pz
from service import answers
from service.inputs import parsed, takes, takes_lines_of
from service.openapi import answers as documented
from service.problems import Refused, problem_of
from service.schemas import (
    AsOf,
    BatchOut,
    BatchProductBody,
    ComplementsOut,
    K,
    ProductApplied,
    ProductBody,
    ProductId,
)
from service.security import Decide, Ingest

router = APIRouter(tags=["products"])


@router.put(
    "/v1/products/{product_id}",
    operation_id="put_product",
    responses=documented(ProductApplied, 400, 401, 403, 413, 415, 422, 503),
)
async def put_product(
    shop: Ingest, product_id: ProductId, body: Annotated[ProductBody, takes(ProductBody)]
) -> Response:
    """Store a product as a whole; it is in force in every worker within 5 seconds."""
    product = body.product(product_id)
    revision = await shop.write(lambda: shop.store.put_products([product]))
    return answers.reply({"applied": True, "catalog_revision": revision})


@router.post(
    "/v1/products/batch",
    operation_id="put_products",
    responses=documented(BatchOut, 400, 401, 403, 413, 415, 422, 503),
)
async def put_products(
    shop: Ingest, lines: Annotated[list[tuple[int, bytes]], takes_lines_of(BatchProductBody)]
) -> Response:
    """Store up to 10,000 products, one per line; good lines are kept whatever the others are."""
    return answers.reply(await shop.write(lambda: _batch(shop.store, lines)))


def _batch(store: pz.Store, lines: list[tuple[int, bytes]]) -> dict[str, Any]:
    good: list[pz.Product] = []
    results: list[dict[str, Any]] = []
    for number, raw in lines:
        try:
            body = parsed(BatchProductBody, raw)
        except Refused as error:
            results.append({"line": number, "applied": False, "problem": problem_of(error)})
        else:
            good.append(body.product(body.product_id))
            results.append({"line": number, "product_id": body.product_id, "applied": True})
    if good:
        store.put_products(good)
    return answers.batch(results)


@router.get(
    "/v1/products/{product_id}/complements",
    operation_id="complements",
    responses={
        **documented(ComplementsOut, 401, 403, 404, 422, 503),
        304: {"description": "Nothing has changed since the answer of this ETag"},
    },
)
def complements(
    shop: Decide,
    request: Request,
    product_id: ProductId,
    k: Annotated[K, Query()] = 10,
    fill: Annotated[bool, Query(description="Fill up with backed-off and popular ones")] = True,
    as_of: AsOf = None,  # noqa: ARG001 - every question takes it; this one has no time
) -> Response:
    """Return what goes with a product, the same for everyone; `as_of` changes nothing."""
    picks = shop.live.complements(product_id, k, fill=fill)
    tag = f'"{hashlib.sha256(picks.in_force.tag.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if _is_known(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    shop.metrics.picks(picks)
    content = {
        "product_id": product_id,
        "model_version": picks.model_version,
        "items": answers.items(picks, evidence=True),
    }
    return answers.reply(content, headers=headers)


def _is_known(tag: str, if_none_match: str) -> bool:
    """Return whether the caller has the answer of `tag` already (RFC 9110, 13.1.2)."""
    known = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in known or "*" in known
