"""Numbers of ids for compiled loops: a hash table over bytes, open addressing, linear probing.

A dictionary would do the same, but looking a hundred ids up in one of a hundred thousand waits for
memory several times per id, one id after the other; compiled, the waits overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalize.compiled import compiled

SEPARATOR: Final = "\x1f"
"""Between ids in one text; no id holds a control character."""

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


def id_hash(text: Bytes, start: int, stop: int) -> int:
    """Return FNV-1a, 32 bits, of some bytes."""
    found: Any = 2_166_136_261
    for i in range(start, stop):
        found = ((found ^ np.int64(text[i])) * 16_777_619) & 0xFFFFFFFF
    return int(found)


def is_same(left: Bytes, left_at: int, right: Bytes, right_at: int, length: int) -> bool:
    """Return whether so many bytes of two texts are the same."""
    for i in range(length):  # noqa: SIM110 - numba knows no generators
        if left[left_at + i] != right[right_at + i]:
            return False
    return True


def id_number(
    text: Bytes, start: int, stop: int, hashed: int, ids: Bytes, starts: Ints, slots: Any
) -> int:
    """Return the number of an id, -1 if the table does not hold it.

    Parameters
    ----------
    text : uint8
        Holds the id from `start` to `stop`.
    hashed : int
        As from `id_hash`.
    ids, starts, slots
        As in `IdTable`.
    """
    mask = len(slots) - 1
    place = hashed & mask
    while slots[place] >= 0:
        num: int = slots[place]
        begin = starts[num]
        if starts[num + 1] - begin == stop - start and is_same(
            text, start, ids, begin, stop - start
        ):
            return num
        place = (place + 1) & mask
    return -1


def _fill_slots(ids: Bytes, starts: Ints, slots: Any) -> None:
    mask = len(slots) - 1
    for num in range(len(starts) - 1):
        place = id_hash(ids, starts[num], starts[num + 1]) & mask
        while slots[place] >= 0:
            place = (place + 1) & mask
        slots[place] = num


fill_slots = compiled(_fill_slots, uses=(id_hash,))


def as_bytes(text: str) -> Bytes:
    """Return a text in UTF-8, not to be changed."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


class IdTable(NamedTuple):
    """Distinct ids by number, to be found by `id_number`.

    Parameters
    ----------
    ids : uint8
        All of them in UTF-8, one after the other.
    starts : int64, shape (n + 1,)
        Where each starts, and where the last one ends.
    slots : int32, a power of two long
        The number in each slot, -1 for none; half of them at least are free.
    """

    ids: Bytes
    starts: Ints
    slots: NDArray[np.int32]

    @classmethod
    def of(cls, ids: Sequence[str]) -> Self:
        """Return the table of distinct ids, numbered in their order."""
        encoded = [each.encode("utf-8", "surrogatepass") for each in ids]
        starts = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(ids)), out=starts[1:])
        slots = np.full(1 << max(1, (2 * len(ids)).bit_length()), -1, dtype=np.int32)
        table = cls(np.frombuffer(b"".join(encoded), np.uint8), starts, slots)
        fill_slots(*table)
        return table
