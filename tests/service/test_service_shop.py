"""Catalogue and policy over HTTP: changes are stored, and in force within seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from service_shop import COAT, TIE, TROUSERS, Client

import personalize as pz


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Return whether something becomes so in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.02)
    return False


def complements(client: Client) -> list[str]:
    """Return what goes with the coat."""
    answer = client.get(f"/v1/products/{COAT}/complements").json()
    return [item["product_id"] for item in answer["items"]]


def test_product_is_stored_as_a_whole(client: Client) -> None:
    """PUT replaces every fact: what is left out is unknown afterwards."""
    body = {
        "item_group_id": "ties", "title": "Red tie", "product_type": "Apparel>Ties", "brand": "B",
        "price": 39, "currency": "EUR", "availability": "preorder", "link": "https://a",
        "image_link": "https://b", "sensitive": True,
    }  # fmt: skip
    assert client.put(f"/v1/products/{TIE}", body).json() == {
        "applied": True,
        "catalog_revision": 1,
    }
    assert client.shop.store.product(TIE) == pz.Product(
        TIE, "ties", "Red tie", "Apparel > Ties", "B", 39.0, "EUR", "preorder", "https://a",
        "https://b", True,
    )  # fmt: skip
    assert client.put(f"/v1/products/{TIE}", {"price": 1}).json()["catalog_revision"] == 2
    assert client.shop.store.product(TIE) == pz.Product(TIE, price=1.0)


def test_stock_is_in_force_within_five_seconds(client: Client) -> None:
    """A product that runs out disappears, and comes back, without a restart."""
    assert TIE in complements(client)
    assert client.put(f"/v1/products/{TIE}", {"availability": "out_of_stock"}).status_code == 200
    assert within(5, lambda: TIE not in complements(client))
    assert client.put(f"/v1/products/{TIE}", {"availability": "in_stock"}).status_code == 200
    assert within(5, lambda: TIE in complements(client))


def test_products_in_a_batch(client: Client) -> None:
    """Good lines are kept, each line has its result."""
    lines = [{"product_id": "new-1", "price": 2}, {"product_id": "x", "prize": 3}, {"price": 3}]
    answer = client.post(
        "/v1/products/batch",
        content="\n".join(map(json.dumps, lines)).encode(),
        headers={"content-type": "application/x-ndjson; charset=utf-8"},
    ).json()
    assert (answer["n_applied"], answer["n_stale"], answer["n_rejected"]) == (1, 0, 2)
    assert answer["results"][0] == {"line": 1, "product_id": "new-1", "applied": True}
    assert answer["results"][1]["problem"]["errors"][0]["pointer"] == "#/prize"
    assert client.shop.store.product("new-1") == pz.Product("new-1", price=2.0)
    assert client.post("/v1/products/batch", [{}]).json()["n_rejected"] == 1
    assert client.shop.store.catalog_revision() == 1


def test_policy_starts_empty(client: Client) -> None:
    """Before the first PUT everything is left to what is learned: version 0."""
    expected = {"version": 0, "rules": {}, "types": {}, "thresholds": {}}
    assert client.get("/v1/policy").json() == expected


def test_policy_is_in_force_at_once_here(client: Client) -> None:
    """A rule that is switched off no longer suppresses, for the next question on."""
    client.order("o-1", "c-1", COAT)
    assert client.decision("c-1", COAT)["reason"] == "purchased"
    body = {"types": {"Apparel>Suits": {"suppress": False}}, "rules": {"returned": True}}
    answer = client.put("/v1/policy", body).json()
    expected = {
        "version": 1, "rules": {"returned": True}, "thresholds": {},
        "types": {"Apparel > Suits": {"suppress": False}},
    }  # fmt: skip
    assert answer == {"applied": True, **expected}
    assert client.get("/v1/policy").json() == expected
    assert client.decision("c-1", COAT)["suppress"] is False


def test_policy_of_another_process_is_in_force_soon(client: Client) -> None:
    """A policy put by somebody else is seen within five seconds."""
    client.order("o-1", "c-1", COAT)
    client.shop.store.put_policy(
        pz.Policy.from_dict({"types": {"Apparel": {"cooldown_days": 700}}})
    )
    assert within(5, lambda: client.decision("c-1", COAT)["basis"] == "rule")
    assert client.decision("c-1", COAT)["until"] == "2028-10-20T12:00:00Z"


def test_policy_version_guards_against_lost_changes(client: Client) -> None:
    """What GET gave can be put back; once somebody else was first it is a 409."""
    read = client.get("/v1/policy").json()
    read["rules"] = {"purchased": False}
    assert client.put("/v1/policy", read).json()["version"] == 1
    answer = client.put("/v1/policy", {**read, "rules": {}})
    assert answer.status_code == 409
    assert "version 1 by now, not 0" in answer.json()["detail"]
    assert client.put("/v1/policy", {**read, "version": 1}).json()["version"] == 1


def test_bad_policy_names_its_place(client: Client) -> None:
    """A misspelt rule, a wrong value and a strange key are refused where they stand."""
    wrong = {
        "#/rules/purchasd": {"rules": {"purchasd": False}},
        "#/rules/purchased": {"rules": {"purchased": "no"}},
        "#/thresholds/due_quantile": {"thresholds": {"due_quantile": 7}},
        "#/types/A%20%3E%20B/cooldown_days": {"types": {"A > B": {"cooldown_days": "long"}}},
        "#/types": {"types": {"A": 3}},
        "#/rules": {"rules": 3},
        "#/more": {"more": {}},
    }
    for pointer, body in wrong.items():
        answer = client.put("/v1/policy", body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert client.get("/v1/policy").json()["version"] == 0


def test_new_product_can_be_asked_about(client: Client) -> None:
    """A product that only the store knows is known, and has complements by its type."""
    assert client.get("/v1/products/new-coat/complements").status_code == 404
    body = {"product_type": "Apparel > Suits > Sport coats"}
    assert client.put("/v1/products/new-coat", body).status_code == 200
    path = "/v1/products/new-coat/complements"
    assert within(5, lambda: client.get(path).status_code == 200)
    items = client.get(path).json()["items"]
    assert {TIE, TROUSERS} & {item["product_id"] for item in items}
