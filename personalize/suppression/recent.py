"""What was worked out of the customers that were asked about last.

A page shows several ads, and an auction asks for each: one customer is asked about again and again
within seconds. Their row is read every time; while it is the same, what was made of it still holds.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

from personalize.packing import PackedState
from personalize.suppression.kin import Kin
from personalize.suppression.single import CustomerScopes
from personalize.suppression.terms import Rules

MOST: Final = 1_000
"""Customers; each takes some 10 KB, and 100 KB at most."""
MAX_BYTES: Final = 8_192
"""Of a customer's packed purchases, some 200 of them; who has more is worked out every time."""


class RecentCustomer:
    """What is worked out of one customer under some rules, as far as it was asked for.

    Parameters
    ----------
    rules : Rules
    customer_id : str
    packed : PackedState
        What they own.
    """

    def __init__(self, rules: Rules, customer_id: str, packed: PackedState) -> None:
        self.packed = packed
        self._rules = rules
        self._customer_id = customer_id

    @cached_property
    def kin(self) -> Kin:
        """What their purchases may have a say about."""
        return Kin.of(self._rules, self.packed.products)

    @cached_property
    def scopes(self) -> CustomerScopes:
        """What they own of each product, group and type."""
        return CustomerScopes(self._rules, self.packed.unpacked(self._customer_id))


class Recent:
    """The customers that were asked about last, under some rules. For one thread alone.

    Parameters
    ----------
    rules : Rules
    most : int
        So many are remembered.
    """

    def __init__(self, rules: Rules, most: int = MOST) -> None:
        self._rules = rules
        self._most = most
        self._known: dict[str, RecentCustomer | None] = {}  # None: asked about once

    def __len__(self) -> int:
        return len(self._known)

    def of(self, customer_id: str, packed: PackedState) -> RecentCustomer | None:
        """Return what is known of a customer who owns what is packed.

        None the first time: most never come again, and nothing is kept of them but their name.
        """
        if len(packed.numbers) > MAX_BYTES:
            return None
        if customer_id not in self._known:
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]  # not asked about for longest
            self._known[customer_id] = None
            return None
        known = self._known.pop(customer_id)
        if known is None or known.packed != packed:
            known = RecentCustomer(self._rules, customer_id, packed)
        self._known[customer_id] = known
        return known
