"""The report and its plots: one file, the same bytes, nothing from outside, in plain words."""

from __future__ import annotations

import html.parser
import re
from dataclasses import replace
from pathlib import Path

import pytest
import small_shop
from random_orders import shop

import personalize as pz
from personalize.evaluation import (
    Comparison,
    Evaluation,
    Protocol,
    evaluate,
    report_html,
    write_report,
)
from personalize.evaluation.decision import JustBought, RepurchaseResult, Trade
from personalize.evaluation.evaluating import plain_values
from personalize.evaluation.learned import Gap, StrongPair
from personalize.evaluation.lists import ListResult
from personalize.evaluation.metrics import Ratio
from personalize.evaluation.plots import (
    calibration_plot,
    gap_plot,
    pair_plot,
    ratio_plot,
    svg_of,
    trade_plot,
)
from personalize.evaluation.plots.canvas import VARIABLES
from personalize.evaluation.protocol import OURS, PLAIN
from personalize.evaluation.report import _verdict, cards, trade_words
from personalize.evaluation.text import comparison_lines, evaluation_lines, just_bought_line

QUICK = Protocol(n_resamples=100, min_lines=1)
VOID = {"meta", "br", "hr", "img", "link", "path", "use"}


@pytest.fixture(scope="module")
def found() -> Evaluation:
    """Return what is found on a shop of 200 orders, with types for half of its products."""
    rows = [(f"p{n:02}", f"Kind > {'AB'[n % 2]}", f"g{n // 2}") for n in range(20)]
    frame = pz.Catalog.empty().frame.iloc[:0]
    frame = frame.reindex(range(len(rows))).assign(sensitive=False)
    frame[["product_id", "product_type", "item_group_id"]] = rows
    return evaluate(shop(200), pz.Catalog.from_frame(frame), peers="best", protocol=QUICK)


@pytest.fixture(scope="module")
def page(found: Evaluation) -> str:
    """Return its report."""
    return report_html(found)


def without_lists(found: Evaluation) -> Evaluation:
    """Return an evaluation without queries or pairs bought again: its plots take long to draw."""
    tasks = {task: ListResult(0, 0) for task in "AB"}
    return replace(found, tasks=tasks, repurchase=RepurchaseResult(30, 10, 0))


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


