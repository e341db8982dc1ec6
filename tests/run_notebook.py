"""Run one notebook at its own folder and write it with its outputs: ``run_notebook.py FROM TO``.

A process of its own, so that what Jupyter warns of on its way is not laid at our door.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

CELL_SECONDS = 300
"""For a machine that has much else to do; on two idle cores a notebook takes some 15 s in all."""


def main(source: Path, target: Path) -> None:
    """Run every cell in a kernel of this interpreter; what fails is raised, with its cell."""
    notebook = nbformat.read(source, as_version=4)
    specs = KernelSpecManager(kernel_dirs=[])  # no kernel that is registered on this machine
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs),
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(source.parent)}},
    )
    client.execute(cleanup_kc=True)  # the kernel ends, and its connection file goes
    nbformat.write(notebook, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
