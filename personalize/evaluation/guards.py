"""Guards: what no list may ever show, counted from the outside.

Every count must be 0. They are worked out from orders and catalogue again, by joins, and share
no code with the engine that they watch.
"""

from __future__ import annotations

import pandas as pd

from personalize.evaluation.split import IntArray, Split


def baskets_of(anchors: IntArray, split: Split) -> pd.DataFrame:
    """Return what the basket of each anchor holds: ``key``, ``product_id``."""
    return pd.DataFrame({"key": anchors, "product_id": split.product_ids[anchors]})


def histories_of(customers: IntArray, split: Split) -> pd.DataFrame:
    """Return everything each customer bought before the cutoff: ``key``, ``product_id``."""
    train = split.train.of_customers()
    held = pd.DataFrame({"key": train.customer, "product_id": split.product_ids[train.product]})
    return held[held["key"].isin(customers)].drop_duplicates()


def count_violations(
    shown: pd.DataFrame,
    held: pd.DataFrame,
    *,
    catalog: pd.DataFrame | None = None,
    one_per_need: pd.DataFrame | None = None,
) -> dict[str, int]:
    """Return how often each guard is broken.

    Parameters
    ----------
    shown : DataFrame
        ``key``, ``product_id``: one row per place of a list.
    held : DataFrame
        ``key``, ``product_id``: what must not come back, the basket or the history.
    catalog : DataFrame, optional
        ``product_id``, ``item_group_id``, ``product_type``, ``availability``.
    one_per_need : DataFrame, optional
        ``key``, ``product_type``: types of which one is enough, in the basket or owned, while
        the rule is in force.
    """
    pair = ["key", "product_id"]
    counts = {
        "repeated": int(shown.duplicated(pair).sum()),
        "held": len(shown.merge(held.drop_duplicates(pair), on=pair)),
    }
    if catalog is None:
        return counts
    known = shown.merge(catalog, on="product_id")
    counts["out of stock"] = int((known["availability"] == "out_of_stock").sum())
    grouped = known.dropna(subset="item_group_id")
    counts["two of a group"] = int(grouped.duplicated(["key", "item_group_id"]).sum())
    if one_per_need is not None:
        owned_types = one_per_need[["key", "product_type"]].dropna().drop_duplicates()
        counts["one-per-need type"] = len(known.merge(owned_types, on=["key", "product_type"]))
    return counts


def count_variants(shown: pd.DataFrame, held: pd.DataFrame, catalog: pd.DataFrame) -> int:
    """Return how many products shown are variants of one that is held."""
    groups = catalog[["product_id", "item_group_id"]].dropna()
    held_groups = held.merge(groups, on="product_id")[["key", "item_group_id"]].drop_duplicates()
    return len(shown.merge(groups, on="product_id").merge(held_groups, on=["key", "item_group_id"]))
