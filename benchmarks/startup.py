"""How soon a worker answers, and what it weighs: real service processes, medians.

``python -m benchmarks.startup`` makes a shop, trains on it once, and starts the service on it with
one worker and with four. ``--against FOLDER`` starts another checkout of this project in turns with
this one, on the same model and store. Time runs from the start of the process to its first answer
to a check; memory is what the kernel says of a worker after questions of every kind: resident (RSS)
and proportional (PSS: what several processes share is divided among them). Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.speed import ROOT, SHOPS, made_up, measure, train_command

LINES, CUSTOMERS, PRODUCTS = 2_000_000, 200_000, 20_000
WORKERS: Final = (1, 4)
QUESTIONS: Final = 40
"""Of each kind for each worker, every one on a connection of its own: any worker may get it."""


@dataclass(frozen=True, slots=True)
class Started:
    """One start of the service.

    Parameters
    ----------
    first_s : float, seconds
        From the start of the process to the first answer to a check.
    rss_mb, pss_mb : float, MB
        Of one worker, the mean of all.
    all_pss_mb : float, MB
        Of all processes of the service together, the one that watches over the workers included.
    """

    first_s: float
    rss_mb: float
    pss_mb: float
    all_pss_mb: float


def prepared(
    lines: int, customers: int, products: int, folder: Path
) -> tuple[Path, str, list[str]]:
    """Return models, the URL of a store with the catalogue, and some product ids; made once."""
    shop = made_up(lines, customers, products, folder.parent / SHOPS.name)
    own = folder / shop.orders.parent.name
    models, store = own / "models", own / "shop.db"
    catalogue = shop.options[1]
    if not (models / "current").exists():
        measure(train_command(shop, models))
    url = f"sqlite:///{store}"
    measure([sys.executable, "-m", "personalize", "import", "--catalog", catalogue, "--store", url])
    ids = (
        "import sys, pyarrow.parquet as pq; print(*pq.read_table(sys.argv[1])[0][:50].to_pylist())"
    )
    return models, url, measure([sys.executable, "-c", ids, catalogue]).output.split()


@contextlib.contextmanager
def service(checkout: Path, models: Path, url: str, workers: int) -> Iterator[tuple[int, int]]:
    """Start the service of a checkout; yield its process id and its port once it listens."""
    command = [sys.executable, "-m", "service", "--store", url, "--models", str(models)]
    command += ["--port", "0", "--workers", str(workers)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=quiet, text=True
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError(f"{' '.join(command)} in {checkout}: does not start")
            yield running.pid, int(line.rpartition(":")[2])
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(timeout=60)


def ask(port: int, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
    """Ask one question on a connection of its own.

    Raises
    ------
    RuntimeError
        If it is not answered with 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"content-type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {told[:500]!r}")
    finally:
        connection.close()


def start(checkout: Path, models: Path, url: str, workers: int, ids: Sequence[str]) -> Started:
    """Return how soon the service answers, and what its workers weigh then."""
    began = time.perf_counter()
    with service(checkout, models, url, workers) as (pid, port):
        ask(port, "GET", f"/v1/customers/c-1/suppressions/{ids[0]}")
        first = time.perf_counter() - began
        for n in range(QUESTIONS * workers):
            seeds = [ids[n % len(ids)], ids[(n + 7) % len(ids)]]
            ask(port, "POST", "/v1/suppressions/check", {"customer_id": "c-1", "product_ids": ids})
            ask(port, "POST", "/v1/recommendations", {"customer_id": "c-1", "product_ids": seeds})
            ask(port, "GET", f"/v1/products/{seeds[0]}/complements")
        every = {one: memory(one) for one in (pid, *children(pid))}
    own = [every[one] for one in (list(every)[1:] if workers > 1 else [pid])]
    own = sorted(own)[-workers:]  # the smaller one beside them tracks what they share
    return Started(
        first,
        statistics.mean(rss for rss, _ in own),
        statistics.mean(pss for _, pss in own),
        sum(pss for _, pss in every.values()),
    )


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory(pid: int) -> tuple[float, float]:
    """Return the resident and the proportional memory of a process, MB."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(value.split()[0]) for name, value in (row.split(":") for row in rows)}
    return kib["Rss"] * 1024 / 1e6, kib["Pss"] * 1024 / 1e6


def medians(runs: Sequence[Started]) -> dict[str, float]:
    """Return the median of every number."""
    return {
        name: statistics.median(getattr(run, name) for run in runs) for name in Started.__slots__
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    for name, default in (("lines", LINES), ("customers", CUSTOMERS), ("products", PRODUCTS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--runs", type=int, default=5, help="Starts of each kind")
    parser.add_argument("--against", type=Path, help="Another checkout, started in turns")
    parser.add_argument("--json", type=Path, help="Write what was measured to this file")
    given = parser.parse_args(argv)
    size = (given.lines, given.customers, given.products)
    models, url, ids = prepared(*size, SHOPS.parent / "startup")
    checkouts = {"this": ROOT} | ({"against": given.against.resolve()} if given.against else {})
    runs: dict[tuple[str, int], list[Started]] = {}
    for _ in range(given.runs):
        for workers in WORKERS:
            for name, checkout in checkouts.items():
                found = start(checkout, models, url, workers, ids)
                runs.setdefault((name, workers), []).append(found)
    bytes_of_model = sum(file.stat().st_size for file in models.rglob("*") if file.is_file())
    print(f"{given.lines:,} lines, {given.products:,} products: {bytes_of_model / 1e6:.0f} MB")
    print(
        f"{'':12}{'workers':>8}{'first answer s':>16}{'RSS MB':>9}{'PSS MB':>9}{'all PSS MB':>12}"
    )
    for (name, workers), rows in sorted(runs.items()):
        row = medians(rows)
        print(
            f"{name:12}{workers:8}{row['first_s']:16.2f}{row['rss_mb']:9.0f}{row['pss_mb']:9.0f}"
            f"{row['all_pss_mb']:12.0f}"
        )
    if given.json:
        told = {f"{name}, {workers}": medians(rows) for (name, workers), rows in runs.items()}
        given.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
