"""The benchmarks: what they ask, how they score, and that their commands run end to end."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import personalize as pz
from benchmarks import (
    als_process,
    datasets,
    guards,
    peers,
    protocol,
    quality,
    speed,
    suppression,
    throughput,
)
from benchmarks.protocol import NOTHING, Queries
from personalize.times import to_micros

CUTOFF = to_micros("2020-03-01")

# One letter is one product. The cutoff is 1 March.
#   before: o1 ann a b (a twice: one line of 1 + 2)   o2 ann a c   o3 bob b c
#   after:  o4 ann c d e                              o5 ann f     o6 bob a e   o7 cid a b
LOG = [
    ("o1", "ann", "a", "2020-01-01", 1),
    ("o1", "ann", "b", "2020-01-01", 1),
    ("o1", "ann", "a", "2020-01-01", 2),
    ("o2", "ann", "a", "2020-02-01", 1),
    ("o2", "ann", "c", "2020-02-01", 1),
    ("o3", "bob", "b", "2020-02-29T23:59:59", 1),
    ("o3", "bob", "c", "2020-02-29T23:59:59", 1),
    ("o4", "ann", "c", "2020-03-01", 1),
    ("o4", "ann", "d", "2020-03-01", 1),
    ("o4", "ann", "e", "2020-03-01", 1),
    ("o5", "ann", "f", "2020-03-01", 1),
    ("o6", "bob", "a", "2020-04-29T23:59:59", 1),
    ("o6", "bob", "e", "2020-04-29T23:59:59", 1),
    ("o7", "cid", "a", "2020-04-30", 1),
    ("o7", "cid", "b", "2020-04-30", 1),
]
A, B, C, D, E, F = range(6)


def log_of(rows: list[tuple[str, str, str, str, int]]) -> pd.DataFrame:
    """Return rows as the table that is split."""
    table = pd.DataFrame(rows, columns=list(protocol.LINE_COLUMNS))
    table["ordered_at"] = pd.to_datetime(table["ordered_at"], utc=True, format="ISO8601")
    return table


@pytest.fixture
def split() -> protocol.Split:
    """Return the log, cut on 1 March; every product counts."""
    return protocol.split_at(log_of(LOG), CUTOFF, min_lines=0)


class TestSplit:
    def test_the_cutoff_itself_is_test(self, split: protocol.Split) -> None:
        """An order at the very moment of the cutoff belongs to the test period."""
        assert split.train.time.max() < CUTOFF == split.test.time.min()
        assert [split.order_ids[code] for code in np.unique(split.train.order)] == [
            "o1",
            "o2",
            "o3",
        ]

    def test_a_product_counts_once_per_order(self, split: protocol.Split) -> None:
        """Rows of one product in one order are one line, with their quantities summed."""
        assert len(split.train) == 6
        assert split.train.quantity.tolist() == [3, 1, 1, 1, 1, 1]
        assert split.basket_products().max() == 1.0

    def test_rare_products_are_learned_from_but_not_asked(self) -> None:
        """Eligible is a product with enough training lines; training keeps the others."""
        split = protocol.split_at(log_of(LOG), CUTOFF, min_lines=2)
        assert split.eligible.tolist() == [True, True, True, False, False, False]
        assert len(protocol.split_at(log_of(LOG), CUTOFF, min_lines=3).train) == 6

    def test_ids_and_codes(self, split: protocol.Split) -> None:
        """Codes order like ids; an unknown id has none."""
        assert split.product_codes(["f", "a", "zz"]).tolist() == [F, A, NOTHING]
        assert split.customer_codes(["cid", "nobody"]).tolist() == [2, NOTHING]

    def test_customer_products_counts_orders(self, split: protocol.Split) -> None:
        """Ann bought a in two orders; cid nothing before the cutoff."""
        assert split.customer_products().toarray()[:, :3].tolist() == [
            [2, 1, 1],
            [0, 1, 1],
            [0] * 3,
        ]


class TestQueries:
    def test_baskets_need_two_products(self, split: protocol.Split) -> None:
        """Three draws from each of o4, o6 and o7; o5 has one product and is left out."""
        queries = protocol.basket_queries(split)
        assert len(queries) == 9
        assert np.diff(queries.start).tolist() == [2, 1, 1] * 3

    def test_anchor_and_truth_make_the_basket(self, split: protocol.Split) -> None:
        """The anchor is one product of the order, the truth is all the others."""
        queries = protocol.basket_queries(split, seeds=(5,))
        baskets = [
            sorted([asked, *queries.truth[queries.start[i] : queries.start[i + 1]].tolist()])
            for i, asked in enumerate(queries.asked.tolist())
        ]
        assert baskets == [[C, D, E], [A, E], [A, B]]

    def test_draws_repeat_and_differ_by_seed(self, split: protocol.Split) -> None:
        """The same seed draws the same anchors."""
        first, second = protocol.basket_queries(split), protocol.basket_queries(split)
        assert first.asked.tolist() == second.asked.tolist()
        many = protocol.basket_queries(split, seeds=tuple(range(20)))
        assert len(set(many.asked.tolist())) == 5

    def test_rare_products_are_in_no_query(self) -> None:
        """With at least two training lines only a, b and c count: o4 has one left, o7 two."""
        split = protocol.split_at(log_of(LOG), CUTOFF, min_lines=2)
        queries = protocol.basket_queries(split)
        assert len(queries) == 3
        assert set(queries.asked.tolist()) | set(queries.truth.tolist()) == {A, B}

    def test_follow_up_is_what_is_new_in_the_first_order(self, split: protocol.Split) -> None:
        """Ann: d and e (c is known; o5 is as late, its id larger). Bob: a and e. Cid is unknown."""
        queries = protocol.follow_up_queries(split)
        assert queries.asked.tolist() == [0, 1]
        assert queries.start.tolist() == [0, 2, 4]
        assert queries.truth.tolist() == [D, E, A, E]

    def test_customers_without_anything_new_are_left_out(self) -> None:
        """Of eligible products only a is new, to bob."""
        split = protocol.split_at(log_of(LOG), CUTOFF, min_lines=2)
        queries = protocol.follow_up_queries(split)
        assert queries.asked.tolist() == [1]
        assert queries.truth.tolist() == [A]

    def test_pairs_and_their_horizon(self, split: protocol.Split) -> None:
        """Ann buys c again at once; 60 days reach to 29 April 23:59, not to the 30th."""
        pairs = protocol.repurchase_pairs(split)
        assert list(zip(pairs.customer, pairs.product, strict=True)) == [
            (0, A),
            (0, B),
            (0, C),
            (1, B),
            (1, C),
        ]
        assert pairs.again.tolist() == [False, False, True, False, False]
        rows = [*LOG, ("o8", "bob", "b", "2020-04-29T23:59:59", 1)]
        late = protocol.split_at(log_of(rows), CUTOFF)
        assert protocol.repurchase_pairs(late).again.tolist() == [False, False, True, True, False]
        rows = [*LOG, ("o8", "bob", "b", "2020-04-30", 1)]
        too_late = protocol.split_at(log_of(rows), CUTOFF)
        assert protocol.repurchase_pairs(too_late).again[3] == np.False_


class TestMetrics:
    def test_values_by_hand(self) -> None:
        """Truth {1, 2, 3}; hits at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2(3) + 1/2)."""
        queries = Queries(np.array([0]), np.array([0, 3]), np.array([1, 2, 3]))
        lists = np.array([[1, 5, 2, NOTHING, NOTHING]])
        scores = protocol.score_lists(queries, lists, np.ones(8, bool))
        assert scores.ndcg[0] == pytest.approx(1.5 / (1.5 + 1 / math.log2(3)))
        assert scores.recall[0] == pytest.approx(2 / 3)
        assert scores.hit[0] == 1.0
        assert scores.coverage == 3 / 8

    def test_the_ideal_list_has_ten_places(self) -> None:
        """With 12 right answers ten hits are a perfect list; recall is 10/12."""
        queries = Queries(np.array([0]), np.array([0, 12]), np.arange(12))
        scores = protocol.score_lists(queries, np.arange(12)[None, :], np.ones(12, bool))
        assert scores.ndcg[0] == pytest.approx(1.0)
        assert scores.recall[0] == pytest.approx(10 / 12)

    def test_a_repeated_product_counts_once(self) -> None:
        """The second place of the same product is a miss."""
        queries = Queries(np.array([0]), np.array([0, 2]), np.array([1, 2]))
        scores = protocol.score_lists(queries, np.array([[1, 1, 2]]), np.ones(3, bool))
        assert scores.ndcg[0] == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
        assert scores.recall[0] == 1.0

    def test_coverage_is_of_eligible_products(self) -> None:
        """A rare product takes a place and covers nothing."""
        queries = Queries(np.array([0]), np.array([0, 1]), np.array([1]))
        eligible = np.array([True, True, False])
        scores = protocol.score_lists(queries, np.array([[2, 1]]), eligible)
        assert scores.means() == {
            "ndcg": pytest.approx(1 / math.log2(3)),
            "recall": 1.0,
            "hit": 1.0,
            "coverage": 0.5,
        }

    def test_each_question_is_asked_once(self) -> None:
        """Queries about the same anchor share one list."""
        queries = Queries(np.array([4, 2, 4]), np.array([0, 1, 2, 3]), np.array([1, 1, 1]))
        asked: list[list[int]] = []

        def lists_for(codes: np.ndarray) -> np.ndarray:
            asked.append(codes.tolist())
            return codes[:, None] * 10

        assert protocol.answers(queries, lists_for).tolist() == [[40], [20], [40]]
        assert asked == [[2, 4]]

    def test_top_k_breaks_ties_by_code(self) -> None:
        """Score descending, then the smaller code; what is -inf is never shown."""
        scores = np.array([[1.0, 3.0, 3.0, -np.inf, 1.0], [-np.inf, 0.0, -1.0, -np.inf, -np.inf]])
        assert protocol.top_k(scores, 3).tolist() == [[1, 2, 0], [1, 2, NOTHING]]
        assert protocol.top_k(np.empty((1, 0)), 2).tolist() == [[NOTHING, NOTHING]]


class TestBootstrap:
    def test_it_repeats(self) -> None:
        """The same seed gives the same interval, another seed another."""
        rng = np.random.default_rng(3)
        ours, peer = rng.random(50), rng.random(50)
        first = protocol.bootstrap_ratio(ours, peer, n_resamples=200)
        assert first == protocol.bootstrap_ratio(ours, peer, n_resamples=200)
        assert first != protocol.bootstrap_ratio(ours, peer, n_resamples=200, seed=1)
        assert first.low < first.value < first.high

    def test_it_is_paired(self) -> None:
        """A method that is always a tenth better is so in every resample."""
        peer = np.random.default_rng(3).random(50)
        ratio = protocol.bootstrap_ratio(1.1 * peer, peer, n_resamples=100)
        assert str(ratio) == "1.100 [1.100, 1.100]"


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

    def test_popularity_windows(self, split: protocol.Split) -> None:
        """All time: a, b, c twice each. Of the last 10 days only o3."""
        ever, lately = peers.popularity(split, (None, 10))
        assert ever.by_anchor is not None
        assert lately.by_anchor is not None
        assert ever.by_anchor(np.array([0]))[0].tolist() == [2, 2, 2, *[-np.inf] * 3]
        assert lately.by_anchor(np.array([0]))[0].tolist() == [-np.inf, 1, 1, *[-np.inf] * 3]

    def test_nothing_owned_and_no_anchor_is_listed(self, split: protocol.Split) -> None:
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


class TestSuppression:
    def test_lost_share_by_hand(self) -> None:
        """The lower half of four pairs holds one of two repurchases."""
        again = np.array([True, False, True, False])
        assert suppression.lost_share(again, np.array([0.1, 0.2, 0.3, 0.4]), 0.5) == 0.5

    def test_a_tie_is_shared_out(self) -> None:
        """All scores equal: half saved loses half, whatever the order of the rows."""
        again = np.array([True, True, False, False])
        assert suppression.lost_share(again, np.zeros(4), 0.5) == 0.5
        assert suppression.lost_share(again, np.zeros(4), 0.8) == pytest.approx(0.8)

    def test_calibration_error_by_hand(self) -> None:
        """Two bins of two: (|.1 - 0| + |.8 - .5|) / 2."""
        again = np.array([False, False, True, False])
        score = np.array([0.1, 0.1, 0.8, 0.8])
        assert suppression.calibration_error(again, score, 2) == pytest.approx(0.2)

    def test_all_metrics(self) -> None:
        """A perfect ranking: AUC and AP are 1, nothing is lost; no probability, no log loss."""
        again = np.array([False, False, False, True])
        scores = suppression.score_repurchase(again, np.arange(4.0), is_probability=False)
        assert (scores.auc, scores.average_precision, scores.lost[0]) == (1.0, 1.0, 0.0)
        assert math.isnan(scores.log_loss)
        sure = suppression.score_repurchase(again, np.full(4, 0.25), is_probability=True)
        assert sure.log_loss == pytest.approx(-(3 * math.log(0.75) + math.log(0.25)) / 4)

    def test_features_by_hand(self, split: protocol.Split) -> None:
        """Ann and a: bought on 2 days, 4 units, 29 and 60 days ago, in 2 orders of hers."""
        pairs = protocol.repurchase_pairs(split)
        known = suppression.features_at(split, split.train, pairs, CUTOFF)
        row = dict(zip(suppression.FEATURES, known[0].tolist(), strict=True))
        assert row == {
            "times bought": 2,
            "units bought": 4,
            "days since last": 29,
            "days since first": 60,
            "own mean gap": 31,
            "customer's orders": 2,
            "customer's recent orders": 2,
            "days since the customer's last order": 29,
            "days since the customer's first order": 60,
            "customer's products": 3,
            "customer's share of products that repeat": pytest.approx(1 / 3),
            "product's orders": 2,
            "product's repeat rate": pytest.approx((1 + 5 * 0.2) / (1 + 5)),
            "product's recent orders": 2,
        }
        assert math.isnan(known[1, suppression.FEATURES.index("own mean gap")])


class TestDatasets:
    def test_online_retail_rows(self) -> None:
        """Guests, returns, corrections, cancellations and what is no product are left out."""
        table = pd.DataFrame(
            {
                "Invoice": ["1", "1", "C2", "3", "4", "5"],
                "StockCode": ["85123A", "POST", "85123A", "85123A", "85123A", "85123A"],
                "Description": ["A lamp"] * 6,
                "Quantity": [1, 1, 1, -1, 1, 1],
                "InvoiceDate": pd.to_datetime(["2010-01-01"] * 6),
                "Price": [1.0, 1.0, 1.0, 1.0, 0.0, 1.0],
                "Customer ID": [12345.0] * 5 + [float("nan")],
            }
        )
        lines = datasets.clean_retail(table).lines
        assert lines[["order_id", "customer_id", "product_id"]].to_numpy().tolist() == [
            ["1", "12345", "85123A"]
        ]
        assert lines["ordered_at"].iloc[0] == pd.Timestamp("2010-01-01", tz="UTC")

    def test_ta_feng_baskets_are_a_week_apart(self) -> None:
        """The last basket is at the cutoff, the one before it seven days earlier."""
        dataset = datasets.date_baskets({"7": [[1], [2, 3], [4]]})
        days = (
            dataset.lines["ordered_at"] - pd.Timestamp(datasets.TA_FENG_CUTOFF, tz="UTC")
        ).dt.days
        assert days.tolist() == [-14, -7, -7, 0]
        wide = datasets.date_baskets({"7": [[9], [10]]}).lines
        assert wide["product_id"].tolist() == ["09", "10"]
        split = protocol.split_at(dataset.lines, dataset.cutoff, min_lines=dataset.min_lines)
        assert len(split.train) == 3
        assert split.test.time.tolist() == [split.cutoff]

    def test_the_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is given wins over the environment; without either there is none."""
        monkeypatch.setenv(datasets.DATA_VARIABLE, "/there")
        assert datasets.data_folder(Path("/here")) == Path("/here")
        assert datasets.data_folder(None) == Path("/there")
        monkeypatch.delenv(datasets.DATA_VARIABLE)
        assert datasets.data_folder(None) is None


