"""Evaluations and comparisons as plain lines, for a terminal or a log."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from personalize.evaluation.comparing import Comparison
from personalize.evaluation.decision import JustBought, RepurchaseResult, preview_rows
from personalize.evaluation.evaluating import Evaluation, Facts
from personalize.evaluation.learned import Gap, StrongPair
from personalize.evaluation.lists import ListResult
from personalize.evaluation.metrics import Ratio
from personalize.evaluation.protocol import TITLES
from personalize.evaluation.repurchase import SAVED
from personalize.evaluation.subject import Guards

_LIST_COLUMNS = ("ndcg", "recall", "precision", "hit", "coverage", "popularity")
_N_GAPS = 15


def evaluation_lines(evaluation: Evaluation) -> Iterator[str]:
    """Yield the tables of an evaluation, line by line."""
    yield from _facts(evaluation.facts, evaluation.notes)
    for task, result in evaluation.tasks.items():
        yield from list_lines(task, result)
    yield from _repurchase(evaluation.repurchase)
    yield from _previews(evaluation.repurchase)
    yield from _gaps(evaluation.gaps)
    yield from _pairs(evaluation.pairs)
    for where, guards in evaluation.guards.items():
        yield from _guards(where, guards)


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield the tables of a comparison, line by line."""
    yield from _facts(comparison.facts, comparison.notes)
    yield (
        f"{comparison.second} is compared with {comparison.first}, on the same questions: a ratio "
        f"of NDCG@10 above 1 speaks for {comparison.second}"
    )
    for task, result in comparison.tasks.items():
        yield from list_lines(task, result, other=comparison.first)
    for name, repurchase in comparison.repurchase.items():
        yield from _repurchase(repurchase, name)
    if comparison.log_loss_ratio is not None:
        yield (
            f"log loss of {comparison.second} to {comparison.first}: "
            f"{told(comparison.log_loss_ratio)} (below 1 is better)"
        )
    for where, guards in comparison.guards.items():
        yield from _guards(where, guards)


def told(ratio: Ratio) -> str:
    """Return a ratio with its interval."""
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        first = row[0].ljust(widths[0])
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((first, *others)).rstrip()


def _facts(facts: Facts, notes: Sequence[str]) -> Iterator[str]:
    yield f"split at {facts.cutoff}, orders from {facts.first} to {facts.last}"
    yield (
        f"{facts.n_train_lines:,} lines before it, {facts.n_test_lines:,} after; "
        f"{facts.n_customers:,} customers, {facts.n_products:,} products, "
        f"{facts.n_eligible:,} of them asked for"
    )
    yield from (f"note: {note}" for note in notes)


def list_lines(task: str, result: ListResult, other: str | None = None) -> Iterator[str]:
    """Yield the table of task A or B; `other` is what ratios are to, if it was not chosen here."""
    yield ""
    yield f"{task}. {TITLES[task]}: {result.n_queries:,} queries"
    if not result.methods:
        return
    head = ("", "NDCG@10", "recall", "precision", "hit", "coverage", "popularity")
    rows = [
        (name, *(f"{means[column]:.4f}" for column in _LIST_COLUMNS))
        for name, means in result.methods.items()
    ]
    yield from table(head, rows)
    is_best = "" if other else ", the best peer here"
    for name, ratio in result.ratios.items():
        yield f"NDCG@10 of {name} to {result.best_peer}{is_best}: {told(ratio)}"
    if result.by_group is not None:
        best = result.by_group.best_peer
        for name, ratio in result.by_group.ratios.items():
            yield f"by item group, of {name} to {best}{is_best}: {told(ratio)}"
    if len(result.ratios) > 1 and result.to_peers:
        yield (
            "with a catalogue, variants and substitutes stay out of a list and a type has its "
            "share of it: NDCG by product counts another size or another of a type as wrong"
        )
    for part in result.slices:
        yield f"  {part.name}: {part.n_queries:,} queries, {told(part.ratio)}"


