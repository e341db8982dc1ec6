"""Hostile requests against the process, and the whole contract; short forms of ``make soak``."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import personalize as pz
from soak.contract import keeps_contract
from soak.hostile import Generator, Hostile, Outcome, send, stalled
from soak.running import Service
from soak.siege import besieged

SCOPES = ["ingest", "decide", "export", "admin"]


def test_hostile_requests_are_refused_and_nobody_suffers(stopped: Service) -> None:
    """Of 500, each is refused or cut off; memory stays, and ordinary questions are answered."""
    limits = {"PERSONALIZE_HEAD_SECONDS": "1", "PERSONALIZE_BODY_SECONDS": "2"}
    with replace(stopped, environment=limits).up() as service:
        siege = besieged(service, 500, seed=7, patience=20.0)
        assert siege.faults == []
        assert siege.report.refused > 300
        assert siege.honest > 10
        assert len(siege.report.kinds) > 20
        assert service.stop() == 0


def test_a_request_that_is_waited_for_is_seen(service: Service) -> None:
    """Where the limits are longer than the patience, that is a fault."""
    told = "a request that was never ended was waited for"
    assert stalled(service.url, 2, 0.2) == [told, told]


def test_the_same_seed_is_the_same_siege() -> None:
    """What was found once can be sent again by its number."""
    first, again, other = (list(islice(Generator(seed), 200)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("statuses", "may_pass", "hung", "fault"),
    [
        ((422,), False, False, None),
        ((), False, False, None),
        ((200,), True, False, None),
        ((200,), False, False, "taken for valid: (200,)"),
        ((500,), True, False, "answered (500,)"),
        ((), True, True, "no answer and no closed connection"),
    ],
)
def test_what_is_a_fault(
    statuses: tuple[int, ...], may_pass: bool, hung: bool, fault: str | None
) -> None:
    """A 5xx, a hang, and a 2xx to what is not allowed are faults."""
    assert Outcome(statuses, hung).fault(Hostile("kind", (b"",), may_pass)) == fault


def test_answers_are_told_apart(service: Service) -> None:
    """Two requests sent ahead have two answers; one cut short has none."""
    good = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    assert send(service.url, Hostile("k", (good * 2,), answers=2)).statuses == (200, 200)
    assert send(service.url, Hostile("k", (good[:20],), ends=True)).statuses == ()
    assert send(service.url, Hostile("k", (b"?\r\n\r\n",))).statuses == (400,)


def test_the_contract_is_kept(models: Path, tmp_path: Path) -> None:
    """No 5xx, nothing undocumented, no answer of another shape, nothing without its key."""
    url = f"sqlite:///{tmp_path}/shop.db"
    with pz.Store.open(url) as store:
        key = store.create_key("all", SCOPES, created_at=1)
    with Service(url, models, tmp_path / "log").up() as service:
        verdict = keeps_contract(service.url, key, examples=5)
        assert verdict.is_kept, verdict.told[-8000:]
        assert "Traceback" not in service.logged()
    assert " passed" in verdict.cases


def test_a_broken_contract_is_seen(service: Service) -> None:
    """A service that lets everybody in is told from one with keys."""
    verdict = keeps_contract(service.url, "pk_none", examples=1, call="read_policy")
    assert not verdict.is_kept
    assert "API accepts" in verdict.told
