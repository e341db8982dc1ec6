"""Keys and scopes: who may ask what."""

from __future__ import annotations

import logging
import re

import pytest
from conftest import Start
from pydantic import ValidationError
from service_shop import COAT, NOW, Client

import personalize as pz
from service import Settings
from service.attempts import Attempts
from service.headers import Head
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
CHECK = f"/v1/customers/c/suppressions/{COAT}"
OPEN = {"/health/live", "/health/ready", "/metrics"}
"""Without a scope; the metrics only where nobody else can reach the service."""
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
    assert answer.json()["degraded"] is True
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("personalize")]
    logged = "\n".join(ours)
    assert "PUT /v1/orders/{order_id} 200" in logged
    assert "/v1/customers/{customer_id}/suppressions/{product_id} 200" in logged
    assert "secret" not in logged
    assert client.headers["Authorization"].split()[1] not in logged


def test_every_route_needs_exactly_its_scope(client: Client) -> None:
    """Walk the OpenAPI description: each call is admitted by the scope it names, by no other."""
    paths = client.get("/openapi.json").json()["paths"]
    keys = {scope: key(client, scope) for scope in ("ingest", "decide", "export", "admin")}
    seen = set()
    for path, methods in paths.items():
        for method, operation in methods.items():
            (needed,) = operation.get("security", [{}])[0].get("key", [None])
            address = re.sub(r"{\w+}", "x", path)
            admitted = {
                scope
                for scope, headers in keys.items()
                if client(method.upper(), address, headers=headers).status_code not in (401, 403)
            }
            nobody = client(method.upper(), address).status_code
            assert admitted == ({needed} if needed else set(keys)), (method, path)
            assert (nobody == 401) == (needed is not None), (method, path)
            assert (needed is None) == (path in OPEN), (method, path)
            seen.add((needed, method.upper(), path))
    assert len(seen) >= len(ALL) + len(OPEN)


def test_tireless_addresses_wait(start: Start, settings: Settings) -> None:
    """After so many bad keys an address waits; keys that were good just now do not."""
    limits = {"host": "0.0.0.0", "auth_failures": 3}
    client = start(settings.model_copy(update=limits), address="203.0.113.9")
    good, other = key(client, "admin"), key(client, "admin")
    assert client.get("/v1/policy", headers=good).status_code == 200
    assert client.get(CHECK, headers=good).status_code == 403
    for n in range(3):
        bad = {"Authorization": f"Bearer pk_{n}"}
        assert client.get("/v1/policy", headers=bad).status_code == 401
    for headers in (other, {"Authorization": "Bearer pk_4"}):
        answer = client.get("/v1/policy", headers=headers)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 61
    assert client.get("/v1/policy", headers=good).status_code == 200
    assert client.get("/v1/policy").status_code == 401
    counted = client.get("/metrics", headers=good).text
    assert 'personalize_auth_failures_total{reason="slowed"} 2.0' in counted


def test_this_machine_never_waits(start: Start, settings: Settings) -> None:
    """A proxy on this machine may stand for everybody: its address is not held responsible."""
    client = start(settings.model_copy(update={"auth_failures": 1}))
    key(client, "admin")
    for _ in range(3):
        answer = client.get("/v1/policy", headers={"Authorization": "Bearer pk_no"})
        assert answer.status_code == 401


def test_failures_are_counted_for_a_minute() -> None:
    """The minute begins with the first failure; without a limit nobody waits."""
    now = [100.0]
    attempts = Attempts(2, lambda: now[0])
    assert attempts.seconds_to_wait("a") == 0
    attempts.failed("a")
    assert attempts.seconds_to_wait("a") == 0
    now[0] = 130.0
    attempts.failed("a")
    assert attempts.seconds_to_wait("a") == 31
    assert attempts.seconds_to_wait("b") == 0
    now[0] = 160.0
    assert attempts.seconds_to_wait("a") == 0
    attempts.failed("a")
    assert attempts.seconds_to_wait("a") == 0
    endless = Attempts(0, lambda: now[0])
    endless.failed("a")
    assert endless.seconds_to_wait("a") == 0


