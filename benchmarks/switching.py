"""How long requests wait while a model is switched: the longest pauses of an event loop.

``python -m benchmarks.switching`` loads one model again and again the way a worker does, in the
thread that watches the models directory, while an event loop beside it wakes up every millisecond.
A pause is the time between two wake-ups: so long a request of that worker would have waited. The
shop is that of `benchmarks.startup`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import personalize as pz
from benchmarks.speed import SHOPS
from benchmarks.startup import CUSTOMERS, LINES, PRODUCTS, prepared
from service.app import settle
from service.watch import ModelWatch

VERSIONS = ("one", "other")


async def pauses(watch: ModelWatch) -> list[float]:
    """Return the times between wake-ups while the watch takes up another version, seconds."""
    found = []
    looking = asyncio.get_running_loop().run_in_executor(None, watch.look)
    last = time.perf_counter()
    while not looking.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        found.append(now - last)
        last = now
    await looking
    return found


def switched(models: Path, url: str, n_switches: int) -> dict[str, float]:
    """Return medians over the switches: seconds of one, its longest pause and its 99th percentile.

    Both pauses are in milliseconds.
    """
    source = pz.ModelsDirectory(models).path()
    with tempfile.TemporaryDirectory() as folder, pz.Store.open(url) as store:
        directory = pz.ModelsDirectory(folder)
        for version in VERSIONS:
            shutil.copytree(source, directory.folder / version)
        directory.use(VERSIONS[1])
        watch = ModelWatch(directory, pz.Personalizer(store), 60.0)
        watch.look()
        settle()
        rows = []
        for number in range(n_switches):
            directory.use(VERSIONS[number % 2])
            rows.append(sorted(asyncio.run(pauses(watch))))
        watch.stop()
    return {
        "switch_s": statistics.median(sum(row) for row in rows),
        "longest_ms": statistics.median(row[-1] for row in rows) * 1e3,
        "worst_ms": max(row[-1] for row in rows) * 1e3,
        "p99_ms": statistics.median(row[int(len(row) * 0.99)] for row in rows) * 1e3,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print one line, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.switching", description=__doc__)
    for name, default in (("lines", LINES), ("customers", CUSTOMERS), ("products", PRODUCTS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--switches", type=int, default=9)
    parser.add_argument("--json", type=Path, help="Write what was measured to this file")
    given = parser.parse_args(argv)
    size = (given.lines, given.customers, given.products)
    models, url, _ = prepared(*size, SHOPS.parent / "startup")
    found = switched(models, url, given.switches)
    print(
        f"a switch takes {found['switch_s']:.2f} s; the event loop pauses "
        f"{found['longest_ms']:.0f} ms at most ({found['worst_ms']:.0f} ms in the worst of "
        f"{given.switches}), {found['p99_ms']:.0f} ms at the 99th percentile"
    )
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
