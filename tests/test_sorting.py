"""Orders by small whole numbers, and work on blocks of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from personalize import blocks
from personalize.blocks import at_once, in_blocks
from personalize.sorting import (
    distinct,
    is_ascending,
    order_within,
    place_rows,
    place_within,
    row_starts,
    stable_order,
)


def draws(n: int, below: int, seed: int = 0) -> np.ndarray:
    """Return random codes."""
    return np.random.default_rng(seed).integers(below, size=n).astype(np.int32)


class TestStableOrder:
    def test_equal_codes_stay_in_order(self) -> None:
        """Codes 2 0 2 1 0: the zeros at 1 and 4, the one at 3, the twos at 0 and 2."""
        order = stable_order(np.array([2, 0, 2, 1, 0]), 3)
        assert order.tolist() == [1, 4, 3, 0, 2]
        assert order.dtype == np.int32

    @pytest.mark.parametrize("n", [0, 1, 50, 5_000])
    def test_it_is_what_sorting_gives(self, n: int) -> None:
        """Few rows are sorted, many counted: the answer is one."""
        codes = draws(n, 40)
        assert stable_order(codes, 40).tolist() == np.argsort(codes, kind="stable").tolist()

    @pytest.mark.parametrize("n", [50, 5_000])
    def test_two_keys_by_the_last_one_first(self, n: int) -> None:
        """An order by the minor key, put in order by the major one, is one by both."""
        major, minor = draws(n, 7), draws(n, 40, seed=1)
        order = stable_order(major, 7, stable_order(minor, 40))
        assert order.tolist() == np.lexsort((minor, major)).tolist()

    def test_compiled_is_plain(self) -> None:
        """The interpreter places rows where the compiled loop does."""
        codes, rows = draws(60, 5), np.arange(60)
        plain = np.empty(60, dtype=np.int64)
        place_rows.py(codes, rows, row_starts(np.bincount(codes)), plain)
        fast = np.empty(60, dtype=np.int64)
        place_rows(codes, rows, row_starts(np.bincount(codes)), fast)
        assert plain.tolist() == fast.tolist() == stable_order(codes, 5).tolist()


class TestOrderWithin:
    @pytest.mark.parametrize("n", [0, 1, 50, 6_000])
    def test_it_is_what_sorting_gives(self, n: int) -> None:
        """By group, then key, equal keys as they came; groups of none, one and hundreds."""
        groups, keys = np.sort(draws(n, 20) ** 2 % 40), draws(n, 12, seed=1)
        starts = row_starts(np.bincount(groups, minlength=41))
        expected = np.lexsort((keys, groups)).tolist()
        assert order_within(starts, keys).tolist() == expected

    def test_compiled_is_plain(self) -> None:
        """The interpreter orders what the compiled loop does: one long group, and two short."""
        keys, starts = draws(120, 30), np.array([0, 100, 100, 117, 120])
        plain, fast, room = (np.empty(120, dtype=np.int64) for _ in range(3))
        place_within.py(starts, keys, plain, room)
        place_within(starts, keys, fast, room)
        assert plain.tolist() == fast.tolist() == order_within(starts, keys).tolist()


def test_rows_start_where_the_ones_before_end() -> None:
    """Rows of 2, 0 and 3 start at 0, 2 and 2; the last ends at 5."""
    assert row_starts(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]


def test_distinct_is_unique() -> None:
    """What numpy.unique returns, of none too."""
    values = draws(200, 30)
    assert distinct(values).tolist() == np.unique(values).tolist()
    assert distinct(values[:0]).tolist() == []


def test_equal_neighbours_ascend() -> None:
    """Nothing, one value and equal values ascend; one step down does not."""
    assert all(is_ascending(np.array(values)) for values in ([], [3], [1, 1, 2]))
    assert not is_ascending(np.array([1, 3, 2]))


class TestBlocks:
    def test_answers_come_in_row_order(self) -> None:
        """Seven rows in blocks of three; one block, and no rows at all, need no threads."""
        assert in_blocks(lambda a, b: (a, b), 7, 3) == [(0, 3), (3, 6), (6, 7)]
        assert in_blocks(lambda a, b: (a, b), 3, 3) == [(0, 3)]
        assert in_blocks(lambda a, b: (a, b), 0, 3) == [(0, 0)]

    def test_the_number_of_threads_does_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One thread or five: the same answers."""

        def answers() -> list[int]:
            return in_blocks(lambda a, b: sum(range(a, b)), 100, 7)

        found = []
        for n in (1, 5):
            monkeypatch.setattr(blocks, "n_threads", lambda n=n: n)
            found.append(answers())
        assert found[0] == found[1]

    def test_the_first_error_counts(self) -> None:
        """Of two that fail, the one given first is raised."""

        def failing(error: Exception) -> Callable[[], None]:
            def work() -> None:
                raise error

            return work

        with pytest.raises(KeyError):
            at_once(lambda: 1, failing(KeyError("b")), failing(ValueError("c")))
