"""Lists and suppression beside the best peers, on the same real orders.

``python -m benchmarks.quality --data FOLDER`` runs every method on one split and prints one table
per task, the ratio to the best peer with its 95% interval, and the guards.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

import personalize as pz
from benchmarks.datasets import (
    DATA_VARIABLE,
    RETAIL_CUTOFF,
    Dataset,
    data_folder,
    read_online_retail,
    read_ta_feng,
)
from benchmarks.ours import Ours, all_guards, fit_ours, made_up_catalog
from benchmarks.peers import Peer, complement_lists, follow_up_lists, retail_peers, ta_feng_peers
from benchmarks.protocol import (
    IntArray,
    Queries,
    Scores,
    Split,
    answers,
    basket_queries,
    bootstrap_ratio,
    follow_up_queries,
    repurchase_pairs,
    score_lists,
    split_at,
)
from benchmarks.suppression import SAVED, repurchase_peers, score_repurchase
from personalize.times import to_micros

OURS: Final = "personalize"
HORIZON_DAYS: Final = 60.0
_BEST: Final = ("popularity, 30", "log-likelihood", "EASE", "co-purchase")
TITLES: Final = {"A": "A. Basket completion", "B": "B. Follow-up"}
Result = dict[str, Any]


class Table:
    """One task's methods: scored as they come, then compared."""

    def __init__(self, task: str, split: Split, queries: Queries) -> None:
        self.task = task
        self.split = split
        self.queries = queries
        self.scores: dict[str, Scores] = {}
        self.seconds: dict[str, float] = {}

    def add(self, name: str, lists_for: Callable[[IntArray], IntArray]) -> None:
        """Ask one method everything and keep its scores."""
        started = time.perf_counter()
        lists = answers(self.queries, lists_for)
        self.seconds[name] = time.perf_counter() - started
        self.scores[name] = score_lists(self.queries, lists, self.split.eligible)

    def best_peer(self) -> str | None:
        """Return the peer with the highest mean NDCG, chosen afterwards."""
        peers = [name for name in self.scores if name != OURS]
        return max(peers, key=lambda name: self.scores[name].ndcg.mean(), default=None)

    def result(self) -> Result:
        """Return the means of every method, and the ratio to the best peer."""
        rows = {name: scores.means() for name, scores in self.scores.items()}
        found: Result = {"queries": len(self.queries), "methods": rows, "seconds": self.seconds}
        best = self.best_peer()
        if best is not None and OURS in self.scores:
            ratio = bootstrap_ratio(self.scores[OURS].ndcg, self.scores[best].ndcg)
            found["best_peer"], found["ratio"] = best, asdict(ratio)
        return found


def print_lists(task: str, found: Result) -> None:
    """Print the table of task A or B."""
    print(f"\n{TITLES[task]}: {found['queries']:,} queries")
    print(f"{'':34}{'NDCG@10':>9}{'recall':>9}{'hit':>9}{'coverage':>10}{'seconds':>9}")
    for name, row in found["methods"].items():
        numbers = f"{row['ndcg']:9.4f}{row['recall']:9.4f}{row['hit']:9.4f}{row['coverage']:10.3f}"
        print(f"{name:34}{numbers}{found['seconds'][name]:9.1f}")
    if "ratio" in found:
        ratio = found["ratio"]
        interval = f"[{ratio['low']:.3f}, {ratio['high']:.3f}]"
        print(f"NDCG@10 to the best peer ({found['best_peer']}): {ratio['value']:.3f} {interval}")


def measure_repurchase(split: Split, ours: Ours | None, *, with_peers: bool) -> Result:
    """Return task S: the metrics of every score, and what the decision in force saves and loses."""
    pairs = repurchase_pairs(split, horizon_days=HORIZON_DAYS)
    found: Result = {
        "pairs": len(pairs.again),
        "positive": float(pairs.again.mean()),
        "methods": {},
    }
    if with_peers:
        for name, score, is_probability in repurchase_peers(
            split, pairs, horizon_days=HORIZON_DAYS
        ):
            scores = score_repurchase(pairs.again, score, is_probability=is_probability)
            found["methods"][name] = asdict(scores)
    if ours is not None:
        suppressed, probability = ours.check(pairs.customer, pairs.product)
        scores = score_repurchase(pairs.again, probability, is_probability=True)
        found["methods"][OURS] = asdict(scores)
        lost = float(suppressed[pairs.again].mean())
        found["in_force"] = {"saved": float(suppressed.mean()), "lost": lost}
    return found


