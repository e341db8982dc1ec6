"""What is compared of a product: the words of its title, its type, its brand, its price.

Everything but the price becomes a *key*, a short text; an index knows a key by its number and, to
find it again without keeping texts, by its hash.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from personalize.catalog import Product

Array = np.ndarray[Any, np.dtype[Any]]

_WORD: Final = re.compile(r"[^\W_]+(?:[-'\u2019.][^\W_]+)*")
PAIR: Final = "pair:"
"""In front of a pair of words; no word holds a colon."""
_JOINED: Final = str.maketrans("", "", "-'\u2019")


class Facts(NamedTuple):
    """What one product is compared by; empty or NaN where unknown."""

    words: list[str]
    """Distinct words of the title and neighbouring pairs of them, `PAIR` in front."""
    types: list[str]
    """The product type and the one above it."""
    brand: list[str]
    """The brand, if any."""
    log_price: float


def title_words(title: str) -> list[str]:
    """Return the words of a title in order, in lower case; ``T-Light`` is ``tlight``.

    Examples
    --------
    >>> title_words("Sport coat, navy 52 (T-Light)")
    ['sport', 'coat', 'navy', '52', 'tlight']
    """
    return [word.translate(_JOINED) for word in _WORD.findall(title.casefold())]


def facts_of(product: Product) -> Facts:
    """Return what a product is compared by.

    The brand's words are left out of the title's: the brand counts once.
    """
    brand = product.brand.casefold() if product.brand else ""
    words = title_words(product.title or "")
    of_brand = set(title_words(brand))
    words = [word for word in words if word not in of_brand] or words
    pairs = [f"{PAIR}{first} {second}" for first, second in itertools.pairwise(words)]
    path = product.product_type.split(" > ") if product.product_type else []
    types = [" > ".join(path[:depth]) for depth in (len(path), len(path) - 1) if depth > 0]
    price = product.price
    return Facts(
        list(dict.fromkeys([*words, *pairs])),
        [f"type:{each}" for each in types],
        [f"brand:{brand}"] if brand else [],
        math.log(price) if price is not None and 0.0 < price < math.inf else math.nan,
    )


def hashed(keys: Iterable[str]) -> Array:
    """Return a 64-bit number for each key, the same on every machine: uint64, shape (n,)."""
    digests = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
