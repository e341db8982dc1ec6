"""The store taken away, models switched, everything at once; short forms of ``make soak``."""

from __future__ import annotations

from pathlib import Path

import pytest

from soak import __main__ as command
from soak.cluster import ClusterMissingError, cluster, programs
from soak.mixed import Mixed, mixed, quantile
from soak.outages import taken_away
from soak.running import Service, until
from soak.switches import switched


def _has_programs() -> bool:
    try:
        programs()
    except ClusterMissingError:
        return False
    return True


NEEDS_POSTGRESQL = pytest.mark.skipif(
    not _has_programs(), reason="no initdb and pg_ctl here: PostgreSQL's server programs"
)


@NEEDS_POSTGRESQL
def test_postgresql_taken_away_under_load(models: Path, tmp_path: Path) -> None:
    """Not ready, a 503 in time, decisions all the while where promised; then all is there."""
    with (
        cluster() as server,
        Service(server.url, models, tmp_path / "log").up() as service,
    ):
        found = taken_away(service, server, ["stopped"], seconds=2.0)
        assert [one.faults for one in found] == [[]]
        assert found[0].refused > 0 < found[0].orders
        assert "Traceback" not in service.logged()


def test_models_switched_under_load(service: Service) -> None:
    """No request fails, and no answer mixes two models."""
    found = switched(service, 3, seconds=0.2)
    assert found.faults == []
    assert found.switches == 3


def test_everything_at_once(stopped: Service) -> None:
    """Every kind of request is answered as documented, and memory stays."""
    with stopped.up() as service:
        found = mixed(service, 2.0)
    assert found.faults == []
    assert len(list(found.rows())) >= 8
    assert len(found.memory_mb) == 5


def test_quantiles_are_values_that_were_seen() -> None:
    """The 99th percentile of few is the largest."""
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert list(Mixed(taken_ms={"a": [1.0, 2.0, 9.0]}).rows()) == [("a", 3, 2.0, 9.0)]


def test_what_does_not_come_about_is_told() -> None:
    """Waiting ends, with a word of what was waited for."""
    with pytest.raises(AssertionError, match="still not: the moon"):
        until(lambda: False, 0.1, "the moon")


def test_the_summary_names_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without PostgreSQL's programs that part is left out, and said so; the rest is done."""
    monkeypatch.setattr("soak.cluster.shutil.which", lambda name: None)
    monkeypatch.setattr("soak.cluster.Path.glob", lambda *_: iter(()))
    assert command.main(["--part", "outages", "kills-on-postgresql"]) == 0
    told = capsys.readouterr().out
    assert told.count("LEFT OUT: initdb and pg_ctl not found") == 2
    assert told.endswith("every promise was kept\n")


def test_the_summary_ends_with_1_if_a_promise_was_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Faults are printed, counted, and the exit code."""
    monkeypatch.setitem(command.PARTS, "traffic", lambda *_: (["told"], ["a fault"]))
    assert command.main(["--part", "traffic"]) == 1
    told = capsys.readouterr()
    assert "a fault" in told.err
    assert told.out.endswith("  told\n1 promises were broken\n")


def test_parts_tell_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """The full form is the short one with other numbers."""
    assert command.main(["--part", "traffic"], command.Scale(mixed=1.0)) == 0
    told = capsys.readouterr().out
    assert "1 s of mixed traffic, 2 workers; 0 faults" in told
    assert "single check" in told
