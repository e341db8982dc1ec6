"""Orders: put, adjusted, read, deleted, and many at once.

An answer of 2xx means that it is on disk, and that the next question sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

import personalize as pz
from service import answers
from service.inputs import parsed, takes, takes_lines_of
from service.openapi import answers as documented
from service.problems import NotFound, Refused, problem_of
from service.schemas import (
    AdjustmentBody,
    Applied,
    BatchOrderBody,
    BatchOut,
    OrderBody,
    OrderId,
    OrderLineBody,
    OrderOut,
    When,
)
from service.security import Ingest
from service.shop import Shop

router = APIRouter(tags=["orders"])

_AT_ONCE: Final = 500
"""Orders of a batch per transaction: others get their turn in between."""


@router.put(
    "/v1/orders/{order_id}",
    operation_id="put_order",
    responses=documented(Applied, 400, 401, 403, 413, 415, 422, 503),
)
async def put_order(
    shop: Ingest, order_id: OrderId, body: Annotated[OrderBody, takes(OrderBody)]
) -> Response:
    """Store a whole order; `applied` is false if a newer version of it is stored already."""
    return _applied(shop, await shop.commits.put(_snapshot(order_id, body)))


@router.post(
    "/v1/orders/{order_id}/adjustments",
    operation_id="adjust_order",
    responses=documented(Applied, 400, 401, 403, 413, 415, 422, 503),
)
async def adjust_order(
    shop: Ingest, order_id: OrderId, body: Annotated[AdjustmentBody, takes(AdjustmentBody)]
) -> Response:
    """Store a return (negative units) or its taking back; it may come before its order."""
    lines = tuple((line.product_id, line.quantity) for line in body.lines)
    adjustment = pz.Adjustment(order_id, body.adjustment_id, body.adjusted_at, lines)
    applied = await shop.write(lambda: shop.store.adjust(adjustment))
    return answers.reply({"applied": applied})


@router.get(
    "/v1/orders/{order_id}",
    operation_id="read_order",
    responses=documented(OrderOut, 401, 403, 404, 422, 503),
)
async def read_order(shop: Ingest, order_id: OrderId) -> Response:
    """Return an order as it stands, adjustments counted."""
    order = await run_sync(shop.store.order, order_id)
    if order is None:
        raise NotFound(f"order {order_id!r} is unknown or deleted")
    return answers.reply(answers.order(order))


@router.delete(
    "/v1/orders/{order_id}",
    operation_id="delete_order",
    responses=documented(Applied, 401, 403, 422, 503),
)
async def delete_order(
    shop: Ingest,
    order_id: OrderId,
    updated_at: Annotated[When | None, Query(description="Default: now")] = None,
) -> Response:
    """Remove an order; an older version of it that arrives later does not bring it back."""
    at = shop.live.now() if updated_at is None else updated_at
    applied = await shop.write(lambda: shop.store.delete_order(order_id, at))
    return _applied(shop, applied)


@router.post(
    "/v1/orders/batch",
    operation_id="put_orders",
    responses=documented(BatchOut, 400, 401, 403, 413, 415, 422, 503),
)
async def put_orders(
    shop: Ingest, lines: Annotated[list[tuple[int, bytes]], takes_lines_of(BatchOrderBody)]
) -> Response:
    """Store up to 10,000 orders, one per line; good lines are kept whatever the others are."""
    return answers.reply(await shop.write(lambda: _batch(shop, lines)))


def _batch(shop: Shop, lines: list[tuple[int, bytes]]) -> dict[str, Any]:
    good: list[tuple[int, pz.OrderSnapshot]] = []
    results: list[dict[str, Any]] = []
    for number, raw in lines:
        try:
            body = parsed(BatchOrderBody, raw)
            good.append((number, _snapshot(body.order_id, body)))
        except Refused as error:
            results.append(rejected(number, error))
    for start in range(0, len(good), _AT_ONCE):
        results += _stored(shop.store, good[start : start + _AT_ONCE])
    out = answers.batch(results)
    for outcome in ("applied", "stale", "rejected"):
        shop.metrics.orders(outcome, out[f"n_{outcome}"])
    return out


def _stored(store: pz.Store, some: list[tuple[int, pz.OrderSnapshot]]) -> Iterable[dict[str, Any]]:
    try:
        applied = store.put_orders([snapshot for _, snapshot in some])
    except pz.InvalidOrdersError:  # all or none: find the one, keep the others
        return [_stored_alone(store.put_order, *one) for one in some]
    return [
        {"line": number, "order_id": snapshot.order_id, "applied": was_applied}
        for (number, snapshot), was_applied in zip(some, applied, strict=True)
    ]


def _stored_alone(
    put: Callable[[pz.OrderSnapshot], bool], number: int, snapshot: pz.OrderSnapshot
) -> dict[str, Any]:
    try:
        return {"line": number, "order_id": snapshot.order_id, "applied": put(snapshot)}
    except pz.InvalidOrdersError as error:
        return {"order_id": snapshot.order_id, **rejected(number, error)}


def rejected(number: int, error: Exception) -> dict[str, Any]:
    """Return the result of a line that was not taken."""
    return {"line": number, "applied": False, "problem": problem_of(error)}


def _applied(shop: Shop, applied: bool) -> Response:
    shop.metrics.orders("applied" if applied else "stale")
    return answers.reply({"applied": applied})


def _snapshot(order_id: str, body: OrderBody) -> pz.OrderSnapshot:
    return pz.OrderSnapshot(
        order_id,
        body.customer_id,
        body.ordered_at,
        body.updated_at,
        body.currency,
        body.channel,
        tuple(_line(line) for line in body.lines),
    )


def _line(line: OrderLineBody) -> pz.SnapshotLine:
    return pz.SnapshotLine(
        line.product_id,
        line.quantity,
        line.returned_quantity,
        pz.MISSING if line.returned_at is None else line.returned_at,
        line.unit_price,
        line.gift,
    )
