"""Tasks A and B: every method is asked the same, scored the same, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from personalize.catalog import Catalog
from personalize.evaluation.metrics import (
    K_LONG,
    K,
    LengthCurve,
    Ratio,
    Scores,
    answers,
    bootstrap_ratio,
    length_curve,
    score_lists,
)
from personalize.evaluation.peers import Peer, complement_lists, follow_up_lists
from personalize.evaluation.protocol import OURS, Protocol
from personalize.evaluation.queries import Queries, basket_queries, follow_up_queries
from personalize.evaluation.split import BoolArray, FloatArray, IntArray, Split
from personalize.evaluation.subject import Subject

HEAD_SHARE: Final = 0.5
"""The most ordered products that together make this share of the lines are the frequent ones."""
LOYAL_ORDERS: Final = 5
"""A customer with so many orders before the cutoff is loyal; one with a single order is new."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the queries, answered by us and by the best peer of the whole task.

    Parameters
    ----------
    name : str
    n_queries : int
    ours, peer : float
        Mean NDCG@10.
    ratio : Ratio
        Ours to the peer's.
    """

    name: str
    n_queries: int
    ours: float
    peer: float
    ratio: Ratio


@dataclass(frozen=True, slots=True)
class GroupResult:
    """The same lists, scored by item group: the right product in another size is right.

    Of the variants of one product an engine that knows them shows one; by the letter of the
    product id that one is wrong wherever the customer took another size.

    Parameters
    ----------
    ndcg : dict of str to float
        Mean NDCG@10 by method.
    best_peer : str or None
    ratios : dict of str to Ratio
        By method that is no peer: its NDCG@10 to the best peer's.
    """

    ndcg: dict[str, float]
    best_peer: str | None
    ratios: dict[str, Ratio]


@dataclass(frozen=True, slots=True)
class ListResult:
    """What one of the tasks A and B found.

    Parameters
    ----------
    n_found, n_queries : int
        Queries there are, and those that were asked; without any, the rest is empty.
    methods : dict of str to dict of str to float
        By method: ``ndcg``, ``recall``, ``precision``, ``hit`` (means at 10), ``coverage``,
        ``popularity``.
    curves : dict of str to LengthCurve
        Precision and recall of lists of 1 to 20.
    best_peer : str or None
        The peer with the highest mean NDCG@10, chosen afterwards.
    ours : str or None
        The method that `to_peers` and `slices` are about: with a catalogue the engine without it,
        because peers know none.
    ratios : dict of str to Ratio
        By method that is no peer: its NDCG@10 to the best peer's.
    to_peers : dict of str to Ratio
        By peer: our NDCG@10 to its.
    slices : tuple of Slice
    by_group : GroupResult or None
        With a catalogue that knows item groups.
    """

    n_found: int
    n_queries: int
    methods: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, LengthCurve] = field(default_factory=dict)
    best_peer: str | None = None
    ours: str | None = None
    ratios: dict[str, Ratio] = field(default_factory=dict)
    to_peers: dict[str, Ratio] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    by_group: GroupResult | None = None


class ListTask:
    """One task's methods: scored as they come, then compared.

    Parameters
    ----------
    task : str
        ``A`` or ``B``.
    split : Split
    protocol : Protocol
    group_of : int64, shape (n_products,), optional
        One code for all products of an item group.
    """

    def __init__(
        self, task: str, split: Split, protocol: Protocol, group_of: IntArray | None = None
    ) -> None:
        asked = basket_queries(split) if task == "A" else follow_up_queries(split)
        self.task = task
        self.split = split
        self.protocol = protocol
        self.n_found = len(asked)
        self.queries: Queries = asked.sample(protocol.max_queries, protocol.seed)
        self.scores: dict[str, Scores] = {}
        self.curves: dict[str, LengthCurve] = {}
        self.by_group: dict[str, FloatArray] = {}
        self._group_of = group_of
        self._order_share = split.n_lines() / max(len(np.unique(split.train.order)), 1)

    def add(self, name: str, lists_for: Callable[[IntArray], IntArray]) -> None:
        """Ask one method everything, for lists of `K_LONG`, and keep its scores."""
        if len(self.queries):
            lists = answers(self.queries, lists_for)
            self._keep(name, lists[:, :K], lists)

    def add_peer(self, peer: Peer) -> None:
        """Ask a peer, if it is compared in this task."""
        if self.task == "A" and peer.by_anchor is not None:
            self.add(peer.name, complement_lists(peer.by_anchor))
        if self.task == "B" and peer.by_customer is not None:
            self.add(peer.name, follow_up_lists(self.split, peer.by_customer))

    def add_subject(self, name: str, subject: Subject) -> None:
        """Ask an engine: lists of `K` for the scores, lists of `K_LONG` for the curve.

        A longer list of it need not begin with the shorter one, so both are asked for.
        """
        if not len(self.queries):
            return
        ask = subject.complements if self.task == "A" else subject.follow_up
        short = answers(self.queries, lambda keys: ask(keys, K))
        self._keep(name, short, answers(self.queries, lambda keys: ask(keys, K_LONG)))

    def _keep(self, name: str, short: IntArray, long: IntArray) -> None:
        split = self.split
        self.scores[name] = score_lists(self.queries, short, split.eligible, self._order_share)
        self.curves[name] = length_curve(self.queries, long, split.n_products)

        if self._group_of is not None:
            codes = np.where(short >= 0, self._group_of[short], short)
            queries = self.queries.mapped(self._group_of)
            self.by_group[name] = score_lists(queries, codes, split.eligible).ndcg

    def _ratio(self, ours: FloatArray, theirs: FloatArray) -> Ratio:
        protocol = self.protocol
        return bootstrap_ratio(ours, theirs, n_resamples=protocol.n_resamples, seed=protocol.seed)

    def ratio(self, name: str, other: str) -> Ratio:
        """Return NDCG@10 of a method to another's."""
        return self._ratio(self.scores[name].ndcg, self.scores[other].ndcg)

    def result(self, ours: Sequence[str] = (OURS,)) -> ListResult:
        """Return the means of every method, and the ratios of `ours` to the best of the others."""
        ndcg = {name: scores.ndcg for name, scores in self.scores.items()}
        mine = [name for name in ours if name in ndcg]
        peers = [name for name in ndcg if name not in ours]
        best = _best(ndcg, peers)
        return ListResult(
            self.n_found,
            len(self.queries),
            {name: scores.means() for name, scores in self.scores.items()},
            dict(self.curves),
            best,
            mine[0] if mine else None,
            self._ratios(ndcg, mine, best),
            {name: self.ratio(mine[0], name) for name in peers} if mine else {},
            () if best is None or not mine else self._slices(mine[0], best),
            self._by_group(mine, peers),
        )

    def _ratios(
        self, ndcg: Mapping[str, FloatArray], mine: Sequence[str], best: str | None
    ) -> dict[str, Ratio]:
        return {} if best is None else {name: self._ratio(ndcg[name], ndcg[best]) for name in mine}

    def _by_group(self, mine: Sequence[str], peers: Sequence[str]) -> GroupResult | None:
        if not self.by_group:
            return None
        best = _best(self.by_group, peers)
        means = {name: float(values.mean()) for name, values in self.by_group.items()}
        return GroupResult(means, best, self._ratios(self.by_group, mine, best))

    def _slices(self, ours: str, peer: str) -> tuple[Slice, ...]:
        found = []
        for name, rows in self._parts():
            if rows.any():
                mine, theirs = self.scores[ours].ndcg[rows], self.scores[peer].ndcg[rows]
                ratio = self._ratio(mine, theirs)
                found.append(
                    Slice(name, int(rows.sum()), float(mine.mean()), float(theirs.mean()), ratio)
                )
        return tuple(found)

    def _parts(self) -> list[tuple[str, BoolArray]]:
        asked = self.queries.asked
        if self.task == "A":
            return product_parts(self.split, asked)
        return customer_parts(self.split, asked)


