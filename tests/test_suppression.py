"""Decisions: the small shop by hand, one customer against many on random logs."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_shop import CUSTOMERS, MOMENTS, PRODUCTS, catalogs, order_logs, policies
from small_shop import COATS, SOCKS, START, catalog, day, orders

import personalize as pz
from personalize.catalog import Product
from personalize.config import EngineConfig
from personalize.policy import Policy, TypeRule
from personalize.products import ProductSpace
from personalize.purchases import Purchases, PurchaseState
from personalize.repurchase import (
    BASES,
    EDGES,
    FEATURES,
    LOYALTY,
    TARGET_FEATURES,
    Curves,
    Logistic,
)
from personalize.substitutes import Substitutes
from personalize.suppression import (
    REASONS,
    SCOPES,
    CustomerScopes,
    Decision,
    Judgement,
    LevelModel,
    ManyCustomers,
    Rules,
    Suppression,
    numbers_in,
)
from personalize.suppression.batch import fill_chance
from personalize.suppression.terms import terms_of, type_rules
from personalize.times import DAY, FOREVER, MISSING, to_datetime, to_micros

ZERO = to_micros(START)
NOT = (False, "not_suppressed", None, None, None)


def at(number: float) -> int:
    """Return the microseconds of a day of the log."""
    return ZERO + round(number * DAY)


def substitutes(space: ProductSpace, *one_per_need: str) -> Substitutes:
    """Return the judgement that these types are one-per-need."""
    n = len(space.types)
    nothing = np.zeros(n, dtype=np.float32)
    enough = np.array([name in one_per_need for name in space.types], dtype=bool)
    return Substitutes(
        enough, nothing, nothing, nothing, np.ones(n, np.int32), np.ones(n, np.int32)
    )


NO_CHANCE = Logistic.from_array(np.full(1 + len(FEATURES), math.nan))
EVEN_CHANCE = Logistic.from_array(np.zeros(1 + len(FEATURES)))


def level_of(
    names: list[str],
    types: list[str],
    learned: dict[str, tuple[float, float, int]],
    logistic: Logistic = EVEN_CHANCE,
) -> LevelModel:
    """Return a level whose targets are learned as told: first day of the bin, bound and basis.

    All who buy again do so evenly within one bin. Whatever is not named rests on the default.
    """
    rows = [*names, *types, "all"]
    curve = np.zeros((len(rows), len(EDGES) - 1), dtype=np.float32)
    upper, basis = np.zeros(len(rows), np.float32), np.full(len(rows), BASES.index("default"), "i1")
    for name, (first_day, bound, of) in learned.items():
        row = rows.index(name)
        curve[row, int(np.flatnonzero(first_day == EDGES)[0]) :] = bound
        upper[row], basis[row] = bound, of
    ones = np.ones(len(rows), dtype=np.float32)
    curves = Curves(curve, upper, basis, ones, 0 * ones, len(names), len(types))
    return LevelModel(curves, logistic, np.zeros((len(rows), len(TARGET_FEATURES))))


def small_rules(policy: Policy | None = None, *strays: str) -> Rules:
    """Return the rules of the small shop, with made-up learning: see the numbers below."""
    space = ProductSpace.from_model(list(catalog().products()))
    product = level_of(
        space.ids,
        space.types,
        {
            # Half buy coffee again, evenly within [30, 32): a quarter of them by day 30.5.
            "coffee": (30, 0.5, BASES.index("product")),
            # One in twenty ever buys such a coat again: for good.
            "coat-navy-50": (30, 0.05, BASES.index("product")),
        },
    )
    # Another of the coat's group: a quarter by 100 + 7 / 4 = 101.75 days.
    group = level_of(space.groups, space.types, {"coat-navy": (100, 0.5, 1)})
    # Another sport coat: a quarter by 276 + 26 / 4 = 282.5 days.
    kind = level_of(space.types, [], {COATS: (276, 0.5, 2)})
    return Judgement.under(
        (product, group, kind),
        substitutes(space, COATS),
        EngineConfig(),
        policy or Policy(),
    ).rules(space.with_strays(strays))


def decide(
    customer: str, product: str, number: float, policy: Policy | None = None
) -> tuple[bool, str, float | None, float | None, str | None]:
    """Return suppress, reason, days of since and until, and basis, as of a day of the log.

    Asked for one customer and for many, which must say the same.
    """
    state = PurchaseState.from_orders(orders(), customer, day(number))
    found = CustomerScopes(small_rules(policy), state).decide(product, at(number))
    assert (found.customer_id, found.product_id) == (customer, product)
    rules = small_rules(policy, "mystery")
    bought = Purchases.from_orders(orders().before(day(number)))
    every = numbers_in(rules.space, orders().product_ids.to_pylist())
    told = ManyCustomers.from_purchases(rules, bought, every).decide(
        bought.codes([customer]), numbers_in(rules.space, [product]), at(number)
    )
    assert REASONS[told.reason[0]] == found.reason
    assert told.since[0] == (MISSING if found.since is None else found.since)
    for_good = FOREVER if found.suppress else MISSING
    assert told.until[0] == (for_good if found.until is None else found.until)
    assert [*BASES, None][told.basis[0]] == found.basis
    days = [None if t is None else (t - ZERO) / DAY for t in (found.since, found.until)]
    return found.suppress, found.reason, days[0], days[1], found.basis


# --- the small shop by hand ---


@pytest.mark.parametrize(
    ("customer", "product", "number", "expected"),
    [
        # ann owns the coat, for good
        ("ann", "coat-navy-50", 81, (True, "purchased", 0, None, "product")),
        # its other size: the group's end is day 101.75, the type's day 282.5: the later counts
        ("ann", "coat-navy-52", 81, (True, "purchased_variant", 0, 282.5, "item_group")),
        # after the group's end, the type alone keeps it away
        ("ann", "coat-navy-52", 101.75, (True, "purchased_substitute", 0, 282.5, "product_type")),
        # any other sport coat, known to nobody's history or not
        ("ann", "coat-tweed", 81, (True, "purchased_substitute", 0, 282.5, "product_type")),
        ("ann", "coat-tweed", 282.5, NOT),
        # the default is 365 days; a variant rests on its group's default
        ("ann", "trousers-50", 81, (True, "purchased", 0, 365, "default")),
        ("ann", "trousers-52", 81, (True, "purchased_variant", 0, 365, "default")),
        ("ann", "trousers-52", 365, NOT),
        # what nothing knows, and ann owns; and what she does not
        ("ann", "mystery", 81, (True, "purchased", 80, 445, "default")),
        ("ann", "nowhere", 81, NOT),
        ("ann", "tie", 81, NOT),
        # bob bought twice as much coffee as usual: twice 30.5 days from day 45
        ("bob", "coffee", 81, (True, "purchased", 45, 106, "product")),
        ("bob", "coffee", 106, NOT),
        # before that, on day 44, one pack: 30.5 days from day 20
        ("bob", "coffee", 44, (True, "purchased", 20, 50.5, "product")),
        # bob's own size is on the default until day 370; group 106.75 and type 287.5 end sooner
        ("bob", "coat-navy-52", 81, (True, "purchased", 5, 370, "default")),
        ("cid", "coat-navy-50", 81, (True, "purchased_substitute", 12, 294.5, "product_type")),
        # dot sent her tie back on day 35
        ("dot", "tie", 34, (True, "purchased", 30, 395, "default")),
        ("dot", "tie", 36, (True, "returned", 35, 65, "rule")),
        ("dot", "tie", 65, NOT),
        # eve gave hers away
        ("eve", "tie", 81, NOT),
        ("nobody", "tie", 81, NOT),
    ],
)  # fmt: skip
def test_decisions_by_hand(
    customer: str, product: str, number: float, expected: tuple[Any, ...]
) -> None:
    """Every decision of the small shop has the reason, times and basis worked out by hand."""
    assert decide(customer, product, number) == expected


def test_a_rhythm_by_hand() -> None:
    """Ann's 30 days of coffee move the learned 30.5 a little: she has two gaps of 30."""
    # Her 30 days are a median; the quantile is 30.5 / 31 of it. Halfway by ratio to 30.5.
    gap = math.sqrt(30.5 * 30 * 30.5 / 31)
    suppress, _, since, until, basis = decide("ann", "coffee", 81)
    assert (suppress, since, basis) == (True, 70, "product")
    assert until == pytest.approx(70 + gap, abs=2 / 86_400)


