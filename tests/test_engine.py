"""The engine's public face: what comes back, what it rests on, what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_shop

import personalize as pz
from personalize.artifact import manifest_digest

NOW = small_shop.day(81)


@pytest.fixture(scope="module")
def orders() -> pz.Orders:
    """Return the small shop's orders."""
    return small_shop.orders()


@pytest.fixture(scope="module")
def engine(orders: pz.Orders) -> pz.Engine:
    """Return an engine that learned from the small shop; pairs count from one customer on."""
    return pz.Engine.fit(orders, small_shop.catalog(), pz.EngineConfig(min_customers=1))


def state_of(orders: pz.Orders, customer: str) -> pz.PurchaseState:
    """Return what a customer of the small shop owns at the end."""
    return pz.PurchaseState.from_orders(orders, customer, NOW)


def basket(*products: str) -> pd.DataFrame:
    """Return one basket as a table."""
    return pd.DataFrame({"basket_id": "b", "product_id": products})


# --- tables ---


def test_tables_have_the_columns_and_types_of_the_contract(
    engine: pz.Engine, orders: pz.Orders
) -> None:
    """Answers come as string, int64, float64, bool and datetime64[us, UTC] columns, in order."""
    pairs = pd.DataFrame({"customer_id": ["ann"], "product_id": ["tie"]})
    stamp = "datetime64[us, UTC]"
    decision = {
        "suppress": "bool",
        "reason": "str",
        "since": stamp,
        "until": stamp,
        "basis": "str",
        "repurchase_probability": "float64",
    }
    pick = {
        "product_id": "str",
        "rank": "int64",
        "score": "float64",
        "reason": "str",
        "because_product_id": "str",
    }
    ids = {"customer_id": "str", "product_id": "str"}
    assert types(engine.check(pairs, orders)) == {**ids, **decision}
    row = {"customer_id": "str", "scope": "str", "target_id": "str"}
    listed = {name: kind for name, kind in decision.items() if name != "suppress"}
    assert types(engine.suppress(orders)) == {**row, **listed}
    assert types(engine.recommend(orders)) == {"customer_id": "str", **pick}
    found = {"basket_id": "str", **pick, "support": "float64", "lift": "float64"}
    assert types(engine.complements(basket("tie"))) == found


def types(table: pd.DataFrame) -> dict[str, str]:
    """Return the column types by name, in order."""
    return {name: str(kind) for name, kind in table.dtypes.items()}


def test_empty_questions_get_empty_tables_of_the_same_shape(
    engine: pz.Engine, orders: pz.Orders
) -> None:
    """No pairs, no customers, no baskets: no rows, the same columns and types."""
    none = pd.DataFrame({"customer_id": [], "product_id": []})
    assert types(engine.check(none, orders)) == types(
        engine.check(pd.DataFrame({"customer_id": ["ann"], "product_id": ["tie"]}), orders)
    )
    assert types(engine.suppress(orders, [])) == types(engine.suppress(orders))
    assert types(engine.recommend(orders, [])) == types(engine.recommend(orders))
    assert engine.complements(basket()).empty


def test_check_keeps_rows_and_index(engine: pz.Engine, orders: pz.Orders) -> None:
    """Pairs come back in their order, repeated ones too, under the index they came with."""
    pairs = pd.DataFrame(
        {"customer_id": ["bob", "ann", "bob"], "product_id": ["tie", "tie", "tie"]},
        index=[7, 3, 5],
    )
    checked = engine.check(pairs, orders)
    assert checked.index.tolist() == [7, 3, 5]
    assert checked["customer_id"].tolist() == ["bob", "ann", "bob"]
    assert checked["suppress"].tolist() == [True, False, True]


def test_whole_number_ids_are_read_as_in_the_tables(engine: pz.Engine, orders: pz.Orders) -> None:
    """A number column of ids means the same texts as in a table of orders."""
    pairs = pd.DataFrame({"customer_id": [12346.0, 7.0], "product_id": [1, 2]})
    checked = engine.check(pairs, orders)
    assert checked["customer_id"].tolist() == ["12346", "7"]
    assert checked["product_id"].tolist() == ["1", "2"]


