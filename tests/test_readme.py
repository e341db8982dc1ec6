"""What the README shows is what happens: its code and commands run, its outputs are theirs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from personalize.cli import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
VOLATILE = {"model_version", "recommendation_id"}
SERVICE = "http://127.0.0.1:8000"


class Block(NamedTuple):
    """A fenced block: its language, its text, and the heading it stands under."""

    language: str
    text: str
    heading: str


def _blocks() -> list[Block]:
    found = []
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE):
        heading = section.splitlines()[0]
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", section, re.M | re.S):
            found.append(Block(language, text, heading))
    return found


def _under(heading: str) -> list[Block]:
    return [block for block in _blocks() if block.heading == heading]


def test_every_block_is_run_or_compared() -> None:
    """A block under a heading that no test here knows would go untested."""
    tested = {"Try it", "From Python", "Over HTTP", "From the command line", "Tests"}
    assert {block.heading for block in _blocks()} == tested
    assert {block.language for block in _blocks()} == {"sh", "python", "text", "json"}


def test_the_python_block_prints_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python block runs as it stands and prints the block under it."""
    code, printed = _under("From Python")
    monkeypatch.chdir(ROOT)
    exec(compile(code.text, "README.md", "exec"), {})
    assert capsys.readouterr().out == printed.text


def test_the_python_block_is_short() -> None:
    """Ten lines say it, imports aside."""
    code = _under("From Python")[0].text
    lines = [line for line in code.splitlines() if line and not line.startswith("import ")]
    assert len(lines) <= 10


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve the sample shop by the README's own command, on a free port; yield a client."""
    (command,) = _under("Over HTTP")[0].text.splitlines()
    make = [*shlex.split(command), "--no-print-directory", "--assume-old=.venv/.ready"]
    folder = tmp_path_factory.mktemp("served")
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
            os.killpg(process.pid, 15)


def _curl(command: str, http: httpx.Client) -> Any:
    """Return what a curl command answers; only what the README uses is understood."""
    program, *words = shlex.split(command)
    assert program == "curl"
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
        elif word != "-s":
            address = word
    assert address.startswith(SERVICE)
    method = method or ("GET" if body is None else "POST")
    answer = http.request(
        method, address.removeprefix(SERVICE), headers=headers, content=body
    ).raise_for_status()
    return answer.json()


def _shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in VOLATILE}


def test_curl_answers_what_it_says(served: httpx.Client) -> None:
    """Each curl command gets the JSON under it from a running service, versions and ids aside."""
    _, *blocks = _under("Over HTTP")
    told = iter(blocks)
    for commands, expected in zip(told, told, strict=True):
        last: Any = None
        for command in re.split(r"\n(?=curl )", commands.text.strip()):
            last = _curl(command, served)
        wanted = json.loads(expected.text)
        assert set(wanted) == set(last)
        assert _rounded(_shown(last)) == _rounded(_shown(wanted)), json.dumps(last, indent=2)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_rounded(below) for below in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


def test_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of the README write what they name."""
    (block,) = _under("From the command line")
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    for command in block.text.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "personalize"
        assert main(arguments) == 0, capsys.readouterr().err
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"data", "models", "suppressions.csv", "recommendations.csv"}


def test_the_make_commands_exist() -> None:
    """`make demo`, `make serve` and `make test` are targets; tests/test_demo.py runs the demo."""
    commands = [
        line
        for block in _blocks()
        for line in block.text.splitlines()
        if block.language == "sh" and line.startswith("make ")
    ]
    assert commands == ["make demo", "make serve", "make test"]
    for command in commands:
        done = subprocess.run(
            [*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == 0


def test_the_map_leads_somewhere() -> None:
    """Every file and folder in "To change X, open Y" is there."""
    section = TEXT.partition("## To change X, open Y")[2].partition("\n## ")[0]
    paths = []
    for row in re.findall(r"^\|[^|]*\|([^|]*)\|$", section, re.MULTILINE):
        folder = ""
        for path in re.findall(r"`([^`]+)`", row):
            folder = path.rpartition("/")[0] if "/" in path else folder
            paths.append(path if "/" in path else f"{folder}/{path}")
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_readme_stays_short() -> None:
    """About 150 lines: what does not fit belongs into docs/."""
    assert len(TEXT.splitlines()) <= 190


def test_ci_finds_the_test_command(tmp_path: Path) -> None:
    """What `.ci/run` takes from the README is its test command."""
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    match = re.search(r"^readme=\$\((awk .*)\)$", run, re.MULTILINE)
    assert match is not None
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run([shell, "-c", match.group(1)], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.decode() == _under("Tests")[0].text
