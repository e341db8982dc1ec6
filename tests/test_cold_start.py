"""Shops, customers and products of which little is known: sensible lists all the same."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import personalize as pz

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
REASONS = {"goes_with", "goes_with_type", "often_next", "due", "popular"}
FALL_BACKS = {"goes_with_type", "popular"}

# product, title, type: three kinds of anchor with a complement each, and something for everyone.
TITLES = {
    "coat-1": "Dune sport coat, navy",
    "coat-2": "Elm sport coat, grey",
    "coat-3": "Moor sport coat, black",
    "tie-1": "Silk tie, wine",
    "tie-2": "Silk tie, green",
    "tent-1": "Fjord trekking tent, 2 persons",
    "tent-2": "Inlet trekking tent, 4 persons",
    "lamp-1": "Headlamp, 200 lumen",
    "lamp-2": "Headlamp, 400 lumen",
    "soap": "Soap",
}
TYPES = {"coat": "Suits > Coats", "tie": "Ties", "tent": "Tents", "lamp": "Lamps", "soap": "Soap"}
BASKETS = (
    ("coat-1", "tie-1"),
    ("coat-2", "tie-1"),
    ("coat-2", "tie-2", "soap"),
    ("tent-1", "lamp-1"),
    ("tent-2", "lamp-1", "soap"),
    ("tent-2", "lamp-2"),
    ("soap",),
    ("tie-1",),
    ("lamp-1",),
    ("coat-1", "tie-2"),
)


def frame(n_orders: int = 200, *, guests: bool = False, skip: str = "") -> pd.DataFrame:
    """Return orders, a day apart each; `skip` is a product that never sold."""
    rows = [
        (f"o{n:04}", None if guests else f"c{n % 60:02}", product, START + dt.timedelta(days=n))
        for n in range(n_orders)
        for product in BASKETS[n % len(BASKETS)]
        if product != skip
    ]
    table = pd.DataFrame(rows, columns=["order_id", "customer_id", "product_id", "ordered_at"])
    table["customer_id"] = table["customer_id"].astype("str")
    return table.assign(quantity=1)


def catalog(*columns: str, without: str = "", **more: dict[str, str]) -> pz.Catalog:
    """Return the catalogue with some of its columns; `more` are products by id."""
    rows = [
        {"product_id": product, "title": title, "product_type": TYPES[product.split("-")[0]]}
        for product, title in TITLES.items()
        if product != without
    ]
    rows += [{"product_id": name.replace("_", "-"), **facts} for name, facts in more.items()]
    return pz.Catalog.from_frame(pd.DataFrame(rows)[["product_id", *columns]])


def complements(engine: pz.Engine, product: str, **options: object) -> pd.DataFrame:
    """Return what goes with one product."""
    basket = pd.DataFrame({"basket_id": ["b"], "product_id": [product]})
    return engine.complements(basket, 5, **options)  # type: ignore[arg-type]


def check_list(rows: pd.DataFrame) -> None:
    """Assert what holds of every list: ranks, reasons, falling scores, fall-backs last."""
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    assert set(rows["reason"]) <= REASONS
    assert rows["score"].is_monotonic_decreasing
    assert np.isfinite(rows["score"]).all()
    assert not rows["product_id"].duplicated().any()
    is_fall_back = rows["reason"].isin(FALL_BACKS).to_numpy()
    assert (np.diff(is_fall_back.astype(int)) >= 0).all()
    named = rows["because_product_id"].notna()
    assert (named == (rows["reason"] != "popular")).all()


def check_ties(rows: pd.DataFrame, columns: tuple[str, ...], reason: str) -> None:
    """Assert that ties lead: both, or one where types say that a basket holds one tie."""
    n = 1 if "product_type" in columns else 2
    assert set(rows["product_id"][:n]) <= {"tie-1", "tie-2"}
    assert rows["reason"][:n].tolist() == [reason] * n


KNOWN = ((), ("title",), ("product_type",), ("title", "product_type"))


@pytest.mark.parametrize("columns", KNOWN)
def test_a_shop_with_200_orders(columns: tuple[str, ...]) -> None:
    """200 orders are enough for complements of what sells, whatever the catalogue knows."""
    orders = pz.Orders.from_frame(frame())
    engine = pz.Engine.fit(orders, catalog(*columns))
    rows = complements(engine, "coat-2")
    check_list(rows)
    check_ties(rows, columns, "goes_with")
    picks = engine.recommend(orders, k=5)
    assert picks["customer_id"].nunique() == 60
    checked = engine.check(picks[["customer_id", "product_id"]], orders)
    assert not checked["suppress"].any()


def test_a_shop_of_guests_only() -> None:
    """Guests teach complements; nobody has a history, and whoever asks gets what is wanted now."""
    orders = pz.Orders.from_frame(frame(guests=True))
    engine = pz.Engine.fit(orders, catalog("title"))
    rows = complements(engine, "tent-1")
    check_list(rows)
    assert (rows["product_id"][0], rows["reason"][0]) == ("lamp-1", "goes_with")
    assert engine.recommend(orders, k=3).empty
    anyone = engine.recommend(orders, ["nobody"], k=3)
    assert anyone["reason"].tolist() == ["popular"] * 3
    assert engine.suppress(orders).empty


def test_a_shop_with_one_product() -> None:
    """There is nothing to go with it: lists are empty, and the owner is kept from it."""
    table = frame(40).query("product_id == 'soap'")
    orders = pz.Orders.from_frame(table)
    soap = pd.DataFrame({"product_id": ["soap"], "title": ["Soap"], "product_type": ["Soap"]})
    engine = pz.Engine.fit(orders, pz.Catalog.from_frame(soap))
    assert complements(engine, "soap").empty
    assert engine.recommend(orders, k=3).empty
    owner = table["customer_id"].iloc[-1]
    pair = pd.DataFrame({"customer_id": [owner], "product_id": ["soap"]})
    checked = engine.check(pair, orders)
    assert (checked["suppress"][0], checked["reason"][0]) == (True, "purchased")
    assert engine.recommend(orders, ["nobody"], k=3)["reason"].tolist() == ["popular"]


def test_one_order_is_a_shop() -> None:
    """One order of one product: no pair, no crash, and the default as the basis."""
    table = frame(1).head(1)
    orders = pz.Orders.from_frame(table)
    engine = pz.Engine.fit(orders)
    assert complements(engine, "coat-1").empty
    pair = table[["customer_id", "product_id"]]
    checked = engine.check(pair, orders)
    assert (checked["suppress"][0], checked["basis"][0]) == (True, "default")


def test_a_basket_of_unknown_products_gets_what_is_wanted_now() -> None:
    """Nothing is known of the basket, so nothing is claimed to go with it."""
    engine = pz.Engine.fit(pz.Orders.from_frame(frame()), catalog("title", "product_type"))
    rows = complements(engine, "never-heard-of")
    check_list(rows)
    assert set(rows["reason"]) == {"popular"}
    assert rows["because_product_id"].isna().all()


@pytest.mark.parametrize("columns", KNOWN[1:])
def test_a_product_that_never_sold_borrows_complements(columns: tuple[str, ...]) -> None:
    """In the catalogue but never sold: what goes with its alikes goes with it."""
    engine = pz.Engine.fit(pz.Orders.from_frame(frame()), catalog(*columns))
    rows = complements(engine, "coat-3")
    check_list(rows)
    check_ties(rows, columns, "goes_with_type")
    assert rows["because_product_id"][:2].tolist() == ["coat-3"] * 2
    assert rows["support"][:2].isna().all()


@pytest.mark.parametrize("columns", KNOWN[1:])
def test_a_product_added_at_serving_borrows_complements(
    columns: tuple[str, ...], tmp_path: Path
) -> None:
    """The model never saw it: its title, or its type, finds its alikes; from the artifact too."""
    engine = pz.Engine.fit(pz.Orders.from_frame(frame()), catalog(*columns, without="coat-3"))
    engine.save(tmp_path / "model")
    for each in (engine, pz.Engine.load(tmp_path / "model")):
        rows = complements(each, "coat-3", catalog=catalog(*columns))
        check_list(rows)
        check_ties(rows, columns, "goes_with_type")
        assert rows["because_product_id"][:2].tolist() == ["coat-3"] * 2


def test_a_sensitive_product_borrows_nothing() -> None:
    """It neither seeds nor receives, also where it is new."""
    fresh = pd.DataFrame({"product_id": ["new"], "title": ["Sport coat"], "sensitive": [True]})
    engine = pz.Engine.fit(pz.Orders.from_frame(frame()), catalog("title"))
    rows = complements(engine, "new", catalog=pz.Catalog.from_frame(fresh))
    assert set(rows["reason"]) == {"popular"}


def test_a_rare_product_has_its_own_first_and_borrows_the_rest() -> None:
    """Real complements stand in front of borrowed ones."""
    rare = [("x1", "ann"), ("x2", "bob"), ("x3", "cid")]
    table = frame()
    extra = pd.DataFrame(
        [(o, c, p, START, 1) for o, c in rare for p in ("coat-3", "soap")], columns=table.columns
    )
    engine = pz.Engine.fit(
        pz.Orders.from_frame(pd.concat([table, extra], ignore_index=True)), catalog("title")
    )
    rows = complements(engine, "coat-3")
    check_list(rows)
    assert rows["product_id"][0] == "soap"
    assert rows["reason"][:3].tolist() == ["goes_with", "goes_with_type", "goes_with_type"]
    assert set(rows["product_id"][1:3]) == {"tie-1", "tie-2"}


def test_a_first_order_of_a_rare_product_is_answered() -> None:
    """The confirmation of a first order shows what goes with its one product, though it is rare."""
    table = frame()
    first = pd.DataFrame([("new", "zoe", "coat-3", START, 1)], columns=table.columns)
    orders = pz.Orders.from_frame(pd.concat([table, first], ignore_index=True))
    engine = pz.Engine.fit(orders, catalog("title", "product_type"))
    rows = engine.recommend(orders, ["zoe"], k=5, moment="order_confirmation")
    check_list(rows)
    check_ties(rows, ("product_type",), "goes_with_type")
    assert rows["because_product_id"][0] == "coat-3"


def test_a_message_about_a_new_product_speaks_of_it() -> None:
    """With a history that fills the list, three places of ten are kept for the new anchor."""
    kinds = [f"k{n:02}" for n in range(20)]
    rows = [
        (f"o{n:04}", f"c{n % 30:02}", product, START + dt.timedelta(hours=n), 1)
        for n in range(400)
        for product in (kinds[n * 7 % 20], kinds[n * 11 % 20 or 1])
    ]
    rows += [(f"z{n}", f"z{n}", p, START, 1) for n in range(30) for p in ("coat-1", "tie-1")]
    rows.append(("last", "zoe", "coat-3", START + dt.timedelta(days=30), 1))
    rows.append(("first", "zoe", "k01", START, 1))
    names = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    orders = pz.Orders.from_frame(pd.DataFrame(rows, columns=names).drop_duplicates(names[:3]))
    engine = pz.Engine.fit(orders, catalog("title"))
    rows_of = {
        k: engine.recommend(orders, ["zoe"], k=k, moment="order_confirmation") for k in (1, 10)
    }
    check_list(rows_of[10])
    assert rows_of[1]["reason"].tolist() == ["often_next"]
    assert rows_of[10]["reason"].value_counts()["often_next"] >= 7
    tie = rows_of[10].set_index("product_id").loc["tie-1"]
    assert (tie["reason"], tie["because_product_id"]) == ("goes_with_type", "coat-3")


def test_a_new_product_fills_a_list_behind_the_real_ones() -> None:
    """A tie that never sold follows the ties that go with the coat, and says why."""
    given = catalog("title", tie_3={"title": "Silk tie, blue"})
    engine = pz.Engine.fit(pz.Orders.from_frame(frame()), given)
    rows = complements(engine, "coat-2")
    check_list(rows)
    assert rows["reason"][:4].tolist() == ["goes_with"] * 3 + ["goes_with_type"]
    assert (rows["product_id"][3], rows["because_product_id"][3]) == ("tie-3", "coat-2")


def test_places_may_be_kept_for_new_products() -> None:
    """With `new_share` 0.5 one of two places is kept for the new tie, behind the real one."""
    basket = pd.DataFrame({"basket_id": ["b"], "product_id": ["coat-2"]})
    given = catalog("title", tie_3={"title": "Silk tie, blue"})
    lists = {}
    for share in (0.0, 0.5):
        engine = pz.Engine.fit(
            pz.Orders.from_frame(frame()), given, pz.EngineConfig(new_share=share)
        )
        lists[share] = engine.complements(basket, 2)["product_id"].tolist()
        assert len(engine.complements(basket, 2, fill=False)) == 2
    assert "tie-3" not in lists[0.0]
    assert lists[0.5] == [lists[0.0][0], "tie-3"]


@pytest.mark.parametrize("facts", [{"availability": "out_of_stock"}, {"sensitive": True}])
def test_a_new_product_that_may_not_be_shown_is_not(facts: dict[str, object]) -> None:
    """Out of stock or sensitive, a new product takes no place."""
    tie = {"product_id": "tie-3", "title": "Silk tie, blue", **facts}
    given = catalog("title").overlaid(pz.Catalog.from_frame(pd.DataFrame([tie])))
    engine = pz.Engine.fit(pz.Orders.from_frame(frame()), given, pz.EngineConfig(new_share=0.5))
    assert "tie-3" not in complements(engine, "coat-2")["product_id"].tolist()


def coat_baskets(together: bool) -> pd.DataFrame:
    """Return orders in which coats are bought one at a time, or two at once."""
    pairs = [("coat-1", "tie-1"), ("coat-2", "tie-1"), ("coat-1", "soap"), ("coat-2", "soap")]
    if together:
        pairs = [("coat-1", "coat-2", "tie-1"), ("soap", "tie-1")]
    rows = [
        (f"o{n:04}", f"c{n:03}", product, START + dt.timedelta(hours=n), 1)
        for n in range(200)
        for product in pairs[n % len(pairs)]
    ]
    names = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    return pd.DataFrame(rows, columns=names)


def test_for_a_coat_never_another_coat() -> None:
    """Without types, titles and orders say that coats replace one another: no tier shows one."""
    engine = pz.Engine.fit(pz.Orders.from_frame(coat_baskets(False)), catalog("title"))
    for coat in ("coat-1", "coat-2", "coat-3"):
        rows = complements(engine, coat)
        check_list(rows)
        assert not rows["product_id"].str.startswith("coat").any()
    late = pz.Catalog.from_products([pz.Product("coat-4", title="Fjord sport coat")])
    rows = complements(engine, "coat-4", catalog=late)
    assert len(rows) >= 2
    assert not rows["product_id"].str.startswith("coat").any()


def test_what_is_bought_side_by_side_is_no_substitute() -> None:
    """The same titles, bought two at once, complete each other."""
    engine = pz.Engine.fit(pz.Orders.from_frame(coat_baskets(True)), catalog("title"))
    rows = complements(engine, "coat-1")
    assert rows.set_index("product_id")["reason"]["coat-2"] == "goes_with"


def test_a_pair_bought_together_is_no_substitute_whatever_its_word() -> None:
    """Among words of substitutes, a pair that its buyers put together more than by chance stays."""
    rows = [
        (f"o{n:04}", f"c{n:03}", product, START + dt.timedelta(hours=n), 1)
        for n in range(400)
        for product in (f"coat-{n % 20}", "tie-1" if n % 2 else "soap")
    ]
    rows += [(f"x{n}", f"x{n}", p, START, 1) for n in range(4) for p in ("coat-1", "coat-2")]
    names = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    titles = {f"coat-{n}": f"Coat model x{n}" for n in range(20)} | {"tie-1": "Tie", "soap": "Soap"}
    given = pd.DataFrame({"product_id": list(titles), "title": list(titles.values())})
    engine = pz.Engine.fit(
        pz.Orders.from_frame(pd.DataFrame(rows, columns=names)), pz.Catalog.from_frame(given)
    )
    rows = complements(engine, "coat-1")
    coats = rows[rows["product_id"].str.startswith("coat")]
    assert coats["product_id"].tolist() == ["coat-2"]
    assert coats["reason"].tolist() == ["goes_with"]
