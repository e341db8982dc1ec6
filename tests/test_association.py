"""What is bought with what, and what is bought next."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from personalize.association import Association, counting, owning, ridge, together
from personalize.association.scoring import POWER
from personalize.association.together import DAMPING_ORDERS
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.times import DAY

AS_OF = 1000 * DAY
COMPILED = (
    (counting, counting.pair_rows),
    (ridge, ridge.ridge_rows),
    (together, together.mixed_rows),
)

Log = list[tuple[int, float, set[int]]]
"""Orders as (customer or -1, days before now, products)."""

LOGS = st.lists(
    st.tuples(
        st.integers(-1, 5), st.floats(0.01, 400), st.sets(st.integers(0, 6), min_size=1, max_size=5)
    ),
    max_size=25,
)


@pytest.fixture(autouse=True, scope="module")
def _plain_loops() -> Any:
    """Run the loops by the interpreter: small logs are not worth compiling."""
    with pytest.MonkeyPatch.context() as patch:
        for module, loop in COMPILED:
            patch.setattr(module, loop.__name__, loop.py)
        patch.setattr(ridge, "TARGETS_PER_NEIGHBOUR", 7)  # no row of small logs is cut
        yield


def interactions(log: Log, n_products: int = 7) -> Interactions:
    """Return the matrices of a log."""
    log = sorted(log, key=lambda order: -order[1])
    return Interactions.from_lines(
        pa.array([f"p{num:03}" for num in range(n_products)], pa.large_string()),
        np.repeat(np.arange(len(log)), [len(products) for _, _, products in log]),
        np.array([num for _, _, products in log for num in sorted(products)], dtype=np.int32),
        np.array([AS_OF - int(days * DAY) for _, days, _ in log], dtype=np.int64),
        np.array([customer for customer, _, _ in log], dtype=np.int32),
    )


def fit(log: Log, n_products: int = 7, **config: float) -> Association:
    """Return the tables of a log, privacy off and orders alone in complements unless asked for."""
    chosen = {"min_customers": 1, "ridge_share": 0.0, "owners_share": 0.0, "ridge": 1.37, **config}
    chosen = {"ridge_neighbours": chosen.get("n_neighbours", 100), **chosen}
    return Association.fit(
        interactions(log, n_products),
        EngineConfig(**chosen),  # type: ignore[arg-type]
        AS_OF,
    )


def table(indptr: Any, nums: Any, values: Any) -> dict[tuple[int, int], float]:
    """Return the entries of a CSR by (row, column)."""
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return dict(zip(zip(rows.tolist(), nums.tolist(), strict=True), values.tolist(), strict=True))


def weights_of(owned: Any) -> Any:
    """Return each customer's weight: what they own ** -0.25, in sum as many as there are."""
    sizes = owned.sum(axis=1)
    weights = np.where(sizes > 0, np.maximum(sizes, 1.0) ** -0.25, 0.0)
    return weights * (np.count_nonzero(sizes) / max(weights.sum(), 1e-300))


def customers_of_pairs(log: Log, *, by_order: bool) -> dict[tuple[int, int], set[Any]]:
    """Return who made each ordered pair, in one order or at all (then guests left out)."""
    groups: list[tuple[Any, set[int]]] = []
    if by_order:
        groups = [(c if c >= 0 else ("guest", i), p) for i, (c, _, p) in enumerate(log)]
    else:
        owned: dict[int, set[int]] = defaultdict(set)
        for customer, _, products in log:
            if customer >= 0:
                owned[customer] |= products
        groups = list(owned.items())
    found: dict[tuple[int, int], set[Any]] = defaultdict(set)
    for who, products in groups:
        for pair in itertools.permutations(products, 2):
            found[pair].add(who)
    return found