def test_the_list_by_hand() -> None:
    """The list names what was bought, with a row per group and per one-per-need type."""
    state = PurchaseState.from_orders(orders(), "ann", day(81))
    rows = CustomerScopes(small_rules(), state).rows(at(81))
    assert [(row.scope, row.target_id, row.reason, row.basis) for row in rows] == [
        ("product", "coat-navy-50", "purchased", "product"),
        ("product", "coffee", "purchased", "product"),
        ("product", "mystery", "purchased", "default"),
        ("product", "trousers-50", "purchased", "default"),
        ("item_group", "coat-navy", "purchased_variant", "item_group"),
        ("item_group", "trousers", "purchased_variant", "default"),
        ("product_type", COATS, "purchased_substitute", "product_type"),
    ]
    ends = {row.target_id: row.until for row in rows}
    assert ends[COATS] == at(282.5)
    assert (ends["coat-navy-50"], ends["coat-navy"]) == (None, at(101.75))
    assert {row.since for row in rows if row.target_id in (COATS, "coat-navy")} == {at(0)}


def test_the_list_holds_what_was_sent_back() -> None:
    """A return has a row of its own while it lasts; nothing is owned of it."""
    state = PurchaseState.from_orders(orders(), "dot", day(36))
    rows = CustomerScopes(small_rules(), state).rows(at(36))
    assert rows == [Suppression("dot", "product", "tie", "returned", at(35), at(65), "rule", None)]
    assert CustomerScopes(small_rules(), state).rows(at(65)) == []