class TestGuards:
    CATALOG = pd.DataFrame(
        {
            "product_id": ["a", "b", "c", "d"],
            "item_group_id": ["g", "g", None, None],
            "product_type": ["Coats", "Coats", "Coats", "Ties"],
            "availability": ["in_stock", "in_stock", "out_of_stock", "in_stock"],
        }
    )

    def test_every_violation_is_counted(self) -> None:
        """One of each: c twice and unavailable, d held, a beside its variant b, coats enough."""
        shown = pd.DataFrame({"key": [1, 1, 1, 1, 1], "product_id": list("abccd")})
        held = pd.DataFrame({"key": [1, 2], "product_id": ["d", "a"]})
        enough = pd.DataFrame({"key": [1], "product_type": ["Coats"]})
        counts = guards.count_violations(shown, held, catalog=self.CATALOG, one_per_need=enough)
        assert counts == {
            "repeated": 1,
            "held": 1,
            "out of stock": 2,
            "two of a group": 1,
            "one-per-need type": 4,
        }

    def test_without_a_catalogue_two_remain(self) -> None:
        """What needs no catalogue is counted all the same."""
        shown = pd.DataFrame({"key": [1], "product_id": ["a"]})
        held = pd.DataFrame({"key": [2], "product_id": ["a"]})
        assert guards.count_violations(shown, held) == {"repeated": 0, "held": 0}

    def test_variants_of_what_is_held(self) -> None:
        """Product b is a variant of a; products without a group are nobody's variant."""
        shown = pd.DataFrame({"key": [1, 1, 2], "product_id": ["b", "c", "b"]})
        held = pd.DataFrame({"key": [1, 1], "product_id": ["a", "d"]})
        assert guards.count_variants(shown, held, self.CATALOG) == 1

    def test_lists_as_tables(self, split: protocol.Split) -> None:
        """Empty places are left out; a history names every product once."""
        table = guards.long_lists(np.array([0, 1]), np.array([[B, NOTHING], [A, C]]), split)
        assert table.to_numpy().tolist() == [[0, "b"], [1, "a"], [1, "c"]]
        assert guards.histories_of(np.array([1]), split)["product_id"].tolist() == ["b", "c"]
        assert guards.baskets_of(np.array([D]), split).to_numpy().tolist() == [[D, "d"]]


