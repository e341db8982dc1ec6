"""How time and memory grow with the shop, and the lines that a large one has to keep.

This file only looks at what `benchmarks.speed` measured; like it, it imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

LARGE: Final = 10_000_000
"""Order lines from which on a shop has to keep `LINES`."""

Found = Mapping[str, Any]

LINES: Final[Mapping[str, tuple[Callable[[Found], float], float, bool]]] = {
    "matrix to weights, ours to ALS": (lambda f: f["weights"]["wall_ratio"], 1.0, True),
    "Parquet to artifact, ours to ALS from matrix to weights": (
        lambda f: f["train"]["ours"]["wall_s"] / f["weights"]["als"]["wall_s"],
        2.0,
        True,
    ),
    "peak of training, GB": (lambda f: f["train"]["ours"]["peak_mb"] / 1e3, 8.0, True),
    "check, pairs a second": (lambda f: f["answer"]["check"]["per_second"], 500_000.0, False),
    "recommend, customers a second": (
        lambda f: f["answer"]["recommend"]["per_second"],
        3_000.0,
        False,
    ),
    "decide about 1 product, us": (lambda f: f["answer"]["decide"]["median_us"], 50.0, True),
    "decide about 100 products, us": (
        lambda f: f["answer"]["decide_100"]["median_us"],
        400.0,
        True,
    ),
}
"""What is looked at, its line, and whether it is to stay below."""

_GROWING: Final[Mapping[str, Callable[[Found], float]]] = {
    "train, whole process": lambda f: f["train"]["ours"]["wall_s"],
    "train, CPU": lambda f: f["train"]["ours"]["cpu_s"],
    "matrix to weights": lambda f: f["weights"]["ours"]["wall_s"],
    "ALS, matrix to weights": lambda f: f["weights"]["als"]["wall_s"],
    "read": lambda f: f["answer"]["read"]["seconds"],
    "check": lambda f: f["answer"]["check"]["seconds"],
    "suppress": lambda f: f["answer"]["suppress"]["seconds"],
    "recommend, all customers": lambda f: (
        f["answer"]["customers"] / f["answer"]["recommend"]["per_second"]
    ),
    "peak of training, MB": lambda f: f["train"]["ours"]["peak_mb"],
}


def kept_lines(found: Found) -> list[tuple[str, float, float, bool]]:
    """Return of a large shop what is looked at: its name, value, line, and whether it is kept.

    Empty for a shop below `LARGE`; parts that were not measured are left out.
    """
    if found["lines"] < LARGE:
        return []
    rows = []
    for name, (look, line, is_most) in LINES.items():
        value = _seen(look, found)
        if value is not None:
            rows.append((name, value, line, value <= line if is_most else value >= line))
    return rows


def print_lines(rows: Sequence[tuple[str, float, float, bool]]) -> None:
    """Print a large shop's figures beside their lines."""
    for name, value, line, is_kept in rows:
        side = "at most" if LINES[name][2] else "at least"
        word = "kept" if is_kept else "CROSSED"
        print(f"{name:58}{value:12,.2f}   {side} {line:,g}: {word}")


def print_growth(shops: Sequence[Found]) -> None:
    """Print seconds by size, and how they grew for each time the lines did: 1 is linear."""
    print(f"\nGrowth{'':28}" + "".join(f"{found['lines']:>14,}" for found in shops) + "   exponent")
    for name, look in _GROWING.items():
        values = [_seen(look, found) for found in shops]
        if None in values:
            continue
        cells = "".join(f"{value:14,.2f}" for value in values)
        sizes = [found["lines"] for found in shops]
        print(f"{name:34}{cells}{exponent(sizes, values):11.2f}")


def exponent(sizes: Sequence[float], values: Sequence[float | None]) -> float:
    """Return e of the growth sizes**e between the first and the last: 1 is linear."""
    first, last = values[0] or 0.0, values[-1] or 0.0
    return math.log(last / first) / math.log(sizes[-1] / sizes[0])


def _seen(look: Callable[[Found], float], found: Found) -> float | None:
    try:
        return look(found)
    except KeyError:
        return None
