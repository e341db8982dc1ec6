"""Health, metrics, and the model that is served."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable

import pytest
from conftest import Start
from service_shop import COAT, Client

import personalize as pz
from service import Settings
from service.watch import ModelWatch


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something, ten seconds at most."""
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def version(client: Client) -> str:
    """Return the model that answers."""
    return str(client.decision("c-1", COAT)["model_version"])


def test_ready_with_a_model(client: Client) -> None:
    """With model and store the service is ready, and says by which model it answers."""
    assert client.get("/health/live").json() == {"live": True}
    expected = {"ready": True, "model_version": "v1", "warnings": []}
    assert client.get("/health/ready").json() == expected


def test_without_a_model_orders_are_taken_in(start: Start, settings: Settings) -> None:
    """Without a current model ingest works, questions are 503, and ready says why not."""
    client = start(settings.model_copy(update={"models": settings.models / "none"}))
    client.order("o-1", "c-1", COAT)
    assert client.put("/v1/products/p", {}).status_code == 200
    assert client.get("/v1/policy").status_code == 200
    for answer in (
        client.get(f"/v1/customers/c-1/suppressions/{COAT}"),
        client.get("/v1/customers/c-1/suppressions"),
        client.post("/v1/suppressions/check", {"pairs": [["c-1", COAT]]}),
        client.post("/v1/recommendations", {"k": 3}),
        client.get(f"/v1/products/{COAT}/complements"),
    ):
        assert answer.status_code == 503
        assert "no model is current" in answer.json()["detail"]
        assert str(settings.models) not in answer.text
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert ready.json()["reasons"] == ["no model is current; run `personalize train`"]
    assert "personalize_model_loaded 0.0" in client.get("/metrics").text


def test_first_model_is_picked_up(start: Start, settings: Settings) -> None:
    """A service that began without a model serves the first one that is made current."""
    (settings.models / "current").unlink()
    client = start(settings)
    assert client.get("/health/ready").status_code == 503
    pz.ModelsDirectory(settings.models).use("v2")
    until(lambda: client.get("/health/ready").status_code == 200)
    assert version(client) == "v2"


def test_model_is_switched_and_rolled_back(client: Client) -> None:
    """The pointer decides, within seconds and without a restart."""
    folder = pz.ModelsDirectory(client.shop.settings.models)
    assert version(client) == "v1"
    folder.use("v2")
    until(lambda: version(client) == "v2")
    folder.use("v1")
    until(lambda: version(client) == "v1")


def test_damaged_model_is_refused(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged artifact is refused, the one before goes on, and ready warns of it."""
    models = client.shop.settings.models
    (models / "v2" / "manifest.json").write_text("{}")
    (models / "current").write_text("v2\n")
    until(lambda: client.shop.watch.refused == "v2")
    assert version(client) == "v1"
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["warnings"] == ["model v2 cannot be loaded; the log says why"]
    assert "model v2 is refused, v1 goes on" in caplog.text
    (models / "current").write_text("v1\n")
    until(lambda: client.shop.watch.refused is None)


def test_damaged_first_model_is_the_reason(start: Start, settings: Settings) -> None:
    """With nothing to go on with, the damage is why the service is not ready."""
    (settings.models / "v1" / "manifest.json").write_text("{}")
    client = start(settings)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["model v1 cannot be loaded; the log says why"]


def test_mended_model_is_tried_again(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused model is loaded once it has been mended, though not with every look."""
    monkeypatch.setattr("service.watch.RETRY_SECONDS", 0.2)
    good = settings.models / "good"
    shutil.copytree(settings.models / "v1", good)
    (settings.models / "v1" / "manifest.json").unlink()
    client = start(settings)
    assert client.get("/health/ready").status_code == 503
    shutil.copy(good / "manifest.json", settings.models / "v1" / "manifest.json")
    until(lambda: client.get("/health/ready").status_code == 200)


def test_lost_pointer_changes_nothing(client: Client) -> None:
    """Without a pointer the model in force goes on."""
    (client.shop.settings.models / "current").unlink()
    client.shop.watch.look()
    assert version(client) == "v1"


def test_store_out_of_reach_is_503(client: Client) -> None:
    """A store that does not answer: 503 with Retry-After, and not ready; no path is told."""
    client.shop.store.close()
    answer = client.put("/v1/products/p", {})
    assert answer.status_code == 503
    assert "cannot be reached" in answer.json()["detail"]
    assert "shop.db" not in answer.text
    assert client.get("/health/ready").json()["reasons"] == ["the store cannot be reached"]
    assert client.get("/health/live").status_code == 200


def test_watch_survives_anything(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in a look is logged once without its message, and tried again."""
    with pz.Store.open(settings.store) as store:
        watch = ModelWatch(pz.ModelsDirectory(settings.models), pz.Personalizer(store), 60)
        monkeypatch.setattr(watch, "look", lambda: {}["c-secret"])
        watch.tick()
        watch.tick()
        watch.stop()
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("looking for changes failed: KeyError")
    assert "c-secret" not in errors[0].splitlines()[0]


def test_watch_tells_an_error_of_ours_in_full(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is written for people is logged with its message."""

    def refuse() -> None:
        raise pz.ArtifactError("artifact v9: damaged")

    with pz.Store.open(settings.store) as store:
        watch = ModelWatch(pz.ModelsDirectory(settings.models), pz.Personalizer(store), 60)
        monkeypatch.setattr(watch, "look", refuse)
        watch.tick()
        watch.stop()
    assert "looking for changes failed: artifact v9: damaged" in caplog.text


def test_metrics_count_what_happened(client: Client) -> None:
    """Requests by route template, decisions and picks by reason, orders by outcome, model age."""
    client.order("o-1", "c-1", COAT)
    client.decision("c-1", COAT)
    client.post("/v1/recommendations", {"customer_id": "c-1", "product_ids": [COAT], "k": 2})
    client.get("/nothing/here")
    client("BREW", "/v1/policy")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    for line in (
        'personalize_requests_total{method="PUT",route="/v1/orders/{order_id}",status="200"} 1.0',
        'personalize_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'personalize_requests_total{method="other",route="/v1/policy",status="405"} 1.0',
        'personalize_decisions_total{reason="purchased"} 1.0',
        'personalize_picks_total{reason="goes_with"} 2.0',
        'personalize_orders_total{outcome="applied"} 1.0',
        'personalize_model_info{model_version="v1"} 1.0',
        "personalize_model_loaded 1.0",
    ):
        assert line in lines
    buckets = 'personalize_request_seconds_bucket{le="+Inf",route="/v1/orders/{order_id}"} 1.0'
    assert buckets in lines
    age = next(line for line in lines if line.startswith("personalize_model_age_seconds "))
    assert float(age.split()[1]) == pytest.approx(client.shop.live.now() / 1e6 - age_of(client))
    assert "c-1" not in answer.text


def age_of(client: Client) -> float:
    """Return the moment up to which the model learned, in seconds."""
    return float(client.shop.live.model_as_of) / 1e6


def test_request_id_comes_back(client: Client) -> None:
    """The caller's request id is returned if it is a decent one, else there is a new one."""
    answer = client.get("/health/live", headers={"X-Request-Id": "abc-1.2_3"})
    assert answer.headers["x-request-id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 65, ""):
        answer = client.get("/health/live", headers={"X-Request-Id": bad})
        assert len(answer.headers["x-request-id"]) == 32