# --- suppression ---


def test_reasons_follow_the_rules(engine: pz.Engine, orders: pz.Orders) -> None:
    """Product, variant, substitute, returned and none of these: each with its reason."""
    one_coat = pz.Policy(types={small_shop.COATS: pz.TypeRule(one_per_need=True)})
    asked = [
        ("ann", "coat-navy-50", "purchased"),
        ("ann", "coat-navy-52", "purchased_variant"),
        ("ann", "coat-grey", "purchased_substitute"),
        ("dot", "tie", "not_suppressed"),  # sent back on day 35, released on day 65
        ("ann", "mystery", "purchased"),  # no catalogue knows it, but she owns it
        ("bob", "mystery", "not_suppressed"),
        ("eve", "tie", "not_suppressed"),  # given away
        ("nobody", "tie", "not_suppressed"),
    ]
    pairs = pd.DataFrame(asked, columns=["customer_id", "product_id", "reason"])
    checked = engine.check(pairs, orders, NOW, policy=one_coat)
    assert checked["reason"].tolist() == pairs["reason"].tolist()
    earlier = engine.check(pairs.iloc[[3]], orders, small_shop.day(64))
    assert earlier["reason"].tolist() == ["returned"]
    assert earlier["until"].tolist() == [pd.Timestamp(small_shop.day(65))]


def test_what_nothing_knows_is_suppressed_by_default(engine: pz.Engine, orders: pz.Orders) -> None:
    """An owned product that neither artifact nor catalogue knows stays away by default."""
    log = small_shop.frame().assign(product_id=lambda t: t["product_id"].replace("tie", "unseen"))
    stranger = pz.Orders.from_frame(log)
    pairs = pd.DataFrame({"customer_id": ["bob", "ann"], "product_id": ["unseen", "unseen"]})
    checked = engine.check(pairs, stranger, NOW)
    assert checked["suppress"].tolist() == [True, False]
    assert checked["basis"].tolist()[0] == "default"
    days = (checked["until"] - checked["since"]).dt.days.iloc[0]
    assert days == engine.config.default_cooldown_days


def test_ten_orders_back_off_and_say_so() -> None:
    """With too little to learn from, everything rests on the default, and lists on popularity."""
    log = small_shop.frame().head(12)
    few = pz.Orders.from_frame(log)
    engine = pz.Engine.fit(few, small_shop.catalog())
    rows = engine.suppress(few)
    rows = rows[rows["reason"] != "returned"]
    assert set(rows["basis"]) == {"default"}
    assert (rows["until"] - rows["since"] == pd.Timedelta(days=365)).all()
    assert set(engine.recommend(few)["reason"]) <= {"popular", "goes_with_type"}
    assert not engine.recommend(few).empty


def test_a_shop_without_a_catalogue_works(orders: pz.Orders) -> None:
    """Without a catalogue there are products only: no variants, no types."""
    engine = pz.Engine.fit(orders, config=pz.EngineConfig(min_customers=1))
    assert engine.counts["item_groups"] == engine.counts["product_types"] == 0
    assert set(engine.suppress(orders)["scope"]) == {"product"}
    assert "trousers-50" in engine.complements(basket("coat-navy-50"))["product_id"].tolist()


# --- lists ---


def test_complements_say_why(engine: pz.Engine) -> None:
    """Trousers go with the coat: 2 orders hold both; lift is 2 x 13 / (2 x 4)."""
    # 13 of the 14 orders hold something kept (dot sent all of d1 back).
    # coat-navy-50: a1, g1. trousers-50: a1, b1, c1, g1.
    rows = engine.complements(basket("coat-navy-50"), k=3).set_index("product_id")
    assert rows.loc["trousers-50", "reason"] == "goes_with"
    assert rows.loc["trousers-50", "because_product_id"] == "coat-navy-50"
    assert rows.loc["trousers-50", "support"] == 2
    assert rows.loc["trousers-50", "lift"] == pytest.approx(2 * 13 / (2 * 4))
    assert rows.loc["trousers-50", "rank"] == 1


