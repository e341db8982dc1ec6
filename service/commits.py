"""Orders that arrive at the same time, made durable together.

A write costs one wait for the disk, however many orders are in it. Nobody is answered before
their own group is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import personalize as pz
from service.gather import Gather

MAX_ORDERS: Final = 500
"""Of one group."""
_WRITERS: Final = 4
"""Groups at once where the database lets several write; a file has one writer."""


class Commits:
    """Stores orders for many callers at once.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: pz.Store) -> None:
        self._store = store
        n_writers = 1 if store.is_embedded else _WRITERS
        self._gather: Gather[pz.OrderSnapshot, bool] = Gather(
            self._stored, n_at_once=n_writers, most=MAX_ORDERS
        )

    async def put(self, snapshot: pz.OrderSnapshot) -> bool:
        """Return as `Store.put_order`, once the order is durable; it is, also for who has gone.

        Raises
        ------
        InvalidOrdersError
            If this order is not allowed; the others of its group are stored.
        StoreError
            If the store cannot be reached; nothing of the group is stored.
        """
        return await self._gather.ask(snapshot)

    def _stored(self, snapshots: list[pz.OrderSnapshot]) -> Sequence[bool | Exception]:
        try:
            return self._store.put_orders(snapshots)
        except pz.InvalidOrdersError:  # all or none: find the one, keep the others
            return [self._stored_alone(snapshot) for snapshot in snapshots]

    def _stored_alone(self, snapshot: pz.OrderSnapshot) -> bool | Exception:
        try:
            return self._store.put_order(snapshot)
        except pz.PersonalizeError as error:
            return error