@settings(deadline=None)
@given(LOGS, st.integers(1, 4), st.floats(10, 400))
def test_together_equals_a_double_loop_over_baskets(log: Log, least: int, half_life: float) -> None:
    """Chance, support and lift of every pair are those of a double loop over the orders."""
    found = fit(log, min_customers=least, half_life_days=half_life)
    weight: Counter[tuple[int, int]] = Counter()
    support: Counter[tuple[int, int]] = Counter()
    of_product: Counter[int] = Counter()
    orders: Counter[int] = Counter()
    for _, days, products in log:
        counts = 2 ** (-days / half_life) / math.sqrt(len(products))
        for a in products:
            of_product[a] += counts  # type: ignore[assignment]
            orders[a] += 1
        for pair in itertools.permutations(products, 2):
            weight[pair] += counts  # type: ignore[assignment]
            support[pair] += 1
    made_by = customers_of_pairs(log, by_order=True)
    pairs = {pair for pair, who in made_by.items() if len(who) >= least}
    indptr, nums = found.together_indptr, found.together_nums
    assert table(indptr, nums, found.together_support) == {p: support[p] for p in pairs}
    chance = {
        (a, c): weight[a, c] / of_product[a] * orders[a] / (orders[a] + DAMPING_ORDERS)
        for a, c in pairs
    }
    assert table(indptr, nums, found.together_weights) == pytest.approx(chance, rel=1e-5)
    lift = {(a, c): support[a, c] * len(log) / (orders[a] * orders[c]) for a, c in pairs}
    assert table(indptr, nums, found.together_lift) == pytest.approx(lift, rel=1e-5)


def test_together_worked_by_hand() -> None:
    """Half-life, size of the order, doubt, support and lift on three orders."""
    log: Log = [(0, 180, {0, 1}), (1, 360, {0, 2, 3, 4}), (2, 180, {0})]
    # Weights: 1/2 / sqrt(2), 1/4 / sqrt(4) = 1/8, 1/2 / sqrt(1). Product 0 is in all three orders,
    # so it speaks with 3 / (3 + 2).
    found = fit(log, 5, half_life_days=180)
    total = 0.5 / math.sqrt(2) + 1 / 8 + 1 / 2
    span = slice(found.together_indptr[0], found.together_indptr[1])
    assert found.together_nums[span].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(
        found.together_weights[span],
        [0.6 * 0.5 / math.sqrt(2) / total, *([0.6 / 8 / total] * 3)],
        rtol=1e-6,
    )
    assert found.together_support[span].tolist() == [1, 1, 1, 1]
    assert found.together_orders.tolist() == [3, 1, 1, 1, 1]
    assert found.together_lift[span].tolist() == [1, 1, 1, 1]


def test_an_order_of_ages_ago_still_counts_for_its_own() -> None:
    """However old, an order that is all there is gives chances, not NaN."""
    found = fit([(0, 900, {0, 1}), (1, 0.1, {2})], half_life_days=1)
    assert np.isfinite(found.together_weights).all()
    found = Association.fit(
        interactions([(0, 900, {0, 1}), (1, 0.1, {2})]),
        EngineConfig(min_customers=1, half_life_days=1),
        AS_OF + 10**6 * DAY,
    )
    assert (found.together_weights > 0).all()


@settings(deadline=None, max_examples=60)
@given(LOGS, st.integers(1, 3), st.integers(1, 7), st.sampled_from([0.07, 1.37, 20.77]))
def test_next_equals_the_dense_ridge(log: Log, least: int, keep: int, penalty: float) -> None:
    """Weights and intercept solve the centred ridge on the nearest; rare pairs count as 0."""
    found = fit(log, min_customers=least, n_neighbours=keep, ridge=penalty)
    owned = np.zeros((6, 7))
    for customer, _, products in log:
        if customer >= 0:
            owned[customer, list(products)] = 1
    gram = np.zeros((7, 7))
    for weight, row in zip(weights_of(owned), owned, strict=True):  # one by one: ties stay ties
        gram += weight * np.outer(row, row)
    sizes = np.diag(gram).copy()
    gram[owned.T @ owned < least] = 0
    np.fill_diagonal(gram, 0)
    cosine = gram * (1.0 / np.sqrt(np.maximum(sizes, 1e-9)))
    n = max(len({customer for customer, _, _ in log if customer >= 0}), 1)
    expected, intercepts = {}, []
    for target in range(7):
        near = np.lexsort((np.arange(7), -cosine[target]))[:keep]
        near = near[gram[target, near] > 0]
        grown = penalty
        while True:
            small = gram[np.ix_(near, near)] + np.diag(sizes[near] + grown)
            centred = small - np.outer(sizes[near], sizes[near]) / n
            if not len(near) or min(np.linalg.eigvalsh(m)[0] for m in (small, centred)) > 1e-9:
                break
            grown *= 2
        solved = np.linalg.solve(centred, gram[near, target] - sizes[near] * sizes[target] / n)
        expected |= {(int(c), target): w for c, w in zip(near, solved, strict=True)}
        intercepts.append((sizes[target] - solved @ sizes[near]) / n)
    weights = table(found.next_indptr, found.next_nums, found.next_weights)
    close = 1e-5 * max([1.0, *map(abs, expected.values())])  # of nearly singular ones more is lost
    assert weights == pytest.approx(expected, rel=1e-4, abs=close)
    assert found.next_intercepts.tolist() == pytest.approx(intercepts, rel=1e-4, abs=close)


