"""The hot path: it answers the plain case, and exactly what the documented routes answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from conftest import serving
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from service_shop import COAT, COAT_2, SOCKS, TIE, TROUSERS, Client
from starlette.types import Message, Receive, Scope, Send

import personalize as pz
from service import Settings
from service.headers import Head
from service.lean import again
from service.together import MAX_PAIRS, Together

CHECK = "/v1/suppressions/check"
JSON = {"Content-Type": "application/json"}
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


def single(customer_id: str, product_id: str) -> str:
    """Return the path of a single check."""
    parts = [quote(each, safe="").replace(".", "%2E") for each in (customer_id, product_id)]
    return "/v1/customers/{}/suppressions/{}".format(*parts)


class Both:
    """One service, asked by the lean path and by the documented routes alone."""

    def __init__(self, client: Client, portal: BlockingPortal) -> None:
        self.lean = client
        self.documented = Client(self._recorded(client.app), portal)  # type: ignore[arg-type]
        self.n_documented = 0
        client.app.lean.app = self._recorded(client.app)  # type: ignore[attr-defined]

    def _recorded(self, app: FastAPI) -> Any:
        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            self.n_documented += 1
            await FastAPI.__call__(app, scope, receive, send)

        return asked

    def equal(self, method: str, path: str, *, is_lean: bool, **given: Any) -> httpx.Response:
        """Ask both the same; return the answer, which must be one."""
        headers = {"X-Request-Id": "r-1", **given.pop("headers", {})}
        before = self.n_documented
        answer = self.lean(method, path, headers=headers, **given)
        assert (self.n_documented == before) is is_lean
        other = self.documented(method, path, headers=headers, **given)
        assert answer.status_code == other.status_code
        assert answer.headers.raw == other.headers.raw
        assert answer.content == other.content
        return answer


@pytest.fixture
def both(settings: Settings) -> Iterator[Both]:
    """A service that remembers keys, with two customers' orders."""
    remembering = settings.model_copy(update={"key_seconds": 60.0})
    with start_blocking_portal() as portal, serving(portal, remembering) as client:
        client.order("o-1", "c-1", COAT, TIE)
        client.order("o-2", "c/2 é", SOCKS, "a b")
        client.get(single("c-1", COAT))  # from here on the door is known to be open
        yield Both(client, portal)


def test_single_checks_are_answered_alike(both: Both) -> None:
    """Every decision, of ids of any spelling, is answered by the lean path, as documented."""
    for customer_id in ("c-1", "c/2 é", "nobody", "..", "a%2Fb"):
        for product_id in (COAT, COAT_2, TIE, SOCKS, TROUSERS, "a b", "?#", "x" * 255):
            answer = both.equal("GET", single(customer_id, product_id), is_lean=True)
            assert answer.json()["product_id"] == product_id


