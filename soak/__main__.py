"""``make soak``: every load and fault test in its full form, and one summary."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import personalize as pz
from soak.cluster import ClusterMissingError, cluster
from soak.contract import keeps_contract
from soak.kills import killed
from soak.mixed import mixed
from soak.outages import taken_away
from soak.running import Service, make_models
from soak.siege import besieged
from soak.switches import switched

SCOPES: Final = ("ingest", "decide", "export", "admin")


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Parameters
    ----------
    kills, hostile, switches, examples : int
    outage, mixed : float, seconds
    """

    kills: int = 20
    hostile: int = 10_000
    switches: int = 60
    examples: int = 200
    outage: float = 15.0
    mixed: float = 240.0


Lines = tuple[list[str], list[str]]
"""What is told of a part, and its faults."""


def kills(folder: Path, models: Path, scale: Scale) -> Lines:
    """Kill the service under load, with one worker and with two."""
    told, faults = [], []
    for workers in (1, 2):
        service = Service(f"sqlite:///{folder}/{workers}.db", models, folder / "log", workers)
        found = killed(service, scale.kills, seed=workers)
        faults += found.faults
        told.append(
            f"SQLite, {workers} worker(s): {found.kills} kills, {found.orders:,} orders and "
            f"{found.adjustments:,} adjustments acknowledged, {found.doubtful} cut off, "
            f"{found.checks:,} checks meanwhile; {len(found.faults)} faults"
        )
    return told, faults


def kills_on_postgresql(folder: Path, models: Path, scale: Scale) -> Lines:
    """Kill the service on PostgreSQL under load."""
    with cluster() as server:
        found = killed(Service(server.url, models, folder / "log", 2), scale.kills)
    told = (
        f"PostgreSQL, 2 workers: {found.kills} kills, {found.orders:,} orders and "
        f"{found.adjustments:,} adjustments acknowledged, {found.doubtful} cut off, "
        f"{found.checks:,} checks meanwhile; {len(found.faults)} faults"
    )
    return [told], found.faults


def outages(folder: Path, models: Path, scale: Scale) -> Lines:
    """Take PostgreSQL away under load."""
    told, faults = [], []
    with cluster() as server, Service(server.url, models, folder / "log").up() as service:
        for one in taken_away(service, server, seconds=scale.outage):
            faults += [f"{one.name}: {fault}" for fault in one.faults]
            noticed = f"not ready after {one.unready_s:.1f} s" if one.is_unready else "ready"
            told.append(
                f"PostgreSQL {one.name}: {noticed}, afterwards ready after "
                f"{one.ready_s:.1f} s; {one.orders:,} orders in, {one.refused:,} answers of 503, "
                f"{one.degraded:,} degraded decisions, slowest answer {one.slowest_s:.1f} s; "
                f"{len(one.faults)} faults"
            )
    return told, faults


def switches(folder: Path, models: Path, scale: Scale) -> Lines:
    """Switch the model every second under load."""
    store = f"sqlite:///{folder}/shop.db"
    with Service(store, models, folder / "log", 2).up() as service:
        found = switched(service, scale.switches)
    told = (
        f"{found.switches} switches, one a second, 2 workers: {sum(found.answers.values()):,} "
        f"answers, served after at most {found.slowest_s:.1f} s; {len(found.faults)} faults"
    )
    return [told], found.faults


def hostile(folder: Path, models: Path, scale: Scale) -> Lines:
    """Send hostile requests."""
    with Service(f"sqlite:///{folder}/shop.db", models, folder / "log").up() as service:
        found = besieged(service, scale.hostile)
    report = found.report
    told = (
        f"{report.n:,} hostile requests of {len(report.kinds)} kinds: {report.refused:,} answered "
        f"4xx, {report.closed:,} closed, {report.passed:,} that are allowed; memory "
        f"{found.before_mb:.0f} to {found.after_mb:.0f} MB; {found.honest:,} ordinary requests "
        f"meanwhile, p99 {found.honest_p99_ms:.0f} ms; {len(found.faults)} faults"
    )
    return [told], found.faults


def contract(folder: Path, models: Path, scale: Scale) -> Lines:
    """Try the whole description with schemathesis."""
    store = f"sqlite:///{folder}/shop.db"
    with pz.Store.open(store) as opened:
        key = opened.create_key("contract", SCOPES, created_at=0)
    with Service(store, models, folder / "log").up() as service:
        verdict = keeps_contract(service.url, key, examples=scale.examples)
    faults = [] if verdict.is_kept else [verdict.told]
    return [f"schemathesis: {verdict.cases}; {'kept' if verdict.is_kept else 'BROKEN'}"], faults


def traffic(folder: Path, models: Path, scale: Scale) -> Lines:
    """Send everything, for minutes."""
    with Service(f"sqlite:///{folder}/shop.db", models, folder / "log", 2).up() as service:
        found = mixed(service, scale.mixed)
    told = [f"{found.seconds:.0f} s of mixed traffic, 2 workers; {len(found.faults)} faults"]
    told += [
        f"  {kind:<18}{n:>9,} answers   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms"
        for kind, n, p50, p99 in found.rows()
    ]
    told.append(f"  memory: {', '.join(f'{each:.0f}' for each in found.memory_mb)} MB")
    return told, found.faults


PARTS: Final[dict[str, Callable[[Path, Path, Scale], Lines]]] = {
    "kills": kills,
    "kills-on-postgresql": kills_on_postgresql,
    "outages": outages,
    "switches": switches,
    "hostile": hostile,
    "contract": contract,
    "traffic": traffic,
}


def main(argv: Sequence[str] | None = None, scale: Scale | None = None) -> int:
    """Run the parts asked for, print one summary; 1 if anything was not as promised."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, help="default: all of them")
    asked = parser.parse_args(argv).part or list(PARTS)
    summary: list[str] = []
    n_faults = 0
    with tempfile.TemporaryDirectory(prefix="personalize-soak-") as name:
        models = make_models(Path(name) / "models")
        for part in asked:
            folder = Path(name) / part
            folder.mkdir()
            print(f"{part} ...", file=sys.stderr, flush=True)
            started = time.monotonic()
            try:
                told, faults = PARTS[part](folder, models, scale or Scale())
            except ClusterMissingError as error:
                told, faults = [f"LEFT OUT: {error}"], []
            n_faults += len(faults)
            for fault in faults[:20]:
                print(f"  {fault}", file=sys.stderr)
            seconds = time.monotonic() - started
            summary.append(f"{part} ({seconds:.0f} s)")
            summary += [f"  {line}" for line in told]
    print(f"Python {platform.python_version()}, personalize {pz.__version__}")
    print("\n".join(summary))
    print("every promise was kept" if not n_faults else f"{n_faults} promises were broken")
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main())
