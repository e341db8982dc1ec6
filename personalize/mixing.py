"""How far what comes next follows demand: learned on the shop's own newest orders.

Customers of one shop buy what goes with what they own; those of another, whose histories say
little, buy what everybody buys now. In one shop they have seen what sold when they last came; in
another nobody looks around. Which it is shows in the newest orders: the tables are learned once
more from what came before them, every customer's next order is forecast with each mix, and another
one than the plain one is taken if it is clearly better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np

from personalize.association import Owning, Ridge, ridge_table, summed
from personalize.blocks import in_blocks
from personalize.compiled import compiled
from personalize.config import EngineConfig
from personalize.demand import PLAIN, Demand, Mix, Sales
from personalize.interactions import Interactions
from personalize.ranking import leading
from personalize.sorting import is_among, row_starts, side_by_side

Array = np.ndarray[Any, np.dtype[Any]]

NEWEST: Final = 0.1
"""Share of the known customers' order lines that are forecast."""
PASSED_OVER: Final = (0.0, 2.0)
EXPONENTS: Final = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
POPULAR_SHARES: Final = (0.0, 0.2, 0.4, 0.6)
"""What is tried of each part of a mix, besides what `PLAIN` says."""
CLEARLY: Final = 3.0
"""Standard errors by which the best mix must be better than the plain one."""
LIKELY: Final = 1.0
"""The same for what was passed over: whether that says anything differs from shop to shop, so that
less is asked of an answer. On four earlier months of retail nothing changes by it."""
MOST_LINES: Final = 1_000_000
"""Order lines that are looked at, at most: of a larger shop, those of customers drawn at random."""
MOST_FORECASTS: Final = 20_000
"""Customers whose next order is forecast, at most: drawn at random likewise."""
_LEAST: Final = 100
"""Forecasts below which nothing can be clear."""
_K: Final = 10
_WANTED: Final = 256
_BLOCK: Final = 2_000


class Forecasts(NamedTuple):
    """Customers' histories before a moment, and what is new in the next order of each, as CSRs.

    ``last_at`` is when each last came before it: int64, microseconds UTC, shape (n,).
    """

    history_starts: Array
    histories: Array
    truth_starts: Array
    truths: Array
    last_at: Array

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.last_at)

    def sample(self, most: int, seed: int) -> Forecasts:
        """Return so many of the customers at most, drawn at random, in their order."""
        if self.n <= most:
            return self
        drawn = np.sort(np.random.default_rng(seed).permutation(self.n)[:most])
        return Forecasts(
            *_rows_of(self.history_starts, self.histories, drawn),
            *_rows_of(self.truth_starts, self.truths, drawn),
            self.last_at[drawn],
        )


def _rows_of(starts: Array, values: Array, rows: Array) -> tuple[Array, Array]:
    """Return some rows of a CSR as a CSR."""
    found, places = side_by_side(starts[rows], np.diff(starts)[rows])
    return found, values[places]


def learned_mix(interactions: Interactions, config: EngineConfig) -> Mix:
    """Return the mix that would have forecast the newest orders best; `PLAIN` where none clearly.

    A forecast is a list of ten products that the customer does not own; its worth is NDCG, and
    differences are paired by customer.
    """
    if not config.demand_exponent:
        return PLAIN
    interactions = _few(interactions, config.seed)
    n_known = int((interactions.basket_customer < interactions.n_customers).sum())
    times = interactions.lines()[1][: interactions.basket_indptr[n_known]]
    if not len(times):
        return PLAIN
    cut = int(np.quantile(times, 1.0 - NEWEST, method="lower"))
    past = interactions.before(cut)
    asked = forecasts(interactions, past, cut).sample(MOST_FORECASTS, config.seed)
    if asked.n < _LEAST:
        return PLAIN
    trial = Trial.of(past, config, cut)
    passing = [PLAIN._replace(passed_over=each) for each in PASSED_OVER]
    mix = trial.better(asked, PLAIN, passing, LIKELY)
    others = [
        Mix(exponent, share, mix.passed_over) for share in POPULAR_SHARES for exponent in EXPONENTS
    ]
    return trial.better(asked, mix, others, CLEARLY)


