"""Which products are alike, and what follows from it."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

import personalize as pz
from personalize.catalog import Product
from personalize.config import EngineConfig
from personalize.interactions import Interactions
from personalize.likeness import Likeness, Pairs
from personalize.likeness.nearest import BLOCK, LEAST, N_ALIKE, N_WORDS, PAIR_SHARE, Index, Rows
from personalize.likeness.replaced import MAX_ROW, WordPairs, count_word_pairs
from personalize.likeness.words import facts_of, hashed, title_words
from personalize.times import DAY

AS_OF = 1000 * DAY
COLOURS, KINDS = ("red", "blue", "green"), ("coat", "tie")


def product(number: int, title: str | None = None, **facts: object) -> Product:
    """Return a product whose id orders like its number."""
    return Product(f"p{number:04}", title=title, **facts)  # type: ignore[arg-type]


def baskets(lists: list[list[int]], n_products: int, day: float = 900) -> Interactions:
    """Return guest orders of product numbers."""
    order = [place for place, nums in enumerate(lists) for _ in nums]
    nums = [num for each in lists for num in sorted(each)]
    return Interactions.from_lines(
        pa.array([f"p{num:04}" for num in range(n_products)], pa.large_string()),
        np.array(order, dtype=np.int64),
        np.array(nums, dtype=np.int64),
        np.full(len(lists), day * DAY, dtype=np.int64),
        np.full(len(lists), -1, dtype=np.int64),
    )


def fit(products: list[Product], lists: list[list[int]], **config: float) -> Likeness:
    """Return the likeness of products sold in some orders."""
    settings = EngineConfig.from_dict(config)
    return Likeness.fit(products, baskets(lists, len(products)), settings, AS_OF)


def score(first: Product, second: Product, *others: Product) -> float:
    """Return the likeness of two products among others; 0 if they are not alike."""
    index = Index.fit([first, second, *others], np.ones(2 + len(others), dtype=np.int64))
    found = index.alike(index.rows, np.arange(2 + len(others)))
    hit = (found.row == 0) & (found.nums == 1)
    return float(found.scores[hit].sum())


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Sport coat, navy 52 (T-Light)", ["sport", "coat", "navy", "52", "tlight"]),
        ("GIRL'S  Ärmel/2.5L", ["girls", "ärmel", "2.5l"]),
        ("  --  ", []),
    ],
)
def test_words_of_a_title(title: str, words: list[str]) -> None:
    """Words are in lower case; hyphens and apostrophes within a word are dropped."""
    assert title_words(title) == words


def test_facts_of_a_product() -> None:
    """The brand is no word of the title; a type counts with the one above it."""
    facts = facts_of(
        product(
            0, "Vesper Row red coat", brand="Vesper Row", product_type="A > B > C", price=math.e
        )
    )
    assert facts.words == ["red", "coat", "pair:red coat"]
    assert facts.types == ["type:A > B > C", "type:A > B"]
    assert facts.brand == ["brand:vesper row"]
    assert facts.log_price == pytest.approx(1.0)


def test_a_title_that_is_only_the_brand_keeps_its_words() -> None:
    """Where nothing else is left, the brand's words are the title."""
    assert facts_of(product(0, "Vesper", brand="Vesper")).words == ["vesper"]


@pytest.mark.parametrize("price", [None, 0.0, math.inf])
def test_what_is_no_price_is_unknown(price: float | None) -> None:
    """No price, 0 and infinity have no logarithm to compare."""
    assert math.isnan(facts_of(product(0, price=price)).log_price)


def test_hashes_are_the_same_everywhere() -> None:
    """A key's number is its BLAKE2b digest of 8 bytes, little-endian."""
    assert hashed(["coat"]).tolist() == [6005859651624417596]
    assert hashed([]).shape == (0,)


