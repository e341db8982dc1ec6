"""The measurements: contenders take turns, and what counts is the ratio within a round."""

from __future__ import annotations

import os
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import personalize as pz
from benchmarks.serving import questions, rivals, servers
from benchmarks.serving.generator import Generator, Request
from benchmarks.serving.questions import Customer
from benchmarks.serving.servers import Server, service, serving
from benchmarks.serving.shop import Size
from personalize.store.purchase_states import refresh

Found = dict[str, Any]
OURS: Final = "service"
OTHERS: Final = f"{OURS}, other customers every time"
REDIS: Final = "FastAPI + Redis SISMEMBER"
RAW: Final = "constant raw ASGI"
RECOMMEND_RATE: Final = 200
CHECK_RATE: Final = 200
"""Checks per second that go on while orders come in."""
_WARM_UP: Final = 1.0
"""Seconds until the generator itself is quick."""
N_HUNDRED: Final = 512
N_RECOMMEND: Final = 1_000
N_FSYNC: Final = 200


@dataclass(frozen=True)
class Bench:
    """What every measurement needs.

    Parameters
    ----------
    size : Size
    store : str
        URL of the shop's store.
    models : Path
    generator : Generator
    folder : Path
        For files of the way.
    runs : int
        Rounds in which the contenders take turns.
    seconds : float
        Of one turn.
    redis : str
        URL, with the number of the database.
    postgresql : str, optional
        URL of the same shop's store in PostgreSQL.
    warm_up : int
        Rounds before those that count.
    owned_every : int
        One of so many single checks is about a product that the customer owns.
    """

    size: Size
    store: str
    models: Path
    generator: Generator
    folder: Path
    runs: int
    seconds: float
    redis: str
    postgresql: str | None = None
    warm_up: int = 1
    owned_every: int = 20

    @cached_property
    def customers(self) -> list[Customer]:
        """Those who are asked about."""
        return questions.customers(self.store, self.size, questions.N_PAIRS)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """A pair of each."""
        return questions.pairs(self.customers, self.size, self.owned_every)

    def ours(self, *arguments: str, store: str | None = None) -> Any:
        """Run the service on the shop, one worker."""
        return serving(*service(store or self.store, self.models, *arguments))

    def per_second(self, server: Server, requests: Sequence[Request]) -> float:
        """Return the answers per second of one turn; every one must be a 200."""
        found = self.generator.throughput(server.url, requests, self.seconds)
        if found["failed"]:
            raise RuntimeError(f"{server.url}: {found['failed']} requests failed: {found}")
        return float(found["per_second"])


def single(bench: Bench) -> Found:
    """Measure the single check against what a shop would build, and against a constant answer.

    Latencies are measured at half of our own maximum, those of the constant answer too.
    """
    requests = questions.single(bench.pairs)
    with ExitStack() as stack:
        ours = stack.enter_context(bench.ours())
        questions.check_answers(ours.url, bench.pairs, bench.customers, exact=False)
        answer = questions.answers(ours.url, requests[:1])[0]
        raw = rivals.constant(answer, bench.folder, "single")
        contenders = {
            OURS: ours,
            REDIS: stack.enter_context(rivals.redis_set(bench.redis, bench.customers)),
            RAW: stack.enter_context(raw),
            "constant FastAPI": stack.enter_context(rivals.constant_fastapi()),
        }
        peers = [REDIS]
        if bench.store.startswith("sqlite"):
            name = "FastAPI + SQLite read"
            file = Path(bench.store.removeprefix("sqlite:///"))
            contenders[name] = stack.enter_context(rivals.sqlite_read(file))
            peers.append(name)
        for name in peers:
            url = contenders[name].url
            questions.check_answers(url, bench.pairs, bench.customers, exact=True)
        ratios = [(OURS, REDIS), (OURS, RAW), (OURS, "constant FastAPI")]
        if bench.postgresql:
            name = f"{OURS}, PostgreSQL"
            contenders[name] = stack.enter_context(bench.ours(store=bench.postgresql))
            questions.check_answers(contenders[name].url, bench.pairs, bench.customers, exact=False)
            ratios.append((name, REDIS))
        found = race(bench, {name: (one, requests) for name, one in contenders.items()}, ratios)
        found["answer_bytes"] = len(answer.body)
        found["latency"] = {}
        together: tuple[tuple[str, ...], ...] = ((OURS, RAW), (f"{OURS}, PostgreSQL",))
        for names in together:
            some = {name: contenders[name] for name in names if name in contenders}
            if some:
                half = found["per_second"][names[0]]["median"] / 2
                found["latency"] |= latencies(bench, some, requests, half)
    return found


