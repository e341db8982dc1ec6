"""How fast and how big: whole processes, alternating, medians.

``python -m benchmarks.speed --data FOLDER`` trains on Online Retail; ``--lines N`` makes a shop of
that size instead, and several sizes show how time grows with them. This file only starts processes
and reads what the kernel says of them; it imports nothing heavy, because a child is charged with
the memory of the parent it was forked from.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.growth import kept_lines, print_growth, print_lines

ROOT: Final = Path(__file__).resolve().parent.parent
DATA_VARIABLE: Final = "PERSONALIZE_REAL_DATA"
RETAIL_FILE: Final = "online-retail-2009-2010.parquet"
RETAIL_MAP: Final = {
    "Invoice": "order_id",
    "StockCode": "product_id",
    "Customer ID": "customer_id",
    "InvoiceDate": "ordered_at",
    "Quantity": "quantity",
    "Price": "unit_price",
}
RETAIL_NOT_PRODUCTS: Final = r"\D.*|\d{1,4}(\D.*)?"
WALL_LINE: Final = 10.0
"""Whole process of ours to whole process of ALS, at most."""
MEMORY_LINE_GB: Final = 2.0
SMALL: Final = 1_200_000
"""Order lines up to which a shop has to keep these two lines; large ones have their own."""
SHOPS: Final = ROOT / "out" / "shops"
"""Made-up shops are kept here: a large one takes a while to make."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One process from start to end.

    Parameters
    ----------
    wall_s, cpu_s : float, seconds
    peak_mb : float, MB
        Largest resident memory.
    output : str
        What it printed.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run one process to its end and return its time and peak memory.

    Raises
    ------
    RuntimeError
        If it fails; with the end of what it printed.
    """
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as told:
        started = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdout=printed,
            stderr=told,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        told.seek(0)
        if child.returncode:
            raise RuntimeError(
                f"{' '.join(command)}: ended with {child.returncode}: {told.read()[-2000:]}"
            )
        peak_mb = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        return Measured(wall, usage.ru_utime + usage.ru_stime, peak_mb, printed.read())


@dataclass(frozen=True, slots=True)
class Shop:
    """The file that both read.

    Parameters
    ----------
    name : str
    orders : Path
    options : tuple of str
        What `personalize train` needs to read it.
    reading : dict
        The same for `personalize.read_orders`.
    lines : int
        Order lines, about.
    """

    name: str
    orders: Path
    options: tuple[str, ...]
    reading: Mapping[str, Any]
    lines: int


def online_retail(folder: Path) -> Shop:
    """Return the real shop, read as any shop would: returns matched, postage left out."""
    columns = tuple(f"{theirs}={ours}" for theirs, ours in RETAIL_MAP.items())
    options = ("--map", *columns, "--returns", "negative-rows")
    return Shop(
        "Online Retail 2009-2010",
        folder / RETAIL_FILE,
        (*options, "--not-products", RETAIL_NOT_PRODUCTS),
        {
            "columns": RETAIL_MAP,
            "returns": "negative_rows",
            "not_products": RETAIL_NOT_PRODUCTS,
        },
        500_000,
    )


def made_up(lines: int, customers: int, products: int, folder: Path = SHOPS) -> Shop:
    """Return a generated shop of about `lines` order lines, with a catalogue."""
    sizes = [str(size) for size in (lines, customers, products)]
    made = measure([sys.executable, "-m", "benchmarks.shops", str(folder), *sizes])
    orders, catalogue = (Path(path) for path in made.output.split())
    return Shop(f"made up, {lines:,} lines", orders, ("--catalog", str(catalogue)), {}, lines)


def train_command(shop: Shop, models: Path) -> list[str]:
    """Return the command that trains on a shop's file."""
    program = Path(sys.executable).with_name("personalize")
    files = ["--orders", str(shop.orders), "--models", str(models)]
    return [str(program), "train", *files, *shop.options]