def test_next_with_every_neighbour_is_ease() -> None:
    """Where all is bought with all, the weights are EASE's of centred columns, -P_ij / P_jj."""
    log: Log = [(c, 1, {p for p in range(5) if (c * 7 + p * p) % 3}) for c in range(30)]
    log += [(30, 1, set(range(5)))]
    found = fit(log, 5, ridge=2.0, n_neighbours=5)
    owned = np.zeros((31, 5))
    for customer, _, products in log:
        owned[customer, list(products)] = 1
    voices = weights_of(owned)
    owned -= np.average(owned, axis=0, weights=voices)
    precision = np.linalg.inv((owned * voices[:, None]).T @ owned + 2.0 * np.eye(5))
    ease = -precision / np.diag(precision)
    weights = table(found.next_indptr, found.next_nums, found.next_weights)
    assert weights == pytest.approx(
        {(i, j): ease[i, j] for i in range(5) for j in range(5) if i != j}, rel=1e-4, abs=1e-5
    )


def test_the_ridge_grows_where_rare_pairs_leave_a_matrix_unsolvable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A small Gram matrix that lost a rare pair and is not positive definite: ridge doubled."""
    monkeypatch.setattr(owning, "SIZE_EXPONENT", 0.0)
    # 0, 1, 2 have 4 owners each; 0 and 1 share 3, 1 and 2 share 3, 0 and 2 only 2 (too rare). The
    # least eigenvalue of what is left is 4 - 3 sqrt(2) = -0.243. Centring takes o o' / 6 away, all
    # of o being 4: then the least is -1.15, and 0.001 x 2^11 is the first above.
    owners = {0: {1, 2, 3, 5}, 1: {1, 2, 3, 4}, 2: {2, 3, 4, 6}, 3: {1, 2, 3, 4, 5, 6}}
    log: Log = [(c - 1, 1, {p for p, who in owners.items() if c in who}) for c in range(1, 7)]
    found = fit(log, 4, min_customers=3, ridge=0.001)
    gram = np.array([[4, 3, 0], [3, 4, 3], [0, 3, 4]]) + 2.048 * np.eye(3) - 16 / 6
    expected = np.linalg.solve(gram, [4 - 4 * 6 / 6] * 3)
    weights = table(found.next_indptr, found.next_nums, found.next_weights)
    assert [weights[source, 3] for source in range(3)] == pytest.approx(expected.tolist(), rel=1e-4)


@pytest.mark.parametrize("loop", [ridge.ridge_rows, ridge.ridge_rows.py])
@pytest.mark.parametrize("shared", [4.5, 7.0])
def test_the_ridge_grows_where_the_second_of_two_pivots_fails(shared: float, loop: Any) -> None:
    """Two neighbours that share more than either has: the first pivot is sound, the second not."""
    owners, n_customers = np.array([4.0, 4.0, 3.0]), 20.0
    indptr, nums = np.array([0, 1, 2, 4]), np.array([1, 0, 0, 1], np.int32)
    gram = np.array([shared, shared, 2.0, 1.0], np.float32)
    sources, weights = np.empty((1, 2), np.int32), np.empty((1, 2))
    lengths, intercepts = np.zeros(1, np.int64), np.zeros(1)
    loop(2, 3, indptr, nums, gram, owners, n_customers, 0.01, sources, weights, lengths, intercepts)
    penalty, pairs = 0.01, np.array([[4.0, shared], [shared, 4.0]])
    while np.linalg.eigvalsh(pairs + penalty * np.eye(2) - 16.0 / n_customers).min() <= 0.0:
        penalty *= 2.0
    centred = pairs + penalty * np.eye(2) - 16.0 / n_customers
    expected = np.linalg.solve(centred, np.array([2.0, 1.0]) - 4.0 * 3.0 / n_customers)
    assert weights[0].tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert sources[0].tolist() == [0, 1]
    assert penalty > 0.01


@settings(deadline=None)
@given(LOGS, st.integers(1, 5), st.integers(1, 7))
def test_no_stored_pair_was_made_by_too_few_customers(log: Log, least: int, keep: int) -> None:
    """Privacy: both tables name only pairs made by at least `min_customers` customers."""
    found = fit(log, min_customers=least, n_neighbours=keep, ridge_share=0.5, owners_share=0.3)
    by_order = customers_of_pairs(log, by_order=True)
    owned = customers_of_pairs(log, by_order=False)
    for pair in table(found.together_indptr, found.together_nums, found.together_support):
        assert len(by_order[pair]) >= least
    for pair in table(found.next_indptr, found.next_nums, found.next_weights):
        assert len(owned[pair]) >= least


def test_one_customer_who_repeats_a_pair_does_not_make_it_common() -> None:
    """A pair counts by customers, not orders; each guest order is one."""
    again: Log = [(0, day, {0, 1}) for day in range(1, 10)]
    assert len(fit(again, min_customers=2).together_nums) == 0
    guests: Log = [(-1, 1, {0, 1}), (-1, 1, {0, 1})]
    found = fit(guests, min_customers=2)
    assert found.together_nums.tolist() == [1, 0]
    assert found.next_nums.tolist() == []


@settings(deadline=None)
@given(LOGS, st.integers(1, 4))
@example([(0, 1.0, {0}), (0, 1.0, {1}), (1, 1.0, {0, 1, 2, 3})], 2)  # equal once rounded
def test_rows_stand_by_weight_then_number(log: Log, keep: int) -> None:
    """Every row is sorted by weight descending, then number, and is of limited length."""
    found = fit(log, n_neighbours=keep, ridge_share=0.3)
    assert np.diff(found.together_indptr).max(initial=0) <= keep
    for indptr, nums, weights in (
        (found.together_indptr, found.together_nums, found.together_weights),
        (found.next_indptr, found.next_nums, found.next_weights),
    ):
        for start, stop in itertools.pairwise(indptr):
            row = list(zip(-weights[start:stop], nums[start:stop], strict=True))
            assert row == sorted(row)


@settings(deadline=None)
@given(LOGS, st.integers(1, 8))
def test_the_strongest_pairs_are_kept(log: Log, keep: int) -> None:
    """Of each row the `keep` pairs strongest by weight x scale stay, ties by number."""
    baskets = interactions(log)
    scale = 1.0 / np.array([1.0, 2.0, 2.0, 3.0, 1.0, 5.0, 1.0])
    groups = counting.Groups(
        baskets.basket_indptr,
        baskets.basket_products,
        baskets.basket_customer,
        np.ones(baskets.n_baskets),
    )
    indptr, nums, counts, weights = counting.strongest_pairs(groups, scale, 1, keep)
    pairs = Counter(pair for _, _, products in log for pair in itertools.permutations(products, 2))
    for a in range(7):
        row = [(-pairs[a, c] * scale[c], c) for c in range(7) if pairs[a, c]]
        span = slice(indptr[a], indptr[a + 1])
        assert nums[span].tolist() == [c for _, c in sorted(row)[:keep]]
        assert weights[span].tolist() == counts[span].tolist()
        assert counts[span].tolist() == [pairs[a, c] for c in nums[span]]


def test_the_ridge_has_its_share_of_complements() -> None:
    """A complement's score is (1 - share) x chance + share x ridge weight, damped."""
    log: Log = [(c, 1, {0, 1} if c % 3 else {0, 2}) for c in range(9)]
    plain, mixed = fit(log, 3), fit(log, 3, ridge_share=0.25)
    chance = table(plain.together_indptr, plain.together_nums, plain.together_weights)
    weights = table(plain.next_indptr, plain.next_nums, plain.next_weights)
    found = table(mixed.together_indptr, mixed.together_nums, mixed.together_weights)
    doubt = 9 / (9 + DAMPING_ORDERS)
    assert found[0, 1] == pytest.approx(
        0.75 * chance[0, 1] + 0.25 * doubt * weights[0, 1], rel=1e-5
    )