def test_the_likeness_of_titles_by_hand() -> None:
    """The cosine of TF-IDF: rare words count more, a shared pair of words counts too."""
    # Four titles; red: 2 of 4, coat: 3 of 4, "red coat": 2 of 4; navy, tie: 1 of 4.
    red, coat, one = (math.log(5 / n) for n in (2, 3, 1))
    pair = PAIR_SHARE * math.log(5 / 2)
    first = red**2 + coat**2 + pair**2  # "red coat"
    second = first + one**2  # "red coat navy": the pair "coat navy" occurs once, and is left out
    expected = first / math.sqrt(first * second)
    others = (product(2, "coat"), product(3, "tie"))
    found = score(product(0, "red coat"), product(1, "red coat navy"), *others)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_likeness_of_all_facts_by_hand() -> None:
    """Weights .55, .25, .05, .15 of title, type, brand and price, over what both are known by."""
    shirt = {"brand": "B", "product_type": "A > Shirts"}
    first = product(0, "shirt", price=10.0, **shirt)
    half = product(1, "shirt", price=20.0, **shirt)
    assert score(first, half) == pytest.approx(0.85 + 0.15 * 0.5, rel=1e-5)
    assert score(first, half._replace(price=None)) == pytest.approx(1.0, rel=1e-5)
    other = half._replace(brand="C", price=10.0)
    assert score(first, other) == pytest.approx(0.95, rel=1e-5)
    kin = half._replace(product_type="A > Ties", price=10.0)
    assert score(first, kin) == pytest.approx(0.75 + 0.25 * 0.5, rel=1e-5)
    above = half._replace(product_type="A", price=10.0)
    assert score(first, above) == pytest.approx(0.75 + 0.25 * 0.5, rel=1e-5)
    strange = half._replace(product_type="Z > Shirts", price=10.0)
    assert score(first, strange) == pytest.approx(0.75, rel=1e-5)


def test_products_are_alike_by_type_alone() -> None:
    """Where titles are missing, the type and the price decide."""
    first = product(0, product_type="A > B", price=10.0)
    assert score(first, product(1, product_type="A > B", price=10.0)) == pytest.approx(1.0)
    assert score(first, product(1, product_type="A > C", price=10.0)) == pytest.approx(
        (0.125 + 0.15) / 0.4
    )


def test_a_price_or_brand_alone_makes_no_likeness() -> None:
    """Products that share neither word nor type are not alike."""
    assert score(product(0, price=5.0, brand="B"), product(1, price=5.0, brand="B")) == 0.0


def test_below_the_least_likeness_there_is_none() -> None:
    """One common word among many strange ones does not make products alike."""
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    others = [product(n, "the") for n in range(2, 60)]
    found = score(product(0, f"the {words}"), product(1, "the " + words[::-1]), *others)
    assert found == 0.0 < LEAST


def test_what_is_half_as_like_as_the_nearest_is_left_out() -> None:
    """Beside others of its kind, a product is not alike to another kind."""
    shoes = [product(n, product_type="A > Shoes", price=10.0) for n in range(3)]
    others = [product(3, product_type="A > Socks", price=100.0), product(4, "x", product_type="B")]
    index = Index.fit([*shoes, *others], np.ones(5))
    found = index.alike(index.rows, np.arange(5))
    assert found.nums[found.row == 0].tolist() == [1, 2]
    # (.25 / 2 + .15 / 10) / .4 = .35: nothing nearer, so the shoes are alike to the socks
    assert found.nums[found.row == 3].tolist() == [0, 1, 2]
    assert found.scores[found.row == 3] == pytest.approx([0.35] * 3, rel=1e-5)


def test_alikes_are_sold_products_nearest_first() -> None:
    """At most ten, the nearest first, ties by number, never the product itself or an unsold one."""
    products = [product(n, "red coat") for n in range(15)]
    orders = np.array([0, *[1] * 14])
    index = Index.fit(products, orders)
    found = index.alike(index.rows, np.arange(15))
    of_first = found.nums[found.row == 0]
    assert of_first.tolist() == list(range(1, 1 + N_ALIKE))
    assert 0 not in found.nums
    assert not (found.row == found.nums).any()


def test_a_block_holds_the_best_sellers() -> None:
    """Of many products with one word, those that sell best are compared."""
    n = BLOCK + 40
    products = [product(num, "coat") for num in range(n)] + [product(n, "tie")]
    index = Index.fit(products, np.arange(n + 1))
    found = index.alike(index.rows, np.arange(n + 1))
    assert found.nums.min() == n - BLOCK


