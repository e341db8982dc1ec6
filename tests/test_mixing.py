"""How far what comes next follows demand: learned where the newest orders say so clearly."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import personalize as pz
from personalize import mixing, model
from personalize.config import EngineConfig
from personalize.demand import PLAIN, Mix
from personalize.evaluation.metrics import score_lists
from personalize.evaluation.queries import Queries
from personalize.interactions import Interactions
from personalize.mixing import Trial, forecasts, learned_mix
from personalize.times import DAY

START = pd.Timestamp("2026-01-01", tz="UTC")
N_PRODUCTS = 60


def frame(baskets: list[tuple[str, str, float, list[int]]]) -> pd.DataFrame:
    """Return orders given as (order, customer, day, products)."""
    return pd.DataFrame(
        [
            (order, customer, f"p{num:02}", START + pd.Timedelta(days=day))
            for order, customer, day, nums in baskets
            for num in nums
        ],
        columns=["order_id", "customer_id", "product_id", "ordered_at"],
    ).assign(quantity=1)


def shop(kind: str, n_customers: int = 400, seed: int = 0) -> pz.Orders:
    """Return a shop of twelve weeks in which customers follow the week's fashion, or their own.

    ``"fashion"``: everybody buys of ten products that change every three weeks, whatever they own.
    ``"taste"``: everybody keeps to one of six shelves, and no week differs from another.
    """
    rng = np.random.default_rng(seed)
    baskets = []
    for customer in range(n_customers):
        shelf = customer % 6
        for week in range(12):
            if rng.random() < 0.4:
                continue
            if kind == "fashion":
                nums = week // 3 * 10 + rng.permutation(10)[:2]
            else:
                nums = shelf * 10 + rng.permutation(10)[:2]
            day = 7 * week + rng.integers(7)
            baskets.append((f"o{customer:04}-{week:02}", f"c{customer:04}", day, nums.tolist()))
    return pz.Orders.from_frame(frame(baskets))


def best_sellers(kind: str, n_customers: int = 3_000, seed: int = 0) -> pz.Orders:
    """Return half a year of a shop with best-sellers, in which customers come again and again.

    ``"again"``: everybody draws from the same long tail, whenever they come.
    ``"once"``: best-sellers are bought at the first visit or never.
    """
    rng = np.random.default_rng(seed)
    rank = np.arange(N_PRODUCTS)
    first_time = (1.0 + rank) ** -0.5 if kind == "again" else np.where(rank < 12, 20.0, 1.0)
    later = first_time if kind == "again" else np.where(rank < 12, 0.0, 1.0)
    baskets = []
    for customer in range(n_customers):
        weights = first_time
        for day in range(int(rng.integers(160)), 168, 14 if kind == "again" else 42):
            nums = rng.choice(N_PRODUCTS, 2, replace=False, p=weights / weights.sum())
            at = day + rng.random()
            baskets.append((f"o{customer:04}-{day}", f"c{customer:04}", at, nums.tolist()))
            weights = later
    return pz.Orders.from_frame(frame(baskets))


def learned(orders: pz.Orders, **config: float) -> Mix:
    """Return the mix of a shop."""
    return learned_mix(Interactions.from_orders(orders), EngineConfig(**config))  # type: ignore[arg-type]


def test_fashion_is_followed_and_taste_is_not() -> None:
    """Where all buy what is new this week demand leads; where shelves do, nothing is changed."""
    fashion = learned(shop("fashion"), demand_window_days=60)
    assert fashion.exponent > 1.0 or fashion.popular_share > 0.0
    assert learned(shop("taste")) == PLAIN


@pytest.mark.parametrize(("kind", "times"), [("again", 0.0), ("once", 2.0)])
def test_how_much_passing_over_says_is_learned(kind: str, times: float) -> None:
    """Nothing where customers do not look around, more where they want it at once or never."""
    assert learned(best_sellers(kind), demand_window_days=60).passed_over == times


def test_nothing_is_learned_of_too_little() -> None:
    """Few customers prove nothing, and what is off stays off."""
    assert learned(shop("fashion", 60), demand_window_days=60) == PLAIN
    assert learned(shop("fashion"), demand_window_days=60, demand_exponent=0) == PLAIN
    assert learned(pz.Orders.from_frame(frame([("o1", "ann", 0, [1])]))) == PLAIN
    guests = frame([("o1", "ann", 0, [1]), ("o2", "bob", 1, [2])]).assign(customer_id=None)
    assert learned(pz.Orders.from_frame(guests)) == PLAIN


def test_of_a_large_shop_some_customers_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as have so many lines, whole histories, the same ones again; their word counts."""
    interactions = Interactions.from_orders(shop("fashion"))
    n_lines = len(interactions.basket_products)
    monkeypatch.setattr(mixing, "MOST_LINES", n_lines // 2)
    few = mixing._few(interactions, 0)
    assert 0.45 * n_lines < len(few.basket_products) <= n_lines // 2
    whole = {
        tuple(row) for row in rows_of(interactions.customer_indptr, interactions.customer_products)
    }
    assert {tuple(row) for row in rows_of(few.customer_indptr, few.customer_products)} <= whole
    assert mixing._few(interactions, 0).basket_products.tobytes() == few.basket_products.tobytes()
    assert mixing._few(interactions, 1).basket_products.tobytes() != few.basket_products.tobytes()
    assert learned(shop("fashion"), demand_window_days=60) != PLAIN
    monkeypatch.setattr(mixing, "MOST_FORECASTS", 120)
    assert learned(shop("fashion"), demand_window_days=60) != PLAIN
    monkeypatch.setattr(mixing, "MOST_LINES", 100)
    assert learned(shop("fashion"), demand_window_days=60) == PLAIN


def test_forecasts_worked_by_hand() -> None:
    """The next order of those known before, without what they own or nobody could have bought."""
    table = frame(
        [
            ("o1", "ann", 0, [1, 2]),
            ("o2", "bob", 1, [3]),
            ("o3", "cid", 2, [2]),
            ("o4", "ann", 10, [2, 3]),  # 2 is owned
            ("o5", "ann", 11, [3]),  # not the next one
            ("o6", "bob", 12, [9]),  # never sold before
            ("o7", "dan", 13, [1]),  # not known before
            ("o8", "cid", 14, [1, 3]),
        ]
    )
    table.loc[table["order_id"] == "o2", "customer_id"] = "bob"
    guest = frame([("o0", "", 3, [4])]).assign(customer_id=None)
    orders = pz.Orders.from_frame(pd.concat([table, guest]))
    interactions = Interactions.from_orders(orders)
    cut = pz.to_micros(START.to_pydatetime()) + 5 * DAY
    past = interactions.before(cut)
    ids = interactions.product_ids.to_pylist()
    found = forecasts(interactions, past, cut)
    named = [
        [[ids[n] for n in each[a:b]] for a, b in itertools.pairwise(starts)]
        for starts, each in (
            (found.history_starts, found.histories),
            (found.truth_starts, found.truths),
        )
    ]
    start = pz.to_micros(START.to_pydatetime())
    assert found.last_at.tolist() == [start, start + 2 * DAY]
    assert named == [[["p01", "p02"], ["p02"]], [["p03"], ["p01", "p03"]]]
    assert past.n_baskets == 4
    assert past.n_customers == 3
    assert past.product_ids.equals(interactions.product_ids)


def test_some_forecasts_are_rows_of_all() -> None:
    """As many as asked for, in their order; all where there are no more."""
    interactions = Interactions.from_orders(shop("fashion", 60))
    cut = int(interactions.basket_time.max()) - 12 * DAY
    found = forecasts(interactions, interactions.before(cut), cut)
    assert found.sample(found.n, 0) is found
    few = found.sample(9, 0)
    pairs = [
        list(zip(*(rows_of(*csr) for csr in (each[:2], each[2:4])), each.last_at, strict=True))
        for each in (few, found)
    ]
    assert len(pairs[0]) == 9
    places = [pairs[1].index(row) for row in pairs[0]]
    assert places == sorted(places)


MIXES = (PLAIN, Mix(2.0, 0.0, 1.0), Mix(1.0, 0.4, 0.0), Mix(3.0, 0.6, 2.0), Mix(0.5, 0.2, 1.0))


@pytest.mark.parametrize("mix", range(len(MIXES)))
def test_a_forecast_is_the_list_that_an_engine_makes(
    monkeypatch: pytest.MonkeyPatch, mix: int
) -> None:
    """What a mix is worth is the NDCG of an engine fitted at the cut with that mix."""
    orders = shop("taste", 120, seed=3)
    config = EngineConfig(min_customers=1)
    cut = orders.newest - 9 * DAY
    interactions = Interactions.from_orders(orders)
    past = interactions.before(cut)
    asked = forecasts(interactions, past, cut)
    gains = Trial.of(past, config, cut).worth(asked, MIXES)
    assert gains.shape == (asked.n, len(MIXES))
    assert len({column.tobytes() for column in gains.T}) == len(MIXES)
    monkeypatch.setattr(model, "learned_mix", lambda *_: MIXES[mix])
    before = orders.before(cut)
    engine = pz.Engine.fit(before, config=config, as_of=pz.to_datetime(cut))
    customers, histories = customers_of(before), {}
    for row, owned in enumerate(rows_of(asked.history_starts, asked.histories)):
        histories.setdefault(tuple(owned), []).append(row)
    ids = interactions.product_ids.to_pylist()
    lists = np.full((len(gains), 10), -1)
    for customer, owned in customers.items():
        for row in histories.get(owned, []):
            picks = engine.recommend(before, [customer], as_of=pz.to_datetime(cut), fill=False)
            nums = [ids.index(each) for each in picks["product_id"]]
            lists[row, : len(nums)] = nums
    queries = Queries(np.arange(len(gains)), asked.truth_starts, asked.truths)
    expected = score_lists(queries, lists, np.ones(len(ids), dtype=bool)).ndcg
    np.testing.assert_allclose(gains[:, mix], expected, atol=1e-12)
    assert 0.0 < expected.mean() < 1.0


def customers_of(orders: pz.Orders) -> dict[str, tuple[int, ...]]:
    """Return what each customer owns, in numbers."""
    found = Interactions.from_orders(orders)
    return dict(
        zip(
            orders.customer_ids.to_pylist(),
            map(tuple, rows_of(found.customer_indptr, found.customer_products)),
            strict=True,
        )
    )


def rows_of(starts: np.ndarray, values: np.ndarray) -> list[list[int]]:
    """Return the rows of a CSR as lists."""
    return [values[a:b].tolist() for a, b in itertools.pairwise(starts)]


@pytest.mark.parametrize("neighbours", [2, 12])
def test_the_plain_loop_gives_the_same_worth(
    monkeypatch: pytest.MonkeyPatch, neighbours: int
) -> None:
    """Compiled or not, in one block or many."""
    interactions = Interactions.from_orders(shop("fashion", 60))
    cut = int(interactions.basket_time.max()) - 12 * DAY
    past = interactions.before(cut)
    asked = forecasts(interactions, past, cut)
    config = EngineConfig(min_customers=1, ridge_neighbours=neighbours)
    trial = Trial.of(past, config, cut)
    fast = trial.worth(asked, MIXES)
    monkeypatch.setattr(mixing, "forecast", mixing.forecast.py)
    monkeypatch.setattr(mixing, "_BLOCK", 7)
    assert fast.any()
    assert trial.worth(asked, MIXES).tobytes() == fast.tobytes()


def test_a_mix_is_kept(tmp_path: Path) -> None:
    """Saved and loaded, and refreshed, an engine follows demand as far as it learned to."""
    orders = shop("fashion")
    engine = pz.Engine.fit(orders, config=EngineConfig(demand_window_days=60))
    mix = engine.model.mix
    assert mix != PLAIN
    engine.save(tmp_path / "model")
    loaded = pz.Engine.load(tmp_path / "model")
    assert loaded.model.mix == mix
    refreshed = loaded.refreshed(orders, pz.to_datetime(orders.newest + 1))
    assert refreshed.model.mix == mix
    np.testing.assert_array_equal(refreshed.model.demand.pull, engine.model.demand.pull)
    np.testing.assert_allclose(
        refreshed.model.demand.factors, engine.model.demand.factors, rtol=1e-6
    )


def test_an_explanation_adds_up_where_demand_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """History and everybody together are the score of a pick."""
    monkeypatch.setattr(model, "learned_mix", lambda *_: Mix(1.5, 0.4, 1.0))
    orders = shop("taste", 120)
    engine = pz.Engine.fit(orders, config=EngineConfig(min_customers=1))
    now = orders.newest + 1
    state = pz.PurchaseState.from_orders(orders, "c0001", pz.to_datetime(now))
    picks = engine.view().recommend(state, 10, now, fill=False)
    assert picks
    for pick in picks:
        told = engine.explain(state, pick.product_id, pz.to_datetime(now))["pick"]["history"]
        assert told["score"] + told["everybody"] == pick.score
        assert told["everybody"] == told["pull"] * told["highest"] > 0.0