def test_owners_of_both_have_their_share_of_complements() -> None:
    """A score is (1 - share) x chance + share x owners of both / owners, damped."""
    log: Log = [(c, 2, {0, 1} if c % 3 else {0, 2}) for c in range(9)] + [(0, 1, {1, 3})]
    plain, mixed = fit(log, 4), fit(log, 4, owners_share=0.25)
    chance = table(plain.together_indptr, plain.together_nums, plain.together_weights)
    found = table(mixed.together_indptr, mixed.together_nums, mixed.together_weights)
    doubt = 9 / (9 + DAMPING_ORDERS)
    # Of the 9 customers who own 0, all own one thing besides but for one, who owns 3: their weights
    # are 2 ** -0.25 and 4 ** -0.25. That one and 6 of the others own 1, in 6 orders together.
    one, other = 2**-0.25, 4**-0.25
    share = (other + 6 * one) / (other + 8 * one)
    assert found[0, 1] == pytest.approx(0.75 * chance[0, 1] + 0.25 * doubt * share, rel=1e-5)


def test_owners_alone_make_no_complement() -> None:
    """Bought by enough customers, but never by enough in one order: not a complement."""
    log: Log = [(c, day, {num}) for c in range(3) for day, num in ((2, 0), (1, 1))]
    found = fit(log, 3, min_customers=3, owners_share=0.5, ridge_share=0.5)
    assert found.together_nums.tolist() == []
    assert set(found.next_nums.tolist()) == {0, 1}