def test_many_products_are_asked_in_parts() -> None:
    """However many, each has the alikes that it has when it is asked alone."""
    products = [product(n, f"coat {COLOURS[n % 3]} x{n % 100}") for n in range(600)]
    index = Index.fit(products, np.arange(1, 601))
    found = index.alike(index.rows, np.arange(600))
    assert (np.diff(found.row) >= 0).all()
    for num in (0, 255, 256, 599):
        one = Rows(*(array[num : num + 1] for array in index.rows))
        alone = index.alike(one, np.array([num]))
        np.testing.assert_array_equal(alone.nums, found.nums[found.row == num])


def test_a_long_title_is_compared_by_its_rare_words() -> None:
    """At most `N_WORDS` words and pairs count, the rarest first."""
    long = " ".join(f"w{n}" for n in range(40))
    index = Index.fit([product(0, long), product(1, f"{long} the"), product(2, "the")], np.ones(3))
    assert index.words.shape == (3, N_WORDS)
    assert (index.words[0] >= 0).all()


def test_a_new_product_is_found_like_a_known_one() -> None:
    """Looked up by hashes, a product finds the alikes that it has as part of the model."""
    products = [
        product(n, f"{COLOURS[n % 3]} {KINDS[n % 2]} x{n // 4}",
                product_type=f"A > {n % 2}", brand=f"b{n % 4}", price=10.0 + n)
        for n in range(40)
    ]  # fmt: skip
    index = Index.fit(products, np.ones(40))
    own = index.alike(index.rows, np.arange(40))
    again = index.alike(index.look_up(products), np.arange(40))
    np.testing.assert_array_equal(own.nums, again.nums)
    np.testing.assert_allclose(own.scores, again.scores, rtol=1e-5)


def test_a_new_product_of_strange_facts_is_unlike_all() -> None:
    """Words, type and brand that the model does not know are known to differ."""
    known = product(0, "red coat", product_type="A > Coats", brand="B")
    likeness = fit([known, product(1, "tie", product_type="A > Ties")], [[0, 1]] * 3)
    strange = Product("new", title="blender", product_type="Z > Y", brand="Q")
    assert not len(likeness.alike(np.array([2]), [strange]).nums)
    close = Product("new", title="blender", product_type="A > Coats", brand="Q")
    found = likeness.alike(np.array([2]), [close])
    assert found.nums.tolist() == [0, 1]
    assert found.scores == pytest.approx([0.25 / 0.85, 0.125 / 0.8], rel=1e-5)


def test_known_and_new_products_are_asked_together() -> None:
    """Rows of the answer follow the products asked about, whether the model knows them or not."""
    likeness = fit([product(n, "red coat") for n in range(3)], [[0, 1, 2]] * 3)
    found = likeness.alike(np.array([3, 1]), [Product("new", title="Red coat"), product(1)])
    by_row = {row: found.nums[found.row == row].tolist() for row in (0, 1)}
    assert by_row == {0: [0, 1, 2], 1: [0, 2]}


def test_without_a_catalogue_nothing_is_alike() -> None:
    """Products without facts have no alikes, and new ones find none."""
    likeness = fit([product(0), product(1)], [[0, 1]] * 3)
    assert not len(likeness.alike_nums)
    assert not len(likeness.alike(np.array([2]), [Product("new", title="coat")]).nums)
    assert not len(likeness.replaced_keys)
    found = likeness.borrowed(np.array([0]), [product(0)], PAIRS, np.ones(2, dtype=bool))
    assert not len(found.nums)


PAIRS = Pairs(
    np.array([0, 0, 2, 4, 4, 4]),
    np.array([3, 2, 3, 1], dtype=np.int32),
    np.array([0.6, 0.2, 0.4, 0.3], dtype=np.float32),
)
"""Goes with 1: 3 (.6), 2 (.2); with 2: 3 (.4), 1 (.3)."""


def coats() -> tuple[list[Product], Likeness]:
    """Return three coats, of which 0 never sold, a tie (3) and socks (4)."""
    titles = ["coat", "coat", "coat", "tie", "socks"]
    products = [product(num, title) for num, title in enumerate(titles)]
    return products, fit(products, [[1, 3]] * 20 + [[2, 3]] * 5)


