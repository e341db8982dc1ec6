"""The products of one question: numbers, variants, types and availability in one place.

The model's own products come first, in the order of its arrays; products that only a catalogue
or a customer's history knows follow. A space is a value: a change makes a new one, cheaply.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from personalize.catalog import Product


@dataclass(frozen=True, eq=False)
class ProductSpace:
    """Products by number, and what the catalogue says of each.

    Parameters
    ----------
    ids : list of str, length n
    nums : dict of str to int
        Number of each id.
    products : list of Product, length n
    is_stray : list of bool, length n
        Neither the model nor a catalogue knows it; only somebody's history does.
    group, type : list of int, length n
        Number of its item group and its product type, -1 for none.
    groups, types : list of str
        Names by number; the model's own come first.
    group_nums, type_nums : dict of str to int
    n_model : int
        Products below this number are the model's own.
    """

    ids: list[str]
    nums: dict[str, int]
    products: list[Product]
    is_stray: list[bool]
    group: list[int]
    type: list[int]
    groups: list[str]
    types: list[str]
    group_nums: dict[str, int]
    type_nums: dict[str, int]
    n_model: int

    @classmethod
    def from_model(cls, products: Sequence[Product]) -> Self:
        """Return the space of a model's products, in the order of its arrays.

        Groups and types are numbered by name.
        """
        groups = sorted({p.item_group_id for p in products if p.item_group_id is not None})
        types = sorted({p.product_type for p in products if p.product_type is not None})
        space = cls(
            ids=[],
            nums={},
            products=[],
            is_stray=[],
            group=[],
            type=[],
            groups=groups,
            types=types,
            group_nums={name: num for num, name in enumerate(groups)},
            type_nums={name: num for num, name in enumerate(types)},
            n_model=len(products),
        )
        for product in products:
            space._put(product, is_stray=False)
        return space

    def __len__(self) -> int:
        return len(self.ids)

    def with_products(self, changed: Iterable[Product]) -> ProductSpace:
        """Return the space in which these products are as given, new ones added."""
        space = self._copy()
        for product in changed:
            space._put(product, is_stray=False)
        return space

    def with_strays(self, product_ids: Iterable[str]) -> ProductSpace:
        """Return the space with these ids added where nothing knows them."""
        missing = [product_id for product_id in product_ids if product_id not in self.nums]
        if not missing:
            return self
        space = self._copy()
        for product_id in missing:
            space._put(Product(product_id), is_stray=True)
        return space

    def is_shown(self) -> NDArray[np.bool_]:
        """Return whether each product may be recommended as far as the catalogue goes."""
        return np.fromiter(
            (p.is_available and not p.sensitive for p in self.products), bool, len(self)
        )

    @cached_property
    def type_of_group(self) -> NDArray[np.int64]:
        """Type of each group: that of its first product, as of now, that has one."""
        group, kind = self.array("group"), self.array("type")
        typed = np.flatnonzero((group >= 0) & (kind >= 0))[::-1]
        out = np.full(len(self.groups), -1, dtype=np.int64)
        out[group[typed]] = kind[typed]  # of several the last one stays: the first product's
        return out

    def array(self, name: str) -> NDArray[np.int64]:
        """Return ``group`` or ``type`` as int64, made once."""
        return self._arrays[name]

    def in_group(self, num: int) -> tuple[str, ...]:
        """Return the ids of a group's products, made once; of -1 there are none."""
        found = self._in_groups.get(num)
        if found is None:
            found = self._in_groups[num] = tuple(self._members("group", num)) if num >= 0 else ()
        return found

    def in_type(self, num: int) -> set[str]:
        """Return the ids of a type's products; made once, not to be changed."""
        found = self._in_types.get(num)
        if found is None:
            found = self._in_types[num] = set(self._members("type", num))
        return found

    def _members(self, name: str, num: int) -> list[str]:
        rows, starts = self._rows_of[name]
        ids = self.ids
        return [ids[row] for row in rows[starts.item(num) : starts.item(num + 1)].tolist()]

    @cached_property
    def _in_groups(self) -> dict[int, tuple[str, ...]]:
        return {}

    @cached_property
    def _in_types(self) -> dict[int, set[str]]:
        return {}

    @cached_property
    def _rows_of(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Products by group and by type, and where those of each start and end."""
        found = {}
        for name, names in (("group", self.groups), ("type", self.types)):
            nums = self.array(name)
            starts = np.cumsum(np.bincount(nums + 1, minlength=len(names) + 1))  # -1: of none
            found[name] = (np.argsort(nums, kind="stable"), starts)
        return found

    @cached_property
    def _arrays(self) -> dict[str, NDArray[np.int64]]:
        return {name: np.array(getattr(self, name), np.int64) for name in ("group", "type")}

    def _copy(self) -> ProductSpace:
        parts: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            parts[name] = value if name == "n_model" else value.copy()
        return ProductSpace(**parts)

    def _put(self, product: Product, *, is_stray: bool) -> None:
        group = self._numbered(product.item_group_id, self.groups, self.group_nums)
        type_num = self._numbered(product.product_type, self.types, self.type_nums)
        num = self.nums.get(product.product_id)
        if num is None:
            self.nums[product.product_id] = len(self.ids)
            self.ids.append(product.product_id)
            self.products.append(product)
            self.is_stray.append(is_stray)
            self.group.append(group)
            self.type.append(type_num)
        else:
            self.products[num], self.is_stray[num] = product, is_stray
            self.group[num], self.type[num] = group, type_num

    @staticmethod
    def _numbered(name: str | None, names: list[str], nums: dict[str, int]) -> int:
        if name is None:
            return -1
        num = nums.setdefault(name, len(names))
        if num == len(names):
            names.append(name)
        return num
