"""How every plot looks, and how it becomes SVG that follows the page's colours."""

from __future__ import annotations

import importlib.util
import io
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from personalize.errors import PersonalizeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#1c2733"
MUTED: Final = "#5b6876"
GRID: Final = "#d9dfe6"
OURS: Final = "#0b6e99"
PEER: Final = "#b3541e"
THIRD: Final = "#7a7f87"
VARIABLES: Final = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    OURS: "var(--ours)",
    PEER: "var(--peer)",
    THIRD: "var(--third)",
}
"""Colours of a plot to those of the page, which has them light and dark."""
WIDTH: Final = 5.0
"""Inches: one plot is legible on a telephone, two stand side by side on a screen."""
_ROW: Final = 0.27


def check_installed() -> None:
    """Raise if what a report needs is not installed.

    Raises
    ------
    PersonalizeError
        With what to install.
    """
    missing = [name for name in ("matplotlib", "jinja2") if importlib.util.find_spec(name) is None]
    if missing:
        raise PersonalizeError(
            f"report: {' and '.join(missing)} not installed; pip install 'personalize[report]'"
        )


@contextmanager
def canvas(height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of `WIDTH` by `height` inches and its only axes, in the style of all."""
    check_installed()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        yield figure, axes


def rows_high(n_rows: int) -> float:
    """Return the height of a plot with so many labelled rows, inches."""
    return 0.75 + _ROW * max(n_rows, 2)


def label_rows(axes: Axes, names: list[str]) -> None:
    """Label rows 0, 1, ... from the top."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def short(name: str, width: int = 30) -> str:
    """Return the last part of a category path, or a name, cut to `width`."""
    return textwrap.shorten(name.rpartition(" > ")[2], width, placeholder=" …")


def svg_of(figure: Figure) -> str:
    """Return a figure as an ``<svg>`` element: no date, no random ids, the page's colours."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.hashsalt": "personalize", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.S)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", text, count=1)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return text


_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
}
