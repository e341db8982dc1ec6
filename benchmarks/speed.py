"""How fast and how big: whole processes, alternating, medians.

``python -m benchmarks.speed --data FOLDER`` trains on Online Retail; ``--lines N`` makes a shop of
that size instead. This file only starts processes and reads what the kernel says of them; it
imports nothing heavy, because a child is charged with the memory of the parent it was forked from.
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
    """

    name: str
    orders: Path
    options: tuple[str, ...]
    reading: Mapping[str, Any]


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
    )


def made_up(folder: Path, lines: int, customers: int, products: int) -> Shop:
    """Return a generated shop of about `lines` order lines; it takes a while to make."""
    sizes = ["--lines", lines, "--customers", customers, "--products", products]
    command = [sys.executable, ROOT / "data" / "sample" / "generate.py", "--out", folder, *sizes]
    measure([str(part) for part in command])
    return Shop(f"made up, {lines:,} lines", folder / "orders.parquet", (), {})


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


def ask(shop: Shop, folder: Path) -> dict[str, Any]:
    """Return how fast a trained model answers; trains one if the race left none."""
    environment = {"NUMBA_CACHE_DIR": str(folder / "compiled")}
    models = folder / "models"
    if not models.exists():
        measure(train_command(shop, models), environment)
    asked = [str(models), str(shop.orders), json.dumps(dict(shop.reading))]
    command = [sys.executable, "-m", "benchmarks.throughput", *asked]
    measure(command, environment)  # fills the compiled caches
    done = measure(command, environment)
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
    decide = found["decide"]
    print(f"decide      {decide['median_us']:.1f} us (99%: {decide['p99_us']:.1f} us)")
    print(f"peak        {found['process']['peak_mb']:.0f} MB")


def parser() -> argparse.ArgumentParser:
    """Return the command line of ``python -m benchmarks.speed``."""
    command = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    command.add_argument("--data", type=Path, help=f"folder of the data (default: {DATA_VARIABLE})")
    command.add_argument("--lines", type=int, help="make a shop of so many order lines instead")
    command.add_argument("--customers", type=int, help="of the made-up shop (default: lines / 20)")
    command.add_argument(
        "--products", type=int, help="of the made-up shop (default: lines / 200, at least 500)"
    )
    command.add_argument("--runs", type=int, default=5, help="alternating pairs")
    command.add_argument("--part", choices=("train", "answer", "all"), default="all")
    command.add_argument("--json", type=Path, help="write everything measured to this file")
    return command


def chosen_shop(options: argparse.Namespace, folder: Path) -> Shop | None:
    """Return the shop that the options name; None without data."""
    if options.lines:
        made = folder / "shop"
        customers = options.customers or max(options.lines // 20, 50)
        products = options.products or max(options.lines // 200, 500)
        return made_up(made, options.lines, customers, products)
    named = options.data or os.environ.get(DATA_VARIABLE)
    return online_retail(Path(named).resolve()) if named else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code: 1 if a line is crossed."""
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = chosen_shop(options, folder)
        if shop is None:
            print(
                f"no data: give --data FOLDER, set {DATA_VARIABLE}, or --lines N", file=sys.stderr
            )
            return 2
        print(f"{shop.name}; {os.cpu_count()} cores")
        found: dict[str, Any] = {"shop": shop.name, "cores": os.cpu_count()}
        if options.part != "answer":
            found["train"] = race(shop, folder, options.runs)
            print_race(found["train"], options.runs)
        if options.part != "train":
            found["answer"] = ask(shop, folder)
            print_answers(found["answer"])
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return int("train" in found and not is_within(found["train"]))


def is_within(found: Mapping[str, Any]) -> bool:
    """Return whether training keeps its lines: wall time and memory."""
    peak_mb = max(found["ours"]["peak_mb"], found["cold"]["peak_mb"])
    return bool(found["wall_ratio"] <= WALL_LINE and peak_mb < MEMORY_LINE_GB * 1e3)


if __name__ == "__main__":
    sys.exit(main())
