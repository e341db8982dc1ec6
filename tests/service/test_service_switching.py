"""Models change under load: no request fails, and no answer mixes two models."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from conftest import Start
from service_shop import COAT, NOW, SOCKS, TROUSERS, Client, catalog, orders
from service_switching import Answers, Asked, alone, under_switches
from test_service_process import process

import personalize as pz
from personalize.times import DAY, to_datetime
from service import Settings

AT = "2026-11-22T12:00:00Z"
LIST = {"customer_id": "c-1", "moment": "browse", "k": 4, "as_of": AT}
QUESTIONS = [
    Asked("GET", f"/v1/customers/c-1/suppressions/{COAT}?as_of={AT}"),
    Asked("GET", f"/v1/customers/c-1/suppressions/stray?as_of={AT}"),
    Asked("GET", f"/v1/customers/c-1/suppressions?as_of={AT}"),
    Asked("GET", f"/v1/products/{TROUSERS}/complements?k=4"),
    Asked("POST", "/v1/recommendations", json.dumps(LIST)),
    Asked(
        "POST",
        "/v1/suppressions/check",
        json.dumps({"customer_id": "c-1", "as_of": AT, "product_ids": [COAT, "stray", SOCKS]}),
    ),
]


def versions(settings: Settings) -> list[str]:
    """Add to v1 a version that answers otherwise, and a refresh of that; return their names."""
    directory = pz.ModelsDirectory(settings.models)
    known = orders().before(to_datetime(NOW - 200 * DAY))
    pz.Engine.fit(known, catalog(), pz.EngineConfig(default_cooldown_days=50.0)).save(
        settings.models / "other"
    )
    other = pz.Engine.load(directory.path("other"))
    return ["v1", other.model_version]


def expected_of(start: Start, settings: Settings, names: list[str]) -> Answers:
    """Return what each version answers alone."""
    client: Client = start(settings)
    found: Answers = {}
    for name in names:
        assert client.put("/v1/models/current", {"version": name}).status_code == 200
        found |= alone(client, QUESTIONS)
    return found


def test_switches_under_load(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, a switch every 0.2 s, by HTTP and by the pointer in turns."""
    monkeypatch.setenv("PERSONALIZE_WATCH_SECONDS", "0.05")
    names = versions(settings)
    with pz.Store.open(settings.store) as store:
        lines = tuple(pz.SnapshotLine(product, 1) for product in (COAT, "stray"))
        at = NOW - 2 * DAY
        store.put_order(pz.OrderSnapshot("o-1", "c-1", at, at, lines=lines))
    expected = expected_of(start, settings, names)
    differing = sum(
        {**expected["v1", each], "model_version": ""}
        != {**expected["other", each], "model_version": ""}
        for each in QUESTIONS
    )
    assert differing >= 4, "the versions must be told apart by their answers"
    directory = pz.ModelsDirectory(settings.models)
    arguments = ["--store", settings.store, "--models", str(settings.models), "--port", "0"]
    with process([*arguments, "--workers", "2"]) as url:

        def by_http(version: str) -> None:
            answer = httpx.put(f"{url}/v1/models/current", json={"version": version}, timeout=30)
            assert answer.json()["model_version"] == version

        outcome = under_switches(
            url,
            expected,
            [
                lambda: by_http("other"),
                lambda: directory.use("v1"),
                lambda: directory.use("other"),
                lambda: by_http("v1"),
            ],
            seconds=3.0,
            every=0.2,
        )
        by_http("other")
        settled, end = 0, time.monotonic() + 20
        while settled < 20:  # a connection each: both workers are asked
            assert time.monotonic() < end, "some worker stays with another version"
            ready = httpx.get(f"{url}/health/ready").json()
            settled = settled + 1 if ready["model_version"] == "other" else 0
    assert outcome.failures == []
    assert outcome.mixed == []
    assert set(outcome.n_answers) == set(names)
    assert outcome.n_switches >= 4
