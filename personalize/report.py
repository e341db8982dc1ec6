"""What was wrong with the rows of a table, gathered while it is read, told at the end.

This file decides how problems are counted and worded; which rules there are, `personalize.schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from personalize.errors import Problem
from personalize.schema import Rule, TableSchema

Rows = npt.NDArray[np.int64]

N_FIRST_ROWS: Final = 5
_SHOWN: Final = 60


def shown(value: object) -> str:
    r"""Return a cell as it is told in a message: one line, not too long.

    Examples
    --------
    >>> shown("two\nlines")
    'two\\nlines'
    """
    text = "empty" if value is None or value == "" else str(value)
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@dataclass(slots=True)
class Report:
    """What was wrong with the rows of one table, gathered while it is read.

    Parameters
    ----------
    schema : TableSchema
        Whose rules are spoken of.
    n_rows : int
        Rows read so far.
    """

    schema: TableSchema
    n_rows: int = 0
    _seen: dict[str, tuple[int, list[tuple[int, str]]]] = field(default_factory=dict)
    _out: list[tuple[str, Rows]] = field(default_factory=list)

    def add(self, slug: str, rows: Rows, value_at: Callable[[int], object]) -> None:
        """Note that `rows` broke a rule.

        Parameters
        ----------
        slug : str
            The rule, one of the schema's.
        rows : int64, shape (n,)
            Data row numbers; in ascending order, the earlier calls of a rule before the later.
        value_at : callable
            From a position in `rows` to the value to tell.
        """
        if not len(rows):
            return
        rule = self.schema.rules[slug]
        n_before, first = self._seen.get(slug, (0, []))
        for position in range(min(len(rows), N_FIRST_ROWS - len(first))):
            first.append((int(rows[position]), shown(value_at(position))))
        self._seen[slug] = (n_before + len(rows), first)
        if rule.effect in ("rejects", "leaves_out"):
            self._out.append((slug, rows))

    def problems(self) -> tuple[Problem, ...]:
        """Return one problem per broken rule, in the order of the schema."""
        return tuple(
            self._problem(rule, *self._seen[slug])
            for slug, rule in self.schema.rules.items()
            if slug in self._seen
        )

    def _problem(self, rule: Rule, n_rows: int, first: list[tuple[int, str]]) -> Problem:
        row, value = first[0]
        message = (
            f"{self.schema.name}.{rule.column}: {n_rows:,} of {self.n_rows:,} rows {rule.saw} "
            f"(first: row {row:,}, {value}); {rule.remedy}"
        )
        return Problem(rule.column, rule.slug, n_rows, tuple(first), message)

    def faults(self) -> tuple[Problem, ...]:
        """Return the problems that `strict` refuses."""
        return tuple(p for p in self.problems() if self.schema.rules[p.rule].is_fault)

    def left_out(self) -> tuple[Rows, npt.NDArray[np.object_]]:
        """Return the rows that are not used, ascending, and the rules each broke, as one text."""
        if not self._out:
            return np.empty(0, np.int64), np.empty(0, object)
        slugs = list(dict.fromkeys(slug for slug, _ in self._out))
        # One bit per rule: there are fewer than 63.
        bits = np.concatenate(
            [np.full(len(rows), 1 << slugs.index(slug), np.int64) for slug, rows in self._out]
        )
        rows, place = np.unique(np.concatenate([r for _, r in self._out]), return_inverse=True)
        broken = np.zeros(len(rows), np.int64)
        np.bitwise_or.at(broken, place, bits)
        kinds, kind = np.unique(broken, return_inverse=True)
        names = ["; ".join(s for n, s in enumerate(slugs) if int(mask) >> n & 1) for mask in kinds]
        return rows, np.array(names, object)[kind]


def refusal(schema: TableSchema, problems: Sequence[Problem]) -> str:
    """Return the message of an error that holds `problems`, all in one line."""
    if len(problems) == 1:
        return problems[0].message
    told = " | ".join(problem.message for problem in problems)
    return f"{schema.name}: {len(problems)} problems: {told}"
