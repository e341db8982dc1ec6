"""Say which product types of a shop's policy no product has."""

from __future__ import annotations

import difflib
from pathlib import Path

from personalize.catalog import Catalog
from personalize.cli.console import warn
from personalize.policy import Policy


def warn_of_unknown_types(policy: Policy, file: Path, *catalogs: Catalog | None) -> None:
    """Warn of each type with a rule that no product has, offering the nearest.

    Parameters
    ----------
    policy : Policy
    file : path
        Where it was read.
    *catalogs : Catalog or None
        All products known; without a type in any, no type is looked for.
    """
    known = _paths(catalogs)
    for path in policy.types:
        if known and path not in known:
            near = _nearest(path, known)
            hint = f"; did you mean {near!r}?" if near else ""
            warn(f"policy {file}: no product is of type {path!r}, its rule changes nothing{hint}")


def _nearest(path: str, known: set[str]) -> str | None:
    by_lower = {other.lower(): other for other in sorted(known)}
    near = difflib.get_close_matches(path.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[near[0]] if near else None


def _paths(catalogs: tuple[Catalog | None, ...]) -> set[str]:
    """Return the types of all products, and every path above them."""
    found: set[str] = set()
    for catalog in catalogs:
        if catalog is None:
            continue
        for path in catalog.frame["product_type"].dropna().unique():
            parts = str(path).split(" > ")
            found.update(" > ".join(parts[: n + 1]) for n in range(len(parts)))
    return found
