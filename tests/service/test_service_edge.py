"""The outermost layer by itself, and what only other servers can do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from service_shop import COAT, Client, order_body

import personalize as pz
from service import Settings
from service.__main__ import _announce_when_up
from service.edge import Edge
from service.problems import Conflict, Refused, document, status_of

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Counted:
    """Metrics that only remember."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Remember."""
        assert seconds >= 0
        self.seen.append((method, route, status))


def ask(app: Any, **given: Any) -> list[dict[str, Any]]:
    """Return what an application sends to a request whose caller leaves at once."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "method": "PUT", "path": "/v1/orders/o", "query_string": b"",
        "headers": [(b"content-type", b"application/json")], **given,
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_caller_that_leaves_is_no_failure(
    start: Start, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller that goes away amid its body gets nothing and costs no log line."""
    client = start(settings)
    assert ask(client.app, raw_path=b"/v1/orders/o", client=("127.0.0.1", 1)) == []
    line = 'personalize_requests_total{method="PUT",route="/v1/orders/{order_id}",status="499"} 1.0'
    assert line in client.get("/metrics").text.splitlines()
    assert not [r for r in caplog.records if r.name.startswith("personalize") and r.levelno > 20]


def test_failure_amid_an_answer_sends_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    """Once an answer has begun no problem can be put into it; the failure is logged."""

    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise RuntimeError("amid")

    metrics: Any = Counted()
    sent = ask(Edge(app, metrics, access_log=False), path="/a b")
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert metrics.seen == [("PUT", "unmatched", 200)]
    assert "failed: RuntimeError" in caplog.text


@pytest.mark.parametrize(("told", "is_logged"), [("the handler is closed", False), ("oh", True)])
def test_connection_that_is_gone_is_no_failure(
    told: str, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that nobody can be sent any more costs no log line; a real failure does."""

    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(_message: dict[str, Any]) -> None:
        raise RuntimeError(f"unable to perform operation; {told}")

    metrics: Any = Counted()
    edge = Edge(app, metrics, access_log=False)
    scope = {"type": "http", "method": "PUT", "path": "/", "headers": []}
    asyncio.run(edge(scope, None, send))  # type: ignore[arg-type]
    assert metrics.seen == [("PUT", "unmatched", 200 if is_logged else 499)]
    assert ("failed: RuntimeError" in caplog.text) is is_logged


def test_other_protocols_pass_through() -> None:
    """What is no HTTP request is none of the edge's business."""
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Send) -> None:
        seen.append(scope["type"])

    metrics: Any = Counted()
    assert ask(Edge(app, metrics, access_log=True), type="lifespan") == []
    assert (seen, metrics.seen) == (["lifespan"], [])


def test_path_without_its_raw_form_is_encoded_again() -> None:
    """A server that gives no raw path has ids that hold anything but a slash."""
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Send) -> None:
        seen.append(scope["path"])

    metrics: Any = Counted()
    ask(Edge(app, metrics, access_log=False), path="/v1/orders/é %")
    ask(Edge(app, metrics, access_log=False), raw_path="/v1/é".encode())
    assert seen == ["/v1/orders/%C3%A9%20%25", "/v1/%C3%A9"]


def test_status_of_an_error_is_its_nearest_parents() -> None:
    """One table has the statuses; what is not in it is our own fault."""

    class Late(Conflict):
        """A kind of conflict."""

    assert status_of(Late("late")) == 409
    assert status_of(pz.UnknownOrderError("o")) == 404
    assert status_of(KeyError()) == 500
    assert status_of(Refused("nothing in particular")) == 500
    assert document(418, "short and stout")["title"] == "I'm a Teapot"


def test_metrics_of_several_workers_are_read_from_their_folder(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a folder of the workers a scrape sums what is there, and adds the model of this one."""
    folder = tmp_path / "counted"
    folder.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    client.order("o-1", "c-1", COAT)
    text = client.get("/metrics").text
    assert "personalize_model_loaded 1.0" in text
    assert "personalize_orders_total" not in text


def test_document_is_made_once(client: Client) -> None:
    """/openapi.json is the same, made at the first request."""
    assert client.get("/openapi.json").content == client.get("/openapi.json").content


def test_announcement_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no worker ever answers, nothing is announced."""
    monkeypatch.setattr("service.__main__._READY_SECONDS", 0.2)
    told: list[bool] = []
    is_up = threading.Event()
    _announce_when_up(("127.0.0.1", 9), lambda: told.append(True), is_up)
    assert told == []
    assert not is_up.is_set()


@pytest.mark.parametrize("quantity", [0, 1_000_000_001, -1_000_000_001])
def test_adjustment_of_nothing_is_refused(client: Client, quantity: int) -> None:
    """An adjustment moves units, one way or the other, and not without end."""
    body = {
        "adjustment_id": "r", "adjusted_at": "2026-11-21T00:00:00Z",
        "lines": [{"product_id": COAT, "quantity": quantity}],
    }  # fmt: skip
    answer = client.post("/v1/orders/o/adjustments", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/lines/0/quantity"
    assert client.put("/v1/orders/o", order_body("c", COAT)).status_code == 200
