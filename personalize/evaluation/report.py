"""The report: one HTML file that holds everything, for people who decide."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from personalize.evaluation.decision import preview_rows
from personalize.evaluation.evaluating import Evaluation
from personalize.evaluation.lists import ListResult
from personalize.evaluation.metrics import Ratio
from personalize.evaluation.plots import (
    calibration_plot,
    check_installed,
    gap_plot,
    length_plot,
    pair_plot,
    ratio_plot,
    reach_plot,
    slice_plot,
    svg_of,
    trade_plot,
)
from personalize.evaluation.protocol import OURS, TITLES
from personalize.version import __version__

TEMPLATE = "report.html.jinja"


class Card(NamedTuple):
    """One figure of the head: what, how much, and what that means; ``mood`` colours it."""

    label: str
    figure: str
    words: str
    mood: str


def write_report(
    evaluation: Evaluation, path: str | Path, *, title: str = "How good is it?"
) -> None:
    """Write an evaluation as one self-contained HTML file.

    Parameters
    ----------
    evaluation : Evaluation
    path : path
        Overwritten.
    title : str

    Raises
    ------
    PersonalizeError
        If matplotlib or jinja2 is not installed.
    OSError
        If the file cannot be written.
    """
    Path(path).write_text(report_html(evaluation, title=title), encoding="utf-8")


def report_html(evaluation: Evaluation, *, title: str = "How good is it?") -> str:
    """Return the report as HTML: no script, no outside resource, the same bytes every time.

    Raises
    ------
    PersonalizeError
        If matplotlib or jinja2 is not installed.
    """
    check_installed()
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": _share, "count": _count}
    source = resources.files("personalize.evaluation").joinpath(TEMPLATE)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    plots = {name: Markup(svg) for name, svg in _plots(evaluation)}  # noqa: S704 - our own SVG
    html: str = template.render(
        title=title,
        version=__version__,
        found=evaluation,
        plots=plots,
        cards=list(cards(evaluation)),
        titles=TITLES,
        trade_words=list(trade_words(evaluation)),
        previews=list(preview_rows(evaluation.repurchase.previews)),
    )
    return html


def _plots(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    for task, result in evaluation.tasks.items():
        if not result.methods:
            continue
        if result.to_peers:
            yield f"{task} ratio", svg_of(ratio_plot(evaluation, task))
        for metric in ("precision", "recall"):
            yield f"{task} {metric}", svg_of(length_plot(evaluation, task, metric))
        for metric in ("coverage", "popularity"):
            yield f"{task} {metric}", svg_of(reach_plot(evaluation, task, metric))
    if any(result.slices for result in evaluation.tasks.values()):
        yield "slices", svg_of(slice_plot(evaluation))
    if evaluation.repurchase.in_force is not None:
        yield "trade", svg_of(trade_plot(evaluation))
    if evaluation.repurchase.calibration:
        yield "calibration", svg_of(calibration_plot(evaluation))
    if evaluation.gaps:
        yield "gaps", svg_of(gap_plot(evaluation))
    if evaluation.pairs:
        yield "pairs", svg_of(pair_plot(evaluation))


def cards(evaluation: Evaluation) -> Iterator[Card]:
    """Yield the head of the report in words, a figure each."""
    for task, result in evaluation.tasks.items():
        yield _list_card(task, result)
    found = evaluation.repurchase
    if found.in_force is None:
        yield Card(TITLES["S"], "–", "no pairs to judge, see the notes", "level")
    else:
        lost = found.in_force.lost if found.still_suppressed is None else found.still_suppressed
        yield Card(
            TITLES["S"],
            f"{found.in_force.saved:.0%}",
            "of what customers already bought is not advertised to them at the cutoff; "
            f"{lost:.0%} of the repurchases of the next {found.horizon_days:g} days came while "
            "still suppressed",
            "good",
        )
    broken = evaluation.n_violations
    yield Card(
        "Guards",
        f"{broken:,}",
        "times a list showed what it must never show"
        + ("" if broken else ": nothing owned, suppressed, repeated or out of stock"),
        "bad" if broken else "good",
    )


def _list_card(task: str, result: ListResult) -> Card:
    label = TITLES[task]
    if not result.methods:
        return Card(label, "–", "no queries, see the notes", "level")
    if result.best_peer is None or result.ours is None:
        ours = result.methods[OURS]
        return Card(label, f"{ours['ndcg']:.3f}", "NDCG@10; no peer was asked", "level")
    ratio = result.ratios[result.ours]
    mood, verdict = _verdict(ratio)
    told = (
        f"{result.ours} is {verdict} the best of {len(result.to_peers)} other methods "
        f"({result.best_peer}, chosen afterwards); 95% interval {ratio.low:.2f} to {ratio.high:.2f}"
    )
    return Card(label, f"{ratio.value:.2f}×", told + "".join(_beside(result)), mood)


def _beside(result: ListResult) -> Iterator[str]:
    """Yield how our other engines stand, by product and by item group."""
    for name, ratio in result.ratios.items():
        if name != result.ours:
            yield f". {name}: {ratio.value:.2f}×"
            if result.by_group is not None and name in result.by_group.ratios:
                yield f", and {result.by_group.ratios[name].value:.2f}× by item group"


def _verdict(ratio: Ratio) -> tuple[str, str]:
    if ratio.low > 1:
        return "good", "ahead of"
    if ratio.high < 1:
        return "bad", "behind"
    return "level", "level with"


def trade_words(evaluation: Evaluation) -> Iterator[str]:
    """Yield what the decision in force buys beside a ranking of probabilities, in sentences."""
    found = evaluation.repurchase
    if found.in_force is None or found.just_bought is None:
        return
    just, saved = found.just_bought, found.in_force.saved
    yield (
        f"At the cutoff the decision in force keeps {saved:.1%} of the {found.n_pairs:,} pairs of "
        f"a customer and something they bought away from them. {found.in_force.lost:.1%} of what "
        f"was bought again within {found.horizon_days:g} days is among them."
    )
    if found.still_suppressed is not None:
        yield (
            "A decision ends when the product comes due: only "
            f"{found.still_suppressed:.1%} of all repurchases came while it was still suppressed."
        )
    yield (
        f"What was bought within {just.days:g} days: {just.n_pairs:,} pairs, of which "
        f"{just.suppressed:.1%} are suppressed."
    )
    if just.shown_by_ranking is not None and just.lost_by_ranking is not None:
        yield (
            "A naive rule, “suppress while the chance of a repurchase is low”, that saves as many "
            f"impressions would advertise {just.shown_by_ranking:.1%} of what was just bought, "
            "because the chance is often highest the day after a purchase. It would lose "
            f"{just.lost_by_ranking:.1%} of the repurchases at the cutoff, against "
            f"{found.in_force.lost:.1%}: what the difference buys is that nobody is shown what "
            "they have just paid for, and a day on which each suppression ends."
        )


def _share(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}%}"


def _count(value: float) -> str:
    return f"{value:,.0f}"
