"""A small shop behind the service, and a client that talks to it in this process."""

from __future__ import annotations

import datetime as dt
from typing import Any

import httpx
import pandas as pd
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI

import personalize as pz

NOW = pz.to_micros("2026-11-22T12:00:00Z")
COAT, COAT_2, TROUSERS, TIE, SOCKS, BELT = (
    "coat-50", "coat-52", "trousers-grey", "tie-red", "socks", "belt",
)  # fmt: skip
TYPES = {
    COAT: "Apparel > Suits > Sport coats",
    COAT_2: "Apparel > Suits > Sport coats",
    TROUSERS: "Apparel > Trousers",
    TIE: "Apparel > Ties",
    SOCKS: "Apparel > Socks",
    BELT: "Apparel > Belts",
}


def catalog() -> pz.Catalog:
    """Return the catalogue that the model learns with: two coats are variants of one another."""
    return pz.Catalog.from_products(
        [
            pz.Product(
                product_id,
                item_group_id="coat" if product_id.startswith("coat") else None,
                title=product_id.title(),
                product_type=product_type,
                price=10.0,
                currency="EUR",
                link=f"https://shop.example/{product_id}",
            )
            for product_id, product_type in TYPES.items()
        ]
    )


def orders() -> pz.Orders:
    """Return what the model learns from: ten customers, coats with trousers and ties."""
    rows = []
    for n in range(10):
        day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=20 * n)
        basket = [COAT if n % 2 else COAT_2, TROUSERS, TIE] if n < 8 else [SOCKS, BELT]
        rows += [(f"t{n}", f"learned-{n}", product_id, day, 1) for product_id in basket]
    columns = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    return pz.Orders.from_frame(pd.DataFrame(rows, columns=columns))


class Client:
    """A client of an application in this process."""

    def __init__(self, app: FastAPI, portal: BlockingPortal, address: str = "127.0.0.1") -> None:
        self.app = app
        self._portal = portal
        transport = httpx.ASGITransport(app, client=(address, 5000))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")
        self.headers: dict[str, str] = {}

    @property
    def shop(self) -> Any:
        """The parts of the application."""
        return self.app.state.shop

    def __call__(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Return the answer to a request; every problem has the one shape."""
        headers = {**self.headers, **given.pop("headers", {})}

        async def ask() -> httpx.Response:
            return await self._http.request(method, path, headers=headers, **given)

        answer = self._portal.call(ask)
        assert answer.headers["x-request-id"]
        if answer.status_code >= 400:
            check_problem(answer)
        return answer

    def get(self, path: str, **given: Any) -> httpx.Response:
        """GET."""
        return self("GET", path, **given)

    def put(self, path: str, json: Any = None, **given: Any) -> httpx.Response:
        """PUT."""
        return self("PUT", path, json=json, **given)

    def post(self, path: str, json: Any = None, **given: Any) -> httpx.Response:
        """POST."""
        return self("POST", path, json=json, **given)

    def order(self, order_id: str, customer_id: str | None, *products: str, **more: Any) -> None:
        """Put an order of one each."""
        body = order_body(customer_id, *products, **more)
        answer = self.put(f"/v1/orders/{order_id}", body)
        assert answer.json() == {"applied": True}, answer.text

    def decision(self, customer_id: str, product_id: str, **given: Any) -> dict[str, Any]:
        """Return one decision."""
        path = f"/v1/customers/{customer_id}/suppressions/{product_id}"
        answer = self.get(path, **given)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def order_body(customer_id: str | None, *products: str, **more: Any) -> dict[str, Any]:
    """Return an order of one each, placed two days ago."""
    at = more.pop("ordered_at", "2026-11-20T12:00:00Z")
    lines = [{"product_id": product_id, "quantity": 1} for product_id in products]
    return {
        "customer_id": customer_id, "ordered_at": at, "updated_at": at, "lines": lines, **more,
    }  # fmt: skip


def check_problem(answer: httpx.Response) -> None:
    """Check that an answer is an RFC 9457 problem of ours."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    if answer.request.method == "HEAD":
        return
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert isinstance(problem["title"], str)
    assert problem["detail"]
    assert all(set(error) == {"pointer", "detail"} for error in problem["errors"])
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) > 0