def test_an_unknown_customer_gets_what_is_wanted_now(engine: pz.Engine, orders: pz.Orders) -> None:
    """Nothing known of a customer: popular products, in stock and not sensitive."""
    rows = engine.recommend(orders, ["nobody"], k=5)
    assert set(rows["reason"]) == {"popular"}
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    assert not {"socks", "test-kit"} & set(rows["product_id"])


def test_lists_need_not_be_filled(engine: pz.Engine, orders: pz.Orders) -> None:
    """With `fill=False` only what was learned is shown."""
    assert engine.recommend(orders, ["nobody"], fill=False).empty
    assert set(engine.complements(basket("coat-navy-50"), fill=False)["reason"]) == {"goes_with"}


def test_anchors_are_what_the_message_is_about(engine: pz.Engine, orders: pz.Orders) -> None:
    """Given anchors count; unknown ones are ignored; by default the newest order is meant."""
    given = pd.DataFrame(
        {"customer_id": ["dot", "dot", "bob"], "product_id": ["coat-grey", "never", "tie"]}
    )
    rows = engine.recommend(orders, ["dot"], k=1, anchors=given)
    assert rows["because_product_id"].tolist() == ["coat-grey"]
    assert rows["reason"].tolist() == ["goes_with"]
    asked = engine.recommend(orders, ["cid"], moment="order_confirmation")
    plain = engine.recommend(orders, ["cid"], moment="follow_up")
    assert set(plain["reason"]) <= {"often_next", "goes_with_type", "popular"}
    assert asked["product_id"].tolist() != [] != plain["product_id"].tolist()


def test_excluded_products_are_not_shown(engine: pz.Engine, orders: pz.Orders) -> None:
    """Excluded for everyone by a list, for one customer by a table."""
    shown = engine.recommend(orders, ["nobody", "dot"], k=1)
    best = shown["product_id"].iloc[0]
    without = engine.recommend(orders, ["nobody", "dot"], exclude=[best])
    assert best not in without["product_id"].tolist()
    table = pd.DataFrame({"customer_id": ["nobody"], "product_id": [best]})
    rows = engine.recommend(orders, ["nobody", "dot"], exclude=table)
    assert (rows["product_id"] == best).sum() == 1
    assert rows.loc[rows["product_id"] == best, "customer_id"].tolist() == ["dot"]


def test_due_products_lead_where_they_are_wanted(engine: pz.Engine, orders: pz.Orders) -> None:
    """What has come due leads when asked for, half of the list at most, and never otherwise."""
    soon = pz.Policy(types={small_shop.COFFEE: pz.TypeRule(cooldown_days=5)})
    when = small_shop.day(79)
    plain = engine.recommend(orders, ["ann"], as_of=when, policy=soon)
    assert "coffee" not in plain["product_id"].tolist()
    rows = engine.recommend(orders, ["ann"], as_of=when, policy=soon, include_due=True)
    assert rows["product_id"].iloc[0] == "coffee"
    assert rows["reason"].tolist().count("due") == 1
    assert rows["because_product_id"].iloc[0] == "coffee"


def test_owned_products_come_as_due_or_not_at_all(engine: pz.Engine, orders: pz.Orders) -> None:
    """What is due fills half of a list at most, and no other tier shows what is owned."""
    free = pz.Policy(types={"Apparel": pz.TypeRule(cooldown_days=1)})
    rows = engine.recommend(
        orders, as_of=small_shop.day(300), k=2, policy=free, include_due=True, exclude=["coffee"]
    )
    for customer, mine in rows.groupby("customer_id"):
        owned = mine["product_id"].isin(list(state_of(orders, str(customer)).occasions))
        assert (mine.loc[owned, "reason"] == "due").all()
        assert owned.sum() <= 1
    assert "due" in set(rows["reason"])
    assert "coffee" not in set(rows["product_id"])


