"""Plots of task S and of what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from personalize.evaluation.evaluating import Evaluation
from personalize.evaluation.learned import Gap
from personalize.evaluation.plots.canvas import (
    GRID,
    INK,
    MUTED,
    OURS,
    PEER,
    THIRD,
    canvas,
    label_rows,
    rows_high,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_N_GAPS = 20
_N_SINGLES = 10
_LONG_DAYS = 730.0


def trade_plot(evaluation: Evaluation) -> Figure:
    """Return impressions saved against repurchases lost, the decision in force marked.

    Beside it the curve of suppressing the lowest probabilities, and the decision under other
    thresholds of the policy.
    """
    result = evaluation.repurchase
    with canvas(3.5) as (figure, axes):
        if result.curve:
            axes.plot(
                [point.saved for point in result.curve],
                [point.lost for point in result.curve],
                color=THIRD,
                label="lowest probabilities first",
            )
        for threshold, colour, marker in (
            ("due_quantile", PEER, "o-"),
            ("repurchase_threshold", MUTED, "s-"),
        ):
            found = [each for each in result.previews if each.threshold == threshold]
            saved, lost = [p.trade.saved for p in found], [p.trade.lost for p in found]
            axes.plot(saved, lost, marker, ms=3.5, lw=0.9, color=colour, label=threshold)
        if result.in_force is not None:
            saved, lost = [result.in_force.saved], [result.in_force.lost]
            axes.plot(saved, lost, "*", ms=13, color=OURS, zorder=5, label="decision in force")
        _shares(axes)
        axes.set_xlim(-0.02, 1.04)
        axes.set_ylim(-0.02, 1.04)
        axes.set_xlabel("impressions saved: pairs suppressed")
        axes.set_ylabel("repurchases among them")
        axes.set_title("What a suppression saves and loses")
        axes.legend(loc="best")
    return figure


def calibration_plot(evaluation: Evaluation) -> Figure:
    """Return the predicted chance of a repurchase against the share that came, 20 equal bins."""
    bins = evaluation.repurchase.calibration
    predicted, seen = [each.predicted for each in bins], [each.seen for each in bins]
    most = max([0.01, *predicted, *seen]) * 1.08
    with canvas(3.5) as (figure, axes):
        axes.plot([0, most], [0, most], color=MUTED, linewidth=1.0, linestyle="--", label="ideal")
        axes.plot(predicted, seen, "o-", color=OURS, markersize=4.5, label="personalize")
        _shares(axes)
        axes.set_xlim(0, most)
        axes.set_ylim(0, most)
        axes.set_xlabel("predicted chance, mean of a twentieth of the pairs")
        axes.set_ylabel("bought again")
        axes.set_title(f"Is a chance of 10% a tenth? ({evaluation.repurchase.horizon_days:g} days)")
        axes.legend(loc="upper left")
    return figure


def _shares(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.locator_params(nbins=6)


def gap_plot(evaluation: Evaluation) -> Figure:
    """Return when the next of each product type comes due, and the median time to it.

    The most ordered types, and the most ordered ones of which one is enough.
    """
    gaps = _told(evaluation.gaps)
    most = max([gap.typical_days for gap in gaps] + [gap.gap_days or 0.0 for gap in gaps] + [30.0])
    most = min(most * 1.05, _LONG_DAYS)
    with canvas(rows_high(len(gaps)) + 0.5) as (figure, axes):
        for row, gap in enumerate(gaps):
            colour = PEER if gap.is_one_per_need else OURS
            if gap.gap_days is None:
                axes.barh(row, most, height=0.55, color=colour, alpha=0.35)
                axes.text(most * 0.02, row, "for good", va="center", color=INK, fontsize=7.5)
                continue
            axes.barh(row, min(gap.gap_days, most), height=0.55, color=colour)
            if gap.basis != "default" and gap.typical_days <= most:
                axes.plot([gap.typical_days], [row], "|", color=INK, markersize=9)
        label_rows(axes, [gap.name for gap in gaps])
        axes.set_xlim(0, most)
        axes.set_title("When the next one comes due")
        axes.set_xlabel("days after a purchase (tick: median time to the next)")
        if any(gap.is_one_per_need for gap in gaps):
            _two_legends(figure)
    return figure


def _told(gaps: Sequence[Gap]) -> list[Gap]:
    singles = [gap for gap in gaps if gap.is_one_per_need][:_N_SINGLES]
    others = [gap for gap in gaps if not gap.is_one_per_need][: _N_GAPS - len(singles)]
    return sorted([*singles, *others], key=lambda gap: (-gap.n_lines, gap.name))


def _two_legends(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=OURS, label="bought side by side"),
        Patch(color=PEER, label="one is enough"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def pair_plot(evaluation: Evaluation) -> Figure:
    """Return the strongest complements: how often they share an order, beside chance."""
    pairs = evaluation.pairs
    with canvas(rows_high(len(pairs)) + 0.3) as (figure, axes):
        for row, pair in enumerate(pairs):
            chance = pair.confidence / pair.lift
            axes.plot([chance, pair.confidence], [row, row], color=GRID, linewidth=3)
            axes.plot(chance, row, "o", color=THIRD, markersize=5, label=_once(row, "chance"))
            axes.plot(
                pair.confidence, row, "o", color=OURS, markersize=6, label=_once(row, "together")
            )
        names = [f"{short(p.name, 20)} → {short(p.complement, 20)}" for p in pairs]
        label_rows(axes, names)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=5)
        axes.set_title("What goes with what")
        axes.set_xlabel("share of the first one's orders that hold the second")
        if pairs:
            axes.legend(loc="lower right")
    return figure


def _once(row: int, label: str) -> str | None:
    return None if row else label
