"""The house rules that no other tool checks: pins, addresses, what an import costs."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("sklearn", "implicit", "matplotlib", "numba", "scipy.optimize", "lightgbm")
PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9a-z.+!-]*")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and line[0] != "#")
    return dict(pairs)


def _installed() -> dict[str, str]:
    return {
        _normalised(dist.name): dist.version
        for dist in importlib.metadata.distributions()
        if _normalised(dist.name) != "personalize"
    }


def _files() -> list[Path]:
    """Return the files of the checkout, without what tools leave there."""
    return [
        path
        for top in sorted(ROOT.iterdir())
        if (not top.name.startswith(".") or top.name == ".ci") and top.name != "out"
        for path in ([top] if top.is_file() else sorted(top.rglob("*")))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def test_constraints_hold_names_and_versions_only() -> None:
    """constraints.txt pins exact versions: no ranges, no addresses, no hashes, sorted."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not PIN.fullmatch(line)] == []
    assert pins == sorted(set(pins))


def test_everything_installed_is_pinned_at_its_version() -> None:
    """What the tests run on is what constraints.txt says, transitive packages included."""
    pins = _pins()
    strays = {
        name: (version, pins.get(name))
        for name, version in _installed().items()
        if pins.get(name) != version
    }
    assert strays == {}, "installed, pinned; run: make -B .venv/.ready"


def test_every_pin_is_asked_for() -> None:
    """constraints.txt holds nothing that neither the project nor its dependencies name."""
    wanted = {"pip"}
    for dist in importlib.metadata.distributions():
        for requirement in dist.requires or ():
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            assert match is not None
            wanted.add(_normalised(match.group()))
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    wanted |= {_normalised(name) for name in build["requires"]}
    assert sorted(set(_pins()) - wanted) == []


def test_no_address_of_a_package_index() -> None:
    """Where packages come from is the machine's business: no file names an index."""
    words = ["index-url", "find-links", "trusted-host", "files.pythonhosted", "pypi.org/simple"]
    # Spelt apart, so that this file does not name one either.
    words = [word.replace("-", "[-_]").replace(".", r"\.") for word in words] + ["/opt/" + "pypi"]
    pattern = re.compile("|".join(words).encode(), re.IGNORECASE)
    named = [path for path in _files() if pattern.search(path.read_bytes())]
    assert [path for path in named if path != Path(__file__)] == []


@pytest.mark.parametrize("module", ["personalize", "personalize.cli", "service.app"])
def test_an_import_stays_light(module: str) -> None:
    """Importing the library, its command line or the service loads nothing that fitting needs."""
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_models_are_imported_where_they_are_fitted() -> None:
    """scikit-learn and implicit are imported by one model each, inside a function."""
    allowed = {"sklearn": "repurchase", "implicit": "association"}
    found = []
    for path in [*ROOT.glob("personalize/**/*.py"), *ROOT.glob("service/**/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        at_top = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} & set(allowed):
                at_home = {allowed[name], "evaluation"} & {path.stem, *path.parts}
                if id(node) in at_top or not at_home:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert found == []


def test_make_help_names_every_target() -> None:
    """`make help` lists the targets that people use."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert set(told) >= {"help", "demo", "test", "check", "fix", "serve", "bench"}


def test_ci_runs_what_make_check_runs() -> None:
    """`.ci/run` is `make test`, the README's own test command, and the rest of `make check`."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    match = re.search(r"^check: (.*?) ##", makefile, re.MULTILINE)
    assert match is not None
    parts = match.group(1).split()
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    made = [part for line in re.findall(r"^make (.*)$", run, re.MULTILINE) for part in line.split()]
    assert sorted(made) == sorted(parts)
    assert made[0] == "test"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "## Tests\n" in readme
