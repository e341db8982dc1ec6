"""What was worked out of the customers that were asked about last.

A page shows several ads, and an auction asks for each: one customer is asked about again and again
within seconds. Their row is read every time; while it is the same, what was made of it still holds.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from personalize.packing import PackedState
    from personalize.suppression import CustomerScopes
    from personalize.view import Kin, View

MOST: Final = 1_000
"""Customers; each takes some 10 KB."""


class RecentCustomer:
    """What is worked out of one customer under one view, as far as it was asked for.

    Parameters
    ----------
    view : View
    customer_id : str
    packed : PackedState
        What they own.
    """

    def __init__(self, view: View, customer_id: str, packed: PackedState) -> None:
        self.packed = packed
        self._view = view
        self._customer_id = customer_id

    @cached_property
    def kin(self) -> Kin:
        """What their purchases may have a say about."""
        return self._view.kin(self.packed.products)

    @cached_property
    def scopes(self) -> CustomerScopes:
        """What they own of each product, group and type."""
        return self._view.scopes(self.packed.unpacked(self._customer_id))


class Recent:
    """The customers that were asked about last, under one view. For one thread alone.

    Parameters
    ----------
    view : View
    most : int
        So many are remembered.
    """

    def __init__(self, view: View, most: int = MOST) -> None:
        self._view = view
        self._most = most
        self._known: dict[str, RecentCustomer | None] = {}  # None: asked about once

    def __len__(self) -> int:
        return len(self._known)

    def of(self, customer_id: str, packed: PackedState) -> RecentCustomer | None:
        """Return what is known of a customer who owns what is packed.

        None the first time: most never come again, and nothing is kept of them but their name.
        """
        if customer_id not in self._known:
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]  # not asked about for longest
            self._known[customer_id] = None
            return None
        known = self._known.pop(customer_id)
        if known is None or known.packed != packed:
            known = RecentCustomer(self._view, customer_id, packed)
        self._known[customer_id] = known
        return known
