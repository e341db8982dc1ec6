"""Keys and scopes: who may ask what."""

from __future__ import annotations

import logging

import pytest
from conftest import Start
from service_shop import COAT, NOW, Client

from service import Settings
from service.settings import is_loopback

CALLS = {
    "ingest": [
        ("PUT", "/v1/orders/o"), ("GET", "/v1/orders/o"), ("DELETE", "/v1/orders/o"),
        ("POST", "/v1/orders/o/adjustments"), ("POST", "/v1/orders/batch"),
        ("PUT", "/v1/products/p"), ("POST", "/v1/products/batch"),
    ],
    "decide": [
        ("POST", "/v1/suppressions/check"), ("GET", "/v1/customers/c/suppressions/p"),
        ("GET", "/v1/customers/c/suppressions"), ("POST", "/v1/recommendations"),
        ("GET", "/v1/products/p/complements"),
    ],
    "admin": [("GET", "/v1/policy"), ("PUT", "/v1/policy")],
}  # fmt: skip
ALL = [(scope, *call) for scope, calls in CALLS.items() for call in calls]


def key(client: Client, *scopes: str) -> dict[str, str]:
    """Return the header of a new key."""
    secret = client.shop.store.create_key("test", scopes, created_at=NOW)
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(("scope", "method", "path"), ALL)
def test_each_call_needs_its_scope(client: Client, scope: str, method: str, path: str) -> None:
    """Without a key 401, with every scope but the right one 403, with the right one neither."""
    right = key(client, scope)
    wrong = key(client, *({"ingest", "decide", "export", "admin"} - {scope}))
    answer = client(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="personalize"'
    answer = client(method, path, headers=wrong)
    assert answer.status_code == 403
    assert f"scope {scope}" in answer.json()["detail"]
    assert f'scope="{scope}"' in answer.headers["www-authenticate"]
    assert client(method, path, headers=right).status_code not in (401, 403)


@pytest.mark.parametrize(
    "header", ["Bearer nonsense", "Basic pk_1", "Bearer", "", "Bearer " + "x" * 600]
)
def test_bad_keys_are_401(client: Client, header: str) -> None:
    """A key that is unknown, too long or of another scheme is no key."""
    key(client, "decide")
    answer = client.get("/v1/policy", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_scheme_is_not_case_sensitive(client: Client) -> None:
    """`bearer` is as good as `Bearer` (RFC 9110)."""
    header = key(client, "admin")["Authorization"].replace("Bearer", "bearer ")
    assert client.get("/v1/policy", headers={"Authorization": header}).status_code == 200


def test_first_key_closes_the_door(client: Client) -> None:
    """Without keys this machine may do everything; the first one made ends that."""
    assert client.get("/v1/policy").status_code == 200
    header = key(client, "admin")
    assert client.get("/v1/policy").status_code == 401
    assert client.get("/v1/policy", headers=header).status_code == 200


def test_revoked_key_is_worth_nothing(client: Client) -> None:
    """Revoking works at once where nothing is remembered, and the door stays closed."""
    header = key(client, "admin")
    assert client.get("/v1/policy", headers=header).status_code == 200
    client.shop.store.revoke_key(client.shop.store.keys()[0].key_id)
    assert client.get("/v1/policy", headers=header).status_code == 401
    assert client.get("/v1/policy").status_code == 401


def test_scopes_are_remembered_for_a_while(start: Start, settings: Settings) -> None:
    """A known key is not looked up for every call; an unknown one is."""
    client = start(settings.model_copy(update={"key_seconds": 60.0}))
    header = key(client, "admin")
    assert client.get("/v1/policy", headers=header).status_code == 200
    client.shop.store.revoke_key(client.shop.store.keys()[0].key_id)
    assert client.get("/v1/policy", headers=header).status_code == 200
    assert client.get("/v1/policy", headers={"Authorization": "Bearer pk_no"}).status_code == 401


def test_memory_of_keys_is_bounded(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many keys come along, only so many are remembered."""
    monkeypatch.setattr("service.security._MAX_REMEMBERED", 2)
    client = start(settings.model_copy(update={"key_seconds": 60.0}))
    for _ in range(5):
        assert client.get("/v1/policy", headers=key(client, "admin")).status_code == 200
    assert len(client.shop.gate._known) <= 2


def test_strangers_need_keys(start: Start, settings: Settings) -> None:
    """A request from elsewhere (through a proxy, by another server) is refused without keys."""
    client = start(settings, address="203.0.113.9")
    assert client.get("/v1/policy").status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/health/live").status_code == 200
    assert start(settings, address="testclient").get("/v1/policy").status_code == 200


def test_public_address_always_needs_keys(start: Start, settings: Settings) -> None:
    """Where others can reach the service nothing is open, the metrics included."""
    client = start(settings.model_copy(update={"host": "0.0.0.0"}))
    assert client.get("/v1/policy").status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=key(client, "decide")).status_code == 403
    assert client.get("/metrics", headers=key(client, "admin")).status_code == 200
    assert client.get("/openapi.json").status_code == 200


def test_metrics_are_open_on_loopback(client: Client) -> None:
    """On this machine metrics need no key, also when there are keys."""
    key(client, "decide")
    assert client.get("/metrics").status_code == 200


def test_ipv6_and_names_of_this_machine() -> None:
    """Loopback is 127/8, ::1 and localhost; a name that resolves to anything is not."""
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "shop.example", "")))


def test_logs_hold_no_ids_and_no_keys(
    start: Start, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The access log names routes, never paths; failures are logged without their message."""
    caplog.set_level(logging.DEBUG)
    client = start(settings.model_copy(update={"access_log": True}))
    client.headers = key(client, "ingest", "decide")
    client.order("o-secret", "c-secret", COAT)
    client.decision("c-secret", COAT)
    client.shop.live.store.close()
    answer = client.get("/v1/customers/c-secret/suppressions/p")
    assert answer.status_code == 503
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("personalize")]
    logged = "\n".join(ours)
    assert "PUT /v1/orders/{order_id} 200" in logged
    assert "/v1/customers/{customer_id}/suppressions/{product_id} 503" in logged
    assert "secret" not in logged
    assert client.headers["Authorization"].split()[1] not in logged