def test_the_newest_of_a_group_is_the_product_itself() -> None:
    """Where the own product is due but its group is not, the reason is the purchase itself."""
    policy = Policy(thresholds={"default_cooldown_days": 50})
    # bob's size rests on the default, now day 55; its group lasts to day 106.75, its type longer.
    assert decide("bob", "coat-navy-52", 60, policy) == (
        True, "purchased", 5, 287.5, "item_group",
    )  # fmt: skip


def test_chances_are_the_products_own() -> None:
    """A variant or substitute has no chance of its own; what is owned has, suppressed or not."""
    state = PurchaseState.from_orders(orders(), "ann", day(81))
    scopes = CustomerScopes(small_rules(), state)
    chances = {
        product: scopes.decide(product, at(81)).repurchase_probability
        for product in ("coat-navy-50", "coat-navy-52", "coat-tweed", "tie", "mystery", "nowhere")
    }
    # Weights of nothing: even odds, wherever there is a chance to tell.
    assert chances == {
        "coat-navy-50": 0.5,
        "coat-navy-52": None,
        "coat-tweed": None,
        "tie": None,
        "mystery": 0.5,
        "nowhere": None,
    }
    assert scopes.decide("coffee", at(200)).repurchase_probability == 0.5


class Unscanned(dict[str, Any]):
    """What is owned, to be looked up only."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("one question looks at all that is owned")

    values = items = __iter__  # type: ignore[assignment]


@pytest.mark.parametrize(
    "product", ["coat-navy-50", "coat-navy-52", "coat-tweed", "tie", "nowhere"]
)
def test_one_question_costs_the_same_whatever_is_owned(product: str) -> None:
    """Only the product and its kin are looked at; the answer is that of looking at everything."""
    rules, state = small_rules(), PurchaseState.from_orders(orders(), "ann", day(81))
    guarded = replace(state, occasions=Unscanned(state.occasions))
    whole = CustomerScopes(rules, state)
    whole.members()
    found = CustomerScopes(rules, guarded).decide(product, at(81))
    assert found == whole.decide(product, at(81))


def test_nothing_learned_has_no_chance() -> None:
    """Where there was nothing to learn from, chances are None for one and NaN for many."""
    rules = small_rules()
    rules = Rules(**{**vars(rules), "weights": (NO_CHANCE,) * 3})
    state = PurchaseState.from_orders(orders(), "ann", day(81))
    assert CustomerScopes(rules, state).decide("coffee", at(81)).repurchase_probability is None
    assert CustomerScopes(rules, state).rows(at(81))[0].repurchase_probability is None


# --- policy ---


def with_type(rule: TypeRule, path: str = COATS) -> Policy:
    """Return a policy for one type."""
    return Policy(types={path: rule})


@pytest.mark.parametrize("path", [COATS, "Apparel > Suits", "Apparel"])
def test_a_type_never_suppresses(path: str) -> None:
    """A type that the shop sets free suppresses neither itself, its variants nor its kind."""
    policy = with_type(TypeRule(suppress=False), path)
    for product in ("coat-navy-50", "coat-navy-52", "coat-tweed"):
        assert decide("ann", product, 81, policy) == NOT
    assert decide("ann", "coffee", 81, policy)[0]
    state = PurchaseState.from_orders(orders(), "ann", day(81))
    scopes = {row.target_id for row in CustomerScopes(small_rules(policy), state).rows(at(81))}
    assert not scopes & {"coat-navy-50", "coat-navy", COATS}


def test_fixed_days_are_the_shops_word() -> None:
    """Days that the shop fixes hold for product, group and type alike, whatever was learned."""
    policy = with_type(TypeRule(cooldown_days=90))
    assert decide("ann", "coat-navy-50", 81, policy) == (True, "purchased", 0, 90, "rule")
    assert decide("ann", "coat-navy-52", 81, policy) == (True, "purchased_variant", 0, 90, "rule")
    assert decide("ann", "coat-tweed", 81, policy) == (True, "purchased_substitute", 0, 90, "rule")
    assert decide("ann", "coat-tweed", 90, policy) == NOT


def test_fixed_days_may_be_fewer_than_the_minimum() -> None:
    """The shop's word is not held to the minimum of what is learned."""
    assert decide("ann", "coat-navy-50", 3, with_type(TypeRule(cooldown_days=2)))[0] is False