def test_complements_below_zero_are_dropped() -> None:
    """A pair that the ridge holds against each other more than chance for it is no complement."""
    log: Log = [(c, 1, {0, 1, 2}) for c in range(3)]
    log += [(c, 1, {0, 1}) for c in range(3, 40)] + [(c, 1, {0, 2}) for c in range(40, 80)]
    plain = fit(log, 3)
    assert table(plain.next_indptr, plain.next_nums, plain.next_weights)[1, 2] < 0
    mixed = fit(log, 3, ridge_share=1.0)
    assert (1, 2) not in table(mixed.together_indptr, mixed.together_nums, mixed.together_weights)
    assert (mixed.together_weights > 0).all()
    assert len(mixed.together_nums) == mixed.together_indptr[-1]


@settings(deadline=None)
@given(LOGS)
def test_the_same_log_makes_the_same_bytes(log: Log) -> None:
    """Neither a second fit nor the number of threads changes a byte."""
    first = fit(log, ridge_share=0.3).arrays()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: None)
        second = fit(log, ridge_share=0.3).arrays()
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes()


def test_compiled_loops_give_what_plain_ones_give() -> None:
    """The compiled loops change no byte of either table."""
    random = np.random.default_rng(0)
    log: Log = [
        (int(random.integers(-1, 40)), float(random.integers(1, 300)), set(basket.tolist()))
        for basket in (random.integers(0, 30, size=random.integers(1, 9)) for _ in range(200))
    ]
    plain = fit(log, 30, min_customers=2, n_neighbours=8, ridge_share=0.3).arrays()
    with pytest.MonkeyPatch.context() as patch:
        for module, loop in COMPILED:
            patch.setattr(module, loop.__name__, loop)
        fast = fit(log, 30, min_customers=2, n_neighbours=8, ridge_share=0.3).arrays()
    for name, array in plain.items():
        assert array.tobytes() == fast[name].tobytes(), name


def test_a_very_large_order_pairs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order of more than `MAX_ROW` products is left out of the pairs, not of the totals."""
    monkeypatch.setattr(together, "MAX_ROW", 2)
    found = fit([(0, 180, {0, 1}), (1, 180, {0, 1, 2})], 3, half_life_days=180)
    weights = table(found.together_indptr, found.together_nums, found.together_weights)
    share = (1 / math.sqrt(2)) / (1 / math.sqrt(2) + 1 / math.sqrt(3))
    assert weights == pytest.approx({(0, 1): share / 2, (1, 0): share / 2}, rel=1e-6)


def test_of_a_customer_with_everything_the_latest_products_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ridge sees the `MAX_ROW` products bought latest; equal times, the smaller number."""
    monkeypatch.setattr(owning, "MAX_ROW", 2)
    log: Log = [(0, 30, {1}), (0, 20, {3, 4}), (0, 10, {2}), (1, 5, {0, 2})]
    found = fit(log, 5)
    pairs = set(table(found.next_indptr, found.next_nums, found.next_weights))
    assert pairs == {(2, 3), (3, 2), (0, 2), (2, 0)}