def test_the_shop_can_cap_a_type_and_call_it_sensitive(
    engine: pz.Engine, orders: pz.Orders
) -> None:
    """A type called sensitive is neither shown nor seeds; a cap holds in every list."""
    shy = pz.Policy(types={"Apparel": pz.TypeRule(sensitive=True)})
    assert set(engine.recommend(orders, ["nobody"], policy=shy)["product_id"]) <= {
        "coffee",
        "mystery",
    }
    rows = engine.complements(basket("coat-navy-50"), policy=shy)
    assert "goes_with" not in set(rows["reason"])
    capped = pz.Policy(types={small_shop.COATS: pz.TypeRule(max_per_list=2, one_per_need=False)})
    coats = engine.recommend(orders, ["nobody"], policy=capped)["product_id"].str.startswith("coat")
    assert coats.sum() == 2  # one of the navy group, and the grey one


def test_a_catalogue_given_counts_before_the_artifacts_own(
    engine: pz.Engine, orders: pz.Orders
) -> None:
    """Product by product: what the given catalogue does not speak of stays as it was learned."""
    gone = pz.Catalog.from_products([pz.Product("tie", availability="out_of_stock")])
    before = engine.recommend(orders, ["nobody"])["product_id"].tolist()
    after = engine.recommend(orders, ["nobody"], catalog=gone)["product_id"].tolist()
    assert "tie" in before
    assert after == [each for each in before if each != "tie"]


def test_a_view_follows_the_catalogue_cheaply(engine: pz.Engine) -> None:
    """A changed product is in force in the next view, and the one before stays as it was."""
    view = engine.view()
    changed = view.with_products(
        [
            pz.Product("coat-grey", product_type="Sold out coats"),
            pz.Product("brand-new", item_group_id="new"),
        ]
    )
    assert changed.knows("brand-new")
    assert not view.knows("brand-new")
    product = changed.product("coat-grey")
    assert product is not None
    assert product.product_type == "Sold out coats"
    assert view.product("brand-new") is None
    nobody = pz.PurchaseState.unknown("nobody")
    assert [d.suppress for d in changed.decide(nobody, ["brand-new", "coat-grey"], 0)] == [
        False
    ] * 2
    assert changed.recommend(nobody, 3, 0)
    assert changed.complements(["coat-grey", "brand-new"], 3)


# --- life ---


def test_a_refreshed_engine_is_a_version_of_its_own(engine: pz.Engine, orders: pz.Orders) -> None:
    """Demand moves with the orders handed in; what is suppressed and until when does not."""
    more = pd.concat(
        [
            small_shop.frame(),
            pd.DataFrame(
                {
                    "order_id": [f"x{n}" for n in range(30)],
                    "customer_id": None,
                    "product_id": "trousers-52",
                    "ordered_at": NOW,
                    "quantity": 1,
                }
            ).astype({"customer_id": "str", "ordered_at": "datetime64[us, UTC]"}),
        ]
    ).fillna({"returned_quantity": 0, "gift": False})
    today = engine.refreshed(pz.Orders.from_frame(more))
    assert today.model_version.startswith(engine.model_version + "+2026-03-23T")
    assert today.refreshed(orders).model_version.count("+") == 1
    first = today.recommend(orders, ["nobody"], k=1)["product_id"].tolist()
    assert first == ["trousers-52"]
    assert engine.recommend(orders, ["nobody"], k=1)["product_id"].tolist() != first
    columns = ["customer_id", "scope", "target_id", "since", "until", "basis"]
    pd.testing.assert_frame_equal(
        today.suppress(orders, as_of=NOW)[columns], engine.suppress(orders, as_of=NOW)[columns]
    )


def test_a_refreshed_engine_keeps_its_name_when_saved(
    engine: pz.Engine, orders: pz.Orders, tmp_path: Path
) -> None:
    """`model_version` always names exactly what answered, also after save and load."""
    today = engine.refreshed(orders)
    today.save(tmp_path / "today")
    assert pz.Engine.load(tmp_path / "today").model_version == today.model_version


