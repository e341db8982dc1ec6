"""Decisions, lists and recommendations over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from service_shop import (
    BELT,
    COAT,
    COAT_2,
    NOW,
    SOCKS,
    TIE,
    TROUSERS,
    Client,
    catalog,
    order_body,
)  # fmt: skip

import personalize as pz

AS_OF = "2026-11-22T12:00:00Z"


def as_rows(answer: Any) -> list[dict[str, Any]]:
    """Return decisions of the library the way HTTP writes them."""
    rows = []
    for row in answer:
        out = row._asdict()
        for name in ("since", "until"):
            out[name] = None if out[name] is None else pz.to_rfc3339(out[name])
        rows.append(out)
    return rows


def test_check_equals_the_library(client: Client) -> None:
    """HTTP gives what `Personalizer` gives: one customer, pairs and single decisions alike."""
    client.order("o-1", "c-1", COAT, TIE)
    client.order("o-2", "c-2", SOCKS)
    products = [COAT, COAT_2, TIE, SOCKS, "never-heard-of", COAT]
    expected = as_rows(client.shop.live.decide("c-1", products))
    one = client.post("/v1/suppressions/check", {"customer_id": "c-1", "product_ids": products})
    assert one.json() == {"model_version": "v1", "decisions": expected}
    pairs = [["c-1", product_id] for product_id in products] + [["c-2", SOCKS], ["c-3", COAT]]
    many = client.post("/v1/suppressions/check", {"pairs": pairs}).json()["decisions"]
    assert many[: len(products)] == expected
    assert [row["reason"] for row in many[-2:]] == ["purchased", "not_suppressed"]
    for row in expected:
        single = client.decision("c-1", row["product_id"])
        assert single.pop("model_version") == "v1"
        assert single == row


def test_not_suppressed_says_nothing_more(client: Client) -> None:
    """What may be shown has no since, until or basis, and no probability if never owned."""
    assert client.decision("c-1", COAT) == {
        "model_version": "v1", "customer_id": "c-1", "product_id": COAT, "suppress": False,
        "reason": "not_suppressed", "since": None, "until": None, "basis": None,
        "repurchase_probability": None,
    }  # fmt: skip


def test_variant_is_suppressed_with_its_reason(client: Client) -> None:
    """The same coat in another size is suppressed as a variant, until a day or for good."""
    client.order("o-1", "c-1", COAT)
    decision = client.decision("c-1", COAT_2)
    assert (decision["suppress"], decision["reason"]) == (True, "purchased_variant")


@pytest.mark.parametrize("moment", ["2026-11-20T12:00:00Z", "2026-11-20T13:00:00+01:00"])
def test_as_of_is_exclusive(client: Client, moment: str) -> None:
    """A question about the very moment of the purchase does not see it; one later it does."""
    client.order("o-1", "c-1", COAT)
    body = {"customer_id": "c-1", "product_ids": [COAT], "as_of": moment}
    answer = client.post("/v1/suppressions/check", body).json()
    assert answer["decisions"][0]["suppress"] is False
    body["as_of"] = "2026-11-20T12:00:00.000001Z"
    answer = client.post("/v1/suppressions/check", body).json()
    assert answer["decisions"][0]["suppress"] is True


def test_decision_on_the_edge_of_time(client: Client) -> None:
    """An order of the last moment there is has an end that can still be written."""
    client.order("o-1", "c-1", COAT, ordered_at="9999-12-31T23:59:59Z")
    decision = client.decision("c-1", COAT)
    assert decision["suppress"] is True
    assert decision["until"] in (None, "9999-12-31T23:59:59.999999Z")
    assert client.decision("c-1", COAT, params={"as_of": "0001-01-01"})["suppress"] is False


def listed(client: Client, **params: Any) -> list[tuple[str, str]]:
    """Return the rows of all pages."""
    rows: list[tuple[str, str]] = []
    while True:
        page = client.get("/v1/customers/c-1/suppressions", params=params).json()
        rows += [(row["scope"], row["target_id"]) for row in page["suppressions"]]
        if page["next_cursor"] is None:
            return rows
        params["cursor"] = page["next_cursor"]


def test_list_is_paged(client: Client) -> None:
    """Pages of any size give the same rows, sorted, each once."""
    client.order("o-1", "c-1", COAT, TIE, SOCKS, TROUSERS, BELT, "é/ü")
    rows = listed(client)
    scopes = ["product", "item_group", "product_type"]
    assert rows == sorted(rows, key=lambda row: (scopes.index(row[0]), row[1]))
    assert ("item_group", "coat") in rows
    assert ("product", COAT) in rows
    for limit in (1, 2, len(rows), 1000):
        assert listed(client, limit=limit) == rows
    page = client.get("/v1/customers/c-1/suppressions", params={"as_of": "2026-11-01"}).json()
    assert page == {
        "customer_id": "c-1", "model_version": "v1", "suppressions": [], "next_cursor": None,
    }  # fmt: skip


def test_cursor_survives_a_model_switch(client: Client) -> None:
    """The next page goes on behind the last row, and names the model that made it."""
    client.order("o-1", "c-1", COAT, TIE, SOCKS)
    first = client.get("/v1/customers/c-1/suppressions?limit=2").json()
    assert first["model_version"] == "v1"
    folder = pz.ModelsDirectory(client.shop.settings.models)
    client.shop.live.use(pz.Engine.load(folder.path("v2")))
    path = "/v1/customers/c-1/suppressions"
    second = client.get(path, params={"cursor": first["next_cursor"]}).json()
    assert second["model_version"] == "v2"
    rows = first["suppressions"] + second["suppressions"]
    assert [(row["scope"], row["target_id"]) for row in rows] == listed(client)


def test_list_agrees_with_decisions(client: Client) -> None:
    """A product row of the list is what the decision about that product says."""
    client.order("o-1", "c-1", TIE)
    page = client.get("/v1/customers/c-1/suppressions").json()
    row = next(row for row in page["suppressions"] if row["scope"] == "product")
    decision = client.decision("c-1", TIE)
    assert row["target_id"] == TIE
    assert row["since"] == decision["since"]
    assert row["reason"] == "purchased"


def recommended(client: Client, **body: Any) -> list[str]:
    """Return the products of a recommendation."""
    answer = client.post("/v1/recommendations", body)
    assert answer.status_code == 200, answer.text
    return [item["product_id"] for item in answer.json()["items"]]


def test_recommendation_for_an_order(client: Client) -> None:
    """What goes with the order comes, with the catalogue's facts; nothing owned ever does."""
    client.order("o-1", "c-1", COAT)
    body = {"customer_id": "c-1", "order_id": "o-1", "moment": "order_confirmation", "k": 4}
    answer = client.post("/v1/recommendations", body).json()
    assert set(answer) == {"recommendation_id", "model_version", "items"}
    shown = [item["product_id"] for item in answer["items"]]
    assert set(shown[:2]) == {TROUSERS, TIE}
    assert not {COAT, COAT_2} & set(shown)
    first = answer["items"][0]
    assert (first["rank"], first["reason"], first["because_product_id"]) == (1, "goes_with", COAT)
    product = catalog().product(shown[0])
    assert product is not None
    assert first["title"] == product.title
    assert (first["price"], first["currency"], first["image_link"]) == (10.0, "EUR", None)
    again = client.post("/v1/recommendations", body).json()
    assert again["recommendation_id"] != answer["recommendation_id"]
    assert again["items"] == answer["items"]


