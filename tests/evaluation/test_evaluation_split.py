"""One split in time, and what is asked on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_log import CUTOFF, LOG, A, B, C, D, E, F, orders_of

import personalize as pz
from personalize.evaluation.queries import basket_queries, follow_up_queries, repurchase_pairs
from personalize.evaluation.split import NOTHING, Split, cutoff_of, split_at
from personalize.times import to_micros


class TestSplit:
    def test_the_cutoff_itself_is_test(self, split: Split) -> None:
        """An order at the very moment of the cutoff belongs to the test period."""
        assert split.train.time.max() < CUTOFF == split.test.time.min()
        assert [split.order_ids[code] for code in np.unique(split.train.order)] == [
            "o1",
            "o2",
            "o3",
        ]

    def test_a_product_counts_once_per_order(self, split: Split) -> None:
        """Rows of one product in one order are one line, with their quantities summed."""
        assert len(split.train) == 6
        assert split.train.quantity.tolist() == [3, 1, 1, 1, 1, 1]
        assert split.basket_products().max() == 1.0

    def test_rare_products_are_learned_from_but_not_asked(self) -> None:
        """Eligible is a product with enough training lines; training keeps the others."""
        split = split_at(orders_of(LOG), CUTOFF, min_lines=2)
        assert split.eligible.tolist() == [True, True, True, False, False, False]
        assert len(split_at(orders_of(LOG), CUTOFF, min_lines=3).train) == 6

    def test_ids_and_codes(self, split: Split) -> None:
        """Codes order like ids; an unknown id has none."""
        assert split.product_codes(["f", "a", "zz"]).tolist() == [F, A, NOTHING]
        assert split.customer_codes(["cid", "nobody"]).tolist() == [2, NOTHING]

    def test_customer_products_counts_orders(self, split: Split) -> None:
        """Ann bought a in two orders; cid nothing before the cutoff."""
        assert split.customer_products().toarray()[:, :3].tolist() == [
            [2, 1, 1],
            [0, 1, 1],
            [0] * 3,
        ]


class TestQueries:
    def test_baskets_need_two_products(self, split: Split) -> None:
        """Three draws from each of o4, o6 and o7; o5 has one product and is left out."""
        queries = basket_queries(split)
        assert len(queries) == 9
        assert np.diff(queries.start).tolist() == [2, 1, 1] * 3

    def test_anchor_and_truth_make_the_basket(self, split: Split) -> None:
        """The anchor is one product of the order, the truth is all the others."""
        queries = basket_queries(split, seeds=(5,))
        baskets = [
            sorted([asked, *queries.truth[queries.start[i] : queries.start[i + 1]].tolist()])
            for i, asked in enumerate(queries.asked.tolist())
        ]
        assert baskets == [[C, D, E], [A, E], [A, B]]

    def test_draws_repeat_and_differ_by_seed(self, split: Split) -> None:
        """The same seed draws the same anchors."""
        first, second = basket_queries(split), basket_queries(split)
        assert first.asked.tolist() == second.asked.tolist()
        many = basket_queries(split, seeds=tuple(range(20)))
        assert len(set(many.asked.tolist())) == 5

    def test_rare_products_are_in_no_query(self) -> None:
        """With at least two training lines only a, b and c count: o4 has one left, o7 two."""
        split = split_at(orders_of(LOG), CUTOFF, min_lines=2)
        queries = basket_queries(split)
        assert len(queries) == 3
        assert set(queries.asked.tolist()) | set(queries.truth.tolist()) == {A, B}

    def test_follow_up_is_what_is_new_in_the_first_order(self, split: Split) -> None:
        """Ann: d and e (c is known; o5 is as late, its id larger). Bob: a and e. Cid is unknown."""
        queries = follow_up_queries(split)
        assert queries.asked.tolist() == [0, 1]
        assert queries.start.tolist() == [0, 2, 4]
        assert queries.truth.tolist() == [D, E, A, E]

    def test_customers_without_anything_new_are_left_out(self) -> None:
        """Of eligible products only a is new, to bob."""
        split = split_at(orders_of(LOG), CUTOFF, min_lines=2)
        queries = follow_up_queries(split)
        assert queries.asked.tolist() == [1]
        assert queries.truth.tolist() == [A]

    def test_pairs_and_their_horizon(self, split: Split) -> None:
        """Ann buys c again at once; 60 days reach to 29 April 23:59, not to the 30th."""
        pairs = repurchase_pairs(split)
        assert list(zip(pairs.customer, pairs.product, strict=True)) == [
            (0, A),
            (0, B),
            (0, C),
            (1, B),
            (1, C),
        ]
        assert pairs.again.tolist() == [False, False, True, False, False]
        rows = [*LOG, ("o8", "bob", "b", "2020-04-29T23:59:59", 1)]
        late = split_at(orders_of(rows), CUTOFF)
        assert repurchase_pairs(late).again.tolist() == [False, False, True, True, False]
        rows = [*LOG, ("o8", "bob", "b", "2020-04-30", 1)]
        too_late = split_at(orders_of(rows), CUTOFF)
        assert repurchase_pairs(too_late).again[3] == np.False_

    def test_a_sample_keeps_the_order(self, split: Split) -> None:
        """Of nine queries four are drawn by the seed, in their old order, each with its truth."""
        queries = basket_queries(split)
        few = queries.sample(4, seed=0)
        assert len(few) == 4
        assert few.asked.tolist() == queries.sample(4, seed=0).asked.tolist()
        everything = [
            (asked, tuple(queries.truth[queries.start[i] : queries.start[i + 1]].tolist()))
            for i, asked in enumerate(queries.asked.tolist())
        ]
        places = [
            everything.index((asked, tuple(few.truth[few.start[i] : few.start[i + 1]].tolist())))
            for i, asked in enumerate(few.asked.tolist())
        ]
        assert len(places) == 4
        assert queries.sample(9, seed=0) is queries

    def test_truth_by_another_code(self, split: Split) -> None:
        """With d and e one thing Ann's truth is one, Bob's a and that."""
        queries = follow_up_queries(split).mapped(np.array([A, B, C, D, D, F]))
        assert queries.start.tolist() == [0, 1, 3]
        assert queries.truth.tolist() == [D, A, D]


class TestWhatCounts:
    ROWS = pd.DataFrame(
        [
            ("o1", "ann", "kept", "2020-01-01", 3, 1, "2020-01-05", False),
            ("o1", "ann", "gift", "2020-01-01", 1, 0, None, True),
            ("o1", "ann", "back", "2020-01-01", 1, 1, "2020-01-09", False),
            ("o1", "ann", "late", "2020-01-01", 1, 1, "2020-03-05", False),
            ("o2", None, "kept", "2020-01-02", 1, 0, None, False),
            ("o3", "ann", "back", "2020-03-02", 1, 1, "2020-03-09", False),
            ("o3", "ann", "kept", "2020-03-02", 1, 0, None, False),
        ],
        columns=[
            *("order_id", "customer_id", "product_id", "ordered_at", "quantity"),
            *("returned_quantity", "returned_at", "gift"),
        ],
    )

    @pytest.fixture
    def cut(self) -> Split:
        """Return the rows, cut on 1 March."""
        return split_at(pz.Orders.from_frame(self.ROWS, strict=True), CUTOFF, min_lines=0)

    def test_gifts_and_returns_do_not_count(self, cut: Split) -> None:
        """Before the cutoff only returns before it happened; the test period knows all."""
        names = cut.product_ids[cut.train.product].tolist()
        assert names == ["kept", "late", "kept"]
        assert cut.train.quantity.tolist() == [2, 1, 1]
        assert cut.product_ids[cut.test.product].tolist() == ["kept"]

    def test_guests_are_in_baskets_and_in_no_history(self, cut: Split) -> None:
        """The guest's order is a basket; only Ann has bought anything."""
        assert cut.basket_products().shape[0] == 2
        assert cut.customer_products().toarray().sum() == 2
        assert len(repurchase_pairs(cut)) == 2

    def test_days_of_the_test_period(self, cut: Split) -> None:
        """From 1 March to the newest order on the 2nd."""
        assert cut.test_days == 1.0


