"""The sample shop holds what its truth.json says, and its generator reproduces it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SAMPLE = Path(__file__).parent.parent / "data" / "sample"
FILES = ("orders.parquet", "products.parquet", "truth.json")
SMALL = ("--customers", "60", "--products", "900", "--lines", "900")
UTC = pa.timestamp("us", tz="UTC")


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the generator in a process of its own; warnings are errors."""
    command = [sys.executable, "-W", "error", str(SAMPLE / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    """Return what is planted."""
    facts: dict[str, Any] = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))
    return facts


@pytest.fixture(scope="module")
def products() -> pd.DataFrame:
    """Return the catalogue."""
    return pd.read_parquet(SAMPLE / "products.parquet")


@pytest.fixture(scope="module")
def lines(products: pd.DataFrame) -> pd.DataFrame:
    """Return the order lines with group and type; `who` is the customer or the guest's order."""
    orders = pd.read_parquet(SAMPLE / "orders.parquet")
    of_product = products[["product_id", "item_group_id", "product_type"]]
    found = orders.merge(of_product, on="product_id", validate="many_to_one")
    found["who"] = found["customer_id"].fillna("guest of " + found["order_id"])
    return found


@pytest.fixture(scope="module")
def histories(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of known customers in time order."""
    return lines.dropna(subset=["customer_id"]).sort_values(["ordered_at", "order_id"])


def test_committed_files_are_reproduced(tmp_path: Path) -> None:
    """Without other options the generator writes the committed files, byte for byte."""
    assert generate("--out", str(tmp_path)).returncode == 0
    writer = pq.ParquetFile(SAMPLE / "orders.parquet").metadata.created_by
    for name in FILES:
        made, committed = tmp_path / name, SAMPLE / name
        if name.endswith(".json") or writer.endswith(f" {pa.__version__}"):
            assert made.read_bytes() == committed.read_bytes(), name
        else:  # another pyarrow lays out the same rows in other bytes
            assert pq.read_table(made).equals(pq.read_table(committed)), name
    assert {p.name for p in tmp_path.iterdir()} == set(FILES)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Size and seed decide every byte; another seed makes another shop."""
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        out = generate("--out", str(tmp_path / name), *SMALL, "--seed", seed)
        assert (out.returncode, out.stdout, out.stderr) == (0, "", "")
    for name in FILES:
        first, second, other = ((tmp_path / d / name).read_bytes() for d in "abc")
        assert first == second
        assert first != other


def test_sizes_are_kept(tmp_path: Path) -> None:
    """Customers and products are as many as asked for, lines about so many."""
    assert generate("--out", str(tmp_path), *SMALL).returncode == 0
    orders = pd.read_parquet(tmp_path / "orders.parquet")
    catalogue = pd.read_parquet(tmp_path / "products.parquet")
    assert orders["customer_id"].nunique() == 60
    assert len(catalogue) == catalogue["product_id"].nunique() == 900
    assert len(orders) == pytest.approx(900, rel=0.15)
    assert set(orders["product_id"]) <= set(catalogue["product_id"])


def test_larger_catalogue_has_more_types(tmp_path: Path, truth: dict[str, Any]) -> None:
    """A catalogue of four times the size holds the planted types twice, families included."""
    n_products = str(4 * truth["counts"]["products"])
    sizes = ("--customers", "60", "--products", n_products, "--lines", "900")
    assert generate("--out", str(tmp_path), *sizes).returncode == 0
    larger = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert larger["counts"]["product_types"] == 2 * truth["counts"]["product_types"]
    assert len(larger["complements"]) == 2 * len(truth["complements"])
    for family in larger["complements"]:
        in_range = family["type"].endswith("Range 2")
        for complement in family["complements"]:
            assert complement["type"].endswith("Range 2") == in_range


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--customers", "0"), "lines: 34,500 for 0 customers; give at least 1 customer"),
        (("--lines", "5"), "lines: 5 for 2,000 customers"),
        (("--products", "5"), "products: 5 are too few"),
        (("--seed", "-1"), "seed: -1 is below 0; give 0 or more"),
        (("--lines", "many"), "invalid int value: 'many'"),
    ],
)
def test_bad_sizes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """An option that makes no shop is refused in one line, and nothing is written."""
    out = generate("--out", str(tmp_path / "new"), *arguments)
    assert out.returncode == 2
    assert message in out.stderr
    assert out.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_orders_follow_the_contract() -> None:
    """The orders have the contract's columns and types."""
    assert {f.name: f.type for f in pq.read_schema(SAMPLE / "orders.parquet")} == {
        "order_id": pa.string(),
        "customer_id": pa.string(),
        "product_id": pa.string(),
        "ordered_at": UTC,
        "quantity": pa.int64(),
        "returned_quantity": pa.int64(),
        "returned_at": UTC,
        "unit_price": pa.float64(),
        "currency": pa.string(),
        "channel": pa.string(),
        "gift": pa.bool_(),
    }


