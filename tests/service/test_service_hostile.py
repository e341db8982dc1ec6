"""Whatever is sent, the answer is a 4xx problem: never a 5xx, never a hang."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from anyio.from_thread import start_blocking_portal
from conftest import Start, serving
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from service_shop import COAT, Client, order_body

from service import Settings


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[Client]:
    """Return a client that these tests share: nothing they send is ever taken in for good."""
    url = f"sqlite:///{tmp_path_factory.mktemp('hostile')}/shop.db"
    with (
        start_blocking_portal() as portal,
        serving(portal, Settings(store=url, models=trained)) as c,
    ):
        yield c


ADJUSTMENT = {
    "adjustment_id": "r", "adjusted_at": "2026-11-21T00:00:00Z",
    "lines": [{"product_id": "p", "quantity": -1}],
}  # fmt: skip
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", "/v1/orders/o"): order_body("c", "p"),
    ("POST", "/v1/orders/o/adjustments"): ADJUSTMENT,
    ("PUT", "/v1/products/p"): {"title": "t", "price": 1.0, "product_type": "A"},
    ("PUT", "/v1/policy"): {"rules": {"purchased": True}, "thresholds": {"due_quantile": 0.5}},
    ("POST", "/v1/suppressions/check"): {"customer_id": "c", "product_ids": ["p"]},
    ("POST", "/v1/recommendations"): {"customer_id": "c", "moment": "ad", "k": 3},
}
BATCHES = [("POST", "/v1/orders/batch"), ("POST", "/v1/products/batch")]
EVERY = [*BODIES, *BATCHES]
JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
NOT_JSON = {
    "empty": b"",
    "words": b"hello",
    "half": b'{"a": ',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "not UTF-8": b'{"customer_id": "\xff\xfe"}',
    "UTF-16": '{"customer_id": "c"}'.encode("utf-16"),
    "half a character": rb'{"customer_id": "\ud800"}',
    "two values": b"{} {}",
    "single quotes": b"{'a': 1}",
}
NOT_AN_OBJECT = [b"null", b"[]", b"3", b'"text"', b"true", b"NaN", b"1e400", b"-Infinity"]


def refused(answer: Any, *statuses: int) -> None:
    """Check that an answer is one of the 4xx expected (the client checks its shape)."""
    assert answer.status_code in (statuses or range(400, 500)), answer.text


@pytest.mark.parametrize(("method", "path"), list(BODIES))
@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_no_json_is_400(client: Client, method: str, path: str, raw: bytes) -> None:
    """What is no JSON, no UTF-8 or nested without end cannot be read."""
    refused(client(method, path, content=raw, headers=JSON), 400)


@pytest.mark.parametrize(("method", "path"), list(BODIES))
@pytest.mark.parametrize("raw", NOT_AN_OBJECT)
def test_no_object_is_422(client: Client, method: str, path: str, raw: bytes) -> None:
    """JSON that is no object is not valid; where NaN is no JSON it is not even that."""
    refused(client(method, path, content=raw, headers=JSON), 400, 422)


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "", "x"])
def test_other_content_is_415(client: Client, method: str, path: str, media: str) -> None:
    """A body of another content type is not guessed at."""
    headers = {"content-type": media} if media else {}
    refused(client(method, path, content=b"{}", headers=headers), 415)


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_compressed_content_is_415(client: Client, method: str, path: str) -> None:
    """A compressed body is refused, not unpacked: it could be of any size."""
    headers = {**JSON, "content-encoding": "gzip"}
    refused(client(method, path, content=b"{}", headers=headers), 415)


WRONG = [
    None, True, 0, -1, 3.5, 1e300, 10**400, "", "x" * 256, "a\x00b", "line\nbreak", "\x7f", "\x85",
    [], {}, [[]], {"a": {}}, ["x"] * 1001, [None], "NaN", "2026-13-45", "\u202e",
]  # fmt: skip


def is_fine(path: str, field: str, value: Any) -> bool:
    """Return whether a value is allowed there after all."""
    nullable = {"customer_id", "title", "price", "product_type", "product_ids"}
    if value is None:
        return field in nullable and "check" not in path
    if field in ("customer_id", "adjustment_id") and isinstance(value, str):
        return value in ("NaN", "2026-13-45", "\u202e")
    if field in ("title", "product_type") and isinstance(value, str):
        return value != "" and "\x00" not in value
    if field == "price":
        return (value == 0 and value is not True and isinstance(value, int)) or value == 3.5
    return field in ("rules", "thresholds") and value == {}


@pytest.mark.parametrize(("method", "path"), list(BODIES))
def test_wrong_values_are_422_with_a_pointer(client: Client, method: str, path: str) -> None:
    """A value of a wrong type, size or range is refused, and its place named."""
    good = BODIES[method, path]
    assert client(method, path, json=good).status_code == 200
    for field in good:
        for value in WRONG:
            if is_fine(path, field, value):
                continue
            body = json.dumps({**good, field: value})
            answer = client(method, path, content=body, headers=JSON)
            refused(answer, 422)
            pointers = [error["pointer"] for error in answer.json()["errors"]]
            assert any(p == "#" or p.startswith(f"#/{field}") for p in pointers), (field, value)
    refused(client(method, path, json={**good, "unheard_of": 1}), 422)


ORDER = json.dumps(order_body("c", lines=[0])).replace("[0]", '[{"product_id": "p", LINE}]')


@pytest.mark.parametrize("raw", ["NaN", "1e400", "-1e400", "Infinity", "1" * 5000, "-0.5"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/orders/o", ORDER.replace("LINE", '"quantity": 1, "unit_price": X')),
        ("PUT", "/v1/orders/o", ORDER.replace("LINE", '"quantity": X')),
        ("POST", "/v1/orders/o/adjustments", json.dumps(ADJUSTMENT).replace("-1", "X")),
        ("PUT", "/v1/products/p", '{"price": X}'),
        ("PUT", "/v1/policy", '{"thresholds": {"due_quantile": X}}'),
        ("PUT", "/v1/policy", '{"version": X}'),
        ("PUT", "/v1/policy", '{"types": {"A": {"cooldown_days": X}}}'),
        ("PUT", "/v1/policy", '{"types": {"A": {"max_per_list": X}}}'),
        ("POST", "/v1/recommendations", '{"k": X}'),
    ],
)  # fmt: skip
def test_no_number_is_422(client: Client, method: str, path: str, body: str, raw: str) -> None:
    """NaN, infinities and numbers without end are no numbers here."""
    content = body.replace("X", raw).encode()
    refused(client(method, path, content=content, headers=JSON), 400, 422)


@pytest.mark.parametrize(
    "line",
    [
        {"product_id": "p"},
        {"quantity": 1},
        {"product_id": "p", "quantity": 1, "returned_quantity": 2},
        {"product_id": "p", "quantity": 1, "gift": "yes"},
        {"product_id": "p", "quantity": "1"},
        {"product_id": 7, "quantity": 1},
        {"product_id": "p", "quantity": 1.0},
        {"product_id": "p", "quantity": 1, "returned_at": 5},
    ],
)
def test_wrong_order_lines(client: Client, line: dict[str, Any]) -> None:
    """A line with a missing or wrong part is named by its number."""
    answer = client.put("/v1/orders/o", order_body("c", lines=[line]))
    refused(answer, 422)
    assert answer.json()["errors"][0]["pointer"].startswith("#/lines/0")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"customer_id": "c"},
        {"product_ids": ["p"]},
        {"customer_id": "c", "product_ids": []},
        {"pairs": []},
        {"pairs": [["c"]]},
        {"pairs": [["c", "p", "q"]]},
        {"pairs": ["cp"]},
        {"pairs": [["c", 3]]},
        {"pairs": [["c", "p"]] * 1001},
        {"customer_id": "c", "pairs": [["c", "p"]]},
        {"customer_id": "c", "product_ids": ["p"], "pairs": [["c", "p"]]},
        {"customer_id": "c", "product_ids": ["p"] * 1001},
        {"customer_id": "c", "product_ids": ["p"], "as_of": "yesterday"},
        {"customer_id": "c", "product_ids": ["p"], "as_of": 1_700_000_000},
        {"customer_id": "c", "product_ids": ["p"], "as_of": "10000-01-01T00:00:00Z"},
        {"customer_id": "c", "product_ids": ["p"], "as_of": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_wrong_checks(client: Client, body: dict[str, Any]) -> None:
    """One customer with products, or pairs; one to a thousand; a moment that is one."""
    refused(client.post("/v1/suppressions/check", body), 422)


@pytest.mark.parametrize(
    "body",
    [
        {"k": 0}, {"k": 101}, {"k": "3"}, {"moment": "birthday"}, {"include_due": 1},
        {"order_id": "o", "product_ids": []}, {"exclude_product_ids": "p"},
        {"exclude_product_ids": ["p"] * 1001}, {"product_ids": [""]}, {"as_of": ""},
    ],
)  # fmt: skip
def test_wrong_recommendations(client: Client, body: dict[str, Any]) -> None:
    """A list has 1 to 100 rows, a moment is one of five, an anchor an order or products."""
    refused(client.post("/v1/recommendations", body), 422)


def cursor(value: Any) -> str:
    """Return a value the way a cursor is written."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "query",
    [
        *(f"cursor={c}" for c in ("", "x", "%FF", "AAAA", "!!!!", "é", "A" * 5000)),
        *(
            f"cursor={cursor(c)}"
            for c in (
                None, 3, [], ["s1"], ["s1", "product", 3], ["s1", "planet", "p"],
                ["s2", "product", "p"], ["s1", [], "p"], {"a": 1, "b": 2, "c": 3},
            )
        ),
        *(f"limit={n}" for n in ("0", "1001", "-1", "x", "1.5", "", "9" * 5000)),
        *(f"as_of={t}" for t in ("", "x", "2026-02-30", "1", "9" * 5000, "2026-11-22T00%2B99:00")),
        "asof=2026-11-22", "limit=1&%00=1", "=",
    ],
)  # fmt: skip
def test_wrong_parameters(client: Client, query: str) -> None:
    """A cursor of nobody's, a wrong limit or moment, and a parameter that there is none of."""
    answer = client.get(f"/v1/customers/c/suppressions?{query}")
    refused(answer, 422)
    assert answer.json()["errors"][0]["pointer"].startswith("query/")


