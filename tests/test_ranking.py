"""Candidates become a list: guards, ties and top-k by hand, then on random tiers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.catalog import Product
from personalize.products import ProductSpace
from personalize.ranking import GOES_WITH, POPULAR, Barred, Pick, Tier, rank

# Numbers:             0       1       2       3       4       5
SPACE = ProductSpace.from_model(
    [
        Product("a", "g", product_type="S"),
        Product("b", "g", product_type="S"),
        Product("c", product_type="S"),
        Product("d", product_type="T"),
        Product("e", product_type="T"),
        Product("f"),
    ]
)


def tier(scores: dict[int, float], reasons: Any = GOES_WITH, **more: Any) -> Tier:
    """Return a tier of some numbers with their scores, in the order given."""
    return Tier(np.array([*scores], dtype=np.int64), np.array([*scores.values()]), reasons, **more)


def listed(*tiers: Tier, k: int = 10, **changes: Any) -> list[Pick]:
    """Return the list of these tiers; nothing is barred unless told."""
    given = {
        "tiers": tiers,
        "space": SPACE,
        "is_shown": np.ones(len(SPACE), dtype=bool),
        "barred": Barred(),
        "max_per_type": np.full(len(SPACE.types), 9),
    }
    return rank(k=k, **(given | changes))


def ids(picks: list[Pick]) -> str:
    """Return the products of a list."""
    return "".join(pick.product_id for pick in picks)


def test_a_pick_says_all_there_is_to_it() -> None:
    """A pick carries rank, score, reason and the evidence behind it."""
    picks = listed(
        tier(
            {3: 0.5, 5: 0.25},
            [GOES_WITH, POPULAR],
            because=np.array([0, -1]),
            support=np.array([7, -1], dtype=np.int32),
            lift=np.array([1.5, np.nan]),
        )
    )
    assert picks == [
        Pick("d", 1, 0.5, GOES_WITH, "a", 7, 1.5),
        Pick("f", 2, 0.25, POPULAR, None, None, None),
    ]


def test_evidence_may_be_missing() -> None:
    """A tier without evidence gives picks without; a support of zero is one."""
    assert listed(tier({3: 0.5}, POPULAR)) == [Pick("d", 1, 0.5, POPULAR, None, None, None)]
    (pick,) = listed(tier({3: 0.5}, because=np.array([0]), support=np.array([0])))
    assert (pick.because_product_id, pick.support, pick.lift) == ("a", 0, None)


def test_best_first_then_by_product() -> None:
    """Scores descend; of equal ones the smaller product comes first, however they were given."""
    assert ids(listed(tier({5: 0.5, 3: 0.5, 4: 0.9, 0: 0.1}))) == "edfa"


def test_at_most_k() -> None:
    """A list holds k picks at most, and fewer where there are fewer."""
    scores = {2: 3.0, 3: 2.0, 5: 1.0}
    assert [ids(listed(tier(scores), k=k)) for k in (1, 2, 3, 4)] == ["c", "cd", "cdf", "cdf"]


def test_nothing_comes_of_nothing() -> None:
    """No tier, or an empty one, makes an empty list."""
    assert (listed(), listed(tier({}))) == ([], [])


def test_what_is_not_shown_is_not_listed() -> None:
    """Out of stock or sensitive products never come into a list."""
    shown = np.array([False, True, True, True, False, True])
    assert ids(listed(tier({0: 6.0, 4: 5.0, 5: 1.0}), is_shown=shown)) == "f"


def test_barred_products_groups_and_types_stay_out() -> None:
    """What is barred stays out, in every tier, and what is barred is not changed."""
    everything = dict.fromkeys(range(6), 1.0)
    barred = Barred(products={5}, groups={0}, types={SPACE.type_nums["T"]})
    assert ids(listed(tier(everything), tier(everything, POPULAR), barred=barred)) == "c"
    assert barred == Barred(products={5}, groups={0}, types={SPACE.type_nums["T"]})


def test_kin_is_barred() -> None:
    """A product is barred with its variants, and with its type only where one is enough."""
    enough = np.zeros(2, dtype=bool)
    enough[SPACE.type_nums["T"]] = True
    barred = Barred()
    barred.bar_with_kin([0, 3, 5], SPACE, enough)
    assert barred == Barred(products={0, 3, 5}, groups={0}, types={SPACE.type_nums["T"]})


def test_no_two_variants() -> None:
    """Of one item group the best is listed, the others are not, in later tiers either."""
    assert ids(listed(tier({0: 1.0, 1: 2.0}), tier({0: 5.0, 2: 4.0}))) == "bc"


def test_no_product_twice() -> None:
    """A product counts in the first tier that holds it."""
    picks = listed(tier({5: 1.0}), tier({5: 9.0, 3: 1.0}, POPULAR))
    assert [(pick.product_id, pick.reason) for pick in picks] == [("f", GOES_WITH), ("d", POPULAR)]


def test_caps_per_type() -> None:
    """A list holds so many of a type, over all tiers; products without type are not counted."""
    most = [0, 0]
    most[SPACE.type_nums["S"]], most[SPACE.type_nums["T"]] = 2, 1
    everything = {num: 10.0 - num for num in range(6)}
    assert ids(listed(tier(everything), tier(everything), max_per_type=most)) == "acdf"


def test_a_guarded_candidate_takes_no_place_of_its_type() -> None:
    """Only what is listed counts against the cap of its type."""
    shown = np.array([True, True, False, True, True, True])
    picks = listed(tier({2: 9.0, 0: 1.0}), is_shown=shown, max_per_type=[1, 1])
    assert ids(picks) == "a"


def test_a_tier_may_be_limited() -> None:
    """A limited tier fills so many places, and the next tier the others."""
    first = tier({2: 3.0, 3: 2.0, 5: 1.0}, limit=2)
    assert ids(listed(first, tier({5: 1.0, 0: 0.5}), k=4)) == "cdfa"
    assert ids(listed(first, k=1)) == "c"


def test_later_tiers_are_squeezed_below() -> None:
    """Scores of a later tier keep their order, below the last score before them."""
    picks = listed(tier({0: 0.5}), tier({3: 3.0, 4: 1.0}), tier({5: 1e30}))
    # 3 / (1 + 3) and 1 / (1 + 1) of 0.5; then just below the last.
    assert [pick.score for pick in picks[:3]] == [0.5, 0.375, 0.25]
    assert picks[3].score == np.nextafter(0.25, 0)


def test_an_empty_tier_squeezes_nothing() -> None:
    """The first tier that lists anything keeps its scores."""
    assert [pick.score for pick in listed(tier({}), tier({3: 7.0}))] == [7.0]


def test_squeezing_makes_no_ties() -> None:
    """Two scores that rounding would make equal stay apart; equal ones stay equal."""
    low, high = 1e17, 2e17
    assert 0.5 * (low / (1 + low)) == 0.5 * (high / (1 + high))
    picks = listed(tier({0: 0.5}), tier({5: high, 3: low, 4: low}))
    assert ids(picks) == "afde"
    assert picks[1].score > picks[2].score == picks[3].score


def test_a_full_list_asks_no_further_tier() -> None:
    """Tiers are worked out only while there is room."""

    def tiers() -> Iterator[Tier]:
        yield tier({5: 1.0})
        raise AssertionError("asked for more")

    assert ids(listed(tiers=tiers(), k=1)) == "f"


@pytest.mark.parametrize("n", [512, 513, 2000])
@pytest.mark.parametrize("n_levels", [1, 3, 100_000])
def test_many_candidates_are_sorted_the_same(n: int, n_levels: int) -> None:
    """Beyond 512 candidates the best are sorted first, the rest later: the order is the same."""
    rng = np.random.default_rng(n + n_levels)
    nums, scores = rng.permutation(n), rng.integers(1, n_levels + 1, n).astype(np.float64)
    expected = sorted(range(n), key=lambda place: (-scores[place], nums[place]))
    found = np.concatenate(list(Tier(nums, scores, POPULAR).ordered()))
    assert found.tolist() == expected


SCORES = st.one_of(
    st.sampled_from([0.25, 0.5, 1.0]), st.floats(1e-9, 1e9), st.floats(3.0, 3.000000000000004)
)


@st.composite
def tiers_drawn(draw: st.DrawFn) -> list[Tier]:
    """Draw tiers of distinct products."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        scores = draw(st.dictionaries(st.integers(0, 5), SCORES))
        limit = draw(st.sampled_from([None, None, 1, 2]))
        found.append(tier(scores, draw(st.sampled_from([GOES_WITH, POPULAR])), limit=limit))
    return found


