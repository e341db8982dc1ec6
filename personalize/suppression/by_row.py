"""The rule and the repurchase probability on the terms of one target in one row, as `Terms.rows`.

For compiled loops: looking a target's terms up is one wait for memory, not seven.
"""

from __future__ import annotations

from personalize.repurchase import added, chance_of, log_days, pair_features, place_of
from personalize.suppression.rule import due_at
from personalize.suppression.terms import (
    GAP,
    IS_LEARNED,
    IS_ON,
    OFFSET,
    TYPICAL,
    USUAL,
    Floats,
)
from personalize.times import MISSING

Summary = tuple[int, int, int, int, int]
"""What is owned of something: the fields of `Owned`."""


def until_of(owned: Summary, terms: Floats, min_days: float, rhythm_strength: float) -> int:
    """Return when something owned is due again; int64 min where its rule is off."""
    if terms[IS_ON] == 0.0:
        return MISSING
    return due_at(
        owned[0],
        owned[1],
        owned[2],
        owned[3],
        owned[4],
        terms[GAP],
        terms[TYPICAL],
        terms[USUAL],
        terms[IS_LEARNED] != 0.0,
        min_days,
        rhythm_strength,
    )


def chance_of_pair(
    owned: Summary,
    as_of: int,
    base: float,
    weights: Floats,
    loyalty: float,
    terms: Floats,
    soon: Floats,
) -> float:
    """Return the chance that something owned is bought again within the horizon."""
    step, share = place_of(log_days(owned[2], as_of))
    low = soon[step]
    pair = pair_features(
        owned[0],
        owned[1],
        owned[2],
        owned[3],
        owned[4],
        as_of,
        terms[TYPICAL],
        terms[USUAL],
        loyalty,
        low + share * (soon[step + 1] - low),
    )
    return chance_of(added(terms[OFFSET] + base, weights, pair))