def test_the_manifest_says_what_was_learned_from(engine: pz.Engine, tmp_path: Path) -> None:
    """Config, moment, counts and training figures are readable without the library."""
    engine.save(tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["config"]["min_customers"] == 1
    assert manifest["as_of"] == "2026-03-22T00:00:00.000001Z"
    assert manifest["counts"] == {
        "orders": 14,
        "lines": 22,
        "customers": 5,
        "products": 11,
        "item_groups": 2,
        "product_types": 6,
    }
    assert set(manifest["metrics"]) >= {"repurchase_product_rows"}
    assert (manifest["counts"], manifest["metrics"]) == (engine.counts, engine.metrics)


def test_an_artifact_that_lacks_a_part_is_refused(engine: pz.Engine, tmp_path: Path) -> None:
    """A manifest that promises less than the model needs is an error that says so."""
    engine.save(tmp_path / "model")
    file = tmp_path / "model" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["files"]["factors.npy"]
    manifest["sha256"] = manifest_digest(manifest)
    file.write_text(json.dumps(manifest))
    with pytest.raises(pz.ArtifactError, match="what the manifest promises is not there"):
        pz.Engine.load(tmp_path / "model")


def test_no_orders_before_the_moment_is_refused(orders: pz.Orders) -> None:
    """There is nothing to learn from without orders, or before the first."""
    with pytest.raises(pz.InvalidOrdersError, match="no usable rows to learn from; see the prob"):
        pz.Engine.fit(orders.for_customers([]))
    with pytest.raises(pz.InvalidOrdersError, match="none of 14 orders lies before 2025-01-01"):
        pz.Engine.fit(orders, as_of="2025-01-01")


# --- arguments ---


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "10"])
def test_k_must_be_a_whole_number_from_one(engine: pz.Engine, orders: pz.Orders, k: object) -> None:
    """A list length that is none is refused everywhere alike."""
    with pytest.raises(pz.InvalidConfigError, match=r"k: .* is not a whole number from 1"):
        engine.recommend(orders, k=k)  # type: ignore[arg-type]
    with pytest.raises(pz.InvalidConfigError, match=r"k: "):
        engine.complements(basket("tie"), k=k)  # type: ignore[arg-type]


def test_bad_arguments_say_what_and_where(engine: pz.Engine, orders: pz.Orders) -> None:
    """Each argument is checked with its name, what was seen and what to do."""
    with pytest.raises(pz.InvalidConfigError, match="moment: 'later' is none of order_conf"):
        engine.recommend(orders, moment="later")
    with pytest.raises(
        pz.InvalidConfigError, match="baskets: column 'basket_id' is missing or there twice"
    ):
        engine.complements(pd.DataFrame({"product_id": ["tie"]}))
    with pytest.raises(pz.InvalidConfigError, match="pairs: column 'customer_id' is missing"):
        engine.check(["tie"], orders)  # type: ignore[arg-type]
    with pytest.raises(pz.InvalidConfigError, match="customers: 'ann' is one text"):
        engine.recommend(orders, "ann")
    with pytest.raises(pz.InvalidConfigError, match="exclude: 'tie' is one text"):
        engine.recommend(orders, exclude="tie")
    pairs = pd.DataFrame({"customer_id": ["ann", None], "product_id": ["tie", "tie"]})
    with pytest.raises(pz.InvalidConfigError, match=r"1 of 2 ids are missing \(first: row 1\)"):
        engine.check(pairs, orders)
    with pytest.raises(pz.InvalidConfigError, match="time: 'soon' is no moment"):
        engine.suppress(orders, as_of="soon")


