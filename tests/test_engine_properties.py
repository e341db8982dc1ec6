"""What must hold of an engine on any order log: guards, time, sameness, single equals batch."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_shop import CUSTOMERS, FIRST, MOMENTS, PRODUCTS, catalogs, configs, order_logs, policies

import personalize as pz

lightly = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
KNOWN = [customer for customer in CUSTOMERS if customer]
PAIRS = pd.DataFrame(
    [(c, p) for c in [*KNOWN, "nobody"] for p in [*PRODUCTS, "p8", "never"]],
    columns=["customer_id", "product_id"],
)


def fitted(
    log: pd.DataFrame, catalog: pz.Catalog | None = None, config: pz.EngineConfig | None = None
) -> tuple[pz.Engine, pz.Orders]:
    """Return an engine and the orders it learned from."""
    orders = pz.Orders.from_frame(log)
    return pz.Engine.fit(orders, catalog, config), orders


@lightly
@given(order_logs(), catalogs(), configs, policies, MOMENTS, st.sampled_from(pz.MOMENTS))
def test_every_list_passes_every_guard(
    log: pd.DataFrame,
    catalog: pz.Catalog,
    config: pz.EngineConfig,
    policy: pz.Policy,
    as_of: dt.datetime,
    moment: str,
) -> None:
    """Nothing suppressed, owned, unavailable, sensitive or twice is shown; ranks are 1..n."""
    engine, orders = fitted(log, catalog, config)
    shown = engine.recommend(
        orders, [*KNOWN, "nobody"], 5, as_of, moment=moment, policy=policy, exclude=["p3"]
    )
    checked = engine.check(shown[["customer_id", "product_id"]], orders, as_of, policy=policy)
    assert not checked["suppress"].any()
    view = engine.view(policy)
    assert not (shown["product_id"] == "p3").any()
    assert shown["score"].notna().all()
    for customer, rows in shown.groupby("customer_id"):
        state = pz.PurchaseState.from_orders(orders, customer, as_of)
        products = rows["product_id"].tolist()
        facts = [view.product(product) for product in products]
        groups = [fact.item_group_id for fact in facts if fact and fact.item_group_id]
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert len(rows) <= 5
        assert rows["score"].is_monotonic_decreasing
        assert len(set(products)) == len(products)
        assert len(set(groups)) == len(groups)
        assert not set(products) & set(state.occasions)
        assert all(fact and fact.is_available and not fact.sensitive for fact in facts)


@lightly
@given(order_logs(), catalogs(), policies, MOMENTS, st.booleans(), st.sampled_from(pz.MOMENTS))
def test_single_answers_equal_batch_answers(
    log: pd.DataFrame,
    catalog: pz.Catalog,
    policy: pz.Policy,
    as_of: dt.datetime,
    include_due: bool,
    moment: str,
) -> None:
    """One rule answers for one customer and for many: decisions, lists and picks are the same."""
    engine, orders = fitted(log, catalog)
    view, micros = engine.view(policy), pz.to_micros(as_of)
    decisions = engine.check(PAIRS, orders, as_of, policy=policy)
    rows = engine.suppress(orders, [*KNOWN, "nobody"], as_of, policy=policy)
    picks = engine.recommend(
        orders, KNOWN, 6, as_of, policy=policy, include_due=include_due, moment=moment
    )
    for customer, mine in decisions.groupby("customer_id", sort=False):
        state = pz.PurchaseState.from_orders(orders, customer, as_of)
        single = view.decide(state, mine["product_id"].tolist(), micros)
        assert_same(single, mine)
        assert_same(view.suppressions(state, micros), rows[rows["customer_id"] == customer])
        if customer in KNOWN:
            listed = view.recommend(state, 6, micros, moment=moment, include_due=include_due)
            table = picks[picks["customer_id"] == customer]
            assert [pick.product_id for pick in listed] == table["product_id"].tolist()
            assert [pick.score for pick in listed] == table["score"].tolist()
            assert [pick.reason for pick in listed] == table["reason"].tolist()


def assert_same(values: list[tuple[object, ...]], table: pd.DataFrame) -> None:
    """Assert that named tuples say what the rows of a table say."""
    assert len(values) == len(table)
    for value, row in zip(values, table.itertuples(index=False), strict=True):
        for name, seen in value._asdict().items():
            want = getattr(row, name)
            if name in ("since", "until"):
                want = None if want is pd.NaT else pz.to_micros(want)
            elif not isinstance(want, (bool, np.bool_)) and pd.isna(want):
                want = None
            assert seen == want, (name, value, row)


@lightly
@given(order_logs(min_orders=3), catalogs(), MOMENTS)
def test_later_facts_change_nothing(
    log: pd.DataFrame, catalog: pz.Catalog, as_of: dt.datetime
) -> None:
    """Orders and returns at or after `as_of` change no answer about the time before."""
    early = log[log["ordered_at"] < as_of].copy()
    if early.empty:
        return
    late = early["returned_at"] >= as_of
    early.loc[late, "returned_quantity"] = 0
    early.loc[late, "returned_at"] = pd.NaT
    whole, past = pz.Orders.from_frame(log), pz.Orders.from_frame(early)
    one, other = (pz.Engine.fit(each, catalog, as_of=as_of) for each in (whole, past))
    assert one.model_version == other.model_version
    for answer in ("recommend", "suppress"):
        pd.testing.assert_frame_equal(
            getattr(one, answer)(whole, KNOWN, as_of=as_of),
            getattr(other, answer)(past, KNOWN, as_of=as_of),
        )


@lightly
@given(order_logs(), catalogs(), st.randoms(use_true_random=False))
def test_row_order_is_irrelevant_and_input_unchanged(
    log: pd.DataFrame, catalog: pz.Catalog, random: object
) -> None:
    """Shuffled rows give the same bytes; the caller's table stays as it was."""
    before = log.copy(deep=True)
    engine, orders = fitted(log, catalog)
    shuffled = log.sample(frac=1.0, random_state=random.randrange(2**31))  # type: ignore[attr-defined]
    again, same = fitted(shuffled, catalog)
    assert engine.model_version == again.model_version
    pd.testing.assert_frame_equal(engine.recommend(orders), again.recommend(same))
    pd.testing.assert_frame_equal(log, before)


