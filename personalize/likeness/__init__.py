"""Which products are alike by title, type, brand and price, and what follows from it.

A product that is new or rare borrows what goes with its alikes; a new one may be shown beside
them; and where there are no product types, words of titles tell which products replace one another.
Facts are those of the catalogue; fitting uses scipy, asking numpy only. What is shown is decided
elsewhere.
"""

from __future__ import annotations

from personalize.likeness.borrowing import Borrowed, Likeness, Pairs

__all__ = ["Borrowed", "Likeness", "Pairs"]