def test_memory_of_failures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses fail, only so many are remembered: the newest."""
    monkeypatch.setattr("service.attempts._MAX_ADDRESSES", 2)
    attempts = Attempts(1, lambda: 100.0)
    for address in "abc":
        attempts.failed(address)
    assert [attempts.seconds_to_wait(address) > 0 for address in "abc"] == [False, True, True]


def test_lean_answers_carry_the_same_headers(start: Start, settings: Settings) -> None:
    """Decisions that no router sees are as closed to browsers as all else."""
    client = start(settings.model_copy(update={"key_seconds": 60.0}))
    first, again, other = (client.get(path) for path in (CHECK, CHECK, "/v1/policy"))
    for name in ("content-security-policy", "x-content-type-options", "cache-control"):
        assert first.headers[name] == again.headers[name] == other.headers[name]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "[::1", "", "10.0.0.7"])
def test_names_of_others_are_no_way_in(client: Client, host: str) -> None:
    """Without keys a page whose name resolves to this machine (DNS rebinding) reads nothing."""
    assert client.get("/v1/policy", headers={"Host": host}).status_code == 401
    assert client.get("/metrics", headers={"Host": host}).status_code == 401
    assert client.get("/health/live", headers={"Host": host}).status_code == 200
    for _ in range(2):  # the second time the answer could come by what is remembered
        assert client.get(CHECK).status_code == 200
        assert client.get(CHECK, headers={"Host": host}).status_code == 401
    header = key(client, "admin")
    assert client.get("/v1/policy", headers={**header, "Host": host}).status_code == 200


def test_what_a_proxy_forwards_is_not_let_in_by_memory(start: Start, settings: Settings) -> None:
    """Without keys the address behind a proxy decides, however well known the proxy's is."""
    client = start(settings.model_copy(update={"key_seconds": 60.0}))
    assert client.get(CHECK).status_code == 200
    gate, here = client.shop.gate, ("127.0.0.1", 5000)
    name = (b"host", b"127.0.0.1:8000")
    assert gate.remembers(Head([name]), here, "decide")
    assert not gate.remembers(Head([name]), None, "decide")
    assert not gate.remembers(Head([name, (b"x-forwarded-for", b"::1")]), here, "decide")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_own_names_are(client: Client, host: str) -> None:
    """By its own names this machine may ask."""
    assert client.get("/v1/policy", headers={"Host": host}).status_code == 200


def test_other_origins_are_off(client: Client) -> None:
    """Left alone, no page may call: nothing is said of origins, and nobody's preflight passes."""
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    for method, path in (("GET", "/health/live"), ("OPTIONS", "/v1/policy")):
        answer = client(method, path, headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_named_origins_may_call(start: Start, settings: Settings) -> None:
    """Pages of the origins that are named may call, with keys and never with cookies."""
    named = {"cors_origins": "https://shop.example, http://localhost:3000"}
    client = start(settings.model_copy(update=named))
    asked = {
        "Origin": "https://shop.example", "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization, content-type",
    }  # fmt: skip
    answer = client("OPTIONS", "/v1/policy", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    answer = client.get("/v1/policy", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    for _ in range(2):
        answer = client.get(CHECK, headers={"Origin": "http://localhost:3000"})
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "access-control-allow-origin" not in client.get(CHECK).headers
    assert "access-control-allow-credentials" not in answer.headers
    answer = client.get("/v1/policy", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_origins_are_separated_by_commas_or_spaces() -> None:
    """A list in one setting, as an environment has it; none by default."""
    given = Settings(cors_origins="https://shop.example,http://[::1]:3000 http://localhost")
    assert given.origins == ["https://shop.example", "http://[::1]:3000", "http://localhost"]
    assert Settings().origins == []


@pytest.mark.parametrize(
    "origins", ["*", "https://*.shop.example", "shop.example", "https://shop.example/", "null"]
)
def test_origins_are_exact(origins: str) -> None:
    """An origin that stands for many is refused, with a word on what is one."""
    with pytest.raises(ValidationError, match=r"is no origin; give each as https://shop.example"):
        Settings(cors_origins=origins)


def test_admins_read_the_metrics_through_a_proxy(start: Start, settings: Settings) -> None:
    """On loopback the metrics are open to this machine; who comes from elsewhere needs the key."""
    with pz.Store.open(settings.store) as store:
        admin = store.create_key("ops", ["admin"], created_at=0)
        other = store.create_key("ads", ["decide"], created_at=0)
    client = start(settings, address="203.0.113.9")
    assert client.get("/metrics").status_code == 401
    for secret, status in ((admin, 200), (other, 403)):
        bearer = {"Authorization": f"Bearer {secret}"}
        assert client.get("/metrics", headers=bearer).status_code == status
    assert start(settings).get("/metrics").status_code == 200
