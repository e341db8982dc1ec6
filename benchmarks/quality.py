"""Lists and suppression beside the best peers, on the same real orders.

``python -m benchmarks.quality --data FOLDER`` reads one of the two data sets with the row filters
of the protocol and hands it to `personalize.evaluation`, which does the rest: one table per task,
the ratio to the best peer with its 95% interval, and the guards.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

import personalize as pz
from benchmarks.datasets import (
    DATA_VARIABLE,
    RETAIL_CUTOFF,
    Dataset,
    data_folder,
    made_up_catalog,
    read_online_retail,
    read_ta_feng,
)
from personalize.evaluation import Protocol, evaluate, guards_of
from personalize.evaluation.evaluating import Bench, plain_values
from personalize.evaluation.text import evaluation_lines, list_lines
from personalize.times import to_datetime, to_micros

HORIZON_DAYS: Final = 60.0
_EVERYTHING: Final = 10_000_000


def run(dataset: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """Return everything that is measured on one data set; print it."""
    with_suppression = dataset.has_repurchases and not options.no_suppression
    protocol = Protocol(
        horizon_days=HORIZON_DAYS if with_suppression else None,
        with_suppression=with_suppression,
        min_lines=dataset.min_lines,
        max_queries=_EVERYTHING,
        max_pairs=_EVERYTHING,
    )
    config = pz.EngineConfig.from_dict(dict(options.config))
    orders, cutoff = dataset.orders(), to_datetime(dataset.cutoff)
    print(f"{dataset.name}")
    if options.no_ours:
        return peers_only(Bench.of(orders, cutoff, protocol, config), options.peers)
    found = evaluate(
        orders, None, cutoff, config, peers=options.peers, protocol=protocol, tell=_tell
    )
    if "title" in dataset.lines:
        guards = guards_of(orders, made_up_catalog(dataset), cutoff, config, protocol=protocol)
        found = replace(found, guards={**found.guards, "with a made-up catalogue": guards})
    for line in evaluation_lines(found):
        print(line)
    return found.to_dict()


def peers_only(bench: Bench, which: str) -> dict[str, Any]:
    """Return what the peers of A and B reach without us; print it."""
    bench.add_peers(which, _tell)
    results = {name: task.result() for name, task in bench.tasks.items()}
    for name, result in results.items():
        for line in list_lines(name, result):
            print(line)
    found: dict[str, Any] = plain_values({name: asdict(each) for name, each in results.items()})
    return found


def _tell(word: str) -> None:
    print(f"... {word}", file=sys.stderr)


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    number = float(value)
    return name, int(number) if number.is_integer() else number


def parser() -> argparse.ArgumentParser:
    """Return the command line of ``python -m benchmarks.quality``."""
    command = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    command.add_argument("--data", type=Path, help=f"folder of the data (default: {DATA_VARIABLE})")
    command.add_argument("--dataset", choices=("online-retail", "ta-feng"), default="online-retail")
    command.add_argument(
        "--cutoff", default=RETAIL_CUTOFF, help="first moment of the test period (online-retail)"
    )
    command.add_argument(
        "--until",
        help="leave out orders from this moment on: with an earlier --cutoff, whatever is chosen "
        "by looking has not seen the test period",
    )
    command.add_argument("--peers", choices=("all", "best", "none"), default="all")
    command.add_argument("--no-ours", action="store_true", help="peers only")
    command.add_argument("--no-suppression", action="store_true", help="leave out task S")
    command.add_argument(
        "--config", type=_setting, action="append", default=[], metavar="NAME=VALUE"
    )
    command.add_argument("--json", type=Path, help="write everything measured to this file")
    return command


def read_dataset(options: argparse.Namespace, folder: Path) -> Dataset:
    """Return the data set that the options name."""
    if options.dataset == "ta-feng":
        return read_ta_feng(folder)
    dataset = read_online_retail(folder, cutoff=options.cutoff)
    if options.until is None:
        return dataset
    end = pd.Timestamp(to_micros(options.until), unit="us", tz="UTC")
    lines = dataset.lines[dataset.lines["ordered_at"] < end]
    return replace(dataset, lines=lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    options = parser().parse_args(arguments)
    folder = data_folder(options.data)
    if folder is None:
        print(
            f"no data: give --data FOLDER or set {DATA_VARIABLE}; "
            "benchmarks/README.md says where the files come from",
            file=sys.stderr,
        )
        return 2
    started = time.perf_counter()
    found = run(read_dataset(options, folder), options)
    print(f"\n{time.perf_counter() - started:.0f} s in all")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