class TestReport:
    def test_it_is_whole(self, page: str) -> None:
        """Every tag that is opened is closed, in turn."""
        tags = _Tags()
        tags.feed(page)
        assert tags.open == []
        assert page.startswith("<!doctype html>")

    def test_nothing_from_outside(self, page: str) -> None:
        """No script, no link, no image, no font: it opens without a network."""
        assert not re.search(r"<(script|link|img|iframe)\b|@import|url\((?!#)", page)
        outside = set(re.findall(r"https?://[^\s\"'<>]+", page))
        assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}

    def test_the_same_bytes(self, found: Evaluation, page: str) -> None:
        """Twice the same evaluation is twice the same file; no day is in it but the orders'."""
        assert report_html(found) == page
        assert "<metadata" not in page

    def test_every_plot_is_there(self, page: str) -> None:
        """Five a task, saved against lost, calibration, gaps, slices; no pair is above chance."""
        assert page.count("<svg") == 14

    def test_colours_are_the_page_s(self, page: str) -> None:
        """Plots name no colour of their own, so that they are legible light and dark."""
        body = page[page.index("</style>") :]
        assert not any(colour in body for colour in VARIABLES)
        assert "prefers-color-scheme: dark" in page

    def test_the_ratio_comes_first(self, page: str) -> None:
        """On a telephone the ratio is seen without scrolling: beside the name, which may wrap."""
        assert page.count("<th>engine</th><th>ratio</th><th>95% interval</th>") == 2
        narrow = page[page.index("@media (max-width: 760px)") : page.index("@media print")]
        assert "th, td:first-child { white-space: normal; }" in narrow

    def test_a_ratio_by_product_alone_is_told_alone(self, found: Evaluation) -> None:
        """Beside the engine without a catalogue stands the other, by group where measured."""
        said = next(card.words for card in cards(found) if OURS in card.words)
        assert "by item group" in said
        result = replace(found.tasks["A"], by_group=None)
        bare = replace(found, tasks={**found.tasks, "A": result, "B": result})
        said = next(card.words for card in cards(bare) if OURS in card.words)
        assert f". {OURS}: {result.ratios[OURS].value:.2f}×" in said
        assert "by item group" not in said

    def test_ids_are_escaped(self, found: Evaluation) -> None:
        """A product type cannot write into the page."""
        gap = Gap("<script>alert(1)</script>", 3, None, 30.0, "product", False)
        page = report_html(replace(without_lists(found), gaps=(gap,)))
        assert "<script" not in page
        assert "&lt;script&gt;" in page

    def test_an_empty_evaluation_has_a_report(self, tmp_path: Path) -> None:
        """Three orders: no plots to show, and the page says why."""
        write_report(evaluate(shop(3, returns=0.0), protocol=Protocol()), tmp_path / "r.html")
        page = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert "A is empty: no test order holds two products" in page
        assert "no queries, see the notes" in page

    def test_without_peers(self) -> None:
        """The head says what we reach, and that nobody else was asked."""
        found = evaluate(shop(200), peers="none", protocol=QUICK)
        first = next(cards(found))
        assert first.words == "NDCG@10; no peer was asked"
        assert first.figure == f"{found.tasks['A'].methods[OURS]['ndcg']:.3f}"
        assert report_html(found).count("<svg") == 12

    def test_it_says_what_to_install(
        self, found: Evaluation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without matplotlib and jinja2 one line says how to get them."""
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(
            pz.PersonalizeError,
            match=r"matplotlib and jinja2 not installed; pip install 'personalize\[report\]'",
        ):
            report_html(found)


class TestWords:
    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [(1.01, 1.2, "ahead of"), (0.9, 1.1, "level with"), (0.8, 0.99, "behind")],
    )
    def test_the_interval_decides(self, low: float, high: float, verdict: str) -> None:
        """Ahead is who is ahead at the lower bound, behind who is behind at the upper one."""
        assert _verdict(Ratio(1.0, low, high))[1] == verdict

    def test_what_the_difference_buys(self, found: Evaluation) -> None:
        """The naive rule, its share of what was just bought, and what either loses."""
        just = JustBought(7, 100, 1.0, 0.35, 0.1)
        told = replace(
            found,
            repurchase=RepurchaseResult(
                30, 1000, 50, in_force=Trade(0.4, 0.3), still_suppressed=0.2, just_bought=just
            ),
        )
        text = " ".join(trade_words(told))
        assert "keeps 40.0% of the 1,000 pairs" in text
        assert "only 20.0% of all repurchases came while it was still suppressed" in text
        assert "100 pairs, of which 100.0% are suppressed" in text
        assert "would advertise 35.0% of what was just bought" in text
        assert "would lose 10.0% of the repurchases at the cutoff, against 30.0%" in text

    def test_nothing_to_compare(self, found: Evaluation) -> None:
        """Without probabilities or repurchases there is less to say, and without pairs nothing."""
        just = JustBought(7, 0, 1.0, None, None)
        result = RepurchaseResult(30, 10, 0, in_force=Trade(1.0, 0.0), just_bought=just)
        assert len(list(trade_words(replace(found, repurchase=result)))) == 2
        assert list(trade_words(replace(found, repurchase=RepurchaseResult(30)))) == []

    def test_a_broken_guard_is_bad(self, found: Evaluation) -> None:
        """The head counts every guard and turns red."""
        broken = replace(found, guards={"with the catalogue": {"A": {"held": 2}, "B": {"held": 1}}})
        assert broken.n_violations == 3
        last = list(cards(broken))[-1]
        assert (last.figure, last.mood) == ("3", "bad")
        assert list(cards(found))[-1].mood == "good"

    def test_the_terminal_tells_the_same(self, found: Evaluation) -> None:
        """Tables with their names, the ratios, the guards, the gaps."""
        text = "\n".join(evaluation_lines(found))
        for part in (
            "A. Basket completion: ",
            f"NDCG@10 of {PLAIN} to {found.tasks['A'].best_peer}, the best peer here: ",
            f"by item group, of {OURS} to ",
            "decision in force: ",
            "suppressing as many of the lowest probabilities instead would show ",
            "The decision under other thresholds of the policy",
            "due_quantile 0.25 (in force)",
            "still suppressed: repurchases that came before the suppression had ended",
            "Learned gaps",
            "Guards, with the catalogue",
        ):
            assert part in text

    def test_what_is_not_there_is_not_told(self, found: Evaluation) -> None:
        """Without pairs bought again, gaps or lists only the facts and the guards remain."""
        bare = replace(without_lists(found), gaps=(), pairs=(), guards={})
        assert list(evaluation_lines(bare))[-1] == (
            "S. Suppression: 10 pairs, 0.0% bought again within 30 days"
        )
        page = report_html(bare)
        assert "What it learned" not in page
        assert page.count("<svg") == 0
        both = Comparison(
            found.facts,
            "one",
            "two",
            bare.tasks,
            {"one": bare.repurchase, "two": bare.repurchase},
            None,
            {},
        )
        assert "log loss" not in "\n".join(comparison_lines(both))

    def test_a_ranking_may_be_missing(self) -> None:
        """The line about what was just bought is shorter then."""
        line = just_bought_line(JustBought(7, 3, 1.0, None, None))
        assert line == "bought within 7 days: 3 pairs, 100.0% suppressed"

    def test_no_number_is_none(self) -> None:
        """JSON knows neither NaN nor infinity."""
        assert plain_values({"a": (float("nan"), float("inf"), 1.5)}) == {"a": [None, None, 1.5]}


class TestPlots:
    def test_far_ahead_is_on_a_log_scale(self, found: Evaluation) -> None:
        """A ratio of 20, and an endless one, are still on the plot."""
        task = replace(
            found.tasks["A"],
            to_peers={"a": Ratio(20.0, 10.0, 30.0), "b": Ratio(float("inf"), 9.0, float("inf"))},
        )
        figure = ratio_plot(replace(found, tasks={"A": task}), "A")
        assert figure.axes[0].get_xscale() == "log"
        assert "<svg" in svg_of(figure)

    def test_gaps_for_good_and_of_single_needs(self, found: Evaluation) -> None:
        """What never comes due says so; of what one is enough has its own colour."""
        gaps = (
            Gap("Kind > coats", 9, None, 300.0, "product_type", True),
            Gap("Kind > coffee", 5, 28.0, 30.0, "product_type", False),
            Gap("Kind > rare", 1, 365.0, 400.0, "default", False),
        )
        text = svg_of(gap_plot(replace(found, gaps=gaps)))
        assert "for good" in text
        assert "one is enough" in text
        assert "one is enough" not in svg_of(gap_plot(replace(found, gaps=gaps[1:])))

    def test_nothing_to_draw(self, found: Evaluation) -> None:
        """Plots of what is not there are empty, not errors: a notebook may ask for any."""
        empty = replace(found, repurchase=RepurchaseResult(30), gaps=(), pairs=())
        for plot in (trade_plot, calibration_plot, gap_plot, pair_plot):
            assert "<svg" in svg_of(plot(empty))

    def test_pairs(self, found: Evaluation) -> None:
        """Each pair is a row, named by the last parts of its paths."""
        pair = StrongPair("Kind > coats", "Kind > ties", 0.5, 9, 0.4, 4.0)
        text = svg_of(pair_plot(replace(found, pairs=(pair, pair))))
        assert "coats → ties" in text
        told = replace(without_lists(found), pairs=(pair,))
        assert "Kind &gt; coats" in report_html(told)
        assert "Kind > coats -> Kind > ties" in "\n".join(evaluation_lines(told))

    def test_the_hand_written_shop(self) -> None:
        """A catalogue of 22 lines makes a report too."""
        found = evaluate(
            small_shop.orders(),
            small_shop.catalog(),
            small_shop.day(45),
            peers="best",
            protocol=QUICK,
        )
        assert "Sport coats" in report_html(found)
