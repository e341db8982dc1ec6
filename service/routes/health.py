"""Whether the process lives, whether it can answer, and what it counted."""

from __future__ import annotations

import time

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

import personalize as pz
from service import answers
from service.openapi import answers as documented
from service.openapi import problem
from service.problems import document, respond
from service.schemas import Live, Ready
from service.shop import Shop

router = APIRouter(tags=["health"])


@router.get("/health/live", operation_id="live", responses=documented(Live))
async def live() -> Response:
    """Return that the process runs."""
    return answers.reply({"live": True})


@router.get("/health/ready", operation_id="ready", responses=documented(Ready, 503))
async def ready(request: Request) -> Response:
    """Return whether questions are answered; a 503 names the ``reasons`` why not."""
    shop: Shop = request.app.state.shop
    version = shop.live.model_version
    refused = shop.watch.refused
    warnings = [] if refused is None else [f"model {refused} cannot be loaded; the log says why"]
    reasons = ["the service is about to stop"] if shop.connections.is_draining else []
    if version is None:
        reasons += warnings or ["no model is current; run `personalize train`"]
    missing = await run_sync(_missing_of, shop.store)
    if missing is not None:
        reasons.append(missing)
    if reasons:
        detail = "; ".join(reasons)
        out = document(503, detail, ready=False, reasons=reasons)
        return respond(out, request_id=request.state.request_id)
    return answers.reply({"ready": True, "model_version": version, "warnings": warnings})


def _missing_of(store: pz.Store) -> str | None:
    """Return what the store lacks, None if nothing."""
    try:
        return None if store.takes_writes() else "the store takes no writes"
    except pz.StoreError:
        return "the store cannot be reached"


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "Prometheus text",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'personalize_decisions_total{reason="purchased"} 12.0\n',
                }
            },
        },
        401: problem(401),
        403: problem(403),
        429: problem(429),
    },
)
async def metrics(request: Request) -> Response:
    """Return what was counted and timed; open on loopback, else for the scope `admin`."""
    shop: Shop = request.app.state.shop
    await shop.gate.admit_to_metrics(request)
    is_reachable = await run_sync(shop.store.is_ready)
    looked_at = shop.watch.refreshed_at
    age = None if looked_at is None else time.monotonic() - looked_at
    vitals = shop.vitals.text(
        shop,
        store_is_reachable=is_reachable,
        model_is_refused=shop.watch.refused is not None,
        refresh_age_seconds=age,
    )
    text = await run_sync(shop.metrics.text) + vitals
    return Response(text, media_type=None, headers={"Content-Type": CONTENT_TYPE_LATEST})
