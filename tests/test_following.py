"""Many lists at once: the compiled way gives what one list at a time gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import personalize as pz
from personalize import following, model, ranking
from personalize.batch import batch, picks
from personalize.demand import FEW_LINES, PLAIN, Mix
from personalize.following import Filled
from personalize.ranking import FIRST_LOOK

N_PRODUCTS = 700
SALE = pd.Timestamp("2026-01-01", tz="UTC")


def shop(seed: int = 0, n_orders: int = 1_500) -> tuple[pz.Orders, pz.Catalog]:
    """Return a random shop large enough for lists that the history fills, and some that it cannot.

    Products come in groups of three and in seven types; every eleventh is sold out, every
    thirteenth sensitive. Some lines are returned.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, n_orders)
    order = np.repeat(np.arange(n_orders), sizes)
    num = (rng.random(len(order)) ** 2 * N_PRODUCTS).astype(int)
    when = SALE + pd.to_timedelta(np.sort(rng.integers(0, 300 * 24, n_orders))[order], unit="h")
    table = pd.DataFrame(
        {
            "order_id": [f"o{n:05}" for n in order],
            "customer_id": [f"c{n:03}" for n in rng.integers(0, 120, n_orders)[order]],
            "product_id": [f"p{n:03}" for n in num],
            "ordered_at": when.astype("datetime64[us, UTC]"),
            "quantity": 1,
            "returned_quantity": (rng.random(len(order)) < 0.1).astype(int),
        }
    ).drop_duplicates(["order_id", "product_id"])
    products = [
        pz.Product(
            f"p{n:03}",
            f"g{n // 3}" if n % 5 else None,
            product_type=f"t{n % 7}" if n % 4 else None,
            availability="out_of_stock" if n % 11 == 0 else "in_stock",
            sensitive=n % 13 == 0,
        )
        for n in range(N_PRODUCTS)
    ]
    table["returned_at"] = table["ordered_at"].where(table["returned_quantity"] > 0)
    return pz.Orders.from_frame(table), pz.Catalog.from_products(products)


@pytest.fixture(scope="module", params=[PLAIN, Mix(2.0, 0.6, 0.0)], ids=["plain", "mixed"])
def asked(request: pytest.FixtureRequest) -> tuple[pz.Engine, pz.Orders]:
    """Return an engine that follows demand as it is or more, and the orders it answers from."""
    orders, catalog = shop()
    config = pz.EngineConfig(min_customers=1, n_neighbours=60, default_cooldown_days=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "learned_mix", lambda *_: request.param)
        engine = pz.Engine.fit(orders, catalog, config)
    return engine, orders


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("fill", [True, False])
def test_many_lists_are_those_of_one_at_a_time(
    asked: tuple[pz.Engine, pz.Orders], k: int, fill: bool
) -> None:
    """Products, scores to the last bit, reasons and seeds are those of a single question."""
    engine, orders = asked
    away = ["p001", "p002", "never"]
    policy = pz.Policy(
        types={"t1": pz.TypeRule(one_per_need=True), "t2": pz.TypeRule(max_per_list=1)}
    )
    table = engine.recommend(orders, k=k, exclude=away, policy=policy, fill=fill)
    view, now = engine.view(policy), orders.newest + 1
    for customer in [*orders.customer_ids.to_pylist()[::7]]:
        state = pz.PurchaseState.from_orders(orders, customer, pz.to_datetime(now))
        listed = view.recommend(state, k, now, exclude=away, fill=fill)
        rows = table[table["customer_id"] == customer]
        assert [p.product_id for p in listed] == rows["product_id"].tolist()
        assert [p.rank for p in listed] == rows["rank"].tolist()
        assert [p.score for p in listed] == rows["score"].tolist()
        assert [p.reason for p in listed] == rows["reason"].tolist()
        because = rows["because_product_id"].astype(object)
        assert [p.because_product_id for p in listed] == because.where(
            because.notna(), None
        ).tolist()


def test_who_saw_it_and_left_it_is_shown_less_of_it() -> None:
    """Two customers own the same; one came when the others bought what neither has."""
    rng = np.random.default_rng(0)
    rows = [("late", "late", 160.0, ["shirt"]), ("early", "early", 10.0, ["shirt"])]
    for n in range(80):
        day = 90.0 + 90.0 * rng.random()
        fad = ["scarf"] if day >= 154.0 else ["belt"]  # a period of sales begins here
        rows.append((f"o{n}", f"c{n}", day, ["shirt", *(fad if n % 2 else ["socks", "belt"])]))
    table = pd.DataFrame(
        [
            (order, customer, product, SALE + pd.Timedelta(days=day))
            for order, customer, day, products in rows
            for product in products
        ],
        columns=["order_id", "customer_id", "product_id", "ordered_at"],
    ).assign(quantity=1)
    orders = pz.Orders.from_frame(table)

    def scores(passed_over: float) -> dict[str, dict[str, float]]:
        engine = pz.Engine.fit(orders, config=pz.EngineConfig(passed_over=passed_over))
        lists = engine.recommend(orders, ["early", "late"], fill=False)
        found: dict[str, dict[str, float]] = {"early": {}, "late": {}}
        for customer, product, score in lists[["customer_id", "product_id", "score"]].itertuples(
            index=False
        ):
            found[customer][product] = score
        return found

    off, on = scores(0.0), scores(2.0)
    assert off["early"] == off["late"] == on["early"]
    sold = table.loc[table["ordered_at"] >= SALE + pd.Timedelta(days=154), "product_id"]
    n_sold = sold.value_counts()
    left = 1.0 / (1.0 + 2.0 * n_sold["scarf"] / (n_sold["shirt"] + FEW_LINES))
    assert on["late"]["scarf"] / off["late"]["scarf"] == pytest.approx(left, rel=1e-6)
    assert left < 0.75


