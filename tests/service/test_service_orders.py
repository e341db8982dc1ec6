"""Orders over HTTP: put, adjusted, read, deleted, in batches."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from service_shop import COAT, TIE, Client, order_body

import personalize as pz

NDJSON = {"content-type": "application/x-ndjson"}


def batch(client: Client, *lines: Any, path: str = "/v1/orders/batch") -> dict[str, Any]:
    """Send lines (JSON values, or bytes as they are) and return what became of them."""
    raw = b"\n".join(
        each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines
    )
    answer = client.post(path, content=raw, headers=NDJSON)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_next_check_sees_the_order(client: Client) -> None:
    """An order that was answered with 2xx is part of the very next decision."""
    assert client.decision("c-1", COAT)["suppress"] is False
    client.order("o-1", "c-1", COAT)
    decision = client.decision("c-1", COAT)
    assert decision["suppress"] is True
    assert decision["reason"] == "purchased"
    assert decision["since"] == "2026-11-20T12:00:00Z"
    assert decision["model_version"] == "v1"


def test_older_version_is_not_applied(client: Client) -> None:
    """An older snapshot is answered with 2xx and `applied: false`, and changes nothing."""
    client.order("o-1", "c-1", COAT)
    older = order_body("c-1", TIE, updated_at="2026-11-01T00:00:00Z")
    answer = client.put("/v1/orders/o-1", older)
    assert (answer.status_code, answer.json()) == (200, {"applied": False})
    assert [line["product_id"] for line in client.get("/v1/orders/o-1").json()["lines"]] == [COAT]


def test_same_order_again_is_applied(client: Client) -> None:
    """A repetition is no conflict: it is still the order's state."""
    client.order("o-1", "c-1", COAT)
    client.order("o-1", "c-1", COAT)


def test_order_is_read_as_it_stands(client: Client) -> None:
    """GET gives the order with what was returned by snapshot and by adjustment."""
    lines = [{"product_id": COAT, "quantity": 2, "unit_price": 249, "gift": False}]
    client.order("o-1", "c-1", lines=lines, currency="EUR", channel="web")
    refund = {
        "adjustment_id": "r-1",
        "adjusted_at": "2026-11-21T00:00:00.5Z",
        "lines": [{"product_id": COAT, "quantity": -1}],
    }
    assert client.post("/v1/orders/o-1/adjustments", refund).json() == {"applied": True}
    assert client.get("/v1/orders/o-1").json() == {
        "order_id": "o-1",
        "customer_id": "c-1",
        "ordered_at": "2026-11-20T12:00:00Z",
        "updated_at": "2026-11-20T12:00:00Z",
        "currency": "EUR",
        "channel": "web",
        "lines": [
            {
                "product_id": COAT,
                "quantity": 2,
                "returned_quantity": 1,
                "returned_at": "2026-11-21T00:00:00.500000Z",
                "unit_price": 249.0,
                "gift": False,
            }
        ],
    }


def test_adjustment_waits_for_its_order(client: Client) -> None:
    """A refund that comes before its order is kept: the order then comes in as returned."""
    refund = {
        "adjustment_id": "r-1",
        "adjusted_at": "2026-11-21T00:00:00Z",
        "lines": [{"product_id": COAT, "quantity": -1}],
    }
    assert client.post("/v1/orders/o-1/adjustments", refund).json() == {"applied": True}
    client.order("o-1", "c-1", COAT)
    assert client.decision("c-1", COAT)["reason"] == "returned"
    older = {**refund, "adjusted_at": "2026-11-20T00:00:00Z"}
    assert client.post("/v1/orders/o-1/adjustments", older).json() == {"applied": False}


def test_deleted_order_is_gone_and_stays_gone(client: Client) -> None:
    """DELETE takes the order out at once, and an older PUT does not bring it back."""
    client.order("o-1", "c-1", COAT)
    assert client("DELETE", "/v1/orders/o-1").json() == {"applied": True}
    assert client.get("/v1/orders/o-1").status_code == 404
    assert client.decision("c-1", COAT)["suppress"] is False
    assert client.put("/v1/orders/o-1", order_body("c-1", COAT)).json() == {"applied": False}


def test_deletion_has_a_time(client: Client) -> None:
    """A deletion older than the order's newest version does not apply; default is now."""
    client.order("o-1", "c-1", COAT)
    path = "/v1/orders/o-1?updated_at=2026-11-01T00:00:00Z"
    assert client("DELETE", path).json() == {"applied": False}
    assert client("DELETE", "/v1/orders/never-seen").json() == {"applied": True}


def test_order_dated_ahead_is_seen(client: Client) -> None:
    """An order that a wrong clock dated ahead is stored as sent and seen all the same."""
    client.order("o-1", "c-1", COAT, ordered_at="2026-12-24T00:00:00Z")
    assert client.decision("c-1", COAT)["since"] == "2026-12-24T00:00:00Z"
    past = client.decision("c-1", COAT, params={"as_of": "2026-11-22T12:00:00Z"})
    assert past["suppress"] is False


