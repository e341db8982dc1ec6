"""/openapi.json and docs/http-api.md say what there is, and their examples are true."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from service_shop import NOW, Client, catalog

import personalize as pz
from service import Settings, schemas
from service.app import calls

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
SHOWN = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)]


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    """Return /openapi.json."""
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the operations of a document, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def examples(document: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Return (where, schema, example) of every body that is taken or answered."""
    found = []
    for where, operation in operations(document).items():
        contents = [("request", operation.get("requestBody", {}).get("content", {}))]
        contents += [(s, r.get("content", {})) for s, r in operation["responses"].items()]
        for what, content in contents:
            for media, shown in content.items():
                reference = shown["schema"].get("$ref", "").rpartition("/")[2]
                found.append((f"{where} {what} {media}", reference, shown["example"]))
    return found


def test_every_call_is_described(document: dict[str, Any]) -> None:
    """Every call has an id of its own, a description, and its scope where it has one."""
    described = operations(document)
    assert len(described) == len(calls()) == 20
    assert len({operation["operationId"] for operation in described.values()}) == 20
    for where, operation in described.items():
        assert operation["description"], where
        has_scope = where.split()[1].startswith("/v1/")
        assert ("security" in operation) == has_scope, where
        if has_scope:
            (scope,) = operation["security"][0]["key"]
            assert f"Scope: `{scope}`" in operation["description"]


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    """Requests, answers and problems: each content has an example that its schema takes."""
    models = {model.__name__: model for model in schemas.MODELS}
    for where, reference, example in examples(document):
        assert example is not None, where
        if reference:
            models[reference].model_validate_json(json.dumps(example))
    assert {"ProblemOut", "CheckBody", "RecommendOut"} <= set(document["components"]["schemas"])


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """A schema that is referred to is there."""
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names
    assert names <= set(document["components"]["schemas"])


def test_examples_of_requests_work(client: Client, document: dict[str, Any]) -> None:
    """What the document shows as a request is answered as it shows: 200, of that schema."""
    client.shop.store.import_catalog(catalog())
    client.order("o-5001", "c-1001", "sport-coat-navy-50")
    models = {model.__name__: model for model in schemas.MODELS}
    identities = {"order_id": "o-5001", "customer_id": "c-1001", "product_id": "sport-coat-navy-50"}
    client.put("/v1/products/sport-coat-navy-50", {})
    client.shop.live.refresh()
    models_folder = client.shop.settings.models
    shutil.copytree(models_folder / "v2", models_folder / "2026-11-22T05-04-00Z")
    for where, operation in operations(document).items():
        method, path = where.split()
        if where in ("PUT /v1/policy", "GET /metrics", f"DELETE {path}"):
            continue
        given = operation.get("requestBody", {}).get("content", {})
        for media, shown in given.items() or [("", None)]:
            text = "" if shown is None else json.dumps(shown["example"])
            answer = client(
                method, path.format(**identities), content=text, headers={"content-type": media}
            )
            assert answer.status_code == 200, (where, answer.text)
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            models[schema["$ref"].rpartition("/")[2]].model_validate_json(answer.content)
    policy = operations(document)["PUT /v1/policy"]["requestBody"]["content"]["application/json"]
    answer = client.put("/v1/policy", policy["example"])
    schemas.PolicyApplied.model_validate_json(answer.content)


def test_page_names_every_call_setting_and_scope() -> None:
    """docs/http-api.md has each route with its method, each setting, scope and metric."""
    for route in calls():
        for method in route.methods:
            path = re.escape(route.path_format)
            assert re.search(rf"{method}\b[^\n]*`?{path}`", PAGE), (method, route.path_format)
    for name, field in Settings.model_fields.items():
        default = json.dumps(field.default) if isinstance(field.default, bool) else field.default
        shown = f"{default:g}" if isinstance(default, float) else default
        assert f"| `PERSONALIZE_{name.upper()}` | `{shown}` |" in PAGE, name
    for scope in ("ingest", "decide", "export", "admin"):
        assert f"| `{scope}` |" in PAGE
    for limit in (schemas.MAX_BATCH_LINES, schemas.MAX_PRODUCTS, schemas.MAX_K):
        assert f"{limit:,}" in PAGE


def test_page_names_every_metric_and_status(client: Client, document: dict[str, Any]) -> None:
    """Each metric family and each status that a call may have is on the page."""
    client.decision("c", "p")
    families = set(re.findall(r"^# TYPE (\w+) ", client.get("/metrics").text, re.M))
    ours = {name for name in families if name.startswith("personalize_")}
    ours = {name for name in ours if not name.endswith("_created")}
    assert {f"| `{name}` |" for name in ours} <= set(re.findall(r"\| `\w+` \|", PAGE))
    statuses = {status for op in operations(document).values() for status in op["responses"]}
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| "))
    assert all(re.search(rf"\b{status}\b", rows) for status in statuses - {"200", "304"})


def test_page_shows_the_same_examples(document: dict[str, Any]) -> None:
    """The page's JSON is the document's: every request, and an answer of every call."""
    for where, _, example in examples(document):
        if " request application/json" in where and isinstance(example, list):
            continue  # a batch as an array: its lines are shown
        is_problem = where.endswith("problem+json")
        if " request " in where or (where.startswith("GET /v1/customers") and not is_problem):
            assert example in SHOWN, where
    known = [example for _, _, example in examples(document)]
    assert all(block in known for block in SHOWN)


def test_answers_fit_their_schemas_in_every_case(client: Client) -> None:
    """Orders, lists, decisions and picks of all kinds are what the document says they are."""
    lines = [{"product_id": "coat-50", "quantity": 2, "returned_quantity": 1, "unit_price": 1}]
    client.order("o-1", "c-1", lines=lines)
    client.order("o-2", "c-1", "tie-red", "stray", ordered_at="2026-11-21T00:00:00Z")
    client.order("o-3", None, "socks")
    for order_id in ("o-1", "o-2", "o-3"):
        schemas.OrderOut.model_validate_json(client.get(f"/v1/orders/{order_id}").content)
    schemas.SuppressionsOut.model_validate_json(
        client.get("/v1/customers/c-1/suppressions").content
    )
    for moment in pz.MOMENTS:
        body = {"customer_id": "c-1", "moment": moment, "include_due": True}
        answer = client.post("/v1/recommendations", body)
        schemas.RecommendOut.model_validate_json(answer.content)
    asked = {"customer_id": "c-1", "product_ids": ["coat-50", "coat-52", "stray", "socks"]}
    answer = client.post("/v1/suppressions/check", asked)
    schemas.CheckOut.model_validate_json(answer.content)
    assert client.shop.live.now() == NOW
