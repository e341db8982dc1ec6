"""Task S: the probability of a repurchase, and the decision in force on the same pairs.

Saved are pairs that are suppressed: impressions not spent on what was bought already. Lost are
pairs bought again within the horizon that were among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Final

import numpy as np

from personalize.evaluation.lists import customer_parts, product_parts
from personalize.evaluation.protocol import OURS, Protocol
from personalize.evaluation.queries import Pairs, repurchase_pairs, sample_customers
from personalize.evaluation.repurchase import (
    N_BINS,
    RepurchaseScores,
    lost_share,
    repurchase_peers,
    score_repurchase,
    taken_share,
)
from personalize.evaluation.split import BoolArray, FloatArray, IntArray, Split
from personalize.evaluation.subject import Subject
from personalize.policy import Policy
from personalize.times import DAY

QUANTILES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
THRESHOLDS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
N_POINTS: Final = 50
"""Steps of the saved-against-lost curve."""


@dataclass(frozen=True, slots=True)
class Trade:
    """What suppressing some pairs saves and loses.

    Parameters
    ----------
    saved : float, share
        Of all pairs: those suppressed.
    lost : float, share
        Of the pairs bought again: those suppressed; 0 where none was.
    """

    saved: float
    lost: float


@dataclass(frozen=True, slots=True)
class Preview:
    """The decision under another threshold of the policy; nothing is learned again.

    Parameters
    ----------
    threshold : str
        ``due_quantile`` or ``repurchase_threshold``.
    value : float
    is_in_force : bool
    trade : Trade
    still_suppressed : float or None, share
        As in `RepurchaseResult`.
    """

    threshold: str
    value: float
    is_in_force: bool
    trade: Trade
    still_suppressed: float | None = None

    @property
    def told(self) -> tuple[str, ...]:
        """What a table shows of it: saved, lost, still suppressed."""
        shares = (self.trade.saved, self.trade.lost, self.still_suppressed)
        return tuple("" if share is None else f"{share:.1%}" for share in shares)


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Pairs of neighbouring probability: what was predicted, what came.

    Parameters
    ----------
    predicted, seen : float, share
    n_pairs : int
    """

    predicted: float
    seen: float
    n_pairs: int


@dataclass(frozen=True, slots=True)
class JustBought:
    """Pairs bought within the last `min_cooldown_days`.

    Parameters
    ----------
    days : float, days
    n_pairs : int
    suppressed : float, share
        By the decision in force; 1 without such pairs.
    shown_by_ranking : float or None, share
        That the lowest probabilities would show, suppressing as many pairs in all; None without
        probabilities.
    lost_by_ranking : float or None, share
        Repurchases that rule would lose.
    """

    days: float
    n_pairs: int
    suppressed: float
    shown_by_ranking: float | None
    lost_by_ranking: float | None


@dataclass(frozen=True, slots=True)
class DecisionSlice:
    """The decision in force on a part of the pairs.

    Parameters
    ----------
    name : str
    n_pairs : int
    again : float, share
        Bought again within the horizon.
    trade : Trade
    """

    name: str
    n_pairs: int
    again: float
    trade: Trade