def hundred(bench: Bench) -> Found:
    """Measure a check of 100 products, 5 of them owned, against a constant answer of its size.

    Once of few customers who are asked about again and again, and once of so many that nothing of
    them is in the processor's cache when their turn comes again.
    """
    everyone = questions.hundred(bench.customers, bench.size)
    requests = everyone[:N_HUNDRED]
    with ExitStack() as stack:
        ours = stack.enter_context(bench.ours())
        sample = questions.answers(ours.url, requests[:50])
        for answer in sample:
            assert answer.status == 200, answer.body
            assert answer.body.count('"product_id"') == 100
        raw = rivals.constant(sample[0], bench.folder, "hundred")
        turns = {
            OURS: (ours, requests),
            OTHERS: (ours, everyone),
            RAW: (stack.enter_context(raw), requests),
        }
        found = race(bench, turns, [(OURS, RAW), (OTHERS, RAW)])
        found["customers"] = {OURS: len(requests), OTHERS: len(everyone)}
        found["answer_bytes"] = len(sample[0].body)
    return found


def recommend(bench: Bench) -> Found:
    """Measure recommendations for an order of five lines at a fixed rate."""
    requests = questions.recommendations(bench.customers, bench.size)[:N_RECOMMEND]
    with bench.ours() as ours:
        sample = questions.answers(ours.url, requests[:50])
        assert all(answer.status == 200 for answer in sample), sample[0].body
        n_items = statistics.median(answer.body.count('"rank"') for answer in sample)
        bench.generator.open_loop(ours.url, requests, RECOMMEND_RATE, 1.0)
        found = {"latency": latencies(bench, {OURS: ours}, requests, RECOMMEND_RATE)}
        return found | {"items": n_items, "products": bench.size.products}


def orders(bench: Bench) -> Found:
    """Measure new orders of 16 writers, durable and not, while checks go on.

    The cost of one fsync on the same disk stands beside it.
    """
    if not bench.store.startswith("sqlite"):
        raise ValueError("durability is switched off for SQLite only; leave out --store")
    at = pz.to_rfc3339(pz.system_clock())
    writes = questions.new_orders(bench.pairs, at)
    checks = questions.single(bench.pairs)
    per_second: dict[str, list[float]] = {"durable": [], "durability off": []}
    while_writing: dict[str, list[Found]] = {"durable": [], "durability off": []}
    number = 0
    try:
        for run in range(-bench.warm_up, bench.runs):
            for name, module in (("durable", "service"), ("durability off", _UNDURABLE)):
                arguments = service(bench.store, bench.models)[1:]
                with serving(module, *arguments) as server:
                    written, checked = _written(bench, server, writes, checks, number)
                number = written["next"]
                if run >= 0:
                    per_second[name].append(written["per_second"])
                    while_writing[name].append(checked)
    finally:
        forget(bench)
    found = summed(per_second, [("durable", "durability off")])
    found["fsync_ms"] = fsync_ms(bench.folder)
    found["latency"] = {
        f"checks at {CHECK_RATE}/s meanwhile, {name}": quantiles(rows)
        for name, rows in while_writing.items()
    }
    return found


_UNDURABLE: Final = "benchmarks.serving.undurable"


def _written(
    bench: Bench, server: Server, writes: Sequence[Request], checks: Sequence[Request], first: int
) -> tuple[Found, Found]:
    """Return what became of the orders, and of the checks that went on meanwhile."""
    out: list[Found] = []

    def write() -> None:
        out.append(bench.generator.throughput(server.url, writes, bench.seconds, first=first))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        checked = bench.generator.open_loop(
            server.url, checks, CHECK_RATE, max(bench.seconds - 0.5, 0.5)
        )
    finally:
        writer.join()
    for found in (out[0], checked):
        if found["failed"]:
            raise RuntimeError(f"{found['failed']} requests failed: {found}")
    return out[0], checked