def test_for_good_is_the_shops_word() -> None:
    """A type may be bought once in a life."""
    policy = with_type(TypeRule(cooldown_days="for_good"))
    assert decide("ann", "coat-tweed", 5000, policy) == (
        True, "purchased_substitute", 0, None, "rule",
    )  # fmt: skip


def test_one_per_need_is_the_shops_word() -> None:
    """The shop can say that one is enough, or that it is not."""
    assert decide("ann", "coat-tweed", 81, with_type(TypeRule(one_per_need=False))) == NOT
    state = PurchaseState.from_orders(orders(), "eve", day(81))
    assert state.owned.keys() == {"socks"}
    space = small_rules().space
    more = space.with_products([Product("socks-red", product_type=SOCKS)])
    for one_per_need in (None, True):
        policy = Policy(types={"Apparel": TypeRule(one_per_need=one_per_need)})
        rules = Judgement.under(
            (
                level_of(space.ids, space.types, {}),
                level_of(space.groups, space.types, {}),
                level_of(space.types, [], {}),
            ),
            substitutes(space),
            EngineConfig(),
            policy,
        ).rules(more)
        found = CustomerScopes(rules, state).decide("socks-red", at(81))
        assert found.suppress is bool(one_per_need)


@pytest.mark.parametrize(
    ("rule", "product", "expected"),
    [
        # without the product's own rule, its group and type still speak
        ("purchased", "coat-navy-50", (True, "purchased_variant", 0, 282.5, "item_group")),
        ("purchased", "coffee", NOT),
        ("purchased_variant", "coat-navy-52", (True, "purchased_substitute", 0, 282.5,
                                               "product_type")),
        ("purchased_variant", "trousers-52", NOT),
        ("purchased_substitute", "coat-tweed", NOT),
        ("purchased_substitute", "coat-navy-52", (True, "purchased_variant", 0, 101.75,
                                                  "item_group")),
    ],
)  # fmt: skip
def test_rules_are_switched_off(rule: str, product: str, expected: tuple[Any, ...]) -> None:
    """A rule that is off never suppresses; the others stay."""
    assert decide("ann", product, 81, Policy(rules={rule: False})) == expected


def test_returns_are_switched_off() -> None:
    """Without its rule, what was sent back may be shown at once."""
    policy = Policy(rules={"returned": False})
    assert decide("dot", "tie", 36, policy) == NOT
    state = PurchaseState.from_orders(orders(), "dot", day(36))
    assert CustomerScopes(small_rules(policy), state).rows(at(36)) == []


@pytest.mark.parametrize(
    ("thresholds", "product", "until"),
    [
        ({"due_quantile": 0.5}, "coffee", 45 + 2 * 31),
        ({"min_cooldown_days": 100}, "coffee", 145),
        ({"default_cooldown_days": 100}, "tie", 105),
        ({"default_cooldown_days": 2}, "tie", 12),  # never under the minimum of a week
        ({"default_cooldown_days": 2, "min_cooldown_days": 90}, "tie", 95),
    ],
)
def test_thresholds_of_the_policy_win(
    thresholds: dict[str, float], product: str, until: float
) -> None:
    """Policy moves quantile, minimum and default without a refit."""
    number = 46 if product == "coffee" else 6
    assert decide("bob", product, number, Policy(thresholds=thresholds))[3] == until


def test_a_threshold_of_the_policy_ends_for_good() -> None:
    """What one in twenty buys again is gone for good only below the threshold."""
    policy = Policy(thresholds={"repurchase_threshold": 0.04})
    # Now the coat is due like coffee, after 30.5 days; its group and type last.
    assert decide("ann", "coat-navy-50", 20, policy) == (True, "purchased", 0, 282.5, "product")
    both = {"repurchase_threshold": 0.6}
    assert decide("ann", "coffee", 81, Policy(thresholds=both))[3] is not None
    assert decide("bob", "coffee", 81, Policy(thresholds=both))[3] is None


def test_the_return_cooldown_is_the_policys() -> None:
    """Dot's tie stays away as long as the shop says."""
    policy = Policy(thresholds={"return_cooldown_days": 5})
    assert decide("dot", "tie", 36, policy) == (True, "returned", 35, 40, "rule")
    assert decide("dot", "tie", 40, policy) == NOT


