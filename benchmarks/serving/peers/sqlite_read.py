"""FastAPI with one indexed read of SQLite, for whether the product was ever bought."""

from __future__ import annotations

import os
import sqlite3

from fastapi import FastAPI

_connection = sqlite3.connect(
    f"file:{os.environ['PEER_SQLITE']}?mode=ro", uri=True, check_same_thread=False
)
_SQL = "SELECT 1 FROM order_lines WHERE customer_id = ? AND product_id = ? LIMIT 1"

app = FastAPI()


@app.get("/v1/customers/{customer_id}/suppressions/{product_id}")
async def check(customer_id: str, product_id: str) -> dict[str, str | bool]:
    """Return whether the customer ever bought the product."""
    bought = _connection.execute(_SQL, (customer_id, product_id)).fetchone() is not None
    return {"customer_id": customer_id, "product_id": product_id, "suppress": bought}
