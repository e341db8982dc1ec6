"""One customer's purchases packed into a text and a few numbers, and unpacked as far as asked.

Whoever keeps a `PurchaseState` for many questions keeps it so: most of them end after a look at
which products there are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, KeysView, Mapping
from itertools import accumulate
from typing import Final, NamedTuple

from personalize.id_table import SEPARATOR
from personalize.purchases import Occasions, Owned, PurchaseState
from personalize.times import MISSING

_HEAD: Final = struct.Struct("<6i2q")
HEAD_INTS: Final = _HEAD.size // 4
"""How many int32 the first part of `PackedState.numbers` takes."""
_MOST_INT32: Final = 2**31 - 1


class PackedState(NamedTuple):
    """What one customer owns and sent back, packed.

    Parameters
    ----------
    joined : str
        The `products`, a unit separator between them.
    numbers : bytes
        Little-endian. Six int32: how many order times there are, products owned, purchases,
        products sent back, products of the newest order, and whether units are int64. Two int64:
        the products bought more than once, and the first moment at which all of it had happened.
        int64: the order times, then when products were sent back. int32: where the purchases of
        each owned product start, and where the last one's end; the order time of each purchase, as
        a place; the places of the products of the newest order. int32 or int64: the units kept of
        each purchase.
    """

    joined: str
    numbers: bytes

    @property
    def products(self) -> list[str]:
        """The products that are owned, then those sent back, distinct."""
        return self.joined.split(SEPARATOR) if self.joined else []

    @property
    def holds_from(self) -> int:
        """The first moment, in microseconds UTC, at which all that it knows had happened."""
        found: int = _HEAD.unpack_from(self.numbers)[7]
        return found

    def unpacked(self, customer_id: str) -> PurchaseState:
        """Return the state; what is owned of each product is unpacked when it is looked at."""
        n_times, n_owned, n_purchases, n_returned, n_newest, is_wide, n_repeated, _ = (
            _HEAD.unpack_from(self.numbers)
        )
        n_longs, n_ints = n_times + n_returned, n_owned + 1 + n_purchases + n_newest
        values = struct.unpack_from(
            f"<{n_longs}q{n_ints}i{n_purchases}{'q' if is_wide else 'i'}",
            self.numbers,
            _HEAD.size,
        )
        products = self.products
        place_of = dict(zip(products, range(n_owned), strict=False))
        newest_from = n_longs + n_owned + 1 + n_purchases
        return _UnpackedState(
            customer_id=customer_id,
            n_orders=n_times,
            first_order_at=values[0] if n_times else MISSING,
            last_order_at=values[n_times - 1] if n_times else MISSING,
            order_times=values[:n_times],
            occasions=_Occasions(place_of, values, n_longs),
            returned=dict(zip(products[n_owned:], values[n_times:n_longs], strict=True)),
            newest_order=tuple(
                products[place] for place in values[newest_from : newest_from + n_newest]
            ),
            n_purchases=n_purchases,
            n_repeated=n_repeated,
        )


class _UnpackedState(PurchaseState):
    """A state whose purchases lie in packed numbers."""

    occasions: _Occasions

    def summary(self, product_id: str) -> Owned:
        """Return what is owned of one product, which is."""
        return self.occasions.summary(product_id)


class _Occasions(Mapping[str, Occasions]):
    """The purchases of each product, made of packed numbers when one is looked at."""

    __slots__ = ("_place_of", "_starts_at", "_times_at", "_units_at", "_values")

    def __init__(self, place_of: dict[str, int], values: tuple[int, ...], starts_at: int) -> None:
        self._place_of = place_of
        self._values = values
        self._starts_at = starts_at
        self._times_at = starts_at + len(place_of) + 1
        self._units_at = len(values) - values[self._times_at - 1]

    def __getitem__(self, product_id: str) -> Occasions:
        values, at = self._values, self._starts_at + self._place_of[product_id]
        start, end = values[at], values[at + 1]
        return {
            values[values[self._times_at + i]]: values[self._units_at + i]
            for i in range(start, end)
        }

    def summary(self, product_id: str) -> Owned:
        """Return what `owned_of` says of the purchases of a product."""
        values, at = self._values, self._starts_at + self._place_of[product_id]
        start, end = values[at], values[at + 1]
        first_at, units = values[values[self._times_at + start]], values[self._units_at + start]
        if end - start == 1:
            return Owned(1, first_at, first_at, units, units)
        last_at = values[values[self._times_at + end - 1]]
        all_units = values[self._units_at + start : self._units_at + end]
        return Owned(end - start, first_at, last_at, all_units[-1], sum(all_units))

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._place_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._place_of)

    def __len__(self) -> int:
        return len(self._place_of)

    def keys(self) -> KeysView[str]:
        return self._place_of.keys()


def pack(state: PurchaseState, holds_from: int = MISSING) -> PackedState:
    """Return a state, packed.

    Parameters
    ----------
    state : PurchaseState
    holds_from : int, microseconds UTC
        The first moment at which all that it knows had happened.
    """
    place_of_time = {at: place for place, at in enumerate(state.order_times)}
    owned, returned = list(state.occasions), list(state.returned)
    place_of = {product: place for place, product in enumerate(owned)}
    purchases = [sorted(state.occasions[product].items()) for product in owned]
    flat = [purchase for theirs in purchases for purchase in theirs]
    units = [n for _, n in flat]
    is_wide = max(units, default=0) > _MOST_INT32
    longs = [*state.order_times, *(state.returned[product] for product in returned)]
    ints = [
        *accumulate(map(len, purchases), initial=0),
        *(place_of_time[at] for at, _ in flat),
        *(place_of[product] for product in state.newest_order),
    ]
    head = _HEAD.pack(
        state.n_orders,
        len(owned),
        len(flat),
        len(returned),
        len(state.newest_order),
        is_wide,
        state.n_repeated,
        holds_from,
    )
    body = struct.pack(
        f"<{len(longs)}q{len(ints)}i{len(units)}{'q' if is_wide else 'i'}", *longs, *ints, *units
    )
    return PackedState(SEPARATOR.join([*owned, *returned]), head + body)


NOTHING: Final = pack(PurchaseState.unknown(""))