def test_tables_that_are_not_orders_are_refused(engine: pz.Engine) -> None:
    """A DataFrame where orders belong, or one id where a list does, says what to do."""
    log = small_shop.frame()
    with pytest.raises(pz.InvalidOrdersError, match="DataFrame is no Orders; make one with read"):
        pz.Engine.fit(log)  # type: ignore[arg-type]
    with pytest.raises(pz.InvalidOrdersError, match="is no Orders"):
        engine.suppress(log)  # type: ignore[arg-type]
    with pytest.raises(pz.InvalidConfigError, match="product_ids: 'tie' is one text"):
        engine.decide(pz.PurchaseState.unknown("ann"), "tie", NOW)
    for given in (5, ["tie"] * 12 + [5]):
        with pytest.raises(pz.InvalidConfigError, match="product_ids: 5 is no text; give a list"):
            engine.decide(pz.PurchaseState.unknown("ann"), given, NOW)  # type: ignore[arg-type]


def test_values_show_themselves_in_one_line(engine: pz.Engine, orders: pz.Orders) -> None:
    """A notebook shows sizes, never rows or customers."""
    assert repr(engine) == (
        f"Engine({engine.model_version}, learned up to 2026-03-22T00:00:00.000001Z from "
        "22 lines of 5 customers, 11 products)"
    )
    assert repr(orders) == "Orders(22 lines, 14 orders, 5 customers, 0 problems)"
    assert repr(engine.catalog) == "Catalog(11 products, 0 problems)"


@pytest.mark.parametrize("kind", [object, "category", "float64", "Float64", "double[pyarrow]"])
def test_ids_of_questions_are_read_as_those_of_tables(kind: object) -> None:
    """The column that made the orders asks about the same customers and products, of any type."""
    frame = pd.DataFrame(
        {
            "order_id": [1, 2],
            "customer_id": pd.Series([12346.0, 12347.0], dtype="float64").astype(kind),
            "product_id": pd.Series([500.0, 501.0], dtype="float64").astype(kind),
            "ordered_at": "2026-01-01",
            "quantity": 1,
        }
    )
    orders = pz.Orders.from_frame(frame)
    engine = pz.Engine.fit(orders)
    checked = engine.check(frame[["customer_id", "product_id"]], orders)
    assert checked["suppress"].all()
    assert checked["customer_id"].tolist() == ["12346", "12347"]


def test_ids_that_are_none_are_refused(engine: pz.Engine, orders: pz.Orders) -> None:
    """Fractions and truth values are no ids, here as in the tables."""
    for bad, message in (([1.5, 2.0], "1 of 2 ids are no whole"), ([True, False], "type bool")):
        pairs = pd.DataFrame({"customer_id": bad, "product_id": ["tie", "tie"]})
        with pytest.raises(pz.InvalidConfigError, match=message):
            engine.check(pairs, orders)
    twice = pd.DataFrame(
        [["ann", "bob", "tie"]], columns=["customer_id", "customer_id", "product_id"]
    )
    with pytest.raises(pz.InvalidConfigError, match="is missing or there twice"):
        engine.check(twice, orders)


def test_lists_may_come_as_tables_and_arrays(engine: pz.Engine, orders: pz.Orders) -> None:
    """Customers and exclusions: list, Series, array, Index and table mean the same."""
    plain = engine.suppress(orders, ["ann"])
    for customers in (
        pd.DataFrame({"customer_id": ["ann"]}),
        np.array(["ann"]),
        pd.Series(["ann"]),
    ):
        pd.testing.assert_frame_equal(engine.suppress(orders, customers), plain)
    without = engine.recommend(orders, ["nobody"], exclude=["tie"])
    for exclude in (np.array(["tie"]), pd.Series(["tie"]), pd.Index(["tie"])):
        pd.testing.assert_frame_equal(
            engine.recommend(orders, ["nobody"], exclude=exclude), without
        )


def test_values_of_the_wrong_kind_are_refused(orders: pz.Orders, engine: pz.Engine) -> None:
    """A table or dict where a catalogue, policy or configuration belongs says what to do."""
    with pytest.raises(pz.InvalidConfigError, match="catalog: DataFrame is no Catalog; make one"):
        pz.Engine.fit(orders, pd.DataFrame())  # type: ignore[arg-type]
    with pytest.raises(pz.InvalidConfigError, match="config: dict is no EngineConfig"):
        pz.Engine.fit(orders, config={"seed": 1})  # type: ignore[arg-type]
    with pytest.raises(pz.InvalidConfigError, match="policy: dict is no Policy"):
        engine.suppress(orders, policy={})  # type: ignore[arg-type]


