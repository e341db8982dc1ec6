"""The store out of reach: decisions as the shop chose, marked; everything else says so in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Start
from service_shop import COAT, NOW, SOCKS, TIE, Client, order_body

import personalize as pz
from service import Settings

ONE = f"/v1/customers/c-1/suppressions/{COAT}"
CHECK = "/v1/suppressions/check"


@pytest.fixture(params=["fail_open", "fail_closed"])
def failure(request: pytest.FixtureRequest) -> str:
    """Return each of the choices."""
    return str(request.param)


Outage = Callable[[Client], None]


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    """Return what takes a client's store away; `monkeypatch.undo` brings it back."""

    def gone(*_: Any, **__: Any) -> Any:
        raise pz.StoreError("store postgresql://user@host/db: gone", url="postgresql://host/db")

    def take(client: Client) -> None:
        database = client.shop.store._database
        for name in ("read", "write"):
            monkeypatch.setattr(database, name, gone)
        for name in (
            "purchase_state",
            "purchase_states",
            "customer_lines",
            "lines_of_customers",
            "scopes_of",
        ):
            monkeypatch.setattr(client.shop.store, name, gone)

    return take


def expected(failure: str, customer_id: str, product_id: str) -> dict[str, Any]:
    """Return a degraded decision."""
    is_closed = failure == "fail_closed"
    return {
        "customer_id": customer_id, "product_id": product_id, "suppress": is_closed,
        "reason": "store_unavailable", "since": None,
        "until": pz.to_rfc3339(NOW + 5_000_000) if is_closed else None,
        "basis": None, "repurchase_probability": None, "degraded": True,
    }  # fmt: skip


def test_decisions_are_as_chosen_and_marked(
    start: Start,
    settings: Settings,
    failure: str,
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is owned, every decision is the chosen one; with the store back, the true one."""
    client = start(settings.model_copy(update={"store_failure": failure, "key_seconds": 60.0}))
    client.order("o-1", "c-1", COAT)
    before = client.get(ONE).json()
    assert before["suppress"] is True
    assert "degraded" not in before
    outage(client)
    assert client.get(ONE).json() == {"model_version": "v1", **expected(failure, "c-1", COAT)}
    products = {"customer_id": "c-1", "product_ids": [COAT, SOCKS]}
    assert client.post(CHECK, products).json() == {
        "model_version": "v1", "degraded": True,
        "decisions": [expected(failure, "c-1", COAT), expected(failure, "c-1", SOCKS)],
    }  # fmt: skip
    pairs = {"pairs": [["c-1", COAT], ["c-2", TIE]], "as_of": "2026-11-21T00:00:00Z"}
    decided = client.post(CHECK, pairs).json()["decisions"]
    assert decided == [expected(failure, "c-1", COAT), expected(failure, "c-2", TIE)]
    counted = client.shop.metrics.text().decode()
    assert 'personalize_decisions_total{reason="store_unavailable"} 5.0' in counted
    monkeypatch.undo()
    assert client.get(ONE).json() == before


def test_nothing_else_is_made_up(client: Client, outage: Outage) -> None:
    """Lists, what to show, orders and readiness are a 503 that says when to ask again."""
    outage(client)
    order = order_body("c-1", COAT)
    adjustment = {"adjustment_id": "a", "adjusted_at": "2026-11-21T00:00:00Z", "lines": []}
    adjustment["lines"] = [{"product_id": COAT, "quantity": -1}]
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/v1/customers/c-1/suppressions", None),
        ("POST", "/v1/recommendations", {"customer_id": "c-1", "moment": "ad"}),
        ("PUT", "/v1/orders/o-1", order),
        ("POST", "/v1/orders/o-1/adjustments", adjustment),
        ("GET", "/v1/orders/o-1", None),
        ("GET", "/v1/policy", None),
        ("GET", "/health/ready", None),
    ]
    for method, path, body in asked:
        answer = client(method, path, json=body)
        assert answer.status_code == 503, path
        assert int(answer.headers["retry-after"]) > 0
        assert "postgresql" not in answer.text


def test_what_needs_no_store_goes_on(client: Client, outage: Outage) -> None:
    """Complements, and what to show to nobody in particular, rest on the model alone."""
    client.get(ONE)
    outage(client)
    assert client.get(f"/v1/products/{COAT}/complements").json()["items"]
    shown = client.post("/v1/recommendations", {"product_ids": [COAT], "moment": "browse"})
    assert shown.json()["items"]
    assert client.get("/health/live").status_code == 200


def test_keys_that_were_known_go_on(
    start: Start, settings: Settings, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was let in before the outage is let in; who was not gets a 503, never an answer."""
    with pz.Store.open(settings.store) as store:
        secret = store.create_key("ads", ["decide"], created_at=0)
        other = store.create_key("other", ["decide"], created_at=0)
    client = start(settings)  # it remembers keys for no time at all
    bearer = {"Authorization": f"Bearer {secret}"}
    assert client.get(ONE, headers=bearer).status_code == 200
    outage(client)
    for _ in range(2):
        assert client.get(ONE, headers=bearer).json()["degraded"] is True
    stranger = {"Authorization": f"Bearer {other}"}
    assert client.get(ONE, headers=stranger).status_code == 503
    assert client.get(ONE).status_code == 401
    monkeypatch.undo()
    assert client.get(ONE, headers=stranger).status_code == 200


def test_an_open_door_is_not_assumed(start: Start, settings: Settings, outage: Outage) -> None:
    """Whether there are keys at all must have been seen once."""
    client = start(settings)
    outage(client)
    assert client.get(ONE).status_code == 503


def test_no_model_and_no_store_is_no_decision(
    start: Start, settings: Settings, outage: Outage
) -> None:
    """Without a model there is nothing that could answer."""
    client = start(settings.model_copy(update={"models": settings.models / "none"}))
    client.get(ONE)
    outage(client)
    assert client.get(ONE).status_code == 503


def test_a_store_that_takes_no_writes_is_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica answers questions; a service on it is not ready for orders and says so."""
    monkeypatch.setattr(client.shop.store, "takes_writes", lambda: False)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the store takes no writes"])
    assert client.get(ONE).status_code == 200