def print_repurchase(found: Result) -> None:
    """Print the table of task S."""
    print(f"\nS. Suppression: {found['pairs']:,} pairs, {found['positive']:.1%} bought again")
    lost = "".join(f"{f'lost at {saved:.0%}':>13}" for saved in SAVED)
    print(f"{'':34}{'AUC':>9}{'AP':>9}{'log loss':>10}{'ECE':>9}{lost}")
    for name, row in found["methods"].items():
        start = f"{row['auc']:9.4f}{row['average_precision']:9.4f}"
        middle = f"{row['log_loss']:10.4f}{row['calibration_error']:9.4f}"
        end = "".join(f"{share:13.3f}" for share in row["lost"])
        print(f"{name:34}{start}{middle}{end}")
    if "in_force" in found:
        saved, lost_share = found["in_force"]["saved"], found["in_force"]["lost"]
        print(f"decision in force: {saved:.1%} of pairs suppressed, ", end="")
        print(f"{lost_share:.1%} of the repurchases among them")


def run(dataset: Dataset, options: argparse.Namespace) -> Result:
    """Return everything that is measured on one data set; print it as it comes."""
    split = split_at(dataset.lines, dataset.cutoff, min_lines=dataset.min_lines)
    n_lines = int(split.eligible[split.train.product].sum())
    print(f"{dataset.name}: {n_lines:,} training lines of {split.eligible.sum():,} products")
    tables = {
        "A": Table("A", split, basket_queries(split)),
        "B": Table("B", split, follow_up_queries(split)),
    }
    for peer in chosen_peers(dataset, split, options.peers):
        add_peer(tables, peer, split)
    ours = None if options.no_ours else fit_ours(split, our_config(options))
    if ours is not None:
        tables["A"].add(OURS, ours.complements)
        tables["B"].add(OURS, ours.follow_up)
    found: Result = {task: table.result() for task, table in tables.items()}
    for task in tables:
        print_lists(task, found[task])
    if dataset.has_repurchases and not options.no_suppression:
        found["S"] = measure_repurchase(split, ours, with_peers=options.peers != "none")
        print_repurchase(found["S"])
    if ours is not None:
        found["guards"] = {"without a catalogue": all_guards(ours, *queries_of(tables))}
        if "title" in dataset.lines:
            catalog = made_up_catalog(split, dataset.lines[["product_id", "title"]])
            stocked = fit_ours(split, our_config(options), catalog)
            found["guards"]["with a catalogue"] = all_guards(stocked, *queries_of(tables))
        print_guards(found["guards"])
    return found


def our_config(options: argparse.Namespace) -> pz.EngineConfig:
    """Return the configuration of our engine: its defaults, the horizon of S, and the options."""
    return pz.EngineConfig.from_dict(
        {"repurchase_horizon_days": HORIZON_DAYS, **dict(options.config)}
    )


def queries_of(tables: dict[str, Table]) -> tuple[Queries, Queries]:
    """Return the queries of A and of B."""
    return tables["A"].queries, tables["B"].queries


def chosen_peers(dataset: Dataset, split: Split, which: str) -> Iterable[Peer]:
    """Return the peers of a data set: all, the strongest (for a quick look), or none."""
    if which == "none":
        return []
    peers = retail_peers(split) if dataset.has_repurchases else ta_feng_peers(split)
    return peers if which == "all" else (peer for peer in peers if peer.name.startswith(_BEST))


def add_peer(tables: dict[str, Table], peer: Peer, split: Split) -> None:
    """Ask one peer what it can answer."""
    if peer.by_anchor is not None:
        tables["A"].add(peer.name, complement_lists(peer.by_anchor))
    if peer.by_customer is not None:
        tables["B"].add(peer.name, follow_up_lists(split, peer.by_customer))


def print_guards(guards: dict[str, dict[str, dict[str, int]]]) -> None:
    """Print every guard's count; each must be 0."""
    print("\nGuards, counted over every list shown (each must be 0)")
    for where, tasks in guards.items():
        for task, counts in tasks.items():
            text = ", ".join(f"{name} {count}" for name, count in counts.items())
            print(f"{where}, {task}: {text}")


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
    return Dataset(dataset.name, lines, dataset.cutoff, dataset.min_lines, True)


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
        options.json.write_text(json.dumps(found, indent=1, default=_plain), encoding="utf-8")
    return 0


def _plain(value: Any) -> Any:
    """Return numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


if __name__ == "__main__":
    sys.exit(main())
