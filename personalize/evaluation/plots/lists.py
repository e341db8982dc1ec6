"""Plots of the tasks A and B."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personalize.evaluation.evaluating import Evaluation
from personalize.evaluation.lists import ListResult
from personalize.evaluation.metrics import K, Ratio
from personalize.evaluation.plots.canvas import (
    INK,
    MUTED,
    OURS,
    PEER,
    THIRD,
    canvas,
    label_rows,
    rows_high,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ratio_plot(evaluation: Evaluation, task: str = "A") -> Figure:
    """Return our NDCG@10 to each peer's, with 95% intervals, the strongest peer on top.

    Parameters
    ----------
    evaluation : Evaluation
    task : str
        ``A`` or ``B``.

    Raises
    ------
    PersonalizeError
        If matplotlib is not installed.
    """
    result = evaluation.tasks[task]
    ratios = sorted(result.to_peers.items(), key=lambda item: item[1].value)
    with canvas(rows_high(len(ratios)) + 0.2) as (figure, axes):
        colours = [OURS if name == result.best_peer else THIRD for name, _ in ratios]
        _intervals(axes, [ratio for _, ratio in ratios], colours)
        label_rows(axes, [name for name, _ in ratios])
        axes.set_title(f"{task}. Our NDCG@10 to each peer's")
        axes.set_xlabel("times the peer's NDCG@10; right of 1 we are ahead")
    return figure


def slice_plot(evaluation: Evaluation) -> Figure:
    """Return our NDCG@10 to the best peer's on parts of the queries, with 95% intervals."""
    rows = [
        (f"{task}: {part.name}", part.ratio)
        for task, result in evaluation.tasks.items()
        for part in result.slices
    ]
    with canvas(rows_high(len(rows)) + 0.2) as (figure, axes):
        _intervals(axes, [ratio for _, ratio in rows], [OURS] * len(rows))
        label_rows(axes, [name.partition(" (")[0] for name, _ in rows])
        axes.set_title("NDCG@10 to the best peer's")
        axes.set_xlabel("times the best peer's NDCG@10")
    return figure


def _intervals(axes: Axes, ratios: list[Ratio], colours: list[str]) -> None:
    ends = [ratio.high for ratio in ratios if ratio.high < float("inf")]
    most = max([1.0, *ends]) * 1.02
    axes.axvline(1.0, color=MUTED, linewidth=1.0)
    for row, (ratio, colour) in enumerate(zip(ratios, colours, strict=True)):
        axes.plot([ratio.low, min(ratio.high, most)], [row, row], color=colour, linewidth=2.2)
        if ratio.value <= most:
            axes.plot([ratio.value], [row], "o", color=colour, markersize=5)
    lows = [ratio.low for ratio in ratios]
    if ends and max(ends) > 4:
        axes.set_xscale("log")
        ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50) if tick <= most]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    axes.set_xlim(max(min([0.9, *lows]) * 0.98, 0.05), most)


def length_plot(evaluation: Evaluation, task: str = "A", metric: str = "recall") -> Figure:
    """Return precision or recall against the length of the list.

    Parameters
    ----------
    evaluation : Evaluation
    task : str
        ``A`` or ``B``.
    metric : str
        ``precision`` or ``recall``.
    """
    result = evaluation.tasks[task]
    with canvas(2.9) as (figure, axes):
        for name, colour, style in _compared(result):
            values = getattr(result.curves[name], metric)
            axes.plot(range(1, len(values) + 1), values, style, color=colour, label=name)
        axes.axvline(K, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_ylim(bottom=0)
        axes.set_xticks([1, 5, 10, 15, 20])
        axes.set_xlabel("products shown, k")
        axes.set_title(f"{task}. {metric.capitalize()} at k")
        axes.legend(loc="best")
    return figure


def _compared(result: ListResult) -> list[tuple[str, str, str]]:
    """Return the methods worth a line, with colour and style."""
    popular = [name for name in result.curves if name.startswith("popularity")]
    shown = [
        (result.ours, OURS, "-"),
        (result.best_peer, PEER, "-"),
        (max(popular, key=lambda n: result.methods[n]["ndcg"], default=None), THIRD, "--"),
    ]
    seen: list[tuple[str, str, str]] = []
    for name, colour, style in shown:
        if name is not None and name not in [known for known, _, _ in seen]:
            seen.append((name, colour, style))
    return seen


def reach_plot(evaluation: Evaluation, task: str = "A", metric: str = "coverage") -> Figure:
    """Return coverage, or popularity of what is shown, of every method.

    Parameters
    ----------
    evaluation : Evaluation
    task : str
        ``A`` or ``B``.
    metric : str
        ``coverage`` (share of products that somebody is shown) or ``popularity`` (share of orders
        that hold the product shown, on average).
    """
    result = evaluation.tasks[task]
    rows = sorted(result.methods, key=lambda name: -result.methods[name][metric])
    words = {
        "coverage": "share of the products that somebody is shown",
        "popularity": "share of orders that hold the product shown",
    }
    with canvas(rows_high(len(rows))) as (figure, axes):
        for row, name in enumerate(rows):
            colour = {result.best_peer: PEER}.get(name, THIRD)
            colour = OURS if name in result.ratios or name == result.ours else colour
            value = result.methods[name][metric]
            axes.barh(row, value, height=0.62, color=colour)
            axes.text(value, row, f" {value:.1%}", va="center", color=INK, fontsize=7.5)
        label_rows(axes, rows)
        axes.margins(x=0.14)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(f"{task}. {metric.capitalize()} of what is shown")
        axes.set_xlabel(words[metric])
    return figure
