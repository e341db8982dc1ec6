"""A constant answer of FastAPI: what its machinery costs before anything is asked."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.get("/v1/customers/{customer_id}/suppressions/{product_id}")
async def check(customer_id: str, product_id: str) -> dict[str, str | bool]:
    """Return that nothing is suppressed."""
    return {"customer_id": customer_id, "product_id": product_id, "suppress": False}
