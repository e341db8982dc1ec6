"""Products by number: the model's first, then what a catalogue or a history adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalize.catalog import Product
from personalize.products import ProductSpace

A = Product("a", item_group_id="g", product_type="T > U")
B = Product("b", item_group_id="g", product_type="S", availability="out_of_stock")
C = Product("c", sensitive=True)
MODEL = (A, B, C)


@pytest.fixture
def space() -> ProductSpace:
    """The space of three products: two of one group, one of which nothing more is known."""
    return ProductSpace.from_model(MODEL)


def names_of(space: ProductSpace) -> dict[str, tuple[Any, ...]]:
    """Return what a space says of each product, in names: numbers may differ."""
    groups, types = [*space.groups, None], [*space.types, None]
    return {
        product_id: (
            space.products[num],
            groups[space.group[num]],
            types[space.type[num]],
            types[space.type_of_group[space.group[num]]] if space.group[num] >= 0 else None,
            space.is_stray[num],
        )
        for product_id, num in space.nums.items()
    }


def test_numbers_follow_the_model(space: ProductSpace) -> None:
    """Products are numbered as the model's arrays, groups and types by name."""
    assert (space.ids, space.nums) == (["a", "b", "c"], {"a": 0, "b": 1, "c": 2})
    assert (space.groups, space.types) == (["g"], ["S", "T > U"])
    assert (space.group, space.type) == ([0, 0, -1], [1, 0, -1])
    assert (space.group_nums, space.type_nums) == ({"g": 0}, {"S": 0, "T > U": 1})
    assert (len(space), space.n_model, space.is_stray) == (3, 3, [False] * 3)


def test_arrays_are_int64(space: ProductSpace) -> None:
    """Groups and types come as arrays that loops can use."""
    assert space.array("group").dtype == np.int64
    assert space.array("type").tolist() == [1, 0, -1]


def test_a_group_has_the_type_of_its_first_product(space: ProductSpace) -> None:
    """Of several types in one group, the first product's counts; without any there is none."""
    assert space.type_of_group.tolist() == [1]
    untyped = ProductSpace.from_model([A._replace(product_type=None), B])
    assert [untyped.types[num] for num in untyped.type_of_group] == ["S"]
    none = ProductSpace.from_model([Product("a", item_group_id="g")])
    assert none.type_of_group.tolist() == [-1]


def test_members_are_those_of_the_moment(space: ProductSpace) -> None:
    """A group and a type hold what the catalogue says now; the space before keeps its own."""
    assert (space.in_group(0), space.in_type(0), space.in_type(1)) == (("a", "b"), {"b"}, {"a"})
    moved = space.with_products([B._replace(item_group_id="f", product_type="T > U")])
    assert (moved.in_group(0), moved.in_group(1)) == (("a",), ("b",))
    assert (moved.in_type(0), moved.in_type(1)) == (set(), {"a", "b"})
    assert (space.in_group(0), space.in_type(1)) == (("a", "b"), {"a"})


def test_shown_is_what_is_there_and_not_sensitive(space: ProductSpace) -> None:
    """Out of stock and sensitive products are not shown; unknown availability is no obstacle."""
    changed = space.with_products([Product("d", availability="preorder")]).with_strays(["e"])
    assert changed.is_shown().tolist() == [True, False, False, True, True]


def test_new_products_get_the_next_numbers(space: ProductSpace) -> None:
    """Products, groups and types that only a catalogue knows follow the model's."""
    more = space.with_products([Product("0", item_group_id="f", product_type="R")])
    assert (more.ids, more.groups, more.types) == (
        ["a", "b", "c", "0"],
        ["g", "f"],
        ["S", "T > U", "R"],
    )
    assert (more.group[3], more.type[3], more.n_model) == (1, 2, 3)
    assert more.type_of_group.tolist() == [1, 2]


def test_a_change_leaves_the_older_space_alone(space: ProductSpace) -> None:
    """A space is a value: who asks with the older one gets the older answer."""
    before = names_of(space)
    space.with_products([A._replace(item_group_id="h", product_type="Z"), Product("d")])
    space.with_strays(["x"])
    assert (names_of(space), space.groups, space.types) == (before, ["g"], ["S", "T > U"])


def test_a_group_follows_its_products_to_another_type(space: ProductSpace) -> None:
    """When a shop moves products to another type, their group moves with them."""
    moved = space.with_products([A._replace(product_type="New"), B._replace(product_type="New")])
    assert [moved.types[num] for num in moved.type_of_group] == ["New"]


def test_strays_are_what_nothing_knows(space: ProductSpace) -> None:
    """Ids of somebody's history get numbers, without group or type; known ones keep theirs."""
    more = space.with_strays(["x", "a", "y", "x"])
    assert (more.ids, more.is_stray) == (
        ["a", "b", "c", "x", "y"],
        [False, False, False, True, True],
    )
    assert (more.group[3:], more.type[3:]) == ([-1, -1], [-1, -1])


def test_no_strays_no_copy(space: ProductSpace) -> None:
    """Where everything is known, nothing is copied."""
    assert space.with_strays(["a", "b"]) is space


def test_a_stray_can_become_known(space: ProductSpace) -> None:
    """What the catalogue learns of later is a stray no longer; its number stays."""
    more = space.with_strays(["x"]).with_products([Product("x", product_type="S")])
    assert (more.nums["x"], more.is_stray[3], more.type[3]) == (3, False, 0)


def test_an_empty_shop_is_a_space() -> None:
    """A model of nothing has a space, which a catalogue can fill."""
    empty = ProductSpace.from_model([])
    assert (len(empty), empty.type_of_group.tolist(), empty.is_shown().tolist()) == (0, [], [])
    assert empty.with_products([A]).type_of_group.tolist() == [0]


changes = st.lists(
    st.builds(
        Product,
        product_id=st.sampled_from("abcdef"),
        item_group_id=st.sampled_from([None, "g", "h"]),
        product_type=st.sampled_from([None, "S", "V"]),
    ),
    max_size=8,
)


@given(changes)
def test_one_by_one_is_all_at_once(changed: list[Product]) -> None:
    """A space changed product by product says what one changed at once says."""
    start = ProductSpace.from_model(MODEL)
    step = start
    for product in changed:
        step = step.with_products([product])
    assert names_of(step) == names_of(start.with_products(changed))
    last = {product.product_id: product for product in (*MODEL, *changed)}
    assert {name: facts[:3] for name, facts in names_of(step).items()} == {
        name: (product, product.item_group_id, product.product_type)
        for name, product in last.items()
    }
