"""Say what the library says in the words of the command line: its options, one problem a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from personalize.errors import PersonalizeError, Problem
from personalize.schema import CATALOG

_OPTIONS = (
    ("name the right one in columns", "name the right one with {map} COL=NAME"),
    ("columns maps", "{map} maps"),
    ('read with returns="negative_rows"', "read with --returns negative-rows"),
    ("give its encoding", "give its --encoding"),
    ("a later as_of", "a later --as-of"),
    ("match not_products", "match --not-products"),
    ("not_products: ", "--not-products: "),
    ("import orders, or open it with create=True", "import orders first"),
)
_Reworded = Callable[[re.Match[str]], str]
_ASKED_WRONGLY: Final[tuple[tuple[re.Pattern[str], str | _Reworded], ...]] = (
    (re.compile(r"Value error, "), ""),
    (re.compile(r"is not one of (.*)"), lambda found: "is none of " + found[1].replace("'", "")),
    (re.compile(r"Input should be a valid integer, .*"), "give a whole number"),
    (re.compile(r"Input should be a valid number, .*"), "give a number"),
)


def asked_wrongly(message: str) -> str:
    """Return what the parser of the command line says, in the words of every other error.

    Examples
    --------
    >>> asked_wrongly("Value error, 'few' is not one of 'all', 'none'")
    "'few' is none of all, none"
    """
    for theirs, ours in _ASKED_WRONGLY:
        message = theirs.sub(ours, message)
    return message


def in_options(message: str) -> str:
    """Return a message, in one line, with options where it names parameters of the library.

    Examples
    --------
    >>> in_options('orders: give its encoding')
    'orders: give its --encoding'
    """
    told = message.replace("\n", " ")
    mapped = "--map-catalog" if told.startswith(CATALOG.name) else "--map"
    for parameter, option in _OPTIONS:
        told = told.replace(parameter, option.format(map=mapped))
    return told


def error_lines(error: PersonalizeError) -> list[str]:
    """Return what an error says: in one line, or a summary and a line for each problem."""
    problems: tuple[Problem, ...] = getattr(error, "problems", ())
    summary, found, _ = str(error).partition(" problems: ")
    if len(problems) < 2 or not found:
        return [in_options(str(error))]
    return [f"{summary} problems:", *(f"  {in_options(each.message)}" for each in problems)]
