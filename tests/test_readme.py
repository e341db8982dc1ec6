"""What the README shows is what happens: its code and commands run, its outputs are theirs.

After a change of what is printed, `make readme` writes it into the README.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from readme import README, ROOT, Block, blocks, curl, json_text, printed, served

from personalize.cli import main

TEXT = README.read_text(encoding="utf-8")


def _under(heading: str) -> list[Block]:
    return [block for block in blocks(TEXT) if block.heading == heading]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Yield a client of the sample shop, served by the README's own command."""
    with served(_under("Over HTTP")[0].text, tmp_path_factory.mktemp("served")) as client:
        yield client


def test_every_block_is_run_or_compared() -> None:
    """A block under a heading that no test here knows would go untested."""
    tested = {"Try it", "From Python", "Over HTTP", "From the command line", "Tests"}
    assert {block.heading for block in blocks(TEXT)} == tested
    assert {block.language for block in blocks(TEXT)} == {"sh", "python", "text", "json"}


def test_the_python_block_prints_what_it_says() -> None:
    """The Python block runs as it stands and prints the block under it."""
    code, output = _under("From Python")
    assert printed(code.text) == output.text, "make readme"


def test_the_python_block_is_short() -> None:
    """Ten lines say it, imports aside."""
    code = _under("From Python")[0].text
    lines = [line for line in code.splitlines() if line and not line.startswith("import ")]
    assert len(lines) <= 10


def test_curl_answers_what_it_says(http: httpx.Client) -> None:
    """Each curl command gets the JSON under it from a running service, versions and ids aside."""
    told = iter(_under("Over HTTP")[1:])
    for command, answer in zip(told, told, strict=True):
        assert json_text(curl(command.text, http)) == answer.text, "make readme"


def test_only_scores_are_rounded() -> None:
    """A price stands in the README as the service says it; a score to three figures."""
    told = json_text({"items": [{"score": 0.123456, "price": 25.95, "model_version": "x"}]})
    assert '"score": 0.123, "price": 25.95, "model_version": "2026-' in told


def test_a_put_order_counts_in_the_next_answer(http: httpx.Client) -> None:
    """After the README's order, its product is suppressed as purchased."""
    put = _under("Over HTTP")[-2].text
    words = shlex.split(put)
    order = json.loads(words[words.index("-d") + 1])
    curl(put, http)
    path = f"/v1/customers/{order['customer_id']}/suppressions/{order['lines'][0]['product_id']}"
    answer = http.get(path, params={"as_of": "2026-11-03T00:00:00Z"}).json()
    assert (answer["suppress"], answer["reason"]) == (True, "purchased")


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
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"models/", "/suppressions.csv", "/recommendations.csv"} <= set(ignored)


def test_the_make_commands_exist() -> None:
    """`make demo`, `make serve` and `make test` are targets; tests/test_demo.py runs the demo."""
    commands = [
        line
        for block in blocks(TEXT)
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
    paths = re.findall(r"`([^`]+)`", section.partition("|---|---|")[2].partition("\n\n")[0])
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_readme_stays_short() -> None:
    """About 150 lines of words and code: what does not fit belongs into docs/."""
    outputs = sum(block.text.count("\n") for block in blocks(TEXT) if block.language != "sh")
    assert len(TEXT.splitlines()) - outputs <= 165


def test_ci_finds_the_test_command() -> None:
    """What `.ci/run` takes from the README is its test command."""
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    match = re.search(r"^readme=\$\((awk .*)\)$", run, re.MULTILINE)
    assert match is not None
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run([shell, "-c", match.group(1)], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.decode() == _under("Tests")[0].text