ID_PATHS = [
    ("GET", "/v1/orders/{}"), ("DELETE", "/v1/orders/{}"), ("PUT", "/v1/orders/{}"),
    ("POST", "/v1/orders/{}/adjustments"), ("PUT", "/v1/products/{}"),
    ("GET", "/v1/products/{}/complements"), ("GET", "/v1/customers/{}/suppressions"),
    ("GET", "/v1/customers/{}/suppressions/p"), ("GET", "/v1/customers/c/suppressions/{}"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ID_PATHS)
@pytest.mark.parametrize("there", ["%00", "%0A", "a%7Fb", "%C2%85", "%FF", "%ED%A0%80", "x" * 256])
def test_wrong_ids_in_paths(client: Client, method: str, path: str, there: str) -> None:
    """An id with control characters, of no UTF-8 or over 255 characters is no id."""
    given_body = BODIES.get((method, path.format("o"))) or BODIES.get((method, path.format("p")))
    answer = client(method, path.format(there), json=given_body)
    refused(answer, 422)
    assert answer.json()["errors"][0]["pointer"].startswith("path/")


@pytest.mark.parametrize(("method", "path"), ID_PATHS)
def test_longest_ids_are_fine(client: Client, method: str, path: str) -> None:
    """255 characters of four bytes each are an id."""
    there = quote("😀" * 255)
    given_body = BODIES.get((method, path.format("o"))) or BODIES.get((method, path.format("p")))
    answer = client(method, path.format(there), json=given_body)
    assert answer.status_code in (200, 404)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/v1", 404), ("GET", "/v1/orders/", 404),
        ("GET", "/v1/orders/a/b", 404), ("GET", "/v1/customers//suppressions", 404),
        ("POST", "/v1/orders/o", 405), ("PATCH", "/v1/policy", 405), ("DELETE", "/v1/policy", 405),
        ("GET", "/v1/suppressions/check", 405), ("HEAD", "/v1/policy", 405),
        ("OPTIONS", "/v1/recommendations", 405), ("GET", "/docs", 404), ("GET", "//", 404),
    ],
)  # fmt: skip
def test_addresses_that_are_none(client: Client, method: str, path: str, status: int) -> None:
    """Unknown addresses are 404, wrong methods 405 with those allowed; both are problems."""
    answer = client(method, path)
    assert answer.status_code == status
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/orders/o", "DELETE, GET, PUT"), ("/v1/orders/batch", "POST"),
        ("/v1/policy", "GET, PUT"), ("/v1/products/p/complements", "GET"),
        ("/openapi.json", "GET, HEAD"),
    ],
)  # fmt: skip
def test_allow_names_every_method(client: Client, path: str, methods: str) -> None:
    """Allow has all methods of an address, whatever number of calls share it."""
    answer = client("TRACE", path)
    assert answer.status_code == 405
    assert sorted(answer.headers["allow"].split(", ")) == methods.split(", ")