@pytest.fixture(scope="module")
def made_up_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop in the two files' own formats."""
    rng = np.random.default_rng(0)
    rows = []
    for order in range(400):
        day = rng.integers(0, 120)
        customer = 12000 + int(rng.integers(40))
        for product in rng.choice(30, size=4, replace=False).tolist():
            rows.append((str(order), f"{10000 + product // 2}{'AB'[product % 2]}", day, customer))
    table = pd.DataFrame(rows, columns=["Invoice", "StockCode", "day", "Customer ID"])
    table["InvoiceDate"] = pd.Timestamp("2010-07-01") + pd.to_timedelta(table.pop("day"), unit="D")
    table["Customer ID"] = table["Customer ID"].astype("float64")
    table["Description"] = "PRETTY " + table["StockCode"].str[4].map(
        lambda n: f"{'ABCDE'[int(n) % 5]}AG"
    )
    table["Quantity"] = 1
    table["Price"] = 2.5
    table["Country"] = "United Kingdom"
    folder = tmp_path_factory.mktemp("data")
    table.to_parquet(folder / datasets.RETAIL_FILE)
    baskets = {
        str(customer): [rng.choice(12, size=3, replace=False).tolist() for _ in range(4)]
        for customer in range(20)
    }
    (folder / datasets.TA_FENG_FILE).write_text(json.dumps(baskets), encoding="utf-8")
    return folder


