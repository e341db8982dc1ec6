"""The exception tree: everything this project raises on purpose.

::

    PersonalizeError(Exception)
    ├── InvalidOrdersError(ValueError)     .problems
    ├── InvalidCatalogError(ValueError)    .problems
    ├── InvalidConfigError(ValueError)     .field, .value
    ├── ArtifactError                      .path
    ├── StoreError                         .url (without its password)
    └── UnknownProductError(LookupError)   .product_id
    PersonalizeWarning(UserWarning)        data accepted but changed

This file decides what an error carries; the sentence is written where the problem is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule that some rows of a table broke.

    Parameters
    ----------
    column : str
        The column at fault, in our names.
    rule : str
        A slug of a closed set, such as ``quantity_below_1``.
    n_rows : int
        How many rows broke it.
    first_rows : tuple of (int, str)
        Up to five of them: 0-based data row, and the value as it was seen.
    message : str
        The whole story in one line: what was seen, what is allowed, what to do.
    """

    column: str
    rule: str
    n_rows: int
    first_rows: tuple[tuple[int, str], ...]
    message: str

    def __str__(self) -> str:
        return self.message


class PersonalizeError(Exception):
    """The root of every error raised on purpose."""


class _InvalidTableError(PersonalizeError, ValueError):
    """A table that cannot be accepted, with all of its problems at once."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class InvalidOrdersError(_InvalidTableError):
    """Orders that cannot be accepted; ``problems`` lists why."""


class InvalidCatalogError(_InvalidTableError):
    """A catalogue that cannot be accepted; ``problems`` lists why."""


class InvalidConfigError(PersonalizeError, ValueError):
    """A parameter, policy or argument out of its range; ``field`` and ``value`` say which."""

    def __init__(self, message: str, *, field: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class ArtifactError(PersonalizeError):
    """An artifact that is missing, damaged, or from a newer version; ``path`` says where."""

    def __init__(self, message: str, *, path: str | Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class StoreError(PersonalizeError):
    """A store that cannot be reached or is of a newer schema; ``url`` has no password."""

    def __init__(self, message: str, *, url: str | None = None) -> None:
        super().__init__(message)
        self.url = url


class UnknownProductError(PersonalizeError, LookupError):
    """A product that neither artifact nor catalogue knows."""

    def __init__(self, product_id: str) -> None:
        super().__init__(
            f"product {product_id!r} is unknown: neither the model nor the catalogue has it; "
            "add it to the catalogue or train on orders that hold it"
        )
        self.product_id = product_id


class PersonalizeWarning(UserWarning):
    """Data was accepted, but changed; the message says how."""