def test_borrowing_by_hand() -> None:
    """A mean over the alikes by likeness^3 and evidence; an alike says nothing of itself."""
    products, likeness = coats()
    found = likeness.borrowed(np.array([0]), products, PAIRS, np.ones(5, dtype=bool))
    v1, v2 = 20 / 40, 5 / 25  # both coats have likeness 1
    assert found.nums.tolist() == [1, 2, 3]
    assert found.scores == pytest.approx([0.3, 0.2, (v1 * 0.6 + v2 * 0.4) / (v1 + v2)])
    assert found.because.tolist() == [0, 0, 0]


def test_a_known_product_borrows_less() -> None:
    """Of two anchors the one with few orders counts more: 20 / (N + 20)."""
    products, likeness = coats()
    found = likeness.borrowed(np.array([1, 2]), products, PAIRS, np.ones(5, dtype=bool))
    # 1 borrows from 2 (tie .4, coat 1 left as its own, .3), 2 from 1 (tie .6, itself .2).
    assert found.nums.tolist() == [1, 2, 3]
    of_one, of_two = 20 / 40, 20 / 25
    assert found.scores == pytest.approx([of_one * 0.3, of_two * 0.2, of_one * 0.4 + of_two * 0.6])
    assert found.because.tolist() == [1, 2, 2]


def test_who_may_not_lend_lends_nothing() -> None:
    """A sensitive alike is no source."""
    products, likeness = coats()
    may_lend = np.array([True, False, True, True, True])
    found = likeness.borrowed(np.array([0]), products, PAIRS, may_lend)
    assert dict(zip(found.nums, found.scores, strict=True)) == pytest.approx({1: 0.3, 3: 0.4})


def test_nothing_to_borrow_is_an_empty_answer() -> None:
    """A product without alikes, and no product at all, borrow nothing."""
    products, likeness = coats()
    for nums in ([4], []):
        found = likeness.borrowed(np.array(nums, np.int64), products, PAIRS, np.ones(5, bool))
        assert [len(array) for array in found] == [0, 0, 0]


def test_a_large_basket_borrows_for_its_least_known() -> None:
    """Of many anchors, those with the fewest orders borrow."""
    products = [product(n, "coat") for n in range(30)]
    likeness = fit(products, [[n] for n in range(1, 30) for _ in range(n)])
    indptr = np.arange(31)
    pairs = Pairs(indptr, np.full(30, 0, np.int32), np.ones(30, np.float32))
    found = likeness.borrowed(np.arange(5, 30), products, pairs, np.ones(30, bool))
    doubt = [20 / (20 + n) for n in range(5, 25)]
    assert found.scores == pytest.approx([sum(doubt)])
    assert found.because.tolist() == [5]


def test_new_products_beside_their_alikes() -> None:
    """A new product has the best of likeness^3 * score, and names the candidate it is like."""
    _, likeness = coats()
    found = likeness.beside(np.array([3, 2, 1]), np.array([9.0, 0.5, 2.0]))
    assert found.nums.tolist() == [0]
    assert found.scores == pytest.approx([2.0])
    assert found.because.tolist() == [2]  # the place of product 1


def test_candidates_that_the_model_does_not_know_have_no_new_ones_beside() -> None:
    """Numbers beyond the model are passed over."""
    _, likeness = coats()
    assert not len(likeness.beside(np.array([7]), np.array([1.0])).nums)


@pytest.mark.parametrize(
    ("day", "orders", "is_new"), [(990, 2, True), (990, 3, False), (900, 2, False)]
)
def test_what_counts_as_new(day: float, orders: int, is_new: bool) -> None:
    """Hardly sold, and not before the last 30 days."""
    products = [product(0, "coat"), product(1, "coat")]
    log = [[0]] * orders
    old = baskets([[1]] * 9, 2)
    young = baskets(log, 2, day)
    both = Interactions(
        old.product_ids,
        np.concatenate([old.basket_indptr, old.basket_indptr[-1] + young.basket_indptr[1:]]),
        np.concatenate([old.basket_products, young.basket_products]),
        np.concatenate([old.basket_time, young.basket_time]),
        np.arange(9 + orders, dtype=np.int32),
        old.customer_indptr,
        old.customer_products,
        old.customer_time,
    )
    likeness = Likeness.fit(products, both, EngineConfig(), AS_OF)
    assert (0 in likeness.new_nums) == is_new
    assert 1 not in likeness.new_nums