def _repurchase(result: RepurchaseResult, name: str | None = None) -> Iterator[str]:
    of = "" if name is None else f", {name}"
    yield ""
    if not result.n_pairs:
        yield f"S. {TITLES['S']}{of}: no pairs"
        return
    yield (
        f"S. {TITLES['S']}{of}: {result.n_pairs:,} pairs, "
        f"{result.n_again / result.n_pairs:.1%} bought again within {result.horizon_days:g} days"
    )
    if result.methods:
        lost = [f"lost at {saved:.0%}" for saved in SAVED]
        head = ("", "AUC", "AP", "log loss", "ECE", *lost)
        rows = [
            (
                method,
                f"{found.auc:.4f}",
                f"{found.average_precision:.4f}",
                _or_nothing(found.log_loss),
                _or_nothing(found.calibration_error),
                *(f"{share:.3f}" for share in found.lost),
            )
            for method, found in result.methods.items()
        ]
        yield from table(head, rows)
    if result.in_force is not None:
        yield (
            f"decision in force: {result.in_force.saved:.1%} of pairs suppressed, "
            f"{result.in_force.lost:.1%} of the repurchases among them"
        )
    if result.still_suppressed is not None:
        yield (
            f"{result.still_suppressed:.1%} of all repurchases came while the product was still "
            "suppressed: the others had come due"
        )
    if result.just_bought is not None:
        yield just_bought_line(result.just_bought)
    for part in result.slices:
        yield (
            f"  {part.name}: {part.n_pairs:,} pairs, {part.again:.1%} bought again; "
            f"{part.trade.saved:.1%} suppressed, {part.trade.lost:.1%} lost"
        )


def just_bought_line(found: JustBought) -> str:
    """Return what happens to what was bought in the last days, in a sentence."""
    line = (
        f"bought within {found.days:g} days: {found.n_pairs:,} pairs, "
        f"{found.suppressed:.1%} suppressed"
    )
    if found.shown_by_ranking is None or found.lost_by_ranking is None:
        return line
    return (
        f"{line}; suppressing as many of the lowest probabilities instead would show "
        f"{found.shown_by_ranking:.1%} of them, and lose {found.lost_by_ranking:.1%} of the "
        "repurchases"
    )


def _or_nothing(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _previews(result: RepurchaseResult) -> Iterator[str]:
    if not result.previews:
        return
    yield ""
    yield "The decision under other thresholds of the policy"
    head = ("", "saved", "lost", "still suppressed")
    rows = [
        (f"{threshold} {values}", *told)
        for threshold, values, told, _ in preview_rows(result.previews)
    ]
    yield from table(head, rows)
    yield (
        "saved: pairs suppressed at the cutoff; lost: repurchases among them; still suppressed: "
        "repurchases that came before the suppression had ended"
    )


def _gaps(gaps: Sequence[Gap]) -> Iterator[str]:
    if not gaps:
        return
    yield ""
    yield "Learned gaps, the most ordered first"
    rows = [
        (
            gap.name,
            f"{gap.n_lines:,}",
            "for good" if gap.gap_days is None else f"{gap.gap_days:.0f}",
            f"{gap.typical_days:.0f}",
            gap.basis,
            "yes" if gap.is_one_per_need else "",
        )
        for gap in gaps[:_N_GAPS]
    ]
    yield from table(("", "lines", "gap, days", "typical", "basis", "one per need"), rows)


def _pairs(pairs: Sequence[StrongPair]) -> Iterator[str]:
    if not pairs:
        return
    yield ""
    yield "Strongest complements"
    rows = [
        (
            f"{pair.name} -> {pair.complement}",
            f"{pair.confidence:.1%}",
            f"{pair.lift:.1f}",
            f"{pair.n_orders:,}",
        )
        for pair in pairs
    ]
    yield from table(("", "of its orders", "lift", "orders"), rows)


def _guards(where: str, guards: Guards) -> Iterator[str]:
    yield ""
    yield f"Guards, {where}: how often a list broke one (each must be 0)"
    for task, counts in guards.items():
        yield f"{task}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items())