def test_answers_on_the_wire_are_the_same(both: Both) -> None:
    """What goes over the connection at once has the headers and the body of the other way."""
    path = single("c-1", COAT)
    at_once = both.lean.app.lean.at_once  # type: ignore[attr-defined]
    asked = Head([
        (b"host", b"127.0.0.1:8000"),
        (b"x-request-id", b"r-1"),
        (b"content-type", b"application/json"),
    ])  # fmt: skip
    client = ("127.0.0.1", 5000)
    many = check(COAT, SOCKS, "nowhere", COAT)
    for raw, answer in (
        (at_once(path.encode(), None, asked, client), both.equal("GET", path, is_lean=True)),
        (
            at_once(CHECK.encode(), json.dumps(many).encode(), asked, client),
            both.equal("POST", CHECK, is_lean=True, json=many),
        ),
    ):
        head, body = raw[0].removesuffix(b"\r\n\r\n"), raw[1]
        assert body == answer.content
        assert [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")] == answer.headers.raw
    assert at_once(b"/health/live", None, asked, client) is None


def test_any_id_is_answered_alike(both: Both) -> None:
    """Ids of any characters, in the path and in the body."""

    @hypothesis_settings(
        max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(customer_id=ids, product_ids=st.lists(ids, min_size=1, max_size=15))
    def alike(customer_id: str, product_ids: list[str]) -> None:
        both.equal("GET", single(customer_id, product_ids[0]), is_lean=True)
        asked = {"customer_id": customer_id, "product_ids": [*product_ids, COAT]}
        answer = both.equal("POST", CHECK, is_lean=True, json=asked)
        decided = answer.json()["decisions"]
        assert [row["product_id"] for row in decided] == asked["product_ids"]

    alike()


@pytest.mark.parametrize(
    "path",
    [
        single("c-1", COAT) + "?as_of=2026-11-21",
        single("c-1", COAT) + "?nonsense=1",
        single("c-1", COAT) + "/",
        single("c-1", COAT) + "/more",
        single("c-1", "x" * 256),
        "/v1/customers//suppressions/x",
        "/v1/customers/c-1/suppressions/",
        "/v1/customers/c-1/suppressions",
        "/v1/customers/a/b/suppressions/x",
        "/v1/customers/c-1/suppressions/%FF",
        "/v1/customers/c-1/suppressions/%00",
        "/v1/customers/%0A/suppressions/x",
    ],
)
def test_unusual_addresses_are_left_to_the_routes(both: Both, path: str) -> None:
    """Parameters, other addresses and ids that are none get the documented answer."""
    both.equal("GET", path, is_lean=False)


def test_other_methods_are_left_to_the_routes(both: Both) -> None:
    """HEAD, PUT and DELETE of the same address are not allowed, as before."""
    for method in ("HEAD", "PUT", "DELETE"):
        both.equal(method, single("c-1", COAT), is_lean=False)
    both.equal("GET", CHECK, is_lean=False)
    both.equal("POST", CHECK + "?x=1", is_lean=False, json={})


def check(*products: str, **more: Any) -> dict[str, Any]:
    """Return the body of a check."""
    return {"customer_id": "c-1", "product_ids": list(products), **more}


@pytest.mark.parametrize("products", [[COAT], [COAT, COAT_2, TIE], [f"p-{n}" for n in range(200)]])
def test_checks_are_answered_alike(both: Both, products: list[str]) -> None:
    """One customer, few or many products, in whatever chunks the body comes."""
    both.equal("POST", CHECK, is_lean=True, json=check(*products))
    raw = json.dumps(check(*products)).encode()
    utf8 = {"Content-Type": "application/json; charset=utf-8"}
    both.equal("POST", CHECK, is_lean=True, content=raw, headers=utf8)

    async def chunks() -> Any:
        yield raw[:7]
        yield raw[7:]

    before = both.n_documented
    answer = both.lean("POST", CHECK, content=chunks(), headers=JSON)
    assert (both.n_documented, answer.status_code) == (before, 200)


@pytest.mark.parametrize(
    "body",
    [
        check(COAT, as_of="2026-11-21T00:00:00Z"),
        check(COAT, unknown=1),
        check(),
        check(*["p"] * 201),
        check(*["p"] * 1001),
        {"pairs": [["c-1", COAT]]},
        {"customer_id": 1, "product_ids": [COAT]},
        [],
    ],
)
def test_unusual_checks_are_left_to_the_routes(both: Both, body: Any) -> None:
    """Rare forms and errors get the documented answer, though the body was read already."""
    both.equal("POST", CHECK, is_lean=False, json=body)


def test_unusual_bodies_are_left_to_the_routes(both: Both) -> None:
    """No JSON, another type, compressed, too large: as documented, in chunks too."""
    both.equal("POST", CHECK, is_lean=False, content=b"{", headers=JSON)
    both.equal("POST", CHECK, is_lean=False, content=b"{}", headers={"Content-Type": "text/plain"})
    both.equal("POST", CHECK, is_lean=False, content=b"{}", headers={"Content-Type": ""})
    packed = JSON | {"Content-Encoding": "gzip"}
    both.equal("POST", CHECK, is_lean=False, content=b"{}", headers=packed)
    large = json.dumps(check("x" * (4 << 20))).encode()
    both.equal("POST", CHECK, is_lean=False, content=large, headers=JSON)

    async def chunks() -> Any:
        for start in range(0, len(large), 1 << 20):
            yield large[start : start + (1 << 20)]

    assert both.lean("POST", CHECK, content=chunks(), headers=JSON).status_code == 413


def test_caller_that_leaves_is_left_to_the_routes(both: Both) -> None:
    """A body that breaks off is answered with nothing, and nothing is raised."""
    sent: list[Message] = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": CHECK, "raw_path": CHECK.encode(),
        "query_string": b"", "client": ("127.0.0.1", 5000),
        "headers": [(b"content-type", b"application/json"), (b"host", b"127.0.0.1:8000")],
    }  # fmt: skip
    with start_blocking_portal() as portal:
        portal.call(partial(both.lean.app, scope, receive, send))
    assert sent == []


def test_request_ids_are_kept_or_made(both: Both) -> None:
    """A decent id is returned; none, a bad one, and the second of two are not."""
    path = single("c-1", COAT)
    made = both.lean.get(path).headers["x-request-id"]
    assert len(made) == 32
    assert both.lean.get(path).headers["x-request-id"] != made
    headers = {"X-Request-Id": "not decent"}
    assert both.lean.get(path, headers=headers).headers["x-request-id"] != "not decent"


def test_requests_and_decisions_are_counted_alike(both: Both) -> None:
    """The metrics do not tell which way a request went."""

    def counted() -> list[str]:
        text: str = both.lean.shop.metrics.text().decode()
        wanted = ("personalize_requests_total", "personalize_decisions_total")
        return [line for line in text.splitlines() if line.startswith(wanted)]

    both.lean.get(single("c-1", COAT))
    both.lean.post(CHECK, check(COAT, SOCKS))
    first = counted()
    assert any('route="/v1/suppressions/check",status="200"' in line for line in first)
    both.documented.get(single("c-1", COAT))
    both.documented.post(CHECK, check(COAT, SOCKS))
    added = [
        float(b.split()[-1]) - float(a.split()[-1]) for a, b in zip(first, counted(), strict=True)
    ]
    assert sorted(added)[-4:] == [1.0, 1.0, 1.0, 2.0]


def test_lean_requests_are_logged(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """With an access log a lean request is a line like any other, without an id of anyone."""
    logging_ = settings.model_copy(update={"key_seconds": 60.0, "access_log": True})
    with start_blocking_portal() as portal, serving(portal, logging_) as client:
        caplog.set_level("INFO", logger="personalize.access")
        for _ in range(2):  # by the routes, then lean
            client.get(single("c-1", COAT), headers={"X-Request-Id": "r-7"})
    first, second = (r for r in caplog.records if r.name == "personalize.access")
    assert first.getMessage() == second.getMessage()
    assert second.request_id == "r-7"
    assert (second.route, second.status) == (first.route, 200)
    assert "c-1" not in str(second.__dict__)


def test_keys_are_asked_for_by_the_lean_path_too(settings: Settings) -> None:
    """A key with the scope passes once it is known; others get a 401 or 403."""
    remembering = settings.model_copy(update={"key_seconds": 60.0})
    with pz.Store.open(settings.store) as store:
        right = store.create_key("ads", ["decide"], created_at=0)
        other = store.create_key("shop", ["ingest"], created_at=0)
    with start_blocking_portal() as portal, serving(portal, remembering) as client:
        both = Both(client, portal)
        path = single("c-1", COAT)
        bearer = {"Authorization": f"Bearer {right}"}
        both.equal("GET", path, is_lean=False, headers=bearer)
        assert both.equal("GET", path, is_lean=True, headers=bearer).status_code == 200
        both.equal("POST", CHECK, is_lean=True, headers=bearer, json=check(COAT))
        both.equal("GET", path, is_lean=False, headers={"Authorization": f"bearer {right}"})
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Basic {right}"}, 401),
            ({"Authorization": f"Bearer {other}"}, 403),
            ({"Authorization": f"Bearer {other}"}, 403),
        ):
            answer = both.equal("GET", path, is_lean=False, headers=headers)
            assert answer.status_code == status
            both.equal("POST", CHECK, is_lean=False, headers=headers, json=check(COAT))


def test_no_model_is_said_by_the_routes(settings: Settings) -> None:
    """Without a model the lean path has nothing to say."""
    bare = settings.model_copy(update={"key_seconds": 60.0, "models": settings.models / "none"})
    with start_blocking_portal() as portal, serving(portal, bare) as client:
        both = Both(client, portal)
        client.get(single("c-1", COAT))
        assert both.equal("GET", single("c-1", COAT), is_lean=False).status_code == 503
        both.equal("POST", CHECK, is_lean=False, json=check(COAT))


# --- together -------------------------------------------------------------------------------------


class SlowLive:
    """Decides after the gate opens, and tells what it was asked at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.gate = threading.Event()
        self.error: Exception | None = None

    def check(self, pairs: Sequence[tuple[str, str]]) -> pz.Answer[pz.Decision]:
        """Return nothing but that it may be shown, for each pair."""
        self.asked.append(len(pairs))
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        rows = [
            pz.Decision(*pair, False, "not_suppressed", None, None, None, None) for pair in pairs
        ]
        return pz.Answer(rows, "in force")  # type: ignore[arg-type]


def test_waiting_questions_share_a_read() -> None:
    """What comes while reads are under way goes with the next one; each gets its own rows."""
    live = SlowLive()

    async def ask() -> list[pz.Answer[pz.Decision]]:
        together = Together(live)  # type: ignore[arg-type]
        asked = [[(f"c-{n}", f"p-{m}") for m in range(n % 3 + 1)] for n in range(20)]
        tasks = [asyncio.create_task(together.decide(pairs)) for pairs in asked]
        gone = asyncio.create_task(together.decide([("gone", "p")]))
        while len(live.asked) < 1:
            await asyncio.sleep(0)
        gone.cancel()
        live.gate.set()
        answers = await asyncio.gather(*tasks)
        for pairs, answer in zip(asked, answers, strict=True):
            assert [row[:2] for row in answer] == pairs
            assert answer.in_force == "in force"
        return answers

    assert len(asyncio.run(ask())) == 20
    assert len(live.asked) <= 3
    assert sum(live.asked) == sum(n % 3 + 1 for n in range(20)) + 1


def test_reads_are_bounded_and_questions_whole() -> None:
    """No read has more pairs than allowed, but for one question that has them alone."""
    live = SlowLive()
    live.gate.set()

    async def ask() -> None:
        together = Together(live)  # type: ignore[arg-type]
        sizes = [MAX_PAIRS + 5, 300, 300, 100]
        await asyncio.gather(*(together.decide([("c", "p")] * size) for size in sizes))

    asyncio.run(ask())
    assert sorted(live.asked) == [300, 400, MAX_PAIRS + 5]


def test_failure_reaches_everyone_who_waits() -> None:
    """All questions of a read that failed are told; the next one is asked again."""
    live = SlowLive()
    live.error = pz.StoreError("gone")

    async def ask() -> None:
        together = Together(live)  # type: ignore[arg-type]
        tasks = [asyncio.create_task(together.decide([("c", "p")])) for _ in range(5)]
        while not live.asked:
            await asyncio.sleep(0)
        tasks[0].cancel()
        live.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(isinstance(one, pz.StoreError) for one in found[1:])
        live.error = None
        assert len(await together.decide([("c", "p")])) == 1

    asyncio.run(ask())


def test_database_on_the_network_is_asked_together(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a read is a round trip, the lean path gives the same answers by shared reads."""
    monkeypatch.setattr(pz.Store, "is_embedded", False)
    remembering = settings.model_copy(update={"key_seconds": 60.0})
    with start_blocking_portal() as portal, serving(portal, remembering) as client:
        client.order("o-1", "c-1", COAT)
        client.get(single("c-1", COAT))
        both = Both(client, portal)
        both.equal("GET", single("c-1", COAT_2), is_lean=True)
        both.equal("POST", CHECK, is_lean=True, json=check(COAT, COAT_2, SOCKS))
        both.equal("GET", "/v1/customers/a/b/suppressions/x", is_lean=False)
        head, near = Head([(b"host", b"127.0.0.1:8000")]), ("127.0.0.1", 5000)
        assert both.lean.app.lean.at_once(single("c-1", COAT).encode(), None, head, near) is None  # type: ignore[attr-defined]

        def gone(*_: Any) -> None:
            raise pz.StoreError("gone")

        monkeypatch.setattr(client.shop.store, "purchase_states", gone)
        monkeypatch.setattr(client.shop.store, "purchase_state", gone)
        answer = both.equal("GET", single("c-1", COAT_2), is_lean=False)
        assert answer.json()["degraded"] is True


@pytest.mark.parametrize("odd", ['",', '"', "\\", '\\",', ',"', '","', "ö\u2028", "\U0001f9e5"])
def test_ids_that_look_like_json_are_answered_alike(both: Both, odd: str) -> None:
    """However an id is spelt, it is one id of the answer, owned or not."""
    both.lean.order("odd", "c-odd", odd)
    for products in ([odd, COAT, odd], [COAT, odd], [SOCKS, SOCKS, odd + "x"] * 5, [odd] * 12):
        answer = both.equal("POST", CHECK, is_lean=True, json=check(*products, customer_id="c-odd"))
        assert [row["product_id"] for row in answer.json()["decisions"]] == products


def test_an_error_while_an_answer_is_written_is_the_routes_to_tell(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no rule foresaw leaves no caller without an answer."""

    def broken(*_: Any) -> bytes:
        raise RuntimeError("c-secret")

    for name in ("check", "check_one"):
        monkeypatch.setattr(f"service.lean.answers.{name}", broken)
    at_once, head = both.lean.app.lean.at_once, Head([(b"host", b"127.0.0.1:8000")])  # type: ignore[attr-defined]
    assert at_once(single("c-1", COAT).encode(), None, head, ("127.0.0.1", 5000)) is None
    assert both.lean.post(CHECK, check(COAT)).status_code == 200  # by the documented route

    def gone(*_: Any, **__: Any) -> None:
        raise pz.StoreError("gone")

    monkeypatch.setattr(both.lean.shop.live, "touched", gone)
    assert at_once(single("c-1", COAT).encode(), None, head, ("127.0.0.1", 5000)) is None


def test_nothing_unusual_is_answered_at_once(both: Both) -> None:
    """A page of another origin, and what is no single check, are left to the application."""
    at_once = both.lean.app.lean.at_once  # type: ignore[attr-defined]
    client, host = ("127.0.0.1", 5000), (b"host", b"127.0.0.1:8000")
    plain, page = Head([host]), Head([host, (b"origin", b"https://shop.example")])
    path = single("c-1", COAT).encode()
    assert at_once(path, None, plain, client) is not None
    assert at_once(path, None, page, client) is None
    for odd_path in (b"/v1/customers/c-1/suppressions", b"/v1/customers/%zz/suppressions/x"):
        assert at_once(odd_path, None, plain, client) is None
    typed = Head([host, (b"content-type", b"application/json")])
    packed = Head([host, (b"content-type", b"application/json"), (b"content-encoding", b"gzip")])
    body, limit = json.dumps(check(COAT)).encode(), both.lean.shop.settings.max_body_bytes
    assert at_once(CHECK.encode(), body, typed, client) is not None
    for odd, head in ((body, plain), (body, packed), (b"{}", typed), (body + b" " * limit, typed)):
        assert at_once(CHECK.encode(), odd, head, client) is None
    assert at_once(b"/v1/products", body, typed, client) is None


def test_the_first_of_repeated_headers_counts() -> None:
    """As everywhere else in the service, but for the id: the first decent one."""
    names = ("authorization", "content-type", "content-encoding", "host")
    twice = [(name.encode(), value) for value in (b"1", b"2") for name in names]
    ids_ = [(b"x-request-id", value) for value in (b"not decent", b"r-1", b"r-2")]
    head = Head([*twice, *ids_])
    found = (head.authorization, head.content_type, head.content_encoding, head.host)
    assert found == (b"1", b"1", b"1", b"1")
    assert head.request_id == "r-1"


def test_senders_that_are_remembered_are_bounded(both: Both) -> None:
    """However many names a caller gives this machine, memory stays flat."""
    near = both.lean.shop.gate._near
    near.update(("127.0.0.1", b"%d" % n) for n in range(2000))
    before = len(near)
    headers = {"Host": "localhost:1234"}
    assert both.lean.get(single("c-1", COAT), headers=headers).status_code == 200
    assert len(near) == before


def test_messages_are_read_again_and_then_on() -> None:
    """What was taken of a body comes first, then what is still to come."""

    async def rest() -> Message:
        return {"type": "http.disconnect"}

    async def read() -> list[str]:
        receive = again([{"type": "http.request"}], rest)
        return [(await receive())["type"] for _ in range(2)]

    assert asyncio.run(read()) == ["http.request", "http.disconnect"]
