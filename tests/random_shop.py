"""Random order logs for property tests: few products, few customers, everything that happens."""

from __future__ import annotations

import datetime as dt
import itertools

import pandas as pd
from hypothesis import strategies as st

import personalize as pz

FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CUSTOMERS = ["ann", "bob", "cid", "dot", None]
PRODUCTS = [f"p{n}" for n in range(8)]
COLUMNS = [
    "order_id",
    "customer_id",
    "product_id",
    "ordered_at",
    "quantity",
    "returned_quantity",
    "returned_at",
    "gift",
]


def frame_of(lines: list[tuple[object, ...]]) -> pd.DataFrame:
    """Return order lines as a table of the public contract."""
    frame = pd.DataFrame(lines, columns=COLUMNS)
    frame["customer_id"] = frame["customer_id"].astype("str")
    for name in ("ordered_at", "returned_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
    return frame


# A property test spends much of its time on drawing, by the number of draws: what belongs to one
# order or one line is drawn at once.
buyers = st.sampled_from(list(itertools.product(range(201), CUSTOMERS)))
baskets = st.one_of(
    [st.sampled_from(list(itertools.permutations(PRODUCTS, size))) for size in range(1, 5)]
)
fates = st.sampled_from(
    [
        (quantity, returned, days if returned else None, gift)
        for days in range(41)
        for quantity in range(1, 5)
        for returned in (0, 0, 0, 1, quantity)
        for gift in (False, False, False, True)
    ]
)


@st.composite
def order_logs(draw: st.DrawFn, min_orders: int = 1, max_orders: int = 25) -> pd.DataFrame:
    """Draw a log: orders of known customers and guests, returns, gifts, several at one moment."""
    lines: list[tuple[object, ...]] = []
    for number in range(draw(st.integers(min_orders, max_orders))):
        day, customer = draw(buyers)
        ordered = FIRST + dt.timedelta(days=day)
        for product in draw(baskets):
            quantity, returned, days, gift = draw(fates)
            back = None if days is None else ordered + dt.timedelta(days=days)
            lines.append(
                (f"o{number:03}", customer, product, ordered, quantity, returned, back, gift)
            )
    return frame_of(lines)


@st.composite
def catalogs(draw: st.DrawFn) -> pz.Catalog:
    """Draw a catalogue of some of the products, and of one that nobody bought."""
    rows = []
    for product in [*PRODUCTS, "p8"]:
        if draw(st.booleans()):
            rows.append(
                pz.Product(
                    product_id=product,
                    item_group_id=draw(st.sampled_from(["g1", "g2", None])),
                    product_type=draw(st.sampled_from(["A", "A > B", "C", None])),
                    title=draw(st.sampled_from(["Red coat", "Blue coat", "Red tie, 52", None])),
                    price=draw(st.sampled_from([0.0, 9.5, 200.0, None])),
                    availability=draw(st.sampled_from(["in_stock", "out_of_stock", None])),
                    sensitive=draw(st.sampled_from([False, False, False, True])),
                )
            )
    return pz.Catalog.from_products(rows)


policies = st.builds(
    pz.Policy,
    rules=st.dictionaries(
        st.sampled_from(["purchased", "purchased_variant", "purchased_substitute", "returned"]),
        st.booleans(),
    ),
    types=st.dictionaries(
        st.sampled_from(["A", "A > B", "C", "D"]),
        st.builds(
            pz.TypeRule,
            suppress=st.booleans(),
            cooldown_days=st.sampled_from([None, 0, 12.5, 700, "for_good"]),
            one_per_need=st.sampled_from([None, True, False]),
            max_per_list=st.sampled_from([None, 1, 3]),
            sensitive=st.sampled_from([False, False, True]),
        ),
    ),
    thresholds=st.dictionaries(
        st.sampled_from(["min_cooldown_days", "default_cooldown_days", "return_cooldown_days"]),
        st.sampled_from([1.0, 20.0, 90.0]),
    ),
)

configs = st.builds(
    pz.EngineConfig,
    repurchase_horizon_days=st.sampled_from([10, 30]),
    due_quantile=st.floats(0.01, 0.99),
    repurchase_threshold=st.floats(0, 1),
    min_cooldown_days=st.integers(0, 30),
    default_cooldown_days=st.integers(1, 400),
    return_cooldown_days=st.integers(0, 60),
    min_customers=st.integers(1, 3),
    half_life_days=st.floats(1, 400),
    n_neighbours=st.integers(1, 12),
    ridge=st.floats(0.001, 1000),
    ridge_share=st.floats(0, 1),
    demand_window_days=st.floats(1, 365),
    demand_exponent=st.floats(0, 4),
    passed_over=st.floats(0, 10),
    curve_strength=st.floats(0.1, 100),
    rhythm_strength=st.floats(0, 100),
    one_per_need_window_days=st.floats(7, 400),
    one_per_need_ratio=st.floats(0, 1),
    new_share=st.floats(0, 0.5),
    n_repurchase_windows=st.integers(1, 6),
    seed=st.integers(0, 5),
)

MOMENTS = st.integers(0, 260).map(lambda day: FIRST + dt.timedelta(days=day))
