"""``python -m benchmarks.serving``: throughput and latency of the service, and of its peers.

The server runs on core 0 and the load generator on core 1, where processes can be held on cores;
Redis and PostgreSQL run where they are. One worker each; the shop's file is in the page cache.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.cores import can_pin
from benchmarks.serving.generator import CONNECTIONS, Generator, GeneratorMissingError
from benchmarks.serving.parts import PARTS, Bench
from benchmarks.serving.rivals import RedisMissingError
from benchmarks.serving.shop import Size, make_models, make_postgresql, make_sqlite

FOLDER: Final = Path("out/serving")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, write JSON; 2 if something that is needed is missing."""
    given = _arguments(argv)
    size = Size(given.customers, given.purchases, given.products, given.learned)
    try:
        generator = Generator(given.folder / "generator")
        store = make_sqlite(size, given.folder)
        bench = Bench(
            size=size,
            store=store,
            models=make_models(size, given.folder),
            generator=generator,
            folder=given.folder,
            runs=given.runs,
            seconds=given.seconds,
            warm_up=given.warm_up,
            owned_every=given.owned_every,
            redis=f"{given.redis}/{given.redis_database}",
            postgresql=given.postgresql and make_postgresql(size, given.postgresql),
        )
        found: dict[str, Any] = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "runs": given.runs,
            "seconds": given.seconds,
            "connections": CONNECTIONS,
            "is_pinned": can_pin(),
            "shop": size.name,
            "owned_every": given.owned_every,
        }
        for part in given.part or PARTS:
            found[part] = PARTS[part](bench)
            print_part(part, found[part])
            if given.json:
                given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except (GeneratorMissingError, RedisMissingError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, help="default: all of them")
    parser.add_argument("--runs", type=int, default=7, help="rounds of interleaved turns")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before those that count")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one turn")
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--purchases", type=int, default=30_000_000, help="order lines, about")
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--learned", type=int, default=1_500_000, help="lines the model learns")
    parser.add_argument(
        "--owned-every",
        type=int,
        default=20,
        help="one of so many single checks is of an owned product",
    )
    parser.add_argument("--postgresql", help="URL of a database of its own: also measured, filled")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", help="URL")
    parser.add_argument("--redis-database", type=int, default=9, help="its number")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the shop is kept")
    parser.add_argument("--json", type=Path, help="file for what was found")
    return parser.parse_args(argv)


def print_part(name: str, found: dict[str, Any]) -> None:
    """Print one measurement as a table."""
    size = f", answers of {found['answer_bytes']} bytes" if "answer_bytes" in found else ""
    print(f"\n{name}{size}")
    for contender, values in found.get("per_second", {}).items():
        print(f"  {contender:<44} {_spread(values, ',.0f')} per second")
    for pair, values in found.get("ratios", {}).items():
        print(f"  {pair:<44} {_spread(values, '.2f')}")
    for contender, row in found.get("latency", {}).items():
        for quantile in ("p50", "p99", "p999"):
            label = f"{contender} at {row['rate']:,.0f}/s, {quantile}"
            print(f"  {label:<44} {_spread(row[quantile], '.2f')} ms")
        print(f"  {'  generator late, p99':<44} {_spread(row['lag_ms_p99'], '.2f')} ms")
    if "fsync_ms" in found:
        print(f"  {'one fsync of 4 KiB':<44} {found['fsync_ms']:.2f} ms")
    for value, values in found.get("worker", {}).items():
        print(f"  {value:<44} {_spread(values, ',.2f')}")


def _spread(values: dict[str, float], form: str) -> str:
    median, low, high = (format(values[name], form) for name in ("median", "low", "high"))
    return f"{median:>10} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
