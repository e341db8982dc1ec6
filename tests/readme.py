"""The README's code and commands, run; ``make readme`` writes what they print into it.

Versions and ids differ from run to run and are written as they stand here; scores are written to
three figures, prices and all else as they are.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SERVICE = "http://127.0.0.1:8000"
PINNED = {
    "model_version": "2026-11-22T05-04-00Z",
    "recommendation_id": "fccfbbd0-0b1b-4d6a-b5d2-6e934389aeda",
}
WIDTH = 98
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, its text, the heading it stands under, and where."""

    language: str
    text: str
    heading: str
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in its order."""
    headings = [(match.start(), match.group(1)) for match in re.finditer(r"^## (.*)$", text, re.M)]
    found = []
    for match in BLOCK.finditer(text):
        above = [heading for start, heading in headings if start < match.start()]
        found.append(Block(*match.groups(), above[-1] if above else "", *match.span(2)))
    return found


def printed(code: str) -> str:
    """Return what Python code prints, run at the root of the checkout."""
    out = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    return out.getvalue()


@contextlib.contextmanager
def served(command: str, folder: Path) -> Iterator[httpx.Client]:
    """Yield a client of the sample shop, served by `make serve` on a free port."""
    make = [*shlex.split(command), "--no-print-directory", "--assume-old=.venv/.ready"]
    make += [f"PY={sys.executable}", f"STATE={folder}", "PORT=0"]
    with subprocess.Popen(
        make, cwd=ROOT, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            lines = iter(process.stdout or ())
            address = next(line for line in lines if line.startswith("listening on ")).split()[-1]
            with httpx.Client(base_url=address) as http:
                yield http
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def curl(command: str, http: httpx.Client) -> Any:
    """Return what a curl command answers; it understands what the README uses, and no more."""
    program, *words = shlex.split(command)
    if program != "curl":
        raise ValueError(f"{program} is not curl")
    method, headers, body, address = "", {}, None, ""
    rest = iter(words)
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        elif word.startswith(SERVICE):
            address = word.removeprefix(SERVICE)
        elif word != "-s":
            raise ValueError(f"curl {word} is not understood")
    method = method or ("GET" if body is None else "POST")
    answer = http.request(method, address, headers=headers, content=body)
    return answer.raise_for_status().json()


def json_text(answer: Any) -> str:
    """Return an answer as the README shows it: pinned, rounded, wrapped between its fields."""
    told = json.dumps(_shown(answer), ensure_ascii=False)
    lines = [""]
    for field in re.split(r'(?<=,) (?=")', told):
        if len(lines[-1]) + 1 + len(field) <= WIDTH:
            lines[-1] += f" {field}"
        else:
            lines.append(f"  {field}")
    return "\n".join(lines)[1:] + "\n"


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown_field(name, below) for name, below in value.items()}
    if isinstance(value, list):
        return [_shown(below) for below in value]
    return value


def _shown_field(name: str, value: Any) -> Any:
    if name == "score":
        return float(f"{value:.3g}")
    return PINNED.get(name, _shown(value))


def excerpt(told: str) -> str:
    """Return the part of the demo that the README quotes: what may be shown."""
    (part,) = re.findall(r"^3\. .*?(?=^4\. )", told, re.MULTILINE | re.DOTALL)
    return "".join(f"{line.rstrip()}\n" for line in part.strip().splitlines())


def renewed(text: str) -> str:
    """Return the README with what its demo, code and commands print now."""
    found = blocks(text)
    outputs: dict[int, str] = {}
    with TemporaryDirectory() as folder:
        http: httpx.Client | None = None
        with contextlib.ExitStack() as stack:
            for block, below in itertools.pairwise(found):
                if block.text == "make demo\n":
                    demo = [sys.executable, str(ROOT / "data" / "sample" / "demo.py")]
                    done = subprocess.run(demo, stdout=subprocess.PIPE, text=True, check=True)
                    outputs[below.start] = excerpt(done.stdout)
                elif block.language == "python":
                    outputs[below.start] = printed(block.text)
                elif block.text == "make serve\n":
                    http = stack.enter_context(served(block.text, Path(folder)))
                elif below.language == "json" and http is not None:
                    outputs[below.start] = json_text(curl(block.text, http))
    for block in reversed(found):
        if block.start in outputs:
            text = text[: block.start] + outputs[block.start] + text[block.end :]
    return text


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
