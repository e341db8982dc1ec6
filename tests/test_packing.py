"""What is packed of a customer is what comes out again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize.packing import NOTHING, pack
from personalize.purchases import OrderLine, PurchaseState
from personalize.times import MISSING

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["p", "q", "r", "ö"]),
        st.sampled_from([-(2**62), -3, 0, 5, 2**62]),
        st.integers(1, 10**9),
        st.integers(0, 10**9),
        st.sampled_from([MISSING, -5, 7]),
        st.booleans(),
        st.sampled_from(["o", "ö", "x"]),
    ),
    max_size=12,
)


def vars_of(state: PurchaseState) -> dict[str, Any]:
    """Return the fields of a state as plain values."""
    return {**vars(state), "occasions": dict(state.occasions)}


@given(ROWS, st.integers(-5, 5))
def test_what_is_packed_comes_out_again(rows: list[tuple[Any, ...]], holds_from: int) -> None:
    """Packing loses nothing, whatever the lines."""
    state = PurchaseState.from_lines("c", rows)
    packed = pack(state, holds_from)
    found = packed.unpacked("c")
    assert vars_of(found) == vars_of(state)
    assert packed.holds_from == holds_from
    assert packed.products == [*state.occasions, *state.returned]
    assert len(found.occasions) == len(state.occasions)
    assert found.occasions.keys() == state.occasions.keys()
    for product_id, times in state.occasions.items():
        assert product_id in found.occasions
        assert found.owned[product_id] == state.owned[product_id]
        assert list(found.occasions[product_id]) == sorted(times)
    assert "nowhere" not in found.occasions
    with pytest.raises(KeyError):
        found.occasions["nowhere"]


def test_many_units_need_more_room() -> None:
    """Units are summed over the orders of one moment: more than an order may hold."""
    lines = [OrderLine("p", 1, 10**9, 0, MISSING, False, str(n)) for n in range(3)]
    state = PurchaseState.from_lines("c", lines)
    few = pack(PurchaseState.from_lines("c", lines[:2]), MISSING)
    many = pack(state, MISSING)
    assert many.unpacked("c").occasions["p"] == {1: 3 * 10**9}
    assert len(many.numbers) == len(few.numbers) + 4


def test_nothing_is_packed_too() -> None:
    """Whoever is unknown owns nothing, at any time."""
    assert vars_of(NOTHING.unpacked("c")) == vars_of(PurchaseState.unknown("c"))
    assert (NOTHING.products, NOTHING.holds_from) == ([], MISSING)
