"""What the engine finds again of what was planted in the sample shop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import personalize as pz
from personalize.type_table import COLUMNS

SAMPLE = Path(__file__).parent.parent / "data" / "sample"
LIST_LENGTH = 20


class Shop:
    """The sample shop, its truth, and one engine that learned from it."""

    def __init__(self) -> None:
        self.truth: dict[str, Any] = json.loads((SAMPLE / "truth.json").read_text())
        self.orders = pz.read_orders(SAMPLE / "orders.parquet")
        self.catalog = pz.read_catalog(SAMPLE / "products.parquet")
        self.engine = pz.Engine.fit(self.orders, self.catalog)
        self.products = self.catalog.frame.set_index("product_id")
        self.type_of = self.products["product_type"]

    def owned(self) -> pd.DataFrame:
        """Return customer, product and type of everything kept, not given away."""
        known = self.orders.before(self.engine.as_of)
        lines = known.to_frame()[known.kept].dropna(subset=["customer_id"])
        return lines.assign(type=lines["product_id"].map(self.type_of))


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Return the fitted sample shop."""
    return Shop()


@pytest.fixture(scope="module")
def suppressions(shop: Shop) -> pd.DataFrame:
    """Return the suppression list of every customer, just after the newest order."""
    return shop.engine.suppress(shop.orders)


def test_planted_complements_are_recovered(shop: Shop) -> None:
    """At least 98% of the planted pairs have the type among the anchor type's top five."""
    found = planted = 0
    for family in shop.truth["complements"]:
        anchors = shop.type_of.index[shop.type_of == family["type"]]
        picks = shop.engine.complements(
            pd.DataFrame({"basket_id": anchors, "product_id": anchors}), k=10
        )
        gain = (1 / np.log2(picks["rank"] + 1)).groupby(picks["product_id"].map(shop.type_of)).sum()
        best = gain.sort_values(ascending=False).index[:5]
        planted += len(family["complements"])
        found += sum(each["type"] in best for each in family["complements"])
    assert planted >= 30
    assert found >= 0.98 * planted


def test_complements_are_never_the_same_type_when_one_is_enough(shop: Shop) -> None:
    """A basket with a one-per-need type gets no second of it."""
    anchors = shop.type_of.index[shop.type_of.isin(shop.truth["one_per_need"])]
    picks = shop.engine.complements(
        pd.DataFrame({"basket_id": anchors, "product_id": anchors}), k=LIST_LENGTH
    )
    asked = picks["basket_id"].map(shop.type_of)
    assert len(picks) == LIST_LENGTH * len(anchors)
    assert not (picks["product_id"].map(shop.type_of) == asked).any()


def test_one_per_need_types_are_learned(shop: Shop) -> None:
    """No planted one-per-need type is missed, and none is invented."""
    view = shop.engine.view()
    learned = {view.space.types[num] for num in np.flatnonzero(view.rules.is_one_per_need)}
    assert learned == set(shop.truth["one_per_need"])


@pytest.mark.parametrize("moment", pz.MOMENTS)
def test_no_customer_is_shown_what_must_not_be_shown(shop: Shop, moment: str) -> None:
    """For all 2,000 customers: nothing suppressed, unavailable, sensitive, owned or too many."""
    picks = shop.engine.recommend(shop.orders, k=LIST_LENGTH, moment=moment)
    assert picks["customer_id"].nunique() == 2000
    assert not shop.engine.check(picks[["customer_id", "product_id"]], shop.orders)[
        "suppress"
    ].any()
    facts = shop.products.loc[picks["product_id"]]
    assert not (facts["availability"] == "out_of_stock").any()
    assert not facts["sensitive"].any()
    owned = shop.owned()
    keys = ["customer_id", "product_id"]
    assert picks.merge(owned[keys].drop_duplicates(), on=keys).empty
    single = owned[owned["type"].isin(shop.truth["one_per_need"])]
    picks = picks.assign(type=picks["product_id"].map(shop.type_of))
    again = picks.merge(
        single[["customer_id", "type"]].drop_duplicates(), on=["customer_id", "type"]
    )
    assert again.empty