def _few(interactions: Interactions, seed: int) -> Interactions:
    """Return all customers, or so many drawn at random that their lines are at most so many."""
    n_customers, sizes = interactions.n_customers, np.diff(interactions.basket_indptr)
    n_lines = np.bincount(interactions.basket_customer, sizes)[:n_customers]
    if n_lines.sum() <= MOST_LINES:
        return interactions
    drawn = np.random.default_rng(seed).permutation(n_customers)
    return interactions.of_customers(drawn[np.cumsum(n_lines[drawn]) <= MOST_LINES])


def forecasts(interactions: Interactions, past: Interactions, cut: int) -> Forecasts:
    """Return what can be forecast at a moment, `past` being what was bought before it."""
    n_products = interactions.n_products
    is_known = interactions.basket_customer < interactions.n_customers
    is_past = interactions.basket_time < cut
    had = np.unique(interactions.basket_customer[is_known & is_past])  # past's customers, by number
    later = np.flatnonzero(is_known & ~is_past)
    owner, first = np.unique(interactions.basket_customer[later], return_index=True)
    is_asked = is_among(owner, had)
    baskets = later[first[is_asked]]
    whose = np.searchsorted(had, owner[is_asked])
    starts, bought = _rows_of(interactions.basket_indptr, interactions.basket_products, baskets)
    rows = np.repeat(np.arange(len(baskets)), np.diff(starts))
    owning = np.repeat(np.arange(past.n_customers), np.diff(past.customer_indptr))
    owned = owning * n_products + past.customer_products  # ascending
    was_sold = np.bincount(past.basket_products, minlength=n_products) > 0
    is_new = was_sold[bought] & ~is_among(whose[rows] * n_products + bought, owned)
    n_new = np.bincount(rows[is_new], minlength=len(baskets))
    use = n_new > 0
    theirs = whose[use]
    histories = _rows_of(past.customer_indptr, past.customer_products, theirs)
    last_at = np.maximum.reduceat(past.customer_time, past.customer_indptr[:-1])
    return Forecasts(*histories, row_starts(n_new[use]), bought[is_new], last_at[theirs])


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What was learned before a moment, to forecast with.

    Parameters
    ----------
    ridge : Ridge
    sales : Sales
    config : EngineConfig
    cut : int, microseconds UTC
    """

    ridge: Ridge
    sales: Sales
    config: EngineConfig
    cut: int

    @classmethod
    def of(cls, past: Interactions, config: EngineConfig, cut: int) -> Self:
        """Return what orders before `cut` teach."""
        sales = Sales.of_lines(*past.lines(), past.n_products, config, cut)
        return cls(ridge_table(Owning.of(past, config), config), sales, config, cut)

    def better(self, asked: Forecasts, mix: Mix, others: Sequence[Mix], clearly: float) -> Mix:
        """Return the best of some mixes if it forecasts better than `mix`, else that.

        It must be so by `clearly` standard errors of the differences, paired by customer.
        """
        gains = self.worth(asked, [mix, *others])
        best = int(gains.mean(axis=0).argmax())
        difference = gains[:, best] - gains[:, 0]
        error = difference.std() / np.sqrt(len(difference))
        return others[best - 1] if best and difference.mean() > clearly * error else mix

    def worth(self, asked: Forecasts, mixes: Sequence[Mix]) -> Array:
        """Return the NDCG@10 of every forecast with each mix: float64, shape (n, n_mixes)."""
        ridge, demand = self.ridge, self._demand(PLAIN)
        pull = demand.popularity / max(demand.popularity.max(initial=0.0), 1e-30)
        chances = ridge.intercepts * demand.factors[0]
        wanted = np.lexsort((np.arange(len(chances)), -chances))[:_WANTED]
        wanted = wanted[ridge.intercepts[wanted] > 0.0]
        without_shares = [mix._replace(popular_share=0.0) for mix in mixes]
        moves = list(dict.fromkeys(without_shares))
        demands = [self._demand(each) for each in moves]
        longest = max(demands, key=lambda each: len(each.factors))
        factors = np.stack([np.broadcast_to(e.factors, longest.factors.shape) for e in demands])
        of_mix = np.array([moves.index(each) for each in without_shares])
        shares = np.array([mix.popular_share for mix in mixes])
        came = longest.came(asked.last_at)
        discounts = 1.0 / np.log2(np.arange(2, _K + 2))

        def work(start: int, stop: int) -> Array:
            gains = np.zeros((stop - start, len(mixes)))
            forecast(
                start, stop, *asked[:-1], came, ridge.indptr, ridge.nums, ridge.weights,
                ridge.intercepts, factors, of_mix, shares, pull, wanted, discounts, gains,
            )  # fmt: skip
            return gains

        return np.concatenate(in_blocks(work, asked.n, _BLOCK))

    def _demand(self, mix: Mix) -> Demand:
        return Demand.of_sales(self.sales, self.config, self.cut, mix)


def _forecast(
    start: int, stop: int, history_starts: Array, histories: Array, truth_starts: Array,
    truths: Array, came: Array, indptr: Array, nums: Array, weights: Array, intercepts: Array,
    factors: Array, of_mix: Array, shares: Array, pull: Array, wanted: Array, discounts: Array,
    gains: Array,
) -> None:  # fmt: skip
    """Write how good each mix's list is for customers `start` to `stop`."""
    n_products, k = len(intercepts), len(discounts)
    total, is_touched = np.zeros(n_products), np.zeros(n_products, np.bool_)
    is_owned, is_right = np.zeros(n_products, np.bool_), np.zeros(n_products, np.bool_)
    is_seed = np.ones(n_products, np.bool_)
    touched, found = np.empty(n_products + 1, np.int32), np.empty(n_products + 1, np.int32)
    plain, scores = np.empty(n_products + 1), np.empty(n_products + 1)
    best, order = np.empty(k), np.empty(k, np.int64)
    for row in range(start, stop):
        own = histories[history_starts[row] : history_starts[row + 1]]
        truth = truths[truth_starts[row] : truth_starts[row + 1]]
        for h in own:
            is_owned[h] = True
        for c in truth:
            is_right[c] = True
        n_touched = summed(own, is_seed, indptr, nums, weights, total, is_touched, touched)
        n = 0
        for c in touched[:n_touched]:
            found[n] = c
            plain[n] = total[c] + np.float64(intercepts[c])
            n += plain[n] > 0.0 and not is_owned[c]
            total[c] = 0.0
        if n >= k:
            for c in wanted:
                if not is_touched[c] and not is_owned[c]:
                    found[n] = c
                    plain[n] = np.float64(intercepts[c])
                    n += 1
        for c in touched[:n_touched]:
            is_touched[c] = False
        ideal = discounts[: min(k, len(truth))].sum()
        for mix in range(len(of_mix)):
            of_product = factors[of_mix[mix], came[row]]
            top = 0.0
            for i in range(n):
                top = max(top, plain[i] * np.float64(of_product[found[i]]))
            lift = shares[mix] * top
            for i in range(n):
                c = found[i]
                scores[i] = plain[i] * np.float64(of_product[c]) + lift * pull[c]
            n_listed = leading(scores[:n], found, np.inf, -1, best, order)
            for at in range(n_listed):
                if is_right[found[order[at]]]:
                    gains[row - start, mix] += discounts[at] / ideal
        for h in own:
            is_owned[h] = False
        for c in truth:
            is_right[c] = False


forecast = compiled(_forecast, uses=(summed, leading))