def test_catalogue_follows_the_contract(products: pd.DataFrame) -> None:
    """The catalogue has the contract's columns, no gaps, and every word of availability."""
    assert list(products.columns) == [
        "product_id", "item_group_id", "title", "product_type", "brand", "price", "currency",
        "availability", "link", "image_link", "sensitive",
    ]  # fmt: skip
    assert not products.isna().to_numpy().any()
    assert products["product_id"].is_unique
    words = {"in_stock", "out_of_stock", "preorder", "backorder"}
    assert set(products["availability"]) == words
    assert products["price"].between(1, 2000).all()
    assert products["link"].str.match(r"https://shop\.example/p/[A-Z0-9-]+$").all()
    assert 1 <= products["sensitive"].sum() <= 10
    assert not products["product_id"].str.contains(",").any()


def test_rows_are_sound(lines: pd.DataFrame, truth: dict[str, Any]) -> None:
    """An order has one customer and one time, a product once; returns lie within the period."""
    first, end = (pd.Timestamp(truth["period"][k], tz="UTC") for k in ("first_day", "end"))
    per_order = lines.groupby("order_id")[["who", "ordered_at", "channel", "currency"]].nunique()
    assert (per_order == 1).to_numpy().all()
    assert not lines.duplicated(["order_id", "product_id"]).any()
    assert lines["ordered_at"].between(first, end, inclusive="left").all()
    assert lines["ordered_at"].max() >= end - pd.Timedelta(days=1)
    assert lines["quantity"].ge(1).all()
    assert lines["returned_quantity"].between(0, lines["quantity"]).all()
    back = lines[lines["returned_quantity"] > 0]
    wait = back["returned_at"] - back["ordered_at"]
    assert wait.between(pd.Timedelta(days=3), pd.Timedelta(days=21)).all()
    assert back["returned_at"].max() < end
    assert lines.loc[lines["returned_quantity"] == 0, "returned_at"].isna().all()
    assert (back["returned_quantity"] < back["quantity"]).any()


def test_counts_are_those_written_down(
    lines: pd.DataFrame, products: pd.DataFrame, truth: dict[str, Any]
) -> None:
    """What truth.json counts is what the files hold, and they stay small."""
    guests = lines[lines["customer_id"].isna()]
    assert truth["counts"] == {
        "customers": lines["customer_id"].nunique(),
        "products": len(products),
        "item_groups": products["item_group_id"].nunique(),
        "product_types": products["product_type"].nunique(),
        "orders": lines["order_id"].nunique(),
        "guest_orders": guests["order_id"].nunique(),
        "lines": len(lines),
        "gift_lines": int(lines["gift"].sum()),
        "returned_lines": int((lines["returned_quantity"] > 0).sum()),
    }
    assert truth["counts"]["customers"] == 2000
    assert truth["counts"]["orders"] == 15000
    assert set(truth["types"]) == set(products["product_type"])
    sensitive = products.groupby("product_type")["sensitive"].all().to_dict()
    assert sensitive == {path: of["sensitive"] for path, of in truth["types"].items()}
    assert sum((SAMPLE / name).stat().st_size for name in FILES) < 1_500_000


def test_shares_are_lifelike(lines: pd.DataFrame, truth: dict[str, Any]) -> None:
    """About 5% gifts, 8% returns (more of clothes), 10% guests; a few customers buy a lot."""
    counts = truth["counts"]
    assert counts["gift_lines"] / counts["lines"] == pytest.approx(0.05, abs=0.007)
    assert counts["returned_lines"] / counts["lines"] == pytest.approx(0.08, abs=0.01)
    assert counts["guest_orders"] / counts["orders"] == pytest.approx(0.10, abs=0.025)
    back = lines.assign(back=lines["returned_quantity"] > 0).groupby("product_type")["back"].mean()
    assert back["Apparel > Shoes > Running shoes"] > 2 * back["Home > Bedroom > Pillows"]
    orders = lines.groupby("customer_id")["order_id"].nunique()
    assert orders.median() <= 5
    assert orders.max() >= 40