def forget(bench: Bench) -> None:
    """Take the orders of the benchmark out of the shop again."""
    with closing(sqlite3.connect(bench.store.removeprefix("sqlite:///"), timeout=60)) as store:
        ids = [(one.customer_id,) for one in bench.customers]
        store.executemany(
            "DELETE FROM order_lines WHERE customer_id = ? AND order_id GLOB 'B*'", ids
        )
        store.execute("DELETE FROM orders WHERE order_id >= 'B' AND order_id < 'C'")
        store.commit()
    with pz.Store.open(bench.store) as opened:
        opened._database.load(refresh, [one.customer_id for one in bench.customers])


def fsync_ms(folder: Path) -> float:
    """Return the milliseconds of writing 4 KiB and having them on disk, the median of many."""
    taken = []
    file = folder / "fsync.tmp"
    with file.open("wb", buffering=0) as out:
        for _ in range(N_FSYNC):
            started = time.perf_counter()
            out.write(bytes(4096))
            os.fsync(out.fileno())
            taken.append((time.perf_counter() - started) * 1e3)
    file.unlink()
    return statistics.median(taken)


def start(bench: Bench) -> Found:
    """Measure how long a worker takes to answer, and the memory it then holds."""
    found: dict[str, list[float]] = {"start_s": [], "started_mb": [], "used_mb": []}
    requests = questions.single(bench.pairs[:1000])
    for _ in range(bench.runs):
        with bench.ours() as ours:
            found["start_s"].append(ours.start_s)
            found["started_mb"].append(servers.resident_mb(ours.pid))
            questions.answers(ours.url, requests)
            found["used_mb"].append(servers.resident_mb(ours.pid))
    return {"worker": {name: spread(values) for name, values in found.items()}}


def race(
    bench: Bench,
    turns: Mapping[str, tuple[Server, Sequence[Request]]],
    ratios: Sequence[tuple[str, str]],
) -> Found:
    """Let the contenders take turns; return answers per second and the ratios within rounds."""
    per_second: dict[str, list[float]] = {name: [] for name in turns}
    for run in range(-bench.warm_up, bench.runs):
        for name, (server, requests) in turns.items():
            value = bench.per_second(server, requests)
            if run >= 0:
                per_second[name].append(value)
    return summed(per_second, ratios)


def summed(per_second: dict[str, list[float]], ratios: Sequence[tuple[str, str]]) -> Found:
    """Return medians with smallest and largest, of the values and of their ratios by round."""
    return {
        "per_second": {name: spread(values) for name, values in per_second.items()},
        "ratios": {
            f"{one} / {other}": spread(
                [a / b for a, b in zip(per_second[one], per_second[other], strict=True)]
            )
            for one, other in ratios
        },
    }


def latencies(
    bench: Bench, servers: Mapping[str, Server], requests: Sequence[Request], rate: float
) -> Found:
    """Return the latency of each server at a fixed rate: they take turns, round by round."""
    rows: dict[str, list[Found]] = {name: [] for name in servers}
    for _ in range(bench.runs):
        for name, server in servers.items():
            row = bench.generator.open_loop(
                server.url, requests, rate, bench.seconds, warm_up=_WARM_UP
            )
            if row["failed"]:
                raise RuntimeError(f"{server.url}: requests failed: {row}")
            rows[name].append(row)
    return {name: quantiles(mine) for name, mine in rows.items()}


def quantiles(rows: Sequence[Found]) -> Found:
    """Return the quantiles of latency over rounds: median, smallest, largest.

    ``lag_ms_p99`` is how late the generator itself was.
    """
    return {
        "rate": rows[0]["rate"],
        **{
            name: spread([row["latency_ms"][name] for row in rows])
            for name in ("p50", "p99", "p999", "max")
        },
        "lag_ms_p99": spread([row["lag_ms_p99"] for row in rows]),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, smallest and largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


PARTS: Final[Mapping[str, Callable[[Bench], Found]]] = {
    "single": single,
    "hundred": hundred,
    "recommend": recommend,
    "orders": orders,
    "start": start,
}
