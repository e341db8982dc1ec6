"""What people see: results on stdout, reports, warnings and progress on stderr.

One line per thing said, whatever the width of the terminal, so that it can be searched and logged.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

Advance = Callable[[int, int | None], None]
"""Called with what is done, and of how much if that is known."""


def _stderr() -> Console:
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Print a result."""
    Console(file=sys.stdout, highlight=False, soft_wrap=True).print(Text(line))


def tell(line: str) -> None:
    """Print what happened on the way."""
    _stderr().print(Text(line))


def warn(line: str) -> None:
    """Print what the caller should know and may ignore."""
    _stderr().print(Text.assemble(("warning: ", "yellow"), line))


def fail(line: str) -> None:
    """Print why the command stops."""
    _stderr().print(Text.assemble(("error: ", "bold red"), line))


def show(table: Table) -> None:
    """Print a table of results, as wide as it needs to be where nobody looks."""
    console = Console(file=sys.stdout, highlight=False)
    console.print(table) if console.is_terminal else Console(
        file=sys.stdout, highlight=False, width=1000
    ).print(table)


@contextmanager
def warnings_told() -> Iterator[None]:
    """Turn Python's warnings into one line each while the block runs."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_args, **_kwargs: warn(str(message))
        yield


@contextmanager
def progress(label: str, unit: str) -> Iterator[Advance]:
    """Yield what moves a bar on a terminal, and does nothing elsewhere."""
    console = _stderr()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task(label, total=None)

        def advance(done: int, total: int | None) -> None:
            bars.update(task, completed=done, total=total)

        yield advance