def test_history_always_counts(client: Client) -> None:
    """A recommendation about products leaves out what the customer owns besides."""
    about = {"product_ids": [COAT], "moment": "browse", "k": 10}
    assert TIE in recommended(client, customer_id="c-1", **about)
    client.order("o-1", "c-1", TIE)
    assert TIE not in recommended(client, customer_id="c-1", **about)
    assert TIE in recommended(client, **about)
    assert TIE in recommended(client, customer_id="c-1", as_of="2026-11-20T12:00:00Z", **about)


def test_order_brings_its_customer(client: Client) -> None:
    """Without a customer_id the history of the order's customer counts."""
    client.order("o-1", "c-1", TIE)
    client.order("o-2", "c-1", COAT)
    assert TIE not in recommended(client, order_id="o-2", moment="shipped", k=10)


def test_order_of_a_guest(client: Client) -> None:
    """A guest's order is an anchor, and what is in it does not come back."""
    client.order("o-1", None, COAT)
    shown = recommended(client, order_id="o-1", moment="order_confirmation", k=10)
    assert set(shown[:2]) == {TROUSERS, TIE}
    assert not {COAT, COAT_2} & set(shown)


def test_gift_in_the_order_is_no_anchor(client: Client) -> None:
    """A gift shows no taste: it seeds nothing, and is not shown for its own order either."""
    lines = [{"product_id": COAT, "quantity": 1, "gift": True}, {"product_id": BELT, "quantity": 1}]
    client.order("o-1", "c-1", lines=lines)
    body = {"order_id": "o-1", "moment": "shipped", "k": 10, "fill": False}
    items = client.post("/v1/recommendations", body).json()["items"]
    assert COAT not in {item["product_id"] for item in items}
    assert {item["because_product_id"] for item in items} <= {BELT}