def _best(ndcg: Mapping[str, FloatArray], peers: Sequence[str]) -> str | None:
    """Return the peer with the highest mean, chosen afterwards; None without one."""
    return max(peers, key=lambda name: ndcg[name].mean(), default=None)


def group_codes(split: Split, catalog: Catalog) -> IntArray | None:
    """Return one code for all products of an item group, or None where there are no groups.

    Returns
    -------
    int64, shape (n_products,)
        The smallest product code of the group; a product without one has its own.
    """
    grouped = catalog.frame.dropna(subset="item_group_id")
    code = split.product_codes(grouped["product_id"])
    known = pd.DataFrame({"group": grouped["item_group_id"].to_numpy(), "code": code})
    known = known[known["code"] >= 0]
    if not len(known):
        return None
    found = np.arange(split.n_products)
    found[known["code"].to_numpy()] = known.groupby("group")["code"].transform("min").to_numpy()
    return found


def product_parts(split: Split, products: IntArray) -> list[tuple[str, BoolArray]]:
    """Return which of these products are frequent and which are rare, each part with its name."""
    n_lines = split.n_lines()
    order = np.argsort(-n_lines, kind="stable")
    before = np.cumsum(n_lines[order]) - n_lines[order]
    is_frequent = np.zeros(split.n_products, dtype=np.bool_)
    is_frequent[order] = before < HEAD_SHARE * n_lines.sum()
    return [
        (f"frequent products ({HEAD_SHARE:.0%} of the lines)", is_frequent[products]),
        ("rare products (all others)", ~is_frequent[products]),
    ]


def customer_parts(split: Split, customers: IntArray) -> list[tuple[str, BoolArray]]:
    """Return which of these customers are new, returning and loyal, each part with its name."""
    known = split.train.of_customers()
    first = np.unique(known.order, return_index=True)[1]
    n_orders = np.bincount(known.customer[first], minlength=len(split.customer_ids))[customers]
    return [
        ("new customers (1 order)", n_orders == 1),
        (
            f"returning customers (2 to {LOYAL_ORDERS - 1} orders)",
            (n_orders > 1) & (n_orders < LOYAL_ORDERS),
        ),
        (f"loyal customers ({LOYAL_ORDERS} orders or more)", n_orders >= LOYAL_ORDERS),
    ]
