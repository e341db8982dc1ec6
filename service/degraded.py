"""Decisions while the store is out of reach: what the shop chose to do then, and said so.

Nobody knows then what a customer owns. A bidding path needs an answer all the same, so it gets
the same one for every product, marked as what it is. Lists and recommendations are not made up:
they promise that nothing owned is among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import personalize as pz
from service.problems import RETRY_AFTER_SECONDS
from service.shop import Shop

REASON: Final = "store_unavailable"
_SECONDS: Final = 1_000_000


def decisions(shop: Shop, pairs: Iterable[tuple[str, str]]) -> pz.Answer[pz.Decision]:
    """Return a decision for each (customer, product) without the store.

    With ``fail_open`` everything may be shown. With ``fail_closed`` nothing may, until the moment
    at which asking again makes sense.

    Raises
    ------
    ArtifactError
        If there is no model either.
    """
    in_force = shop.live.in_force
    is_closed = shop.settings.store_failure == "fail_closed"
    until = shop.live.now() + RETRY_AFTER_SECONDS * _SECONDS if is_closed else None
    rows = (
        pz.Decision(customer_id, product_id, is_closed, REASON, None, until, None, None)
        for customer_id, product_id in pairs
    )
    return pz.Answer(rows, in_force)