@lightly
@given(order_logs(), catalogs())
def test_renaming_in_order_renames_the_answers(log: pd.DataFrame, catalog: pz.Catalog) -> None:
    """Ids carry no meaning: an order-preserving renaming renames the answers and no more."""
    renamed = log.assign(
        customer_id=[None if pd.isna(c) else f"x{c}" for c in log["customer_id"]],
        product_id=[f"y{p}" for p in log["product_id"]],
    )
    products = [p._replace(product_id=f"y{p.product_id}") for p in catalog.products()]
    engine, orders = fitted(log, catalog)
    other, same = fitted(renamed, pz.Catalog.from_products(products))
    plain, with_names = engine.recommend(orders), other.recommend(same)
    assert [f"y{each}" for each in plain["product_id"]] == with_names["product_id"].tolist()
    assert [f"x{each}" for each in plain["customer_id"]] == with_names["customer_id"].tolist()
    np.testing.assert_array_equal(plain["score"], with_names["score"])


@lightly
@given(order_logs(), catalogs(), configs)
def test_saved_and_loaded_equals_original(
    log: pd.DataFrame, catalog: pz.Catalog, config: pz.EngineConfig
) -> None:
    """An artifact answers as the engine that wrote it; one engine always writes the same bytes."""
    engine, orders = fitted(log, catalog, config)
    with tempfile.TemporaryDirectory() as folder:
        engine.save(Path(folder) / "one")
        engine.save(Path(folder) / "two")
        loaded = pz.Engine.load(Path(folder) / "one")
        assert loaded.model_version == "one"
        assert loaded.config == config
        pd.testing.assert_frame_equal(loaded.recommend(orders), engine.recommend(orders))
        pd.testing.assert_frame_equal(loaded.suppress(orders), engine.suppress(orders))
        for file in sorted((Path(folder) / "one").iterdir()):
            assert file.read_bytes() == (Path(folder) / "two" / file.name).read_bytes()