@pytest.mark.parametrize(("k", "look", "first_look"), [(3, 1, 150), (400, 50, 400), (690, 9, 5)])
def test_the_plain_loop_gives_the_same_bytes(
    asked: tuple[pz.Engine, pz.Orders],
    monkeypatch: pytest.MonkeyPatch,
    k: int,
    look: int,
    first_look: int,
) -> None:
    """Compiled or not, every list is the same; long ones are looked at in many parts or at once."""
    engine, orders = asked
    found: list[Filled] = []
    plain = picks.follow_up

    def watched(*args: object) -> Filled:
        found.append(plain(*args))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(picks, "follow_up", watched)
    monkeypatch.setattr(batch, "n_threads", lambda: 1)
    customers = orders.customer_ids.to_pylist()
    policy = pz.Policy(
        types={"t1": pz.TypeRule(one_per_need=True), "t3": pz.TypeRule(max_per_list=1)}
    )
    fast = engine.recommend(orders, customers, k, fill=False, policy=policy)
    monkeypatch.setattr(following, "follow", following.follow.py)
    monkeypatch.setattr(following, "FIRST_LOOK", first_look)
    monkeypatch.setattr(following, "_LOOK", look)
    slow = engine.recommend(orders, customers, k, fill=False, policy=policy)
    pd.testing.assert_frame_equal(fast, slow)
    for one, other in zip(*found, strict=True):
        assert one.tobytes() == other.tobytes()
    assert first_look != FIRST_LOOK


@pytest.mark.parametrize("room", [1, 2, 7, 40, 41, 100])
def test_candidates_come_by_score_then_number(room: int) -> None:
    """Looked at so many at a time, equal scores on both sides of a look, none is passed over."""
    rng = np.random.default_rng(room)
    scores = rng.integers(0, 6, 41) / 4.0
    found = rng.permutation(41).astype(np.int32)
    wanted = np.lexsort((found, -scores)).tolist()
    order, best = np.empty(41, np.int64), np.empty(41)
    seen: list[int] = []
    above, last = np.inf, -1
    while len(seen) < 41:
        rest = ranking.others(scores, found, above, last)
        assert rest.tolist() == wanted[len(seen) :]
        n = ranking.leading(scores, found, above, last, best[: min(room, len(rest))], order)
        seen += order[:n].tolist()
        above, last = scores[seen[-1]], int(found[seen[-1]])
    assert seen == wanted


def test_blocks_do_not_change_the_lists(
    asked: tuple[pz.Engine, pz.Orders], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Customers of any block, asked about in any order, get the lists they get all at once."""
    engine, orders = asked
    ids = orders.customer_ids.to_pylist()
    wanted = [*ids[::-3], "nobody", *ids[1::3], "no one"]
    questions = [
        lambda: engine.recommend(orders, k=5),
        lambda: engine.recommend(orders, wanted, 5, include_due=True),
        lambda: engine.recommend(orders, wanted, 5, moment="order_confirmation"),
        lambda: engine.suppress(orders, wanted),
    ]
    whole = [ask() for ask in questions]
    monkeypatch.setattr(batch, "_CUSTOMERS", 7)
    for ask, expected in zip(questions, whole, strict=True):
        pd.testing.assert_frame_equal(ask(), expected)


def test_customers_come_back_in_the_order_asked(asked: tuple[pz.Engine, pz.Orders]) -> None:
    """Lists stand in the order of the customers given; an unknown one is filled like any other."""
    engine, orders = asked
    table = engine.recommend(orders, ["c050", "nobody", "c003"], 4)
    assert table["customer_id"].tolist() == ["c050"] * 4 + ["nobody"] * 4 + ["c003"] * 4
    assert set(table.loc[table["customer_id"] == "nobody", "reason"]) == {"popular"}


def test_nobody_asked_is_an_empty_table(asked: tuple[pz.Engine, pz.Orders]) -> None:
    """No customer: no row, the usual columns and types."""
    engine, orders = asked
    table = engine.recommend(orders, [], 4)
    some = engine.recommend(orders, ["c001"], 4)
    assert len(table) == 0
    assert table.dtypes.tolist() == some.dtypes.tolist()