@dataclass(frozen=True, slots=True)
class RepurchaseResult:
    """What task S found.

    Parameters
    ----------
    horizon_days : float, days
    n_pairs, n_again : int
        Customers and products bought before the cutoff, and those bought again in time.
    customers_share : float, share
        Of the known customers that were drawn.
    methods : dict of str to RepurchaseScores
    in_force : Trade or None
    still_suppressed : float or None, share
        Of the pairs bought again: those whose suppression had not ended by then. A decision ends,
        so that not all it suppressed at the cutoff was lost.
    curve : tuple of Trade
        Suppressing the lowest probabilities, from none to all; empty without probabilities.
    previews : tuple of Preview
    calibration : tuple of CalibrationBin
        Of our probability.
    just_bought : JustBought or None
    slices : tuple of DecisionSlice
    """

    horizon_days: float
    n_pairs: int = 0
    n_again: int = 0
    customers_share: float = 1.0
    methods: dict[str, RepurchaseScores] = field(default_factory=dict)
    in_force: Trade | None = None
    still_suppressed: float | None = None
    curve: tuple[Trade, ...] = ()
    previews: tuple[Preview, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    just_bought: JustBought | None = None
    slices: tuple[DecisionSlice, ...] = ()


def preview_rows(previews: Sequence[Preview]) -> Iterator[tuple[str, str, tuple[str, ...], bool]]:
    """Yield threshold, its values, their figures and whether one is in force, as rows to print.

    Neighbouring values that come to the same figures are one row.
    """
    for (threshold, told), run in groupby(previews, key=lambda each: (each.threshold, each.told)):
        values = list(run)
        first, last = f"{values[0].value:g}", f"{values[-1].value:g}"
        now = [f"{each.value:g}" for each in values if each.is_in_force]
        label = first if len(values) == 1 else f"{first} to {last}"
        if now:
            label += " (in force)" if len(values) == 1 else f" ({now[0]} in force)"
        yield threshold, label, told, bool(now)


class RepurchaseTask:
    """The pairs of task S, and what is measured on them.

    Parameters
    ----------
    split : Split
    protocol : Protocol
    horizon_days : float, days
        0: the test period is too short for this task.
    """

    def __init__(self, split: Split, protocol: Protocol, horizon_days: float) -> None:
        self.split, self.customers_share = sample_customers(
            split, protocol.max_pairs, protocol.seed
        )
        self.horizon_days = horizon_days
        self.pairs: Pairs = repurchase_pairs(self.split, horizon_days=horizon_days)
        self.methods: dict[str, RepurchaseScores] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to measure."""
        return not len(self.pairs) or not self.horizon_days

    @property
    def is_two_sided(self) -> bool:
        """Whether some pairs were bought again and some were not: without both, no ranking."""
        return not self.is_empty and bool(self.pairs.again.any() and not self.pairs.again.all())

    def add_peers(self) -> Iterator[str]:
        """Score every peer; yield a sentence for each that is left out."""
        if not self.is_two_sided:
            return
        for peer in repurchase_peers(self.split, self.pairs, horizon_days=self.horizon_days):
            if isinstance(peer, str):
                yield peer
            else:
                name, score, is_probability = peer
                self.methods[name] = score_repurchase(
                    self.pairs.again, score, is_probability=is_probability
                )

    def result(self, subject: Subject, name: str = OURS) -> RepurchaseResult:
        """Return everything measured, with the decision of `subject` in force."""
        if self.is_empty:
            return RepurchaseResult(self.horizon_days)
        suppressed, probability = subject.check(self.pairs.customer, self.pairs.product)
        ranks = self.is_two_sided and not np.isnan(probability).any()
        again = self.pairs.again
        ours = {name: score_repurchase(again, probability, is_probability=True)} if ranks else {}
        in_force = trade(again, suppressed)
        still_suppressed = self._still_suppressed(subject, suppressed)
        return RepurchaseResult(
            self.horizon_days,
            len(self.pairs),
            int(again.sum()),
            self.customers_share,
            self.methods | ours,
            in_force,
            still_suppressed,
            saved_and_lost(again, probability) if ranks else (),
            tuple(self._previews(subject, in_force, still_suppressed)),
            calibration(again, probability) if ranks else (),
            self._just_bought(subject, suppressed, probability if ranks else None),
            tuple(self._slices(suppressed)),
        )

    def _previews(
        self, subject: Subject, in_force: Trade, still_suppressed: float | None
    ) -> Iterator[Preview]:
        for threshold, values in (
            ("due_quantile", QUANTILES),
            ("repurchase_threshold", THRESHOLDS),
        ):
            now = subject.threshold(threshold)
            for value in sorted({*values, now}):
                found, still = in_force, still_suppressed
                if value != now:
                    policy = with_threshold(subject.policy, threshold, value)
                    suppressed, _ = subject.check(self.pairs.customer, self.pairs.product, policy)
                    found = trade(self.pairs.again, suppressed)
                    still = self._still_suppressed(subject, suppressed, policy)
                yield Preview(threshold, value, value == now, found, still)

    def _just_bought(
        self, subject: Subject, suppressed: BoolArray, probability: FloatArray | None
    ) -> JustBought:
        days = subject.threshold("min_cooldown_days")
        recent = self._newest() > self.split.cutoff - days * DAY
        shown = lost = None
        if probability is not None:
            saved = float(suppressed.mean())
            taken = taken_share(probability, saved)
            shown = float(1.0 - taken[recent].mean()) if recent.any() else 0.0
            lost = lost_share(self.pairs.again, probability, saved)
        kept_away = float(suppressed[recent].mean()) if recent.any() else 1.0
        return JustBought(days, int(recent.sum()), kept_away, shown, lost)

    def _still_suppressed(
        self, subject: Subject, suppressed: BoolArray, policy: Policy | None = None
    ) -> float | None:
        """Return the share of the pairs bought again that were suppressed until after that."""
        pairs, rows = self.pairs, np.flatnonzero(self.pairs.again)
        if not len(rows):
            return None
        until = subject.until(pairs.customer[rows], pairs.product[rows], policy)
        return float((suppressed[rows] & (self._bought_again_at < until)).mean())

    @cached_property
    def _bought_again_at(self) -> IntArray:
        """When each pair that was bought again was, microseconds UTC."""
        pairs, rows, n = self.pairs, np.flatnonzero(self.pairs.again), self.split.n_products
        soon = self.split.test.of_customers()
        keys = pairs.customer[rows] * n + pairs.product[rows]
        found = soon.customer * n + soon.product
        soon, found = soon.where(np.isin(found, keys)), found[np.isin(found, keys)]
        bought = np.empty(len(keys), dtype=np.int64)
        bought[np.searchsorted(keys, found)[::-1]] = soon.time[::-1]  # the first of several stays
        return bought

    def _newest(self) -> IntArray:
        """Return when each pair was bought last before the cutoff, microseconds UTC."""
        train, n = self.split.train.of_customers(), self.split.n_products
        keys = self.pairs.customer * n + self.pairs.product
        newest = np.zeros(len(keys), dtype=np.int64)
        newest[np.searchsorted(keys, train.customer * n + train.product)] = train.time  # by time
        return newest

    def _slices(self, suppressed: BoolArray) -> Iterator[DecisionSlice]:
        pairs = self.pairs
        parts = [
            *customer_parts(self.split, pairs.customer),
            *product_parts(self.split, pairs.product),
        ]
        for name, rows in parts:
            if rows.any():
                again = pairs.again[rows]
                yield DecisionSlice(
                    name, int(rows.sum()), float(again.mean()), trade(again, suppressed[rows])
                )


def trade(again: BoolArray, suppressed: BoolArray) -> Trade:
    """Return what suppressing these pairs saves and loses."""
    lost = float(suppressed[again].mean()) if again.any() else 0.0
    return Trade(float(suppressed.mean()), lost)


def saved_and_lost(again: BoolArray, probability: FloatArray) -> tuple[Trade, ...]:
    """Return the trade of suppressing the lowest 0%, 2%, ... 100% of the probabilities."""
    shares = [step / N_POINTS for step in range(N_POINTS + 1)]
    return tuple(Trade(saved, lost_share(again, probability, saved)) for saved in shares)


def calibration(again: BoolArray, probability: FloatArray) -> tuple[CalibrationBin, ...]:
    """Return `N_BINS` bins of equal mass: the mean probability, and the share that came."""
    order = np.argsort(probability, kind="stable")
    return tuple(
        CalibrationBin(float(probability[run].mean()), float(again[run].mean()), len(run))
        for run in np.array_split(order, N_BINS)
        if len(run)
    )


def with_threshold(policy: Policy | None, threshold: str, value: float) -> Policy:
    """Return a policy that differs in one threshold."""
    decided = policy or Policy()
    return replace(decided, thresholds={**decided.thresholds, threshold: value})