def test_rules_for_types_by_number() -> None:
    """Each type has the rule of its longest path, as numbers; without any there is none."""
    space = small_rules().space
    assert type_rules(space, Policy()) == {}
    policy = Policy(
        types={"Apparel": TypeRule(cooldown_days=5), COATS: TypeRule(cooldown_days="for_good")}
    )
    named = {space.types[num]: rule for num, rule in type_rules(space, policy).items()}
    assert named[COATS] == (True, math.inf)
    assert named[SOCKS] == (True, 5.0)
    assert len(named) == 4


# --- terms ---


def test_terms_by_hand() -> None:
    """Learned, for good, never seen to come back, and unknown: each has its gap and basis."""
    learned = {
        "a": (30, 0.5, BASES.index("item_group")),
        "b": (30, 0.05, BASES.index("product")),
        "c": (30, 0.5, BASES.index("default")),
        "d": (30, 0.0, BASES.index("all")),
    }
    level = level_of([*"abcd"], ["T"], learned)
    terms = terms_of(level, EngineConfig(), Policy())
    # d: nobody came back, with a bound of 0: for good. The type T and all rest on the default,
    # and so does the last row, which is for what nothing knows.
    assert terms.gap.tolist() == [30.5, math.inf, 365, math.inf, 365, 365, 365]
    default = BASES.index("default")
    assert terms.basis.tolist() == [1, 0, default, 3, default, default, default]
    assert terms.is_learned.tolist() == [True, True, False, True, False, False, False]
    assert terms.typical.tolist() == [31, 31, 31, 3650, 3650, 3650, 3650]
    assert terms.is_on.all()


def test_who_might_come_back_though_nobody_did_has_the_default() -> None:
    """Without anybody who came back there is no gap; unless it is for good, the default holds."""
    level = level_of(["a"], [], {"a": (30, 0.0, 0)})
    terms = terms_of(level, EngineConfig(repurchase_threshold=0.0), Policy())
    assert (terms.gap[0], BASES[terms.basis[0]], terms.is_learned[0]) == (365, "default", False)


def test_products_of_a_catalogue_alone_rest_on_their_type() -> None:
    """What the model never saw has the terms of its type, or of all; what nothing knows none."""
    space = ProductSpace.from_model([Product("a", product_type="T"), Product("b")])
    index = BASES.index
    product = level_of(
        space.ids, space.types, {"T": (40, 0.5, index("product_type")), "all": (60, 0.5, 3)}
    )
    group = level_of([], space.types, {"T": (43, 0.5, 2), "all": (64, 0.5, 3)})
    kind = level_of(space.types, [], {"all": (68, 0.5, 3)})
    judgement = Judgement.under(
        (product, group, kind), substitutes(space), EngineConfig(), Policy()
    )
    more = space.with_products(
        [Product("c", "g", product_type="T"), Product("d", "h", product_type="U")]
    ).with_strays(["e"])
    rules = judgement.rules(more)
    # a and b have rows of their own, on the default; c is of type T: 40 + 3 / 4; d: 60 + 1.
    assert rules.product.gap.tolist() == [365, 365, 40.75, 61, 365, 365]
    assert rules.group.gap.tolist() == [43.75, 65]
    assert rules.type.gap.tolist() == [365, 69]
    assert [BASES[num] for num in rules.product.basis] == [
        "default", "default", "product_type", "all", "default", "default",
    ]  # fmt: skip
    assert not rules.is_one_per_need.any()


def test_a_group_obeys_the_type_it_has_now() -> None:
    """When the catalogue moves a group to a type that the shop sets free, the group is free."""
    rules = small_rules(Policy(types={"Rental": TypeRule(suppress=False)}))
    space = rules.space.with_products(
        Product(each, "coat-navy", product_type="Rental")
        for each in ("coat-navy-50", "coat-navy-52")
    )
    state = PurchaseState.from_orders(orders(), "ann", day(81))
    judgement = Judgement.under(
        (
            level_of(rules.space.ids, rules.space.types, {}),
            level_of(rules.space.groups, rules.space.types, {}),
            level_of(rules.space.types, [], {}),
        ),
        substitutes(rules.space, COATS),
        EngineConfig(),
        Policy(types={"Rental": TypeRule(suppress=False)}),
    )
    scopes = CustomerScopes(judgement.rules(space), state)
    assert not scopes.decide("coat-navy-50", at(81)).suppress
    assert not scopes.decide("coat-navy-52", at(81)).suppress


# --- random shops: one customer is one of many ---