class TestQuality:
    def test_online_retail_end_to_end(
        self, made_up_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """All peers and ours answer A, B and S; the best peer is chosen afterwards."""
        out = tmp_path / "found.json"
        command = ["--data", str(made_up_folder), "--json", str(out), "--config", "min_customers=1"]
        assert quality.main([*command, "--cutoff", "2010-09-15"]) == 0
        found = json.loads(out.read_text(encoding="utf-8"))
        assert len(found["A"]["methods"]) == 15
        assert len(found["B"]["methods"]) == 14
        for task in ("A", "B"):
            rows = found[task]["methods"]
            peers_only = {name: row["ndcg"] for name, row in rows.items() if name != quality.OURS}
            assert found[task]["best_peer"] == max(peers_only, key=lambda name: peers_only[name])
            assert found[task]["ratio"]["low"] <= found[task]["ratio"]["value"]
            assert all(0 <= row[name] <= 1 for row in rows.values() for name in row)
        assert set(found["S"]["methods"]) >= {"gradient boosting", quality.OURS}
        for where in found["guards"].values():
            for counts in where.values():
                assert not any(counts.values())
        assert "decision in force" in capsys.readouterr().out

    def test_ta_feng_end_to_end(
        self, made_up_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Undated baskets: A and B, no S."""
        command = ["--data", str(made_up_folder), "--dataset", "ta-feng", "--peers", "best"]
        assert quality.main([*command, "--no-ours"]) == 0
        printed = capsys.readouterr().out
        assert "co-purchase count" in printed
        assert "S. Suppression" not in printed

    def test_until_hides_the_test_period(self, made_up_folder: Path) -> None:
        """With an end, nothing at or after it is read."""
        options = quality.parser().parse_args(["--cutoff", "2010-08-15", "--until", "2010-09-15"])
        lines = quality.read_dataset(options, made_up_folder).lines
        assert lines["ordered_at"].max() < pd.Timestamp("2010-09-15", tz="UTC")

    def test_no_data_is_said(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a folder the command says how to give one, and ends with 2."""
        monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
        assert quality.main([]) == 2
        assert "set PERSONALIZE_REAL_DATA" in capsys.readouterr().err


class TestSpeed:
    def test_a_process_is_measured(self) -> None:
        """Wall time, CPU time and the peak of one process: 64 MB touched are 64 MB more."""
        small = speed.measure([sys.executable, "-c", "print('hello')"])
        large = speed.measure([sys.executable, "-c", "b'x' * 64_000_000"])
        assert small.output == "hello\n"
        assert small.wall_s > 0 < small.cpu_s
        assert large.wall_s < 60

    def test_a_failure_is_told(self) -> None:
        """A process that fails says why."""
        with pytest.raises(RuntimeError, match=r"ended with 3: oh no"):
            speed.measure(
                [sys.executable, "-c", "import sys; sys.stderr.write('oh no'); sys.exit(3)"]
            )

    def test_the_race(
        self,
        made_up_folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Ours and ALS alternate; the ratio is the median of the pairs'."""
        monkeypatch.setattr(speed, "train_command", lambda *_: [sys.executable, "-c", "pass"])
        found = speed.race(speed.online_retail(made_up_folder), tmp_path, 1)
        assert found["wall_ratio"] == found["wall_ratios"][0] > 0
        assert speed.is_within({"lines": 1600, "train": found})
        slow, large = {"wall_ratio": 10.1}, {"cold": {"peak_mb": 2000.0}}
        assert not speed.is_within({"lines": 1600, "train": found | slow})
        assert not speed.is_within({"lines": 1600, "train": found | large})
        speed.print_race(found, 1)
        assert "line: at most 10" in capsys.readouterr().out

    def test_als_reads_the_same_orders(self, made_up_folder: Path) -> None:
        """The rival's matrix has every line of the made-up shop."""
        matrix = als_process.read_matrix(str(made_up_folder / datasets.RETAIL_FILE))
        assert (matrix.shape, int(matrix.sum())) == ((40, 30), 1600)

    def test_als_writes_its_factors(self, made_up_folder: Path, tmp_path: Path) -> None:
        """The rival fits as a process of its own, and writes what it learned."""
        files = [str(made_up_folder / datasets.RETAIL_FILE), str(tmp_path / "als.npz")]
        speed.measure([sys.executable, "-m", "benchmarks.als_process", *files])
        with np.load(tmp_path / "als.npz") as factors:
            assert factors["products"].shape == (30, als_process.FACTORS)

    def test_answers_are_timed(
        self, made_up_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A trained model answers as many pairs as lines, all customers, and single decisions."""
        shop = speed.online_retail(made_up_folder)
        orders = pz.read_orders(shop.orders, **shop.reading)
        pz.Engine.fit(orders).save(tmp_path / "first")
        pz.ModelsDirectory(tmp_path).use("first")
        found = throughput.main(str(tmp_path), str(shop.orders), json.dumps(dict(shop.reading)))
        assert (found["check"]["n"], found["recommend"]["n"]) == (1600, 40)
        for name in ("decide", "decide_100"):
            assert 0 < found[name]["median_us"] <= found[name]["p99_us"]
        speed.print_answers({**found, "process": {"peak_mb": 1.0}})
        assert "decide" in capsys.readouterr().out

    def test_no_data_is_said(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a shop the command says how to get one, and ends with 2."""
        monkeypatch.delenv(speed.DATA_VARIABLE, raising=False)
        assert speed.main([]) == 2
        assert "--lines N" in capsys.readouterr().err


REAL = os.environ.get(datasets.DATA_VARIABLE)


@pytest.mark.skipif(REAL is None, reason=f"{datasets.DATA_VARIABLE} is unset: no real orders here")
class TestRealData:
    def test_online_retail_counts(self) -> None:
        """The split has the published sizes: lines, customers, products, queries, pairs."""
        dataset = datasets.read_online_retail(Path(REAL or ""))
        split = protocol.split_at(dataset.lines, dataset.cutoff, min_lines=dataset.min_lines)
        kept = split.eligible[split.train.product]
        assert (int(kept.sum()), int(split.eligible.sum())) == (273_255, 3_259)
        assert len(np.unique(split.train.customer[kept])) == 3_536
        assert len(protocol.basket_queries(split)) == 14_664
        assert len(protocol.follow_up_queries(split)) == 1_690
        pairs = protocol.repurchase_pairs(split)
        assert (len(pairs.again), round(float(pairs.again.mean()), 3)) == (196_567, 0.111)

    def test_ta_feng_counts(self) -> None:
        """The same for Ta-Feng."""
        dataset = datasets.read_ta_feng(Path(REAL or ""))
        split = protocol.split_at(dataset.lines, dataset.cutoff, min_lines=dataset.min_lines)
        assert len(protocol.basket_queries(split)) == 35_100
        assert len(protocol.follow_up_queries(split)) == 13_137
