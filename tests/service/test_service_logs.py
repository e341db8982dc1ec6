"""What is logged: one event, one line, with the request's id, and nothing of a customer's."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Start
from service_shop import COAT, NOW, Client, order_body
from wire import listening

from service import Settings, logs
from service.headers import current_request_id


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Return what installs the log by settings and gives the lines so far; undone at the end."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), logging.getLogger("personalize").level
    stderr = io.StringIO()

    def lines(**given: Any) -> list[str]:
        if given:  # only now: between set-up and test stderr changes hands
            monkeypatch.setattr(sys, "stderr", stderr)
            logs.install(Settings(**given))
        return stderr.getvalue().splitlines()

    yield lines
    root.handlers[:] = handlers
    logging.getLogger("personalize").setLevel(level)


log = logging.getLogger("personalize.test")


def fail() -> None:
    """Raise as a library would, naming whom it should not."""
    raise KeyError("c-secret")


def test_events_are_json(logged: Callable[..., list[str]]) -> None:
    """Time, level, logger, message, id of the request, and the fields of an access line."""
    logged(log_format="json")
    token = current_request_id.set("r-1")
    try:
        log.warning("two\nlines %d", 7, extra={"route": "/a", "status": 200, "milliseconds": 1.5})
    finally:
        current_request_id.reset(token)
    log.info("no request", extra={"request_id": "given"})
    log.debug("not this")
    first, second = map(json.loads, logged())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warning", "logger": "personalize.test", "message": "two\nlines 7",
        "request_id": "r-1", "route": "/a", "status": 200, "milliseconds": 1.5,
    }  # fmt: skip
    assert (second["message"], second["request_id"]) == ("no request", "given")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_exceptions_are_one_line_without_their_message(
    logged: Callable[..., list[str]], log_format: str
) -> None:
    """Where it was raised is a field; what it said stays away, whoever logs it."""
    logged(log_format=log_format)
    try:
        fail()
    except KeyError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    (line,) = logged()
    assert "KeyError" in line
    assert "test_service_logs.py" in line
    assert "in fail" in line
    assert "c-secret" not in line


def test_text_is_one_line_too(logged: Callable[..., list[str]]) -> None:
    """For people: the same, without the braces; a line break that was sent in breaks no line."""
    logged(log_format="text")
    log.error("forged\r\n2026 INFO", extra={"request_id": "r-2", "status": 500})
    (line,) = logged()
    assert line.endswith(r" error personalize.test forged\r\n2026 INFO request_id=r-2 status=500")


def test_format_follows_the_terminal(
    logged: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left alone, it is text on a terminal and JSON elsewhere; installing twice logs once."""
    logged(log_format="auto")
    log.info("one")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logged(log_format="auto")
    log.info("two")
    first, second = logged()
    assert json.loads(first)["message"] == "one"
    assert " info personalize.test two" in second


def test_level_is_for_our_own_lines(logged: Callable[..., list[str]]) -> None:
    """`log_level` lets our own lines through; of others only warnings are wanted."""
    logged(log_format="json", log_level="debug")
    log.debug("ours")
    logging.getLogger("somebody.else").info("theirs")
    (line,) = logged()
    assert json.loads(line)["message"] == "ours"


def test_nothing_personal_is_logged_or_counted(
    start: Start, settings: Settings, logged: Callable[..., list[str]], caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every kind of call and failure, with all that can be logged: no id, no key, no contact."""
    logged(log_format="json", log_level="debug", access_log=True)
    for name in ("personalize", "uvicorn"):  # what the settings can make talk, and the server
        caplog.set_level(logging.DEBUG, logger=name)
    client = start(settings.model_copy(update={"access_log": True}))
    secret = client.shop.store.create_key("test", ["ingest", "decide"], created_at=NOW)
    good = {"Authorization": f"Bearer {secret}"}
    mail = "anna@secret.example"
    private = [secret, "c-secret", "o-secret", mail, "secret.example", "pk_secret"]
    body = order_body("c-secret", COAT)
    for headers in (good, {"Authorization": "Bearer pk_secret"}, {}):
        client.put("/v1/orders/o-secret", body, headers=headers)
        client.put(f"/v1/orders/{mail}", {**body, "customer_id": mail}, headers=headers)
        client.put("/v1/orders/o-secret", {**body, "email": mail}, headers=headers)
        client.put("/v1/orders/o-secret", {**body, "currency": mail}, headers=headers)
        client.get(f"/v1/customers/{mail}/suppressions/{COAT}", headers=headers)
        client.get(f"/v1/customers/c-secret/suppressions?x={mail}", headers=headers)
        client.get("/v1/orders/o-secret%00", headers=headers)
        client.get("/v1/policy", headers=headers)
        client.post(
            "/v1/recommendations", {"customer_id": mail, "order_id": "o-secret"}, headers=headers
        )
        client("POST", "/v1/orders/batch", content=mail.encode(), headers=headers)
    with listening(client.app) as wire:
        wire.ask(b"GET /v1/orders/o-secret HTTP/1.1\r\nX: c-secret\x00\r\n\r\n")
        wire.ask(b"GET /v1/orders/" + b"o-secret" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    monkeypatch.setattr(client.shop.live, "decide", lambda *_a, **_k: {}["c-secret"])
    assert (
        client.get(f"/v1/customers/c-secret/suppressions/{COAT}", headers=good).status_code == 500
    )
    client.shop.store.close()
    assert client.put("/v1/orders/o-secret", body, headers=good).status_code == 503
    counted = client.get("/metrics").text
    lines = logged()
    events = [json.loads(line) for line in lines]
    assert {event["status"] for event in events if "status" in event} >= {200, 401, 403, 422, 500}
    assert all(event["request_id"] for event in events if event["logger"] == "personalize.access")
    ours = [r for r in caplog.records if r.name.split(".")[0] in ("personalize", "uvicorn")]
    told = "\n".join([*lines, counted, *(f"{r.getMessage()} {r.__dict__}" for r in ours)])
    leaks = [line[:400] for line in told.splitlines() for text in private if text in line]
    assert leaks == []


def test_id_of_the_answer_is_in_its_lines(
    start: Start, settings: Settings, logged: Callable[..., list[str]]
) -> None:
    """Whoever complains with a request id finds all lines of that request."""
    logged(log_format="json", log_level="debug")
    client: Client = start(settings.model_copy(update={"access_log": True}))
    client.shop.store.close()
    answer = client.put("/v1/products/p", {}, headers={"X-Request-Id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    events = [json.loads(line) for line in logged()]
    told = [event["logger"] for event in events if event.get("request_id") == "mine"]
    assert told == ["personalize.service", "personalize.access"]
