"""FastAPI with Redis: a set per customer of what was bought, and ``SISMEMBER``.

What a shop would build itself. It knows no variants, no end, no returns, no orders of now.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from fastapi import FastAPI

_PREFIX = os.environ["PEER_REDIS_PREFIX"]
_redis = redis.asyncio.Redis.from_url(os.environ["PEER_REDIS"], decode_responses=True)


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await _redis.aclose()


app = FastAPI(lifespan=_lifespan)


@app.get("/v1/customers/{customer_id}/suppressions/{product_id}")
async def check(customer_id: str, product_id: str) -> dict[str, str | bool]:
    """Return whether the customer ever bought the product."""
    bought = await _redis.sismember(f"{_PREFIX}{customer_id}", product_id)
    return {"customer_id": customer_id, "product_id": product_id, "suppress": bool(bought)}
