"""The methods to compare with, each against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from small_log import A, B, C, D, E, F

from personalize.evaluation import peers
from personalize.evaluation.split import NOTHING, Split


class TestPeers:
    @pytest.fixture
    def baskets(self) -> sp.csr_matrix:
        """Four baskets of four products."""
        return sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1.0]]))

    def test_co_purchase_is_the_count(self, baskets: sp.csr_matrix) -> None:
        """In how many baskets two products are together, by a double loop."""
        rows = baskets.toarray()
        expected = np.zeros((4, 4))
        for basket in rows:
            for left in np.flatnonzero(basket):
                for right in np.flatnonzero(basket):
                    expected[left, right] += left != right
        expected[expected == 0] = -np.inf
        peer = peers.co_purchase(baskets, baskets)
        assert peer.by_anchor is not None
        assert np.array_equal(peer.by_anchor(np.arange(4)), expected)

    def test_a_history_sums(self, baskets: sp.csr_matrix) -> None:
        """A customer who bought products 0 and 1: product 2 was with them 1 + 2 times."""
        peer = peers.co_purchase(baskets, baskets)
        assert peer.by_customer is not None
        assert peer.by_customer(np.array([0]))[0].tolist() == [2.0, 2.0, 3.0, -np.inf]

    def test_log_likelihood_ratio(self, baskets: sp.csr_matrix) -> None:
        """Products 0 and 1: 2 together, 0 alone, 1 alone, 1 neither: 2 (H rows + H cols - H)."""
        cells = {2: 1, 0: 1, 1: 2}  # cell value: how many of the four cells hold it

        def entropy(counts: list[int]) -> float:
            return -sum(n * math.log(n / 4) for n in counts if n)

        assert sum(cells.values()) == 4
        expected = 2 * (entropy([2, 2]) + entropy([3, 1]) - entropy([2, 1, 1]))
        peer = peers.log_likelihood(baskets, baskets)
        assert peer.by_anchor is not None
        scores = peer.by_anchor(np.array([0]))[0]
        assert scores[1] == pytest.approx(expected)
        assert scores[2] == -np.inf  # together once in four, by chance once in four

    def test_ease_is_the_closed_form(self, baskets: sp.csr_matrix) -> None:
        """B = -P / diag(P) with P the inverse of the penalised Gram matrix, its diagonal 0."""
        gram = (baskets.T @ baskets).toarray()
        inverse = np.linalg.inv(gram + 2.0 * np.eye(4))
        expected = -inverse / np.diag(inverse)
        np.fill_diagonal(expected, 0.0)
        peer = peers.ease("baskets", 2.0, baskets, baskets)
        assert peer.by_anchor is not None
        assert peer.by_customer is not None
        assert peer.by_anchor(np.arange(4)) == pytest.approx(expected)
        assert peer.by_customer(np.array([1])) == pytest.approx(baskets.toarray()[[1]] @ expected)
        assert peers.ease("baskets", 2.0, baskets, None).by_customer is None

    def test_popularity_windows(self, split: Split) -> None:
        """All time: a, b, c twice each. Of the last 10 days only o3."""
        ever, lately = peers.popularity(split, (None, 10))
        assert ever.by_anchor is not None
        assert lately.by_anchor is not None
        assert ever.by_anchor(np.array([0]))[0].tolist() == [2, 2, 2, *[-np.inf] * 3]
        assert lately.by_anchor(np.array([0]))[0].tolist() == [-np.inf, 1, 1, *[-np.inf] * 3]

    def test_nothing_owned_and_no_anchor_is_listed(self, split: Split) -> None:
        """Ann owns a, b and c; an anchor is not its own complement."""

        def scorer(codes: np.ndarray) -> np.ndarray:
            return np.tile(np.arange(6.0), (len(codes), 1))

        listed = peers.follow_up_lists(split, scorer)(np.array([0, 1]))
        assert listed[:, :5].tolist() == [[F, E, D, NOTHING, NOTHING], [F, E, D, A, NOTHING]]
        assert peers.complement_lists(scorer)(np.array([E]))[0, :5].tolist() == [F, D, C, B, A]

    def test_a_singular_gram_is_refused(self) -> None:
        """Without a penalty there is no inverse to be had."""
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            peers.ease("baskets", 0.0, sp.csr_matrix(np.zeros((2, 3))), None)


class TestWhoIsAsked:
    def test_all_of_them(self, split: Split) -> None:
        """Fifteen, in the order of the tables."""
        names = [peer if isinstance(peer, str) else peer.name for peer in peers.all_peers(split)]
        assert len(names) == 15
        assert names[0] == "popularity, all time"
        assert names[-1] == "co-purchase count"

    def test_only_some(self, split: Split) -> None:
        """By the beginnings of their names; what is not wanted is not fitted."""
        found = peers.all_peers(split, only=("popularity, 7", "co-purchase"))
        names = [peer if isinstance(peer, str) else peer.name for peer in found]
        assert names == ["popularity, 7 days", "co-purchase count"]

    def test_only_one(self, split: Split) -> None:
        """The last peer too is fitted only where it is wanted."""
        assert len(list(peers.all_peers(split, only=("popularity, 7",)))) == 1

    def test_too_many_products_for_ease(self, split: Split) -> None:
        """EASE says why it is left out."""
        told = [p for p in peers.all_peers(split, most_ease_products=5) if isinstance(p, str)]
        assert len(told) == 1
        assert told[0].startswith("EASE is left out: it inverts a dense matrix of 6 by 6 products")

    def test_implicit_may_be_missing(self, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its seven rows are left out with a word; the others stay."""
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        found = list(peers.all_peers(split))
        told = [peer for peer in found if isinstance(peer, str)]
        assert len(found) == 9
        assert len(told) == 1
        assert told[0].endswith("implicit is not installed (pip install implicit)")
