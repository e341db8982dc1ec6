"""Plots of an evaluation, as matplotlib figures: the report's, and a notebook's.

In a notebook, after ``%matplotlib inline``, ``ratio_plot(found)`` as the last line of a cell shows
the plot. Every function takes an `Evaluation` and returns a ``matplotlib.figure.Figure``.
"""

from __future__ import annotations

from personalize.evaluation.plots.canvas import check_installed, svg_of
from personalize.evaluation.plots.decision import (
    calibration_plot,
    gap_plot,
    pair_plot,
    trade_plot,
)
from personalize.evaluation.plots.lists import length_plot, ratio_plot, reach_plot, slice_plot

__all__ = [
    "calibration_plot",
    "check_installed",
    "gap_plot",
    "length_plot",
    "pair_plot",
    "ratio_plot",
    "reach_plot",
    "slice_plot",
    "svg_of",
    "trade_plot",
]