def test_every_consumable_type_is_learned_in_its_cycle(shop: Shop) -> None:
    """The learned typical gap of each planted type lies within 15% of its cycle."""
    gaps = shop.engine.types().set_index("product_type")["typical_gap_days"]
    assert len(shop.truth["consumed"]) >= 9
    for kind, cycle in shop.truth["consumed"].items():
        assert gaps[kind] == pytest.approx(cycle, rel=0.15), kind


def test_every_consumable_product_is_learned_in_its_cycle(shop: Shop) -> None:
    """So does that of each product of these types."""
    gaps = shop.engine.model.levels[0].curves.gaps(0.5)
    products = shop.type_of[shop.type_of.isin(list(shop.truth["consumed"]))]
    assert len(products) >= 20
    for product, kind in products.items():
        num = shop.engine.model.space.nums[str(product)]
        assert gaps[num] == pytest.approx(shop.truth["consumed"][kind], rel=0.15), product


def test_what_is_known_of_types_is_a_table(shop: Shop) -> None:
    """One row per type: one-per-need are those whose upper bound is below the bar."""
    table = shop.engine.types()
    assert tuple(table.columns) == COLUMNS
    assert table["product_type"].tolist() == sorted(shop.type_of.dropna().unique())
    learned = table[table["is_one_per_need"]]
    assert set(learned["product_type"]) == set(shop.truth["one_per_need"])
    assert (learned["upper"] < shop.engine.config.one_per_need_ratio).all()
    known = table[table["expected"] > 0]
    assert (known["lower"] < known["upper"]).all()
    assert (known["ratio"] <= known["upper"]).all()
    assert (known["lower"] <= known["ratio"]).all()
    assert (known["ratio"] == 0).any()
    # A gap is told of what is due again, and of nothing that is suppressed for good.
    curves, nums = shop.engine.model.levels[2].curves, shop.engine.model.space.type_nums
    upper = curves.upper[table["product_type"].map(nums)]
    for_good = upper < shop.engine.config.repurchase_threshold
    assert for_good.any()
    assert table["typical_gap_days"].isna().tolist() == for_good.tolist()
    # Bicycles: one later order seen. Jeffreys' 10% bound is the 0.1 quantile of gamma(3/2), half of
    # a chi-squared with three degrees of freedom at 0.1: 0.584 / 2.
    bicycles = table.set_index("product_type").loc["Sports > Cycling > Bicycles"]
    assert bicycles["ratio"] * bicycles["expected"] == pytest.approx(1)
    assert bicycles["lower"] * bicycles["expected"] == pytest.approx(0.58437 / 2, rel=1e-4)


def test_suppression_of_consumables_ends_in_time(shop: Shop, suppressions: pd.DataFrame) -> None:
    """A buyer of one unit is shown it again after 40% to 110% of the cycle."""
    rows = suppressions[(suppressions["scope"] == "product") & suppressions["until"].notna()]
    rows = rows.assign(cycle=rows["target_id"].map(shop.type_of).map(shop.truth["consumed"]))
    rows = rows[rows["cycle"].notna() & (rows["reason"] == "purchased")]
    last = shop.owned().sort_values("ordered_at").groupby(["customer_id", "product_id"]).last()
    units = last["quantity"].reindex(pd.MultiIndex.from_frame(rows[["customer_id", "target_id"]]))
    one = rows[units.to_numpy() == 1]
    share = (one["until"] - one["since"]).dt.total_seconds() / 86400 / one["cycle"]
    assert len(share) >= 200
    assert 0.4 <= share.median() <= 1.1
    assert share.between(0.4, 1.1).mean() >= 0.9


def test_durable_products_stay_suppressed(shop: Shop, suppressions: pd.DataFrame) -> None:
    """Whoever owns a durable product is never shown it again: bought long ago, still in force."""
    owned = shop.owned()
    durable = owned[~owned["type"].isin(shop.truth["consumed"])]
    rows = suppressions[(suppressions["scope"] == "product") & suppressions["until"].isna()]
    rows = rows.rename(columns={"target_id": "product_id"})[["customer_id", "product_id"]]
    keys = durable[["customer_id", "product_id"]].drop_duplicates()
    assert len(keys) >= 10_000
    assert len(keys.merge(rows, on=["customer_id", "product_id"])) >= 0.99 * len(keys)