def race(shop: Shop, folder: Path, n_runs: int) -> dict[str, Any]:
    """Return the median wall times and peaks of training ours and ALS, in alternating pairs.

    The first run of ours has empty compiled caches: that is the cold figure.
    """
    warm = {"NUMBA_CACHE_DIR": str(folder / "compiled")}
    cold = measure(train_command(shop, folder / "cold"), warm)
    ours, theirs = [], []
    for run in range(n_runs):
        out = [str(shop.orders), str(folder / f"als-{run}.npz")]
        theirs.append(measure([sys.executable, "-m", "benchmarks.als_process", *out]))
        ours.append(measure(train_command(shop, folder / "models"), warm))
    ratios = [mine.wall_s / peer.wall_s for mine, peer in zip(ours, theirs, strict=True)]
    return {
        "cold": _numbers([cold]),
        "ours": _numbers(ours),
        "als": _numbers(theirs),
        "wall_ratio": statistics.median(ratios),
        "wall_ratios": ratios,
        "cpu_ratio": statistics.median(
            mine.cpu_s / peer.cpu_s for mine, peer in zip(ours, theirs, strict=True)
        ),
        "cold_ratio": cold.wall_s / statistics.median(peer.wall_s for peer in theirs),
    }


def _numbers(runs: Sequence[Measured]) -> dict[str, float]:
    """Return the median of every number."""
    rows = [asdict(run) for run in runs]
    return {
        name: statistics.median(row[name] for row in rows)
        for name in ("wall_s", "cpu_s", "peak_mb")
    }


def print_race(found: Mapping[str, Any], n_runs: int) -> None:
    """Print training beside its lines."""
    print(f"\nTraining, whole processes, median of {n_runs} alternating pairs")
    print(f"{'':34}{'wall s':>9}{'cpu s':>9}{'peak MB':>9}")
    names = {
        "ours": "personalize train",
        "cold": "the same, compiled caches empty",
        "als": "read + implicit ALS (64, 15)",
    }
    for key, name in names.items():
        row = found[key]
        print(f"{name:34}{row['wall_s']:9.2f}{row['cpu_s']:9.2f}{row['peak_mb']:9.0f}")
    peak_gb = max(found["ours"]["peak_mb"], found["cold"]["peak_mb"]) / 1e3
    spread = f"{min(found['wall_ratios']):.2f} to {max(found['wall_ratios']):.2f}"
    print(f"wall ratio {found['wall_ratio']:.2f} ({spread}; line: at most {WALL_LINE:g}; ", end="")
    print(f"cold {found['cold_ratio']:.2f}; CPU {found['cpu_ratio']:.2f}); ", end="")
    print(f"peak {peak_gb:.2f} GB (line: under {MEMORY_LINE_GB:g})")


def weights(shop: Shop, n_runs: int) -> dict[str, Any]:
    """Return the seconds from matrix to weights of ours and ALS, one process, alternating."""
    asked = [str(shop.orders), json.dumps(dict(shop.reading)), str(n_runs)]
    command = [sys.executable, "-m", "benchmarks.weights_process", *asked]
    found: dict[str, Any] = json.loads(measure(command).output)
    return found


def print_weights(found: Mapping[str, Any]) -> None:
    """Print the seconds from matrix to weights."""
    size = f"{found['customers']:,} x {found['products']:,}, {found['cells']:,} cells"
    print(f"\nFrom matrix to weights, one process, in turn ({size})")
    for key, name in (("ours", "both tables of products"), ("als", "implicit ALS (64, 15)")):
        print(f"{name:34}{found[key]['wall_s']:9.2f} s{found[key]['cpu_s']:9.2f} s of CPU")
    print(f"wall ratio {found['wall_ratio']:.2f}")


def ask(shop: Shop, folder: Path, n_lists: int | None = None) -> dict[str, Any]:
    """Return how fast a trained model answers; trains one if the race left none."""
    environment = {"NUMBA_CACHE_DIR": str(folder / "compiled")}
    models = folder / "models"
    if not models.exists():
        measure(train_command(shop, models), environment)
    asked = [str(models), str(shop.orders), json.dumps(dict(shop.reading)), str(n_lists or "")]
    done = measure([sys.executable, "-m", "benchmarks.throughput", *asked], environment)
    found: dict[str, Any] = json.loads(done.output)
    found["process"] = _numbers([done])
    return found


