"""The notebooks are stripped, their links lead somewhere, and every cell of them runs.

Each runs in a kernel of this interpreter, at its own folder, with a home and a temporary folder of
its own; nothing that Jupyter is told elsewhere on the machine counts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_quickstart",
    "02_train_and_compare",
    "03_suppression_and_repurchase",
    "04_publish_and_serve",
]
MOST_CELLS = 25

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    """Return a notebook as it is on disk."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def text_of(path: Path, kind: str) -> str:
    """Return the text of all cells of one kind."""
    cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == kind]
    return "\n".join("".join(cell["source"]) for cell in cells)


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where matplotlib keeps what it found out about fonts, once for all notebooks."""
    return tmp_path_factory.mktemp("matplotlib")


@pytest.fixture
def environment(tmp_path: Path, plots: Path) -> dict[str, str]:
    """Return an environment in which Jupyter, its kernel and what that starts write nothing else.

    Home, temporary files and Jupyter's own are in folders of this test; the package is the
    checkout's, whatever is installed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    folders = {"HOME": "home", "TMPDIR": "tmp", "IPYTHONDIR": "ipython"}
    folders |= {f"JUPYTER_{name}_DIR": f"jupyter-{name}" for name in ("CONFIG", "DATA", "RUNTIME")}
    for folder in folders.values():
        (tmp_path / folder).mkdir()
    ours = {name: str(tmp_path / folder) for name, folder in folders.items()}
    return kept | ours | {"MPLCONFIGDIR": str(plots), "PYTHONPATH": str(ROOT)}


def test_there_are_four() -> None:
    """A notebook that is added or renamed is told here, and so in the README."""
    assert [path.stem for path in NOTEBOOKS] == NAMES


@every
def test_it_is_stripped(path: Path) -> None:
    """No outputs, no counts, no traces of where it ran: clear all outputs before you commit."""
    notebook = read(path)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]] == []
    assert [cell["id"] for cell in notebook["cells"] if cell["metadata"]] == []
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook["metadata"] == {"kernelspec": kernel, "language_info": {"name": "python"}}
    assert not re.search(r"/(home|root|Users|tmp|var|work)/|[A-Z]:\\\\", path.read_text("utf-8"))


@every
def test_it_is_valid_and_short(path: Path) -> None:
    """It has the form of a notebook, starts with its title, and is read in one sitting."""
    nbformat.validate(nbformat.read(path, as_version=4))
    cells = read(path)["cells"]
    assert cells[0]["source"][0].startswith(f"# {int(path.stem[:2])}. ")
    assert len(cells) < MOST_CELLS


@every
def test_its_links_lead_somewhere(path: Path) -> None:
    """Every relative link is to a file of the checkout."""
    links = re.findall(r"\]\(([^)#]+)\)", text_of(path, "markdown"))
    assert links
    assert [link for link in links if not (path.parent / link).is_file()] == []


@every
def test_it_uses_only_what_is_public(path: Path) -> None:
    """Of the project it imports `personalize` and `personalize.evaluation`, nothing inside."""
    imports = re.findall(r"^(?:from|import) (personalize\S*)", text_of(path, "code"), re.MULTILINE)
    assert set(imports) <= {"personalize", "personalize.evaluation"}


@every
def test_it_runs(path: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """Every cell runs, none of them warns, and no file is left behind."""
    before, target = sorted(path.parent.iterdir()), tmp_path / "run.ipynb"
    command = [sys.executable, str(ROOT / "tests" / "run_notebook.py"), str(path), str(target)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = [out for cell in read(target)["cells"] for out in cell.get("outputs", ())]
    assert outputs
    assert ["".join(out["text"]) for out in outputs if out.get("name") == "stderr"] == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "home").iterdir()) == []
    assert sorted(path.parent.iterdir()) == before
