"""``make bench``: every measurement that the README quotes, into ``out/bench``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks import speed

OUT = Path("out/bench")
MADE_UP_LINES = 500_000


def main() -> int:
    """Measure what can be measured here; return the first exit code that is not 0."""
    OUT.mkdir(parents=True, exist_ok=True)
    timing = ["--json", str(OUT / "speed.json")]
    if not os.environ.get(speed.DATA_VARIABLE):
        print(f"{speed.DATA_VARIABLE} is not set: speed on made-up orders only, no quality")
        return speed.main(["--lines", str(MADE_UP_LINES), *timing])
    timed = speed.main(timing)
    from benchmarks import quality  # not earlier: `benchmarks.speed` needs a small parent

    codes = [
        timed,
        quality.main(["--json", str(OUT / "quality.json")]),
        quality.main(["--dataset", "ta-feng", "--json", str(OUT / "quality-ta-feng.json")]),
    ]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