def test_planted_complements_stand_out(lines: pd.DataFrame, truth: dict[str, Any]) -> None:
    """Pairs of three customers or more put planted complements in the top five by P(c given a)."""
    basket = lines[["order_id", "who", "product_id", "product_type"]]
    pairs = basket.merge(basket, on="order_id", suffixes=("", "_c"))
    pairs = pairs[pairs["product_type"] != pairs["product_type_c"]]
    customers = pairs.groupby(["product_id", "product_id_c"])["who"].transform("nunique")
    pairs = pairs[customers >= 3]
    together = pairs.groupby(["product_type", "product_type_c"])["order_id"].nunique()
    bought = lines.groupby("product_type")["order_id"].nunique()
    found = []
    for family in truth["complements"]:
        given_anchor = together[family["type"]] / bought[family["type"]]
        top = given_anchor.nlargest(5)
        for complement in family["complements"]:
            found.append(complement["type"] in top)
            assert together[family["type"]].get(complement["type"], 0) >= 30
    assert len(truth["complements"]) == 15
    assert len(found) >= 30
    assert np.mean(found) >= 0.95


def test_complements_also_follow_later(lines: pd.DataFrame, histories: pd.DataFrame) -> None:
    """Some trousers are bought in the weeks after the coat, more than in the weeks before."""
    coat = histories[histories["product_type"] == "Apparel > Suits > Sport coats"]
    trousers = histories[histories["product_type"] == "Apparel > Suits > Dress trousers"]
    both = coat.merge(trousers, on="customer_id", suffixes=("", "_c"))
    days = (both["ordered_at_c"] - both["ordered_at"]).dt.total_seconds() / 86400
    assert days.between(3, 36).sum() >= 2 * days.between(-36, -3).sum()
    assert days.between(3, 36).sum() >= 15


def test_complements_go_one_way(lines: pd.DataFrame) -> None:
    """Most baskets with a tie hold no sport coat."""
    types = lines.groupby("order_id")["product_type"].agg(set)
    ties = types[[("Apparel > Accessories > Ties" in t) for t in types]]
    coats = sum("Apparel > Suits > Sport coats" in t for t in ties)
    assert coats < 0.3 * len(ties)


def test_one_per_need_is_bought_once(histories: pd.DataFrame, truth: dict[str, Any]) -> None:
    """Buyers of such a type go on shopping, but at most 2% buy another of it."""
    orders = histories.groupby(["customer_id", "order_id"])["ordered_at"].first().reset_index()
    for path in truth["one_per_need"]:
        mine = histories[histories["product_type"] == path]
        first = mine.groupby("customer_id")["ordered_at"].min().rename("first")
        times = mine.groupby("customer_id")["order_id"].nunique()
        later = orders.merge(first, left_on="customer_id", right_index=True)
        n_later = (later["ordered_at"] > later["first"]).sum()
        by_chance = n_later * mine["order_id"].nunique() / len(orders)
        assert len(first) >= 150, path
        assert by_chance >= 15, path
        assert (times > 1).mean() <= 0.02, path
        assert mine["item_group_id"].nunique() >= 2, path


def test_side_by_side_is_bought_again(histories: pd.DataFrame, truth: dict[str, Any]) -> None:
    """Of every such type that many buy, a fair share of the buyers come back for another."""
    for path in truth["side_by_side"]:
        mine = histories[histories["product_type"] == path]
        times = mine.groupby("customer_id")["order_id"].nunique()
        if len(times) >= 150:
            assert (times > 1).mean() >= 0.1, path


def test_durables_are_never_bought_twice(histories: pd.DataFrame, truth: dict[str, Any]) -> None:
    """A customer buys an item group once, unless it is consumed."""
    durable = histories[~histories["product_type"].isin(truth["consumed"])]
    assert not durable.duplicated(["customer_id", "item_group_id"]).any()


def test_consumables_come_back_in_their_cycle(
    histories: pd.DataFrame, truth: dict[str, Any]
) -> None:
    """Most buyers buy the same product again, and the lower gaps lie near the planted cycle."""
    used = histories[histories["product_type"].isin(truth["consumed"])].copy()
    key = ["customer_id", "product_id"]
    used["gap"] = used.groupby(key)["ordered_at"].diff().dt.total_seconds() / 86400
    assert not used.groupby(["customer_id", "product_type"])["product_id"].nunique().gt(1).any()
    assert used.groupby(key).size().gt(1).mean() >= 0.65
    cycle = used["product_type"].map(truth["consumed"])
    gaps = (
        used.assign(ratio=used["gap"] / cycle).dropna(subset="ratio").groupby("product_id")["ratio"]
    )
    low = gaps.quantile(0.35)[gaps.size() >= 15]
    assert len(low) >= 25
    assert low.median() == pytest.approx(1.0, abs=0.12)
    assert low.between(0.75, 1.25).mean() >= 0.95


