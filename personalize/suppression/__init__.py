"""Purchases, judgement and policy become decisions: suppress or not, why, since, until.

One rule (`rule`) over what is owned (`single` for one customer, `batch` for many), given what is
learned and what the shop decides (`terms`). See docs/concepts.md.
"""

from __future__ import annotations

from personalize.suppression.batch import Decisions, ManyCustomers, numbers_in
from personalize.suppression.kin import MANY, Kin, touched
from personalize.suppression.recent import Recent
from personalize.suppression.rule import REASONS, SCOPES, combine, due_at
from personalize.suppression.single import CustomerScopes, Decision, Scope, Suppression, unowned
from personalize.suppression.terms import Judgement, LevelModel, Rules, Terms

__all__ = [
    "MANY",
    "REASONS",
    "SCOPES",
    "CustomerScopes",
    "Decision",
    "Decisions",
    "Judgement",
    "Kin",
    "LevelModel",
    "ManyCustomers",
    "Recent",
    "Rules",
    "Scope",
    "Suppression",
    "Terms",
    "combine",
    "due_at",
    "numbers_in",
    "touched",
    "unowned",
]