def print_answers(found: Mapping[str, Any]) -> None:
    """Print throughput and latency."""
    print("\nAnswering, one process")
    for name in ("read", "check", "suppress", "recommend"):
        row = found[name]
        unit = {"read": "lines", "check": "pairs"}.get(name, "customers")
        print(f"{name:12}{row['n']:>12,} {unit:10}{row['seconds']:8.2f} s", end="")
        print(f"{row['per_second']:>14,.0f} a second")
    for name, n_products in (("decide", 1), ("decide_100", 100)):
        row = found[name]
        print(f"decide      {row['median_us']:.1f} us", end="")
        print(f" (99%: {row['p99_us']:.1f} us) about {n_products} at a time")
    print(f"peak        {found['process']['peak_mb']:.0f} MB")


def parser() -> argparse.ArgumentParser:
    """Return the command line of ``python -m benchmarks.speed``."""
    command = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    command.add_argument("--data", type=Path, help=f"folder of the data (default: {DATA_VARIABLE})")
    command.add_argument(
        "--lines", type=int, nargs="+", help="make shops of so many order lines instead"
    )
    command.add_argument("--customers", type=int, help="of the made-up shop (default: lines / 20)")
    command.add_argument(
        "--products", type=int, help="of the made-up shop (default: lines / 200, at least 500)"
    )
    command.add_argument("--runs", type=int, default=5, help="alternating pairs")
    command.add_argument("--part", choices=("train", "weights", "answer", "all"), default="all")
    command.add_argument("--lists", type=int, help="ask for lists of so many customers, not all")
    command.add_argument("--json", type=Path, help="write everything measured to this file")
    return command


def chosen_shops(options: argparse.Namespace) -> list[Shop]:
    """Return the shops that the options name; none without data."""
    if options.lines:
        return [
            made_up(
                lines,
                options.customers or max(lines // 20, 50),
                options.products or max(lines // 200, 500),
            )
            for lines in options.lines
        ]
    named = options.data or os.environ.get(DATA_VARIABLE)
    return [online_retail(Path(named).resolve())] if named else []


def measured(shop: Shop, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the parts that the options name, and print them as they come."""
    print(f"\n{shop.name}; {os.cpu_count()} cores")
    found: dict[str, Any] = {"shop": shop.name, "lines": shop.lines, "cores": os.cpu_count()}
    if options.part in ("train", "all"):
        found["train"] = race(shop, folder, options.runs)
        print_race(found["train"], options.runs)
    if options.part in ("weights", "all"):
        found["weights"] = weights(shop, options.runs)
        print_weights(found["weights"])
    if options.part in ("answer", "all"):
        found["answer"] = ask(shop, folder, options.lists)
        print_answers(found["answer"])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code: 1 if a line is crossed."""
    options = parser().parse_args(arguments)
    shops = chosen_shops(options)
    if not shops:
        print(f"no data: give --data FOLDER, set {DATA_VARIABLE}, or --lines N", file=sys.stderr)
        return 2
    every: list[dict[str, Any]] = []
    for shop in shops:
        with tempfile.TemporaryDirectory() as name:
            every.append(measured(shop, options, Path(name)))
        if options.json is not None:
            options.json.write_text(json.dumps(every, indent=1), encoding="utf-8")
    if len(every) > 1:
        print_growth(every)
    large = [row for found in every for row in kept_lines(found)]
    print_lines(large)
    return int(not all(is_within(found) for found in every) or not all(row[3] for row in large))


def is_within(found: Mapping[str, Any]) -> bool:
    """Return whether training of a small shop keeps its lines: wall time and memory."""
    if "train" not in found or found["lines"] > SMALL:
        return True
    row = found["train"]
    peak_mb = max(row["ours"]["peak_mb"], row["cold"]["peak_mb"])
    return bool(row["wall_ratio"] <= WALL_LINE and peak_mb < MEMORY_LINE_GB * 1e3)


if __name__ == "__main__":
    sys.exit(main())