KNOWN = [*(customer for customer in CUSTOMERS if customer is not None), "nobody"]
ASKED = [*PRODUCTS, "p8", "nowhere"]
MODEL_PRODUCTS = 6
"""The model knows the first products; others come from the catalogue, or from a history alone."""


def random_level(rng: np.random.Generator, n: int, n_types: int) -> LevelModel:
    """Return a level of anything that could be learned."""
    n_rows = n + n_types + 1
    steps = rng.random((n_rows, len(EDGES) - 1)) * (rng.random((n_rows, len(EDGES) - 1)) < 0.2)
    share = rng.choice([0.0, 0.3, 0.95], n_rows)
    curve = np.cumsum(steps, axis=1) / np.maximum(steps.sum(axis=1), 1e-9)[:, None]
    curves = Curves(
        (curve * share[:, None]).astype(np.float32),
        rng.choice([0.01, 0.5], n_rows).astype(np.float32),
        rng.integers(0, 5, n_rows).astype(np.int8),
        rng.uniform(0.5, 4, n_rows).astype(np.float32),
        rng.normal(size=n_rows).astype(np.float32),
        n,
        n_types,
    )
    weights = Logistic.from_array(
        np.full(1 + len(FEATURES), math.nan)
        if rng.random() < 0.2
        else rng.normal(size=1 + len(FEATURES)) / 4
    )
    return LevelModel(curves, weights, rng.normal(size=(n_rows, len(TARGET_FEATURES))))


def random_judgement(
    known: pz.Catalog, policy: Policy, seed: int
) -> tuple[Judgement, ProductSpace]:
    """Return anything that could be learned of some products, and what the catalogue adds."""
    rng = np.random.default_rng(seed)
    model = [p for p in known.products() if p.product_id < f"p{MODEL_PRODUCTS}"]
    space = ProductSpace.from_model(model)
    n_groups, n_types = len(space.groups), len(space.types)
    levels = (
        random_level(rng, len(space), n_types),
        random_level(rng, n_groups, n_types),
        random_level(rng, n_types, 0),
    )
    enough = [name for name in space.types if rng.random() < 0.5]
    judgement = Judgement.under(levels, substitutes(space, *enough), EngineConfig(), policy)
    return judgement, space.with_products(known.products())


def scopes_of(rules: Rules, whole: pz.Orders, customer: str, as_of: dt.datetime) -> CustomerScopes:
    """Return one customer under these rules."""
    return CustomerScopes(rules, PurchaseState.from_orders(whole, customer, as_of))


@settings(deadline=None, max_examples=60)
@given(log=order_logs(), known=catalogs(), policy=policies, as_of=MOMENTS, seed=st.integers(0, 999))
def test_one_customer_is_one_of_many(
    log: pd.DataFrame, known: pz.Catalog, policy: Policy, as_of: dt.datetime, seed: int
) -> None:
    """Decisions and lists are the same for one customer, interpreted, and for all, compiled."""
    whole, now = pz.Orders.from_frame(log), to_micros(as_of)
    judgement, space = random_judgement(known, policy, seed)
    rules, full = judgement.rules(space), judgement.rules(space.with_strays(PRODUCTS))
    bought = Purchases.from_orders(whole.before(as_of))
    many = ManyCustomers.from_purchases(
        full, bought, numbers_in(full.space, whole.product_ids.to_pylist())
    )
    codes = np.repeat(bought.codes(KNOWN), len(ASKED))
    found = many.decide(codes, np.tile(numbers_in(full.space, ASKED), len(KNOWN)), now)
    bases = [*BASES, None]
    for i, customer in enumerate(KNOWN):
        scopes = scopes_of(rules, whole, customer, as_of)
        for j, product in enumerate(ASKED):
            row = i * len(ASKED) + j
            one = scopes.decide(product, now)
            suppress = REASONS[found.reason[row]] != "not_suppressed"
            times = [
                None if t in (MISSING, FOREVER) else t for t in (found.since[row], found.until[row])
            ]
            told = (suppress, REASONS[found.reason[row]], *times, bases[found.basis[row]])
            assert one[2:7] == told
            assert (found.until[row] == FOREVER) == (one.suppress and one.until is None)
            chance = one.repurchase_probability
            assert found.chance[row] == pytest.approx(
                math.nan if chance is None else chance, rel=1e-12, nan_ok=True
            )
        assert scopes.rows(now) == rows_of_many(many, customer, now)


