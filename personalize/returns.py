"""Match returns that name no original order to the purchases they undo.

The rule: a return that names its order and product undoes that line; every other return of a
customer undoes units of the latest purchases of the product that are not after it, last in first
out, over several of them if need be. A guest's return that names no order undoes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personalize.times import MISSING

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Movements:
    """Order lines, or rows of returns, as arrays of one length.

    Parameters
    ----------
    order, customer, product : int, shape (n,)
        Codes; customer -1 is a guest.
    time : int64, microseconds since 1970 UTC, shape (n,)
    units : int64, shape (n,)
        Bought and not yet returned; or sent back.
    """

    order: Numbers
    customer: Numbers
    product: Numbers
    time: Numbers
    units: Numbers


def match_returns(lines: Movements, returns: Movements) -> tuple[Numbers, Numbers, Numbers]:
    """Return what was sent back of each line, when last, and what of each return found no line.

    Parameters
    ----------
    lines : Movements
        One per order and product, in any order.
    returns : Movements
        Their result does not depend on their order.

    Returns
    -------
    tuple of (units per line, int64 microseconds per line or MISSING, units per return)
    """
    back = np.zeros(len(lines.order), np.int64)
    back_at = np.full(len(lines.order), MISSING)
    rest = returns.units.astype(np.int64).copy()
    n_products = 1 + max(lines.product.max(initial=0), returns.product.max(initial=0))
    steps = _named(lines, returns, int(n_products))
    _undo(lines, returns, steps, (back, back_at, rest))
    _last_in_first_out(lines, returns, int(n_products), (back, back_at, rest))
    return back, back_at, rest


def _keys(first: Numbers, second: Numbers, n_second: int) -> Numbers:
    return first.astype(np.int64) * n_second + second


def _canonical(returns: Movements) -> Numbers:
    """Return the order in which returns are served, whatever order they came in."""
    return np.lexsort((returns.units, returns.order, returns.time))


def _named(lines: Movements, returns: Movements, n_products: int) -> list[tuple[int, int]]:
    """Return (line, return) where a return names the order and product of its customer's line."""
    line_keys = _keys(lines.order, lines.product, n_products)
    by_key = np.argsort(line_keys, kind="stable")
    wanted = _keys(returns.order, returns.product, n_products)
    place = np.searchsorted(line_keys, wanted, sorter=by_key)
    found = by_key[np.minimum(place, len(by_key) - 1)] if len(by_key) else place
    steps = []
    for n in _canonical(returns).tolist() if len(by_key) else ():
        line = int(found[n])
        if line_keys[line] == wanted[n] and lines.customer[line] == returns.customer[n]:
            steps.append((line, n))
    return steps


def _undo(
    lines: Movements,
    returns: Movements,
    steps: list[tuple[int, int]],
    result: tuple[Numbers, Numbers, Numbers],
) -> None:
    back, back_at, rest = result
    for line, n in steps:
        units = min(int(rest[n]), int(lines.units[line] - back[line]))
        if units:
            back[line] += units
            back_at[line] = max(back_at[line], returns.time[n], lines.time[line])
            rest[n] -= units


def _of_returned(lines: Movements, returns: Movements, open_returns: Numbers) -> Numbers:
    """Return the lines of customers and products with returns, to look closer at few of many."""
    picked = np.arange(len(lines.order))
    for name in ("customer", "product"):
        ours, theirs = getattr(lines, name), getattr(returns, name)[open_returns]
        # One more place at the end, where a guest's -1 looks.
        has_returns = np.zeros(max(ours.max(initial=0), theirs.max(initial=0)) + 2, bool)
        has_returns[theirs] = True
        picked = picked[has_returns[ours[picked]]]
    return picked


def _last_in_first_out(
    lines: Movements,
    returns: Movements,
    n_products: int,
    result: tuple[Numbers, Numbers, Numbers],
) -> None:
    back, back_at, rest = result
    open_returns = np.flatnonzero((returns.customer >= 0) & (rest > 0))
    wanted = _keys(returns.customer, returns.product, n_products)[open_returns]
    open_lines = _of_returned(lines, returns, open_returns)
    line_keys = _keys(lines.customer[open_lines], lines.product[open_lines], n_products)
    is_open = np.isin(line_keys, wanted) & (back[open_lines] < lines.units[open_lines])
    open_lines, line_keys = open_lines[is_open], line_keys[is_open]
    # One walk through time for each customer and product: a purchase goes on the pile, a return
    # takes from its top. At one moment purchases come first.
    key = np.concatenate([line_keys, wanted])
    time = np.concatenate([lines.time[open_lines], returns.time[open_returns]])
    order = np.concatenate([lines.order[open_lines], returns.order[open_returns]])
    units = np.concatenate([lines.units[open_lines] - back[open_lines], rest[open_returns]])
    is_return = np.arange(len(key)) >= len(open_lines)
    index = np.concatenate([open_lines, open_returns])
    walk = np.lexsort((units, order, is_return, time, key))
    pile: list[list[int]] = []
    before = None
    columns = (key, time, is_return, units, index)
    for k, moment, sent_back, n_units, n in zip(*(c[walk].tolist() for c in columns), strict=True):
        if k != before:
            pile, before = [], k
        if not sent_back:
            pile.append([n, n_units])
            continue
        while n_units and pile:
            line, left = pile[-1]
            taken = min(left, n_units)
            n_units -= taken
            back[line] += taken
            back_at[line] = max(back_at[line], moment)
            if taken == left:
                pile.pop()
            else:
                pile[-1][1] = left - taken
        rest[n] = n_units