def test_order_of_a_guest_is_taken(client: Client) -> None:
    """An order without a customer is stored with null."""
    client.order("o-1", None, COAT)
    assert client.get("/v1/orders/o-1").json()["customer_id"] is None


def test_batch_keeps_good_lines(client: Client) -> None:
    """Every line has its own result, with its number in the body; empty lines count as lines."""
    good = {"order_id": "o-1", **order_body("c-1", COAT)}
    stale = {**good, "updated_at": "2026-11-01T00:00:00Z"}
    bad = {**good, "order_id": "o-2", "lines": [{"product_id": TIE, "quantity": 0}]}
    out = batch(client, good, b"", b"nonsense", bad, stale, b"\r")
    assert (out["n_applied"], out["n_stale"], out["n_rejected"]) == (1, 1, 2)
    assert [line["line"] for line in out["results"]] == [1, 3, 4, 5]
    first, nonsense, refused, old = out["results"]
    assert first == {"line": 1, "order_id": "o-1", "applied": True}
    assert nonsense["problem"]["status"] == 400
    assert refused["problem"]["errors"][0]["pointer"] == "#/lines/0/quantity"
    assert old == {"line": 5, "order_id": "o-1", "applied": False}
    assert client.decision("c-1", COAT)["suppress"] is True


def test_batch_line_that_only_the_store_refuses(client: Client) -> None:
    """A line whose summed quantity is too large is refused alone."""
    most = {"product_id": TIE, "quantity": 1_000_000_000}
    bad = {"order_id": "o-2", **order_body("c-1", lines=[most, most])}
    good = {"order_id": "o-1", **order_body("c-1", COAT)}
    out = batch(client, bad, good)
    assert (out["n_applied"], out["n_rejected"]) == (1, 1)
    assert out["results"][0]["order_id"] == "o-2"
    assert "summed quantity" in out["results"][0]["problem"]["detail"]
    answer = client.put("/v1/orders/o-2", order_body("c-1", lines=[most, most]))
    assert answer.status_code == 422


def test_batch_as_a_json_array(client: Client) -> None:
    """A JSON array is a batch too; its lines are its items."""
    good = {"order_id": "o-1", **order_body("c-1", COAT)}
    out = client.post("/v1/orders/batch", [good, 3]).json()
    assert [line["applied"] for line in out["results"]] == [True, False]
    assert client.post("/v1/orders/batch", good).status_code == 400
    broken = client.post(
        "/v1/orders/batch", content=b'{"a":1}\n{', headers={"content-type": "application/json"}
    )
    assert broken.status_code == 400


def test_batch_of_ten_thousand(client: Client) -> None:
    """10,000 orders go in at once, one more is refused as a whole."""
    line = json.dumps({"order_id": "o-{}", **order_body("c-{}", COAT)}).encode()
    lines = [line.replace(b"{}", str(n).encode()) for n in range(10_000)]
    assert batch(client, *lines)["n_applied"] == 10_000
    assert client.decision("c-9999", COAT)["suppress"] is True
    answer = client.post("/v1/orders/batch", content=b"\n".join([*lines, line]), headers=NDJSON)
    assert answer.status_code == 413
    assert "at most 10,000" in answer.json()["detail"]


def test_empty_batch_is_no_error(client: Client) -> None:
    """A batch without lines has no results."""
    assert batch(client) == {"n_applied": 0, "n_stale": 0, "n_rejected": 0, "results": []}


@pytest.mark.parametrize(
    "identity", ["a/b", "a b", "é", "%", "suppressions", "😀", "batch", "?#&="]
)
def test_any_id_fits_a_path(client: Client, identity: str) -> None:
    """An id that is percent-encoded comes through as it was, slashes included."""
    there = quote(identity, safe="")
    client.order(there, identity, identity)
    assert client.get(f"/v1/orders/{there}").json()["order_id"] == identity
    refund = {
        "adjustment_id": identity,
        "adjusted_at": "2026-11-21T00:00:00Z",
        "lines": [{"product_id": identity, "quantity": 1}],
    }
    answer = client.post(f"/v1/orders/{there}/adjustments", refund)
    assert answer.json() == {"applied": True}
    decision = client.decision(there, there)
    assert (decision["customer_id"], decision["product_id"]) == (identity, identity)
    assert (decision["suppress"], decision["basis"]) == (True, "default")
    page = client.get(f"/v1/customers/{there}/suppressions").json()
    assert [row["target_id"] for row in page["suppressions"]] == [identity]
    assert client.put(f"/v1/products/{there}", {}).status_code == 200
    assert client.shop.store.product(identity) == pz.Product(identity)
    client.shop.live.refresh()
    answer = client.get(f"/v1/products/{there}/complements")
    assert (answer.status_code, answer.json()["product_id"]) == (200, identity)
    assert client("DELETE", f"/v1/orders/{there}").json() == {"applied": True}
    assert client.decision(there, there)["suppress"] is False