def rows_of_many(many: ManyCustomers, customer: str, now: int) -> list[Suppression]:
    """Return one customer's list from the arrays of all, but for the chances' last digits."""
    (code,) = many.purchases.codes([customer])
    space, found = many.rules.space, []
    for level, names in enumerate((space.ids, space.groups, space.types)):
        table, until = many.owned[level], many.until[level]
        rows = np.flatnonzero((table.customer == code) & (until > now))
        chances = many.chance(level, rows, now).tolist()
        for row, chance in zip(rows.tolist(), chances, strict=True):
            num = int(table.target[row])
            found.append(
                Suppression(
                    customer,
                    SCOPES[level],
                    names[num],
                    REASONS[level],
                    int(table.last_at[row]),
                    None if until[row] == FOREVER else int(until[row]),
                    BASES[many.rules.levels[level].basis[num]],
                    None if math.isnan(chance) else pytest.approx(chance, rel=1e-12),
                )
            )
    away = round(many.rules.return_days * DAY)
    for row in np.flatnonzero(many.returned.customer == code).tolist():
        since = int(many.returned.last_at[row])
        if many.rules.returned_is_on and now < since + away:
            name = space.ids[many.returned.target[row]]
            found.append(
                Suppression(
                    customer, "product", name, "returned", since, since + away, "rule", None
                )
            )
    return sorted(found, key=lambda row: (SCOPES.index(row.scope), row.target_id))


@settings(deadline=None, max_examples=40)
@given(log=order_logs(), known=catalogs(), policy=policies, as_of=MOMENTS, seed=st.integers(0, 999))
def test_the_list_says_what_decisions_say(
    log: pd.DataFrame, known: pz.Catalog, policy: Policy, as_of: dt.datetime, seed: int
) -> None:
    """Who applies the rows of the list to a product comes to the same end as who asks about it."""
    whole, now = pz.Orders.from_frame(log), to_micros(as_of)
    judgement, space = random_judgement(known, policy, seed)
    rules = judgement.rules(space)
    for customer in KNOWN:
        scopes = scopes_of(rules, whole, customer, as_of)
        rows = scopes.rows(now)
        alone = [scopes_of(rules, whole, customer, as_of).decide(p, now) for p in ASKED]
        assert [scopes.decide(product, now) for product in ASKED] == alone
        for product in ASKED:
            told = known.product(product) or Product(product)
            names = (product, told.item_group_id, told.product_type)
            mine = [row for row in rows if names[SCOPES.index(row.scope)] == row.target_id]
            one = scopes.decide(product, now)
            assert one.suppress == bool(mine)
            ends = [FOREVER if row.until is None else row.until for row in mine]
            end = FOREVER if one.suppress and one.until is None else one.until
            assert end == (max(ends) if ends else None)
            if mine:
                order = [row for row in mine if row.reason != "returned"] or mine
                assert (one.since, one.basis) == (order[0].since, order[0].basis)


@settings(deadline=None, max_examples=40)
@given(
    log=order_logs(),
    known=catalogs(),
    policy=policies,
    as_of=MOMENTS,
    later=st.floats(0, 500),
    seed=st.integers(0, 999),
)
def test_the_end_does_not_depend_on_the_question(
    log: pd.DataFrame,
    known: pz.Catalog,
    policy: Policy,
    as_of: dt.datetime,
    later: float,
    seed: int,
) -> None:
    """With the same facts, a later question finds the same end, or that it has passed."""
    whole, now = pz.Orders.from_frame(log), to_micros(as_of)
    then = now + round(later * DAY)
    judgement, space = random_judgement(known, policy, seed)
    rules = judgement.rules(space)
    for customer in KNOWN:
        scopes = scopes_of(rules, whole, customer, as_of)
        for product in ASKED:
            first, second = (scopes.decide(product, moment) for moment in (now, then))
            is_over = not first.suppress or (first.until is not None and first.until <= then)
            assert second.suppress is not is_over
            assert second.until == (None if is_over else first.until)


@settings(deadline=None, max_examples=40)
@given(log=order_logs(), known=catalogs(), policy=policies, as_of=MOMENTS, seed=st.integers(0, 999))
def test_gifts_and_the_future_change_nothing(
    log: pd.DataFrame, known: pz.Catalog, policy: Policy, as_of: dt.datetime, seed: int
) -> None:
    """Without its gifts, and without facts at or after the question, a log says the same."""
    whole, now = pz.Orders.from_frame(log), to_micros(as_of)
    judgement, space = random_judgement(known, policy, seed)
    rules = judgement.rules(space)
    less = log[~log["gift"] & (log["ordered_at"] < as_of)].copy()
    not_yet = (less["returned_at"] >= as_of).to_numpy()
    less.loc[not_yet, "returned_quantity"] = 0
    less.loc[not_yet, "returned_at"] = pd.NaT
    bare = pz.Orders.from_frame(less.sample(frac=1, random_state=seed))
    for customer in KNOWN:
        one = scopes_of(rules, whole, customer, as_of)
        other = CustomerScopes(rules, PurchaseState.from_orders(bare, customer))
        assert one.rows(now) == other.rows(now)
        for product in ASKED:
            assert one.decide(product, now) == other.decide(product, now)


