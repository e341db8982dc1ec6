"""The options that commands share, each stated once."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import typer

from personalize.cells import zone
from personalize.config import EngineConfig
from personalize.errors import InvalidConfigError
from personalize.schema import CATALOG, ORDERS
from personalize.store import SCOPES
from personalize.times import to_micros

REPEATABLE = ("--orders", "--map", "--map-catalog", "--scope")


def _zone_name(text: str) -> str:
    try:
        return zone(text).key
    except InvalidConfigError as error:
        raise typer.BadParameter(str(error).removeprefix("timezone: ")) from error


def _expression(text: str | None) -> str | None:
    try:
        re.compile(text or "")
    except re.error as error:
        raise typer.BadParameter(f"{text!r} is no regular expression ({error})") from error
    return text


def _scopes(names: list[str]) -> list[str]:
    for name in names:
        if name not in SCOPES:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(SCOPES)}")
    return names


OrderFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--orders",
        metavar="FILE...",
        help="Orders: Parquet, CSV (also gzip) or JSON lines; several are read as one table.",
    ),
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", metavar="URL", help="Store, such as sqlite:///shop.db."),
]
CatalogFile = Annotated[
    Path | None,
    typer.Option("--catalog", metavar="FILE", help="Catalogue: a table or a product feed."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COL=NAME", help="The orders' column COL is our NAME."),
]
CatalogColumns = Annotated[
    list[str] | None,
    typer.Option("--map-catalog", metavar="COL=NAME", help="The same for the catalogue."),
]
StoreOfTimer = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="PERSONALIZE_STORE",
        help="Store, such as sqlite:///shop.db.",
    ),
]
"""Also from the environment: a password on a command line is seen by everyone on the machine."""
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="The moment asked about, such as 2026-11-22 or 2026-11-22T05:04:00Z. "
        "Default: just after the newest order of files, now for a store.",
    ),
]
Timezone = Annotated[
    str,
    typer.Option(
        "--timezone", metavar="ZONE", callback=_zone_name, help="Zone of times that name none."
    ),
]
Returns = Annotated[
    Literal["columns", "negative-rows", "negative_rows"],
    typer.Option(
        "--returns",
        metavar="[columns|negative-rows]",
        help="Whether returns are in returned_quantity or rows of negative quantity.",
    ),
]
Encoding = Annotated[
    str,
    typer.Option("--encoding", metavar="NAME", help="Of CSV files, such as latin-1."),
]
NotProducts = Annotated[
    str | None,
    typer.Option(
        "--not-products",
        metavar="REGEX",
        callback=_expression,
        help="Lines of such product ids (postage) are left out.",
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at bad rows instead of leaving them out.")
]
RejectsFile = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        metavar="FILE",
        help="Where rejected rows go, each with its reason. Default: beside what is written.",
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="What the shop decides (TOML or JSON)."),
]
ModelsFolder = Annotated[
    Path, typer.Option("--models", metavar="DIR", help="Folder of trained versions.")
]
Version = Annotated[
    str | None,
    typer.Option("--version", metavar="V", help="A version of the models. Default: current."),
]
CustomersFile = Annotated[
    Path | None,
    typer.Option(
        "--customers",
        metavar="FILE",
        help="Only these: a table with customer_id, or a .txt of one id per line.",
    ),
]
KeyScopes = Annotated[
    list[str],
    typer.Option("--scope", metavar="SCOPE", callback=_scopes, help=f"Of {', '.join(SCOPES)}."),
]
OutFile = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="Ends in .parquet, .csv, .csv.gz or .jsonl."),
]


def spread(arguments: list[str]) -> list[str]:
    """Return the arguments with a repeatable option's name before each of its values.

    Examples
    --------
    >>> spread(["train", "--orders", "a.csv", "b.csv", "--models", "m"])
    ['train', '--orders', 'a.csv', '--orders', 'b.csv', '--models', 'm']
    """
    told: list[str] = []
    option: str | None = None
    n_values = 0
    for argument in arguments:
        if argument.startswith("-"):
            name, _, value = argument.partition("=")
            option = name if name in REPEATABLE else None
            n_values = int(bool(value))
        elif option is not None:
            n_values += 1
            if n_values > 1:
                told.append(option)
        told.append(argument)
    return told


def column_map(pairs: list[str] | None, option: str = "--map") -> dict[str, str] | None:
    """Return source columns and our names from ``COL=NAME`` texts.

    Raises
    ------
    typer.BadParameter
        For a text without a name on either side, a name that is not ours, or a column named twice.
    """
    ours = (CATALOG if option == "--map-catalog" else ORDERS).column_names
    found: dict[str, str] = {}
    for pair in pairs or ():
        column, equals, name = pair.rpartition("=")
        if not (equals and column.strip() and name.strip()):
            raise typer.BadParameter(
                f"{pair!r} is not COL=NAME, such as Invoice=order_id", param_hint=option
            )
        if name.strip() not in ours:
            raise typer.BadParameter(
                f"{pair!r}: {name.strip()!r} is no column of ours; they are {', '.join(ours)}",
                param_hint=option,
            )
        if column in found:
            raise typer.BadParameter(f"column {column!r} is named twice", param_hint=option)
        found[column] = name.strip()
    return found or None


def moment(text: str | None, timezone: str, option: str = "--as-of") -> dt.datetime | None:
    """Return the aware moment a text names; one without a zone is in `timezone`.

    Raises
    ------
    typer.BadParameter
        If it is no ISO 8601 date or time.
    """
    if text is None:
        return None
    try:
        value = dt.datetime.fromisoformat(text.strip())
        value = value if value.tzinfo else value.replace(tzinfo=zone(timezone))
        to_micros(value)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no moment; give ISO 8601 such as 2026-11-22T05:04:00Z",
            param_hint=option,
        ) from error
    return value


def engine_config(path: Path | None) -> EngineConfig:
    """Return the configuration in a TOML file; without one, the defaults.

    Raises
    ------
    InvalidConfigError
        If it cannot be read, or holds an unknown key or a value out of range.
    """
    if path is None:
        return EngineConfig()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        told = f"config {path}: no such file; check the path"
        raise InvalidConfigError(told, field="config") from error
    except (OSError, ValueError) as error:
        raise InvalidConfigError(f"config {path}: {error}", field="config") from error
    try:
        return EngineConfig.from_dict(given)
    except InvalidConfigError as error:
        told = f"{path}: {error}"
        raise InvalidConfigError(told, field=error.field, value=error.value) from error