def test_pairs_of_a_word_by_hand() -> None:
    """Seen in one order, and expected as for any two products of that popularity."""
    # Products 0 and 1 share the word; lines: 0 thrice, 1 twice, 2 thrice; 8 lines in 4 orders.
    holds = sparse.csr_array(np.array([[1.0], [1.0], [0.0]]))
    found = count_word_pairs(holds, baskets([[0, 1], [0, 2], [1, 2], [0, 2]], 3))
    assert found.seen.tolist() == [1.0]
    assert found.expected == pytest.approx([3 * 2 * (4 * 2) / 8**2])


def test_the_bound_of_a_word_by_hand() -> None:
    """Jeffreys' bound: with none seen, the 0.99 quantile of gamma(1/2) is 3.3174."""
    upper = WordPairs(np.array([0.0, 0.0]), np.array([10.0, 0.0])).upper()
    assert upper == pytest.approx([0.33174, np.inf], rel=1e-4)


def test_huge_orders_tell_nothing_of_substitutes() -> None:
    """An order of more than `MAX_ROW` products is left out."""
    n = MAX_ROW + 1
    holds = sparse.csr_array(np.ones((n, 1)))
    found = count_word_pairs(holds, baskets([list(range(n))], n))
    assert (found.seen[0], found.expected[0]) == (0.0, 0.0)


def test_many_lines_are_thinned_and_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit every second order is read; parts add up to the whole."""
    holds = sparse.csr_array(np.array([[1.0], [1.0], [0.0]]))
    log = baskets([[0, 1], [0, 2], [1, 2], [0, 2]] * 5, 3)
    whole = count_word_pairs(holds, log)
    monkeypatch.setattr("personalize.likeness.replaced._AT_ONCE", 7)
    parts = count_word_pairs(holds, log)
    assert parts.seen.tolist() == whole.seen.tolist()
    assert parts.expected == pytest.approx(whole.expected)
    monkeypatch.setattr("personalize.likeness.replaced.MAX_LINES", 20)
    assert count_word_pairs(holds, log).seen.tolist() == [5.0]  # orders 0, 2, 4, ...


def test_words_of_substitutes_are_learned() -> None:
    """Coats are bought apart and replace one another; socks are bought together and do not."""
    titles = ["navy coat", "grey coat", "red socks", "blue socks", "tie"]
    products = [product(num, title) for num, title in enumerate(titles)]
    log = [[0, 4], [1, 4], [2, 3, 4]] * 40
    likeness = fit(products, log)
    assert likeness.replaced_by(np.array([0]), products).tolist() == [0, 1]
    assert likeness.replaced_by(np.array([2]), products).tolist() == []
    late = [*products, Product("new", title="Green coat"), Product("typed", "", "coat", "A")]
    assert likeness.replaced_by(np.array([5]), late).tolist() == [0, 1]
    assert likeness.replaced_by(np.array([6]), late).tolist() == []
    assert likeness.replaced_by(np.array([4]), late).tolist() == []


def test_products_with_a_type_are_left_to_their_type() -> None:
    """Titles tell substitutes only where there is no product type."""
    products = [product(n, "coat", product_type="A") for n in range(2)] + [product(2, "tie")]
    likeness = fit(products, [[0, 2], [1, 2]] * 40)
    assert not len(likeness.replaced_keys)
    assert likeness.replaced_by(np.array([0]), products).tolist() == []


def test_arrays_come_back_as_they_were() -> None:
    """What the artifact keeps is the whole of it."""
    _, likeness = coats()
    again = Likeness.from_arrays(likeness.arrays()).arrays()
    assert again.keys() == likeness.arrays().keys()
    for name, array in likeness.arrays().items():
        assert again[name].tobytes() == array.tobytes()
        assert array.dtype != object


def test_the_index_holds_no_text() -> None:
    """Titles are kept as hashes: nothing in the artifact is of a text type."""
    _, likeness = coats()
    assert {array.dtype.kind for array in likeness.arrays().values()} <= set("iuf")
    assert isinstance(pz.EngineConfig().new_share, float)