def test_many_products_are_decided_as_one_by_one(engine: pz.Engine, orders: pz.Orders) -> None:
    """A question about many products lays out what is owned once, and answers the same."""
    asked = [*small_shop.catalog().frame["product_id"], "nowhere"] * 2
    alone = [engine.decide(state_of(orders, "ann"), [each], NOW)[0] for each in asked]
    assert len(asked) > 10
    assert engine.decide(state_of(orders, "ann"), asked, NOW) == alone


# --- explanations ---


def test_an_explanation_adds_up_to_the_probability(engine: pz.Engine, orders: pz.Orders) -> None:
    """Intercept and all that is added are the log odds of the chance that is answered."""
    told = engine.explain(state_of(orders, "ann"), "coffee", NOW)
    (scope,) = [each for each in told["scopes"] if each["scope"] == "product"]
    chance = scope["probability"]
    odds = chance["intercept"] + chance["of_the_target"]["adds"]
    odds += sum(part["adds"] for part in chance["of_the_customer"].values())
    assert chance["value"] == pytest.approx(1 / (1 + math.exp(-odds)))
    assert chance["value"] == told["decision"]["repurchase_probability"]
    assert scope["n_orders"] == 3
    assert scope["last_at"] == "2026-03-12T00:00:00Z"
    assert json.loads(json.dumps(told)) == told


def test_an_explanation_adds_up_to_the_score(engine: pz.Engine, orders: pz.Orders) -> None:
    """Intercept and weights of the history, times today's demand, are the score of the pick."""
    state = state_of(orders, "cid")
    (best, *_) = engine.view().recommend(state, 1, pz.to_micros(NOW), fill=False)
    told = engine.explain(state, best.product_id, NOW)["pick"]
    history = told["history"]
    total = history["intercept"] + sum(part["weight"] for part in history["because"])
    factor = history["demand_factor"] * history["passed_over_factor"]
    assert total * factor == pytest.approx(best.score, rel=1e-6)
    assert history["score"] == best.score
    assert history["pull"] == history["everybody"] == 0.0
    assert history["because"][0]["product_id"] == best.because_product_id
    assert told["anchors"] is None


def test_an_explanation_adds_up_beside_anchors(engine: pz.Engine, orders: pz.Orders) -> None:
    """Anchors by powers, the season and the history's share are the score of a pick."""
    state, anchors = state_of(orders, "eve"), ["coat-navy-50", "trousers-50"]
    picks = engine.view().recommend(state, 3, pz.to_micros(NOW), anchors=anchors, fill=False)
    (tie,) = [pick for pick in picks if pick.product_id == "tie"]
    told = engine.explain(state, "tie", NOW, anchors=anchors)["pick"]
    by_anchors = told["anchors"]
    powers = sum(part["weight"] ** by_anchors["power"] for part in by_anchors["because"])
    chance = powers ** (1 / by_anchors["power"]) + by_anchors["season"]
    assert by_anchors["score"] == pytest.approx(chance * by_anchors["season_factor"])
    history = max(told["history"]["score"], 0.0) if told["history"]["because"] else 0.0
    assert tie.score == pytest.approx(by_anchors["score"] + history * by_anchors["history_scale"])
    assert by_anchors["because"][0]["product_id"] == tie.because_product_id
    assert by_anchors["because"][0]["support"] == tie.support
    assert json.loads(json.dumps(told)) == told


def test_an_explanation_speaks_of_group_and_type(engine: pz.Engine, orders: pz.Orders) -> None:
    """A variant is explained by its group; rules of the shop are named."""
    policy = pz.Policy(
        types={small_shop.COATS: pz.TypeRule(one_per_need=True, cooldown_days="for_good")}
    )
    told = engine.explain(state_of(orders, "ann"), "coat-navy-52", NOW, policy=policy)
    assert [scope["scope"] for scope in told["scopes"]] == ["item_group", "product_type"]
    assert told["decision"]["reason"] == "purchased_variant"
    assert told["decision"]["until"] is None
    assert all(scope["for_good"] and scope["gap_days"] is None for scope in told["scopes"])
    assert {scope["basis"] for scope in told["scopes"]} == {"rule"}