@pytest.mark.parametrize(
    "question",
    [
        {"order_id": "never-seen"},
        {"order_id": "o-1", "customer_id": "c-2"},
        {"order_id": "o-guest", "customer_id": "c-1"},
        {"order_id": "o-1", "as_of": "2026-11-20T12:00:00Z"},
    ],
)
def test_order_that_is_not_theirs_is_404(client: Client, question: dict[str, str]) -> None:
    """An unknown order, another customer's, and one that was not yet placed are not found."""
    client.order("o-1", "c-1", COAT)
    client.order("o-guest", None, COAT)
    answer = client.post("/v1/recommendations", {**question, "moment": "shipped", "k": 3})
    assert answer.status_code == 404
    assert question["order_id"] in answer.json()["detail"]


def test_order_dated_ahead_is_an_anchor(client: Client) -> None:
    """Without `as_of` an order that a wrong clock dated ahead is found and counts."""
    client.order("o-1", "c-1", COAT, ordered_at="2026-12-24T00:00:00Z")
    shown = recommended(client, order_id="o-1", moment="order_confirmation", k=10)
    assert set(shown[:2]) == {TROUSERS, TIE}
    assert COAT not in shown


def test_excluded_products_do_not_come(client: Client) -> None:
    """`exclude_product_ids` holds, and `fill: false` leaves only what was really learned."""
    about = {"product_ids": [COAT], "moment": "browse", "k": 10}
    assert TIE not in recommended(client, exclude_product_ids=[TIE], **about)
    assert set(recommended(client, fill=False, **about)) == {TROUSERS, TIE}


def test_unknown_customer_gets_what_is_wanted(client: Client) -> None:
    """Nobody known, nothing said: what is wanted now, marked as such."""
    items = client.post("/v1/recommendations", {"moment": "ad", "k": 3}).json()["items"]
    assert {item["reason"] for item in items} == {"popular"}


def test_complements_of_a_product(client: Client) -> None:
    """What goes with a product comes with its evidence; no variant of it does."""
    answer = client.get(f"/v1/products/{COAT}/complements?k=2").json()
    assert answer["product_id"] == COAT
    assert {item["product_id"] for item in answer["items"]} == {TROUSERS, TIE}
    assert all(item["support"] >= 3 and item["lift"] > 1 for item in answer["items"])
    same = client.get(f"/v1/products/{COAT}/complements?k=2&as_of=2020-01-01&fill=false").json()
    assert same == answer
    assert client.get("/v1/products/never-heard-of/complements").status_code == 404


def test_complements_have_an_etag(client: Client) -> None:
    """The ETag answers 304 until model, catalogue or policy change."""
    path = f"/v1/products/{COAT}/complements"
    tag = client.get(path).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    seen = {tag}
    assert client.put(f"/v1/products/{TIE}", {"availability": "out_of_stock"}).status_code == 200
    client.shop.live.refresh()
    answer = client.get(path, headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert TIE not in {item["product_id"] for item in answer.json()["items"]}
    seen.add(answer.headers["etag"])
    assert client.put("/v1/policy", {"thresholds": {"due_quantile": 0.5}}).status_code == 200
    seen.add(client.get(path).headers["etag"])
    folder = pz.ModelsDirectory(client.shop.settings.models)
    client.shop.live.use(pz.Engine.load(folder.path("v2")))
    seen.add(client.get(path).headers["etag"])
    assert len(seen) == 4


def test_default_moment_of_a_question_is_now(client: Client) -> None:
    """Without `as_of` the clock says when: a return older than its days no longer counts."""
    refund = {
        "adjustment_id": "r-1",
        "adjusted_at": "2026-11-21T00:00:00Z",
        "lines": [{"product_id": COAT, "quantity": -1}],
    }
    client.order("o-1", "c-1", COAT)
    assert client.post("/v1/orders/o-1/adjustments", refund).status_code == 200
    decision = client.decision("c-1", COAT)
    assert (decision["reason"], decision["since"]) == ("returned", "2026-11-21T00:00:00Z")
    assert decision["until"] == "2026-12-21T00:00:00Z"
    later = client.decision("c-1", COAT, params={"as_of": "2026-12-21T00:00:00Z"})
    assert later["suppress"] is False
    assert pz.to_micros(AS_OF) == NOW
    assert order_body("c-1", COAT)["updated_at"] < AS_OF