class TestCutoff:
    def test_a_fifth_from_a_midnight_on(self) -> None:
        """Of 120 days from 1 January to 30 April four fifths are 96: 6 April."""
        assert cutoff_of(orders_of(LOG), None) == to_micros("2020-04-06")

    def test_a_short_span_has_no_midnight(self) -> None:
        """Orders of one day are cut within it."""
        rows = [(f"o{hour}", "ann", "a", f"2020-01-01T{hour:02}:00:00", 1) for hour in range(11)]
        assert cutoff_of(orders_of(rows), None) == to_micros("2020-01-01T08:00:00")

    def test_no_orders(self) -> None:
        """There is nothing to split."""
        with pytest.raises(pz.InvalidOrdersError, match="there are none to evaluate with"):
            cutoff_of(orders_of(LOG).before("2019-01-01"), None)

    def test_one_moment(self) -> None:
        """Orders of a single moment cannot be split."""
        with pytest.raises(pz.InvalidOrdersError, match="all are of 2020-01-01T00:00:00Z, so no"):
            cutoff_of(orders_of([("o1", "ann", "a", "2020-01-01", 1)]), None)

    @pytest.mark.parametrize(
        ("given", "side"), [("2020-01-01", "before"), ("2020-05-01", "at or after")]
    )
    def test_a_side_without_orders(self, given: str, side: str) -> None:
        """Both periods need an order."""
        with pytest.raises(pz.InvalidConfigError, match=f"cutoff: no order lies {side} {given}"):
            cutoff_of(orders_of(LOG), given)