def test_what_everybody_owns_keeps_its_largest_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long row of `next` is cut to the largest weights of either sign."""
    log: Log = [(c, 1, {0, 1 + c % 3, 4 + c % 2}) for c in range(5)] + [(5, 1, {4, 5, 6})]
    whole = fit(log, n_neighbours=2)
    monkeypatch.setattr(ridge, "TARGETS_PER_NEIGHBOUR", 1)
    cut = fit(log, n_neighbours=2)
    weights = table(whole.next_indptr, whole.next_nums, whole.next_weights)
    expected = {}
    for source in range(7):
        row = [(-abs(w), target) for (s, target), w in weights.items() if s == source]
        expected |= {(source, target): weights[source, target] for _, target in sorted(row)[:2]}
    assert np.diff(whole.next_indptr).max() > 2
    assert table(cut.next_indptr, cut.next_nums, cut.next_weights) == expected


def tables(goes_with: Any, following: Any, n_products: int) -> Association:
    """Return tables of hand-written {row: [(number, weight), ...]}; support 10 x row + number."""

    def csr(rows: Any) -> tuple[Any, Any, Any]:
        sizes = [len(rows.get(a, ())) for a in range(n_products)]
        pairs = [pair for a in range(n_products) for pair in rows.get(a, ())]
        return (
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.array([num for num, _ in pairs], dtype=np.int32),
            np.array([weight for _, weight in pairs], dtype=np.float32),
        )

    indptr, nums, weights = csr(goes_with)
    support = (10 * np.repeat(np.arange(n_products), np.diff(indptr)) + nums).astype(np.int32)
    lift = (support / 10).astype(np.float32)
    first = np.zeros(n_products, dtype=np.float32)
    first[-2:] = 0.125
    orders = np.zeros(n_products, dtype=np.float32)
    return Association(indptr, nums, weights, support, lift, orders, *csr(following), first)


SMALL = tables(
    {0: [(2, 0.5), (3, 0.25)], 1: [(2, 0.5), (4, 0.125)]},
    {0: [(2, 0.5), (3, 0.25), (4, -0.25)], 1: [(3, 0.5), (4, 0.25), (2, -0.75)]},
    6,
)
"""The intercept of products 4 and 5 is 1/8, that of the others 0."""


def test_one_anchor_gives_its_row() -> None:
    """The complements of one product are its row, by number, with support and lift."""
    found = SMALL.complement_scores(np.array([0]))
    assert found.nums.tolist() == [2, 3]
    assert found.scores.tolist() == [0.5, 0.25]
    assert found.because.tolist() == [0, 0]
    assert found.support.tolist() == [2, 3]
    assert found.lift.tolist() == pytest.approx([0.2, 0.3])


def test_several_anchors_add_up_by_powers() -> None:
    """A score is the root of the sum of powers; the evidence is the strongest anchor's."""
    found = SMALL.complement_scores(np.array([1, 0]))
    assert found.nums.tolist() == [2, 3, 4]
    assert found.scores.tolist() == pytest.approx([0.5 * 2 ** (1 / POWER), 0.25, 0.125])
    assert found.because.tolist() == [1, 0, 1]  # of equals, the first that was asked about
    assert found.support.tolist() == [12, 3, 14]


def test_a_history_adds_up_and_what_is_not_above_zero_is_dropped() -> None:
    """Intercept and weights are summed over the history; sums of 0 or less are no candidates."""
    found = SMALL.next_scores(np.array([0, 1]))
    assert found.nums.tolist() == [3, 4]  # 2: 0.5 - 0.75; 4: 0.125 - 0.25 + 0.25; 5: not linked
    assert found.scores.tolist() == [0.75, 0.125]
    assert found.because.tolist() == [1, 1]
    assert found.support.tolist() == [0, 0]
    assert np.isnan(found.lift).all()


def test_what_only_its_intercept_speaks_for_is_because_of_nothing() -> None:
    """Linked to the history by negative weights alone: a candidate, because of no product."""
    found = tables({}, {0: [(1, 0.5), (2, -0.0625)]}, 4).next_scores(np.array([0]))
    assert found.nums.tolist() == [1, 2]
    assert found.scores.tolist() == [0.5, 0.0625]
    assert found.because.tolist() == [0, -1]


