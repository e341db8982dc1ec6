"""`make demo`: it ends well, compares really, fits a terminal, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from readme import README, ROOT, blocks, excerpt

DEMO = ROOT / "data" / "sample" / "demo.py"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Run the demo, with its temporary files in a folder of its own."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-W", "error", DEMO],
        env={"PATH": "", "TMPDIR": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    done.folder = folder  # type: ignore[attr-defined]
    return done


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """Return the demo as a module, its story not told."""
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_ends_well(told: subprocess.CompletedProcess[str]) -> None:
    """Library and service agree on every answer, and the exit code is 0."""
    assert told.returncode == 0, told.stdout + told.stderr
    assert "7 decisions: equal" in told.stdout
    assert "5 recommendations: equal" in told.stdout
    assert told.stdout.endswith("Library and service agree.\n")


@pytest.mark.parametrize(
    "line",
    [
        r"SC-1001-50-NAVY +no +purchased ",
        r"SC-1001-50-GREY +no +purchased_variant ",
        r"SC-1002-50-NAVY +no +purchased_substitute ",
        r"RS-1001-42-BLACK +no +returned +17 Nov 2026",
        r"CB-1001-MILD +no +purchased +\d\d Nov 2026",
        r"NE-1001-GOLD +yes +not_suppressed",
        r"DT-1001-50-NAVY +yes +not_suppressed",
        r"before the order: not_suppressed",
        r"after the order: +purchased, until ",
    ],
)
def test_it_tells_the_story(told: subprocess.CompletedProcess[str], line: str) -> None:
    """The coat, its variants and substitutes, the return, the coffee, the gift, the new order."""
    assert re.search(line, told.stdout)


def test_the_complements_go_with_the_coat(told: subprocess.CompletedProcess[str]) -> None:
    """Tie, socks, trousers and pocket square go with the coat, and no other coat."""
    section = told.stdout.partition("4. ")[2].partition("5. ")[0]
    with_coat = [line for line in section.splitlines() if "goes_with" in line]
    words = ("tie", "dress socks", "dress trousers", "pocket square")
    assert all(any(word in line for line in with_coat) for word in words)
    assert not any("sport coat" in line for line in with_coat)


def test_it_fits_a_terminal(told: subprocess.CompletedProcess[str]) -> None:
    """No line is wider than 100 columns, wherever temporary files are."""
    text = told.stdout.replace(str(told.folder), "/tmp")  # type: ignore[attr-defined]
    assert [line for line in text.splitlines() if len(line) > 100] == []


def test_it_leaves_nothing_behind(told: subprocess.CompletedProcess[str]) -> None:
    """No file and no process is left."""
    folder: Path = told.folder  # type: ignore[attr-defined]
    assert [path for path in folder.iterdir() if path.name.startswith("personalize")] == []
    address = re.search(r"listening on http://127\.0\.0\.1:(\d+)", told.stdout)
    assert address is not None
    listening = Path("/proc/net/tcp")
    if listening.exists():  # elsewhere the exit code of the service has to do
        assert f"0100007F:{int(address.group(1)):04X} 00000000:0000 0A" not in listening.read_text()
    assert tempfile.gettempdir() != str(folder)


def test_it_uses_only_what_is_public() -> None:
    """Of the project it imports `personalize` and the entry of its command line, nothing inside."""
    imports = re.findall(r"^(?:from|import) (personalize\S*)", DEMO.read_text(), re.MULTILINE)
    assert sorted(imports) == ["personalize", "personalize.cli"]


def test_a_difference_is_told(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Answers that differ in one field, or in number, are not equal, and are shown."""
    mine = [{"product_id": "a", "until": None}]
    assert demo.told("decisions", mine, [dict(mine[0])])
    assert not demo.told("decisions", mine, [{"product_id": "a", "until": 1}])
    assert not demo.told("decisions", mine, [])
    assert "library {'product_id': 'a', 'until': None}" in capsys.readouterr().out


def test_the_readme_quotes_it(told: subprocess.CompletedProcess[str]) -> None:
    """The README's excerpt is what the demo prints."""
    text = README.read_text(encoding="utf-8")
    (quoted,) = [block.text for block in blocks(text) if block.heading == "Try it"][1:]
    assert excerpt(told.stdout) == quoted, "make readme"