@settings(deadline=None, max_examples=40)
@given(log=order_logs(), known=catalogs(), as_of=MOMENTS, seed=st.integers(0, 999))
def test_what_was_just_bought_is_never_advertised(
    log: pd.DataFrame, known: pz.Catalog, as_of: dt.datetime, seed: int
) -> None:
    """Within the minimum cooldown what is owned is suppressed, whatever was learned."""
    whole, now = pz.Orders.from_frame(log), to_micros(as_of)
    judgement, space = random_judgement(known, Policy(), seed)
    rules = judgement.rules(space)
    for customer in KNOWN:
        scopes = scopes_of(rules, whole, customer, as_of)
        for product, owned in scopes.state.owned.items():
            found = scopes.decide(product, now)
            assert found.suppress or now >= owned.last_at + 7 * DAY
            if found.suppress and found.until is not None:
                assert found.until >= owned.last_at + 7 * DAY
        for product, back in scopes.state.returned.items():
            found = scopes.decide(product, now)
            assert found.suppress or now >= back + 30 * DAY
            if found.reason == "returned":
                assert found.until == back + 30 * DAY
            # What was sent back is held against nothing but itself.
            assert found.repurchase_probability is None


def test_compiled_chances_are_the_plain_ones() -> None:
    """The compiled loop gives the chances that the interpreter gives, to the last digit or so."""
    rng = np.random.default_rng(5)
    n = 200
    first = rng.integers(0, 300 * DAY, n)
    last = first + rng.integers(0, 300 * DAY, n)
    rows = rng.integers(-1, n, 300)
    arguments = (
        rows, rng.normal(size=8) / 4, rng.normal(size=7) / 4, rng.normal(size=(3, 7)), LOYALTY,
        rng.uniform(0.5, 4, size=(7, 7)), rng.normal(size=(7, 33)), rng.integers(0, 7, n),
        rng.integers(1, 9, n), first, last, rng.integers(1, 9, n), rng.integers(9, 99, n),
        700 * DAY, rng.integers(0, 3, n),
    )  # fmt: skip
    fast, plain = (np.full(len(rows), math.nan) for _ in range(2))
    fill_chance(fast, *arguments)
    fill_chance.py(plain, *arguments)
    np.testing.assert_array_equal(fast, plain)
    np.testing.assert_array_equal(np.isnan(plain), rows < 0)


def test_decisions_name_their_moments() -> None:
    """A decision's times are microseconds, which make aware datetimes."""
    state = PurchaseState.from_orders(orders(), "bob", day(81))
    found = CustomerScopes(small_rules(), state).decide("coffee", at(81))
    assert found == Decision("bob", "coffee", True, "purchased", at(45), at(106), "product", 0.5)
    assert found.until is not None
    assert to_datetime(found.until) == day(106)


def test_too_few_who_came_back_say_nothing_of_when() -> None:
    """Rarely bought again, but not surely never: the default or the learned gap, the longer."""
    curve = np.zeros((3, len(EDGES) - 1), dtype=np.float32)
    curve[:, int(np.flatnonzero(EDGES == 30)[0]) :] = 0.05  # a quarter of them by 30.5 days
    ones = np.ones(3, dtype=np.float32)

    def gaps(upper: float, **limits: float) -> tuple[list[float], list[int]]:
        curves = Curves(curve, upper * ones, np.zeros(3, np.int8), ones, 0 * ones, 2, 0)
        level = LevelModel(curves, NO_CHANCE, np.zeros((3, len(TARGET_FEATURES))))
        terms = terms_of(level, EngineConfig(**limits), Policy())  # type: ignore[arg-type]
        return terms.gap[:2].tolist(), terms.basis[:2].tolist()

    default = BASES.index("default")
    assert gaps(0.2) == ([365.0] * 2, [default] * 2)
    assert gaps(0.2, default_cooldown_days=10) == ([pytest.approx(30.5)] * 2, [default] * 2)
    # Often enough, surely never, or a history too brief to say: as it was.
    assert gaps(0.2, repurchase_threshold=0.04) == ([pytest.approx(30.5)] * 2, [0, 0])
    assert gaps(0.09) == ([math.inf] * 2, [0, 0])
    assert gaps(1.0) == ([pytest.approx(30.5)] * 2, [0, 0])
