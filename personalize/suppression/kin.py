"""About which products the purchases of a customer may have a say at all: most decisions end here.

A product is touched by what is owned if it is among that, a variant of something among it, or of
the one-per-need type of something among it. Whatever the purchases were, any other may be shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Self

from personalize.products import ProductSpace
from personalize.suppression.terms import Rules

MANY: Final = 10
"""From so many products on the kin of all that is owned are looked up, not those of each."""


class Kin(NamedTuple):
    """What some products have a say about, were they owned.

    Parameters
    ----------
    space : ProductSpace
    near : set of str
        They themselves, and their variants.
    kinds : frozenset of int
        Their one-per-need types.
    """

    space: ProductSpace
    near: set[str]
    kinds: frozenset[int]

    @classmethod
    def of(cls, rules: Rules, owned: Collection[str]) -> Self:
        """Return what these products have a say about, under some rules."""
        space, enough = rules.space, rules.enough
        variants_of, variants, near = space.variants_of, space.variants.get, set(owned)
        for product_id in owned:
            known = variants(product_id)
            near.update(variants_of(product_id) if known is None else known)
        if not enough:
            return cls(space, near, enough)
        nums = map(space.nums.get, owned)
        kinds = enough.intersection([space.type[num] for num in nums if num is not None])
        return cls(space, near, kinds)

    def among(self, product_ids: Sequence[str]) -> list[str]:
        """Return those of some products, in their order."""
        near, kinds = self.near, self.kinds
        if not kinds:
            return [each for each in product_ids if each in near]
        num_of, type_of = self.space.nums.get, self.space.type
        return [
            each
            for each in product_ids
            if each in near or ((num := num_of(each)) is not None and type_of[num] in kinds)
        ]


def touched(rules: Rules, product_ids: Sequence[str], owned: Collection[str]) -> list[str]:
    """Return those of some products about which something among `owned` may have a say."""
    if len(product_ids) >= MANY:
        return Kin.of(rules, owned).among(product_ids)
    owned = set(owned)
    return [each for each in product_ids if _is_touched(rules, each, owned)]


def _is_touched(rules: Rules, product_id: str, owned: set[str]) -> bool:
    if product_id in owned:
        return True
    space = rules.space
    num = space.nums.get(product_id)
    if num is None:
        return False
    kind = space.type[num]
    return not owned.isdisjoint(space.in_group(space.group[num])) or (
        kind in rules.enough and not space.in_type(kind).isdisjoint(owned)
    )