@lightly
@given(order_logs(), catalogs(), MOMENTS)
def test_ends_do_not_move_with_the_question(
    log: pd.DataFrame, catalog: pz.Catalog, as_of: dt.datetime
) -> None:
    """`until` depends on facts alone: while one suppresses, asking later gives the same end."""
    engine, orders = fitted(log, catalog)
    last = pz.to_datetime(orders.newest + 1)
    later = max(as_of, last + dt.timedelta(days=45))  # every return has happened
    now = max(last, FIRST + dt.timedelta(days=241))
    first, second = (engine.check(PAIRS, orders, moment) for moment in (now, max(now, later)))
    both = (first["suppress"] & second["suppress"]).to_numpy()
    same_scope = (first["reason"] == second["reason"]).to_numpy()
    pd.testing.assert_series_equal(
        first["until"][both & same_scope], second["until"][both & same_scope]
    )


@lightly
@given(order_logs(), catalogs(), MOMENTS)
def test_what_was_just_bought_is_suppressed(
    log: pd.DataFrame, catalog: pz.Catalog, as_of: dt.datetime
) -> None:
    """A product kept and bought within `min_cooldown_days` is suppressed, whatever it is."""
    engine, orders = fitted(log, catalog)
    recent = as_of - dt.timedelta(days=engine.config.min_cooldown_days)
    for customer in KNOWN:
        state = pz.PurchaseState.from_orders(orders, customer, as_of)
        for product, times in state.occasions.items():
            if max(times) > pz.to_micros(recent):
                (decision,) = engine.decide(state, [product], as_of)
                assert decision.suppress
                assert decision.reason == "purchased"


@lightly
@given(order_logs(), catalogs())
def test_complements_pass_the_guards(log: pd.DataFrame, catalog: pz.Catalog) -> None:
    """No basket product, variant of one, or second of a one-per-need type among complements."""
    engine, _ = fitted(log, catalog)
    policy = pz.Policy(types={"A": pz.TypeRule(one_per_need=True)})
    baskets = pd.DataFrame({"basket_id": ["b", "b", "c"], "product_id": ["p0", "p1", "never"]})
    view = engine.view(policy)
    shown = engine.complements(baskets, 5, policy=policy)
    kin = [view.product(p) for p in ("p0", "p1")]
    groups = {p.item_group_id for p in kin if p} - {None}
    types = {p.product_type for p in kin if p and (p.product_type or "").startswith("A")}
    for row in shown[shown["basket_id"] == "b"].itertuples():
        product = view.product(row.product_id)
        assert product is not None
        assert row.product_id not in ("p0", "p1")
        assert product.item_group_id not in groups
        assert product.product_type not in types
    assert set(shown["basket_id"]) <= {"b", "c"}
    assert set(shown[shown["basket_id"] == "c"]["reason"]) <= {"popular"}


@pytest.mark.parametrize("min_customers", [2, 3])
@lightly
@given(log=order_logs(), catalog=catalogs())
def test_no_pair_of_few_customers_is_stored(
    min_customers: int, log: pd.DataFrame, catalog: pz.Catalog
) -> None:
    """A pair of products in the artifact was bought by `min_customers` different customers."""
    config = pz.EngineConfig(min_customers=min_customers)
    engine, orders = fitted(log, catalog, config)
    known = orders.before(engine.as_of)  # a return dated later has not happened
    kept = known.to_frame()[known.kept]
    kept["who"] = kept["customer_id"].where(kept["customer_id"].notna(), kept["order_id"])
    buyers = kept.groupby("product_id")["who"].agg(set)
    products, ids = engine.model.products, engine.model.space.ids
    for indptr, nums in (
        (products.together_indptr, products.together_nums),
        (products.next_indptr, products.next_nums),
    ):
        sources = np.repeat(np.arange(len(ids)), np.diff(indptr))
        for source, other in zip(sources, nums, strict=True):
            assert len(buyers[ids[source]] & buyers[ids[other]]) >= min_customers
