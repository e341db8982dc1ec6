"""The notebooks are stripped, their links lead somewhere, and every cell of them runs.

Each runs in a kernel of this interpreter, at its own folder, with a home and a temporary folder of
its own; nothing that Jupyter is told elsewhere on the machine counts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_quickstart",
    "02_train_and_compare",
    "03_suppression_and_repurchase",
    "04_publish_and_serve",
]
CELL_SECONDS = 300
"""For a machine that has much else to do; on two idle cores a notebook takes some 15 s in all."""
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
def home(tmp_path: Path, plots: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home in which Jupyter, its kernel and whatever that starts write all they write."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", str(plots))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the checkout, whatever is installed
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    return tmp_path


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
def test_it_runs(path: Path, home: Path) -> None:
    """Every cell runs, none of them warns, and no file is left behind."""
    before = sorted(path.parent.iterdir())
    notebook = nbformat.read(path, as_version=4)
    specs = KernelSpecManager(kernel_dirs=[])  # the kernel of this interpreter, and no other
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs),
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert outputs
    assert [out["text"] for out in outputs if out.get("name") == "stderr"] == []
    assert list((home / "tmp").iterdir()) == []
    assert sorted(path.parent.iterdir()) == before
