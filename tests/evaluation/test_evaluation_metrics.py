"""How an answer is scored, and how sure the score is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from personalize.evaluation.metrics import (
    answers,
    bootstrap_ratio,
    length_curve,
    score_lists,
    top_k,
)
from personalize.evaluation.queries import Queries
from personalize.evaluation.split import NOTHING


class TestMetrics:
    def test_values_by_hand(self) -> None:
        """Truth {1, 2, 3}; hits at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2(3) + 1/2)."""
        queries = Queries(np.array([0]), np.array([0, 3]), np.array([1, 2, 3]))
        lists = np.array([[1, 5, 2, NOTHING, NOTHING]])
        scores = score_lists(queries, lists, np.ones(8, bool))
        assert scores.ndcg[0] == pytest.approx(1.5 / (1.5 + 1 / math.log2(3)))
        assert scores.recall[0] == pytest.approx(2 / 3)
        assert scores.hit[0] == 1.0
        assert scores.coverage == 3 / 8

    def test_the_ideal_list_has_ten_places(self) -> None:
        """With 12 right answers ten hits are a perfect list; recall is 10/12."""
        queries = Queries(np.array([0]), np.array([0, 12]), np.arange(12))
        scores = score_lists(queries, np.arange(12)[None, :], np.ones(12, bool))
        assert scores.ndcg[0] == pytest.approx(1.0)
        assert scores.recall[0] == pytest.approx(10 / 12)

    def test_a_repeated_product_counts_once(self) -> None:
        """The second place of the same product is a miss."""
        queries = Queries(np.array([0]), np.array([0, 2]), np.array([1, 2]))
        scores = score_lists(queries, np.array([[1, 1, 2]]), np.ones(3, bool))
        assert scores.ndcg[0] == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
        assert scores.recall[0] == 1.0

    def test_coverage_is_of_eligible_products(self) -> None:
        """A rare product takes a place and covers nothing; (.5 + .1) / 2 of the orders hold it."""
        queries = Queries(np.array([0]), np.array([0, 1]), np.array([1]))
        eligible = np.array([True, True, False])
        scores = score_lists(queries, np.array([[2, 1]]), eligible, np.array([0.9, 0.5, 0.1]))
        assert scores.means() == {
            "ndcg": pytest.approx(1 / math.log2(3)),
            "recall": 1.0,
            "precision": 0.1,
            "hit": 1.0,
            "coverage": 0.5,
            "popularity": pytest.approx(0.3),
        }

    def test_each_question_is_asked_once(self) -> None:
        """Queries about the same anchor share one list."""
        queries = Queries(np.array([4, 2, 4]), np.array([0, 1, 2, 3]), np.array([1, 1, 1]))
        asked: list[list[int]] = []

        def lists_for(codes: np.ndarray) -> np.ndarray:
            asked.append(codes.tolist())
            return codes[:, None] * 10

        assert answers(queries, lists_for).tolist() == [[40], [20], [40]]
        assert asked == [[2, 4]]

    def test_top_k_breaks_ties_by_code(self) -> None:
        """Score descending, then the smaller code; what is -inf is never shown."""
        scores = np.array([[1.0, 3.0, 3.0, -np.inf, 1.0], [-np.inf, 0.0, -1.0, -np.inf, -np.inf]])
        assert top_k(scores, 3).tolist() == [[1, 2, 0], [1, 2, NOTHING]]
        assert top_k(np.empty((1, 0)), 2).tolist() == [[NOTHING, NOTHING]]


class TestLengthCurve:
    def test_by_hand(self) -> None:
        """Truth {1, 2}; the list 1, 9, 2: precision 1, 1/2, 2/3, recall 1/2, 1/2, 1."""
        queries = Queries(np.array([0]), np.array([0, 2]), np.array([1, 2]))
        curve = length_curve(queries, np.array([[1, 9, 2]]), 10)
        assert curve.precision == pytest.approx((1, 1 / 2, 2 / 3))
        assert curve.recall == pytest.approx((1 / 2, 1 / 2, 1))

    def test_empty_places_are_misses(self) -> None:
        """A list of one right product: precision at 2 is a half."""
        queries = Queries(np.array([0]), np.array([0, 1]), np.array([1]))
        curve = length_curve(queries, np.array([[1, NOTHING]]), 3)
        assert curve.precision == pytest.approx((1.0, 0.5))


class TestBootstrap:
    def test_it_repeats(self) -> None:
        """The same seed gives the same interval, another seed another."""
        rng = np.random.default_rng(3)
        ours, peer = rng.random(50), rng.random(50)
        first = bootstrap_ratio(ours, peer, n_resamples=200)
        assert first == bootstrap_ratio(ours, peer, n_resamples=200)
        assert first != bootstrap_ratio(ours, peer, n_resamples=200, seed=1)
        assert first.low < first.value < first.high

    def test_it_is_paired(self) -> None:
        """A method that is always a tenth better is so in every resample."""
        peer = np.random.default_rng(3).random(50)
        ratio = bootstrap_ratio(1.1 * peer, peer, n_resamples=100)
        assert str(ratio) == "1.100 [1.100, 1.100]"

    def test_a_peer_that_finds_nothing(self) -> None:
        """The ratio is infinite; where neither finds anything they are level."""
        some, none = np.array([0.5, 0.5]), np.zeros(2)
        assert bootstrap_ratio(some, none, n_resamples=100).value == math.inf
        ratio = bootstrap_ratio(none, none, n_resamples=100)
        assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)

    def test_places_without_a_product_have_no_popularity(self) -> None:
        """Lists that show nothing: popularity and coverage 0."""
        queries = Queries(np.array([0]), np.array([0, 1]), np.array([1]))
        scores = score_lists(queries, np.array([[NOTHING]]), np.ones(2, bool), np.ones(2))
        assert (scores.popularity, scores.coverage) == (0.0, 0.0)