def test_body_over_the_limit_is_413(start: Start, settings: Settings) -> None:
    """A body that is too large is not read to its end, announced or not."""
    limits = {"max_body_bytes": 2000, "max_batch_bytes": 3000}
    client = start(settings.model_copy(update=limits))

    async def endless() -> Any:
        for _ in range(10_000):
            yield b" " * 1000

    for method, path in EVERY:
        headers = NDJSON if "batch" in path else JSON
        refused(client(method, path, content=b" " * 3001, headers=headers), 413)
        refused(client(method, path, content=endless(), headers=headers), 413)
    assert client.put("/v1/orders/o", order_body("c", COAT)).status_code == 200


@pytest.mark.parametrize(("method", "path"), BATCHES)
def test_hostile_batches_fail_line_by_line(client: Client, method: str, path: str) -> None:
    """Each bad line of a batch has its own problem; the batch is answered."""
    lines = [raw for raw in [*NOT_JSON.values(), *NOT_AN_OBJECT] if raw and b"\n" not in raw]
    answer = client(method, path, content=b"\n".join(lines), headers=NDJSON)
    assert answer.status_code == 200
    out = answer.json()
    assert out["n_rejected"] == len(out["results"]) == len(lines)
    assert {line["problem"]["status"] for line in out["results"]} <= {400, 422}