def test_what_was_bought_today_is_suppressed_today(shop: Shop) -> None:
    """Every product, whatever it is, is suppressed for whoever just bought it."""
    now = pz.to_datetime(shop.engine.as_of)
    frame = pd.DataFrame(
        {"order_id": "today", "customer_id": "cust-today", "product_id": shop.products.index}
    ).assign(ordered_at=now, quantity=1)
    checked = shop.engine.check(
        frame[["customer_id", "product_id"]], pz.Orders.from_frame(frame), now + pd.Timedelta("1h")
    )
    assert checked["suppress"].all()
    assert (checked["reason"] == "purchased").all()


def test_a_returned_product_is_released_after_its_cooldown(shop: Shop) -> None:
    """What was sent back stays away for `return_cooldown_days`, and not a day longer."""
    story = shop.truth["story"]
    state = pz.PurchaseState.from_orders(shop.orders, story["customer_id"])
    product = story["returned_product_id"]
    back = pz.to_datetime(state.returned[product])
    cooldown = pd.Timedelta(days=shop.engine.config.return_cooldown_days)
    before, after = (
        shop.engine.decide(state, [product], back + cooldown + pd.Timedelta(seconds=shift))[0]
        for shift in (-1, 0)
    )
    assert (before.suppress, before.reason) == (True, "returned")
    assert not after.suppress


def test_a_gift_neither_suppresses_nor_seeds(shop: Shop) -> None:
    """Giving a product away changes neither decisions nor lists."""
    story = shop.truth["story"]
    customer, gift = story["customer_id"], story["gift_product_id"]
    lines = shop.orders.to_frame()
    mine = lines[lines["customer_id"] == customer]
    assert mine.loc[mine["product_id"] == gift, "gift"].all()
    without = pz.Orders.from_frame(mine[mine["product_id"] != gift])
    whole, now = pz.Orders.from_frame(mine), pz.to_datetime(shop.engine.as_of)
    (decision,) = shop.engine.decide(pz.PurchaseState.from_orders(whole, customer), [gift], now)
    assert not decision.suppress
    for moment in ("follow_up", "ad"):
        lists = [shop.engine.recommend(each, as_of=now, moment=moment) for each in (whole, without)]
        pd.testing.assert_frame_equal(*lists)


def test_baskets_hold_as_many_of_a_type_as_planted(shop: Shop) -> None:
    """The number of a type in one basket is learned right for at least 90% of types."""
    learned = shop.engine.types().set_index("product_type")["per_basket"]
    planted = pd.Series(shop.truth["per_basket"])
    assert (learned.reindex(planted.index) == planted).mean() >= 0.9
    view = shop.engine.view()
    most = pd.Series(view.max_per_type, view.space.types).reindex(planted.index)
    assert (most[planted == 1] == 1).mean() >= 0.9
    assert (most[planted > 1] >= planted[planted > 1]).all()


def test_no_customer_is_in_the_artifact(shop: Shop, tmp_path: Path) -> None:
    """Trained on ids that cannot occur by chance, none is in raw bytes, tables or arrays."""
    lines = shop.orders.to_frame()
    lines["customer_id"] = [
        None if pd.isna(each) else f"cust-QZJ{each}-x" for each in lines["customer_id"]
    ]
    engine = pz.Engine.fit(pz.Orders.from_frame(lines), shop.catalog)
    engine.save(tmp_path / "model")
    ids = {each for each in lines["customer_id"] if not pd.isna(each)}
    for file in (tmp_path / "model").iterdir():
        assert b"QZJ" not in file.read_bytes(), file.name
        if file.suffix == ".parquet":
            for values in pd.read_parquet(file).items():
                assert not ids & set(values[1].dropna().astype("str")), file.name
        elif file.suffix == ".npy":
            array = np.load(file, allow_pickle=False)
            assert array.dtype.kind in "biuf", file.name