def test_what_is_wanted_competes_if_the_history_speaks_for_enough() -> None:
    """Without a link its score is its intercept; what the history speaks against stays out."""
    everything = np.array([4, 5])
    found = SMALL.next_scores(np.array([0]), everything, 2)  # 2 and 3 are linked, 4 is below 0
    assert found.nums.tolist() == [2, 3, 5]
    assert found.scores.tolist() == [0.5, 0.25, 0.125]
    assert found.because.tolist() == [0, 0, -1]
    assert [array.dtype.str[1:] for array in found] == ["i4", "f8", "i4", "i4", "f4"]
    assert SMALL.next_scores(np.array([0]), everything, 3).nums.tolist() == [2, 3]
    assert SMALL.next_scores(np.array([0, 2]), everything, 2).nums.tolist() == [2, 3]  # 2 is owned
    assert SMALL.next_scores(everything[:0], everything, 0).nums.tolist() == []


def test_the_parts_of_a_score_sum_to_it() -> None:
    """Every product of the history adds its weight, negative ones too."""
    assert SMALL.next_parts(np.array([0, 5, 1]), 2).tolist() == [0.5, 0.0, -0.75]
    assert SMALL.next_parts(np.array([0, 1]), 3).sum() == 0.75
    assert SMALL.next_parts(np.array([0, 1]), 4).sum() + SMALL.next_intercepts[4] == 0.125


@pytest.mark.parametrize("asked", [[], [5], [4, 5]])
def test_nothing_to_go_by_is_no_candidate(asked: list[int]) -> None:
    """No anchor, or only products without a row: empty arrays of the usual types."""
    for found in (
        SMALL.complement_scores(np.array(asked, dtype=np.int64)),
        SMALL.next_scores(np.array(asked, dtype=np.int64)),
    ):
        kinds = [array.dtype.str[1:] for array in found]
        assert kinds == ["i4", "f8", "i4", "i4", "f4"]
        assert [len(array) for array in found] == [0] * 5


@settings(deadline=None)
@given(LOGS, st.sets(st.integers(0, 6)))
def test_scores_equal_a_plain_sum(log: Log, asked: set[int]) -> None:
    """Both scores are those of a loop over dictionaries, candidates ascending by number."""
    found = fit(log, ridge_share=0.3)
    nums = np.array(sorted(asked), dtype=np.int64)
    goes_with = table(found.together_indptr, found.together_nums, found.together_weights)
    following = table(found.next_indptr, found.next_nums, found.next_weights)
    powers = {c: sum(goes_with.get((a, c), 0.0) ** POWER for a in asked) for c in range(7)}
    answer = found.complement_scores(nums)
    expected = {c: total ** (1 / POWER) for c, total in powers.items() if total > 0}
    got = dict(zip(answer.nums.tolist(), answer.scores.tolist(), strict=True))
    assert got == pytest.approx(expected)
    assert answer.nums.tolist() == sorted(expected)
    for num, because in zip(answer.nums.tolist(), answer.because.tolist(), strict=True):
        assert goes_with[because, num] == max(goes_with.get((a, num), 0.0) for a in asked)
    answer = found.next_scores(nums)
    for num in range(7):
        parts = [following[a, num] for a in sorted(asked) if (a, num) in following]
        total = sum(parts) + float(found.next_intercepts[num])
        if abs(total) > 1e-9:
            assert (num in answer.nums.tolist()) == (bool(parts) and total > 0)
    for num, score in zip(answer.nums.tolist(), answer.scores.tolist(), strict=True):
        parts_of = found.next_parts(nums, num).sum() + found.next_intercepts[num]
        assert score == pytest.approx(parts_of, abs=1e-12)


def test_arrays_come_back_the_same() -> None:
    """What `arrays` gives makes the same tables."""
    found = fit([(0, 1, {0, 1}), (1, 2, {1, 2})], ridge_share=0.3)
    arrays = Association.from_arrays(found.arrays()).arrays()
    assert found.n_products == 7
    for name, array in found.arrays().items():
        assert arrays[name] is array


def test_no_product_is_no_row() -> None:
    """Nothing sold and nothing in the catalogue: empty tables, not an error."""
    found = fit([], 0)
    assert found.n_products == 0
    assert [len(array) for array in found.arrays().values()] == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