def test_an_explanation_of_what_nothing_knows(engine: pz.Engine, orders: pz.Orders) -> None:
    """Owned and unknown is explained by the default; unknown to all is an error."""
    log = small_shop.frame().assign(product_id=lambda t: t["product_id"].replace("tie", "unseen"))
    state = pz.PurchaseState.from_orders(pz.Orders.from_frame(log), "bob", NOW)
    told = engine.explain(state, "unseen", NOW)
    assert told["pick"] is None
    assert told["scopes"][0]["basis"] == "default"
    with pytest.raises(pz.UnknownProductError, match="product 'never' is unknown"):
        engine.explain(state_of(orders, "ann"), "never", NOW)
    grown = pz.Catalog.from_products([pz.Product("brand-new")])
    told = engine.explain(state_of(orders, "ann"), "brand-new", NOW, catalog=grown)
    assert told["pick"] == {"is_recommendable": True, "history": None, "anchors": None}


def test_what_is_not_shown_is_not_recommendable(engine: pz.Engine, orders: pz.Orders) -> None:
    """Whether a product may be in a list at all is told; whether the customer wants it is not."""
    gone = pz.Catalog.from_products([pz.Product("tie", availability="out_of_stock")])
    state = state_of(orders, "ann")
    told = [engine.explain(state, "tie", NOW, catalog=each)["pick"] for each in (None, gone)]
    assert [pick["is_recommendable"] for pick in told] == [True, False]


def test_a_state_and_a_list_are_asked_for(engine: pz.Engine, orders: pz.Orders) -> None:
    """A customer's id is no state, one id is no list; the message says what to give."""
    state = state_of(orders, "ann")
    for wrong in ("ann", None):
        message = f"state: {type(wrong).__name__} is no PurchaseState; make one with PurchaseState"
        with pytest.raises(pz.InvalidConfigError, match=message):
            engine.explain(wrong, "tie", NOW)  # type: ignore[arg-type]
        with pytest.raises(pz.InvalidConfigError, match=message):
            engine.decide(wrong, ["tie"], NOW)  # type: ignore[arg-type]
    with pytest.raises(pz.InvalidConfigError, match="anchors: 'tie' is one text; give a list"):
        engine.explain(state, "tie", NOW, anchors="tie")


def keys_of(told: object) -> Iterator[str]:
    """Yield every key of nested values, those that are features' names aside."""
    if isinstance(told, list):
        for each in told:
            yield from keys_of(each)
    elif isinstance(told, dict):
        for key, value in told.items():
            if " " not in key:
                yield key
            yield from keys_of(value)


def test_every_key_of_an_explanation_is_documented(engine: pz.Engine, orders: pz.Orders) -> None:
    """docs/python.md has a row for each, under its heading."""
    text = (Path(__file__).parents[1] / "docs/python.md").read_text(encoding="utf-8")
    section = text.partition("## What `explain` returns")[2].partition("\n## ")[0]
    told = engine.explain(state_of(orders, "eve"), "tie", NOW, anchors=["coat-navy-50"])
    owned = engine.explain(state_of(orders, "ann"), "coffee", NOW)
    found = {*keys_of(told), *keys_of(owned)}
    assert {"season_factor", "usual_quantity", "is_recommendable"} <= found
    assert [key for key in sorted(found) if f"`{key}`" not in section] == []


def test_numbers_never_leave_the_library(engine: pz.Engine, orders: pz.Orders) -> None:
    """Answers name products and customers by the shop's ids only."""
    found = engine.recommend(orders)
    assert set(found["product_id"]) <= set(engine.catalog.frame["product_id"])
    assert np.isfinite(found["score"]).all()
