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
    """Return 31 bits of the hash FNV-1a of some bytes."""
    found: Any = 2_166_136_261
    for i in range(start, stop):
        found = ((found ^ np.int64(text[i])) * 16_777_619) & 0xFFFFFFFF
    return int(found) & 0x7FFFFFFF


def is_same(left: Bytes, left_at: int, right: Bytes, right_at: int, length: int) -> bool:
    """Return whether so many bytes of two texts are the same."""
    for i in range(length):  # noqa: SIM110 - numba knows no generators
        if left[left_at + i] != right[right_at + i]:
            return False
    return True


def id_numbers(
    text: Bytes, n: int, ids: Bytes, starts: Any, slots: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return where each of the `n` ids of a text starts, its hash, and its number or -1.

    Where the separator behind the last one would end, the first of these has one more place.

    Parameters
    ----------
    text : uint8
        Ids, `SEPARATOR` between them.
    n : int
    ids, starts, slots
        As in `IdTable`.
    """
    begins, hashes = np.zeros(n + 1, np.int64), np.empty(n, np.int64)
    for i in range(n):
        stop = begins[i]
        while stop < len(text) and text[stop] != 31:  # the separator
            stop += 1
        hashes[i] = id_hash(text, begins[i], stop)
        begins[i + 1] = stop + 1
    # What each may be is fetched for all of them first: so the waits for memory overlap.
    mask = len(slots) - 1
    nums = np.empty(n, np.int64)
    for i in range(n):
        nums[i] = slots[hashes[i] & mask]
    for i in range(n):
        slot, place, length = nums[i], hashes[i] & mask, begins[i + 1] - 1 - begins[i]
        nums[i] = -1
        while slot >= 0:
            num = slot & 0xFFFFFFFF
            if (
                slot >> 32 == hashes[i]
                and starts[num + 1] - starts[num] == length
                and is_same(text, begins[i], ids, starts[num], length)
            ):
                nums[i] = num
                break
            place = (place + 1) & mask
            slot = slots[place]
    return begins, hashes, nums


def _fill_slots(ids: Bytes, starts: Any, slots: Ints) -> None:
    mask = len(slots) - 1
    for num in range(len(starts) - 1):
        hashed = id_hash(ids, starts[num], starts[num + 1])
        place = hashed & mask
        while slots[place] >= 0:
            place = (place + 1) & mask
        slots[place] = (hashed << 32) | num


fill_slots = compiled(_fill_slots, uses=(id_hash,))


def as_bytes(text: str) -> Bytes:
    """Return a text in UTF-8, not to be changed."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


class IdTable(NamedTuple):
    """Distinct ids by number, to be found by `id_numbers`.

    Parameters
    ----------
    ids : uint8
        All of them in UTF-8, one after the other.
    starts : int32, shape (n + 1,)
        Where each starts, and where the last one ends.
    slots : int64, a power of two long
        The hash and the number in each slot, -1 for none; half of them at least are free.
    """

    ids: Bytes
    starts: NDArray[np.int32]
    slots: Ints

    @classmethod
    def of(cls, ids: Sequence[str]) -> Self:
        """Return the table of distinct ids, numbered in their order."""
        encoded = [each.encode("utf-8", "surrogatepass") for each in ids]
        starts = np.zeros(len(ids) + 1, dtype=np.int32)
        np.cumsum(np.fromiter(map(len, encoded), np.int32, len(ids)), out=starts[1:])
        slots = np.full(1 << max(1, (2 * len(ids)).bit_length()), -1, dtype=np.int64)
        table = cls(np.frombuffer(b"".join(encoded), np.uint8), starts, slots)
        fill_slots(*table)
        return table