def test_many_errors_are_cut_short(client: Client) -> None:
    """A body with thousands of errors has an answer of decent size."""
    answer = client.put("/v1/orders/o", order_body("c", lines=[{}] * 10_000))
    refused(answer, 422)
    assert len(answer.json()["errors"]) == 100


def test_giant_keys_are_not_repeated(client: Client) -> None:
    """What is refused is not sent back at length."""
    for body in (
        {"x" * 100_000: 1},
        {"rules": {"y" * 100_000: True}},
        {"types": {"z": "w" * 10**5}},
    ):
        answer = client.put("/v1/policy", body)
        refused(answer, 422)
        assert len(answer.content) < 3000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_random_json_never_breaks_anything(client: Client, method: str, path: str) -> None:
    """Any JSON at all, also in place of one field of a good body, is answered below 500."""
    good = BODIES.get((method, path), {})

    @hypothesis_settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(value=json_values, field=st.sampled_from([None, "as_of", "lines", "types", *good]))
    def never(value: Any, field: str | None) -> None:
        body = value if field is None else {**good, field: value}
        raw = json.dumps(body).encode()
        assert client(method, path, content=raw, headers=JSON).status_code < 500

    never()


def test_fault_of_ours_is_a_problem_too(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error nobody foresaw is a 500 without its message, and the log has its place."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("c-secret")

    monkeypatch.setattr(client.shop.live, "touched", broken)
    answer = client.get(f"/v1/customers/c-1/suppressions/{COAT}")
    assert answer.status_code == 500
    assert "c-secret" not in answer.text
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name == "personalize.service")
    assert f"request {answer.headers['x-request-id']} failed: RuntimeError" in ours
    frames = [f for record in caplog.records for f in getattr(record, "stack", ())]
    assert any("routes/suppressions.py" in frame for frame in frames)