@settings(deadline=None, max_examples=150)
@given(
    tiers=tiers_drawn(),
    k=st.integers(1, 7),
    shown=st.lists(st.booleans(), min_size=6, max_size=6),
    barred=st.builds(
        Barred, st.sets(st.integers(0, 5)), st.sets(st.just(0)), st.sets(st.integers(0, 1))
    ),
    most=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_whatever_the_tiers_the_guards_hold(
    tiers: list[Tier],
    k: int,
    shown: list[bool],
    barred: Barred,
    most: tuple[int, int],
) -> None:
    """Nothing guarded gets in; ranks have no gaps; scores fall; only ties go by product."""
    picks = listed(
        *tiers,
        k=k,
        is_shown=np.array(shown),
        barred=barred,
        max_per_type=most,
    )
    nums = [SPACE.nums[pick.product_id] for pick in picks]
    assert len(picks) <= k
    assert [pick.rank for pick in picks] == [*range(1, len(picks) + 1)]
    assert len(set(nums)) == len(nums)
    assert {0, 1} - set(nums)
    assert all(shown[num] and num not in barred.products for num in nums)
    assert not {SPACE.group[num] for num in nums} & barred.groups
    assert not {SPACE.type[num] for num in nums} & barred.types
    for kind in (0, 1):
        held = sum(SPACE.type[num] == kind for num in nums)
        assert held <= most[kind]
    for above, below in itertools.pairwise(picks):
        assert (-above.score, above.product_id) < (-below.score, below.product_id)
    assert all(pick.score > 0 for pick in picks)
