"""Purchases, judgement and policy become decisions: suppress or not, why, since, until.

One rule (`rule`) over what is owned (`single` for few products of one customer, `packed` for many
of them, `batch` for many customers), given what is learned and what the shop decides (`terms`).
See docs/concepts.md.
"""

from __future__ import annotations

from personalize.suppression.batch import Decisions, ManyCustomers, numbers_in
from personalize.suppression.kin import touched
from personalize.suppression.packed import PackedRules
from personalize.suppression.rule import REASONS, SCOPES, combine, due_at
from personalize.suppression.single import CustomerScopes, Decision, Scope, Suppression, unowned
from personalize.suppression.terms import Judgement, LevelModel, Rules, Terms

__all__ = [
    "REASONS",
    "SCOPES",
    "CustomerScopes",
    "Decision",
    "Decisions",
    "Judgement",
    "LevelModel",
    "ManyCustomers",
    "PackedRules",
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
