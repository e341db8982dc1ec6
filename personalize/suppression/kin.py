"""About which products the purchases of a customer may have a say at all: most decisions end here.

A product is touched by what is owned if it is among that, a variant of something among it, or of
the one-per-need type of something among it. Whatever the purchases were, any other may be shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from personalize.suppression.terms import Rules


def touched(rules: Rules, product_ids: Sequence[str], owned: Collection[str]) -> list[str]:
    """Return those of some products about which something among `owned` may have a say."""
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