def test_larger_packs_last_longer(histories: pd.DataFrame, truth: dict[str, Any]) -> None:
    """After two units the next purchase comes about twice as late."""
    used = histories[histories["product_type"].isin(truth["consumed"])].copy()
    by_product = used.groupby(["customer_id", "product_id"])
    gap = -by_product["ordered_at"].diff(-1).dt.total_seconds() / 86400
    ratio = gap / used["product_type"].map(truth["consumed"])
    medians = ratio.groupby(used["quantity"]).median()
    assert medians[2] / medians[1] == pytest.approx(2.0, rel=0.15)


def test_per_basket_is_what_baskets_hold(lines: pd.DataFrame, truth: dict[str, Any]) -> None:
    """The usual number of products of a type in a basket is the planted one."""
    held = lines.groupby(["product_type", "order_id"])["product_id"].nunique()
    assert held.groupby("product_type").median().to_dict() == truth["per_basket"]
    assert set(truth["per_basket"].values()) == {1, 2, 3}


def test_seasons_show(lines: pd.DataFrame, truth: dict[str, Any]) -> None:
    """Seasonal types sell mostly in their half of the year."""
    months = {"winter": [10, 11, 12, 1, 2, 3], "summer": [4, 5, 6, 7, 8, 9]}
    assert set(truth["seasons"].values()) == set(months)
    for path, season in truth["seasons"].items():
        month = lines.loc[lines["product_type"] == path, "ordered_at"].dt.month
        assert month.isin(months[season]).mean() > 0.65, path


def test_trend_shows(lines: pd.DataFrame, truth: dict[str, Any]) -> None:
    """The trending group sells several times its earlier share of the type."""
    of_type = lines[lines["product_type"] == truth["trend"]["type"]]
    is_trend = of_type["item_group_id"] == truth["trend"]["item_group_id"]
    late = of_type["ordered_at"] >= pd.Timestamp(truth["trend"]["from"], tz="UTC")
    assert is_trend[late].mean() > 2.5 * is_trend[~late].mean()


def test_popularity_is_uneven(lines: pd.DataFrame) -> None:
    """Within a type the best-selling group clearly leads."""
    sold = lines.groupby(["product_type", "item_group_id"]).size()
    lead = sold.groupby("product_type").agg(lambda n: n.max() / n.sum() * len(n))
    assert lead[lead > 0].median() > 1.2


def test_story_is_told(lines: pd.DataFrame, products: pd.DataFrame, truth: dict[str, Any]) -> None:
    """The customer of the story owns the coat and the beans, sent one thing back, gave one away."""
    story, end = truth["story"], pd.Timestamp(truth["period"]["end"], tz="UTC")
    mine = lines[lines["customer_id"] == story["customer_id"]].set_index(["order_id", "product_id"])
    rows = {
        name: mine.loc[(story[f"{name}_order_id"], story[f"{name}_product_id"])]
        for name in ("sport_coat", "consumable", "returned", "gift")
    }
    coat = rows["sport_coat"]
    assert coat["product_type"] == "Apparel > Suits > Sport coats"
    assert pd.Timedelta(days=14) < end - coat["ordered_at"] < pd.Timedelta(days=42)
    assert (mine["product_type"] == coat["product_type"]).sum() == 1
    assert rows["consumable"]["product_type"] in truth["consumed"]
    assert (mine["product_type"] == rows["consumable"]["product_type"]).sum() >= 4
    assert rows["returned"]["returned_quantity"] == rows["returned"]["quantity"]
    assert end - rows["returned"]["returned_at"] < pd.Timedelta(days=30)
    assert rows["gift"]["gift"]
    assert mine["gift"].sum() == (mine["returned_quantity"] > 0).sum() == 1
    newest = mine.groupby(level="order_id")["ordered_at"].max().nlargest(4).index
    assert set(newest) == {row.name[0] for row in rows.values()}
    ids = [story[f"{name}_product_id"] for name in rows]
    assert (products.set_index("product_id").loc[ids, "availability"] == "in_stock").all()
