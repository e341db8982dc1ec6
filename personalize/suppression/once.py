"""What is known of things that were bought once: most of what anybody owns.

How long such a thing keeps itself away, and half of its chance to be bought again, depend on the
thing and on the units alone. They are worked out once, by the same functions as everything else,
and remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from personalize.repurchase import once_terms
from personalize.suppression.rule import due_at
from personalize.times import FOREVER, MISSING

if TYPE_CHECKING:
    from personalize.suppression.terms import Rules

MAX_REMEMBERED: Final = 65_536
"""Of each level; then it begins anew."""


class Once(NamedTuple):
    """What is known of one thing that was bought once.

    Parameters
    ----------
    wait : int, microseconds
        From the purchase until it is due again; FOREVER: it never is, MISSING: it never was away.
    offset : float
        What the thing adds to the log odds of a repurchase.
    gap, units : float
        As from `once_terms`.
    """

    wait: int
    offset: float
    gap: float
    units: float

    def until(self, bought_at: int) -> int:
        """Return when it is due again, as `due_at` does; MISSING where its rule is off."""
        wait = self.wait
        return wait if wait in (FOREVER, MISSING) else bought_at + wait


class BoughtOnce:
    """What is known of everything that was bought once, under some rules; remembered.

    Parameters
    ----------
    rules : Rules
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: tuple[dict[tuple[int, int], Once], ...] = ({}, {}, {})

    def __call__(self, level: int, num: int, units: int) -> Once:
        """Return what is known of a product, group or type of which so many units were bought."""
        known = self._known[level]
        found = known.get((num, units))
        if found is None:
            if len(known) >= MAX_REMEMBERED:
                known.clear()
            found = known[num, units] = self._worked_out(level, num, units)
        return found

    def _worked_out(self, level: int, num: int, units: int) -> Once:
        rules, terms = self._rules, self._rules.levels[level]
        typical, usual = terms.typical.item(num), terms.usual_quantity.item(num)
        wait = MISSING
        if terms.is_on[num]:
            wait = due_at(
                1,
                0,
                0,
                units,
                units,
                terms.gap.item(num),
                typical,
                usual,
                terms.is_learned.item(num),
                rules.min_days,
                rules.rhythm_strength,
            )
        return Once(wait, terms.offset.item(num), *once_terms(units, typical, usual))
