"""`personalize evaluate`: how good an engine is on a shop's own orders, beside its peers."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from personalize.artifact import ModelsDirectory
from personalize.catalog import Catalog
from personalize.cli import options
from personalize.cli.console import progress, say, tell
from personalize.cli.reading import Reading, read_facts
from personalize.config import EngineConfig
from personalize.evaluation import (
    Candidate,
    Comparison,
    Evaluation,
    Protocol,
    compare,
    evaluate,
)
from personalize.evaluation.plots import check_installed
from personalize.evaluation.report import write_report
from personalize.evaluation.text import comparison_lines, evaluation_lines
from personalize.orders import Orders
from personalize.policy import Policy


def evaluate_(
    *,
    orders: options.OrderFiles = None,
    store: options.StoreUrl = None,
    catalog: options.CatalogFile = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            "--cutoff",
            metavar="TIME",
            help="First moment of the test period. Default: the last fifth of the time is test; "
            "of a trained version, the moment it learned up to.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write a report for people, as .html; not with --against.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="EngineConfig in TOML: name = value."),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option("--models", metavar="DIR", help="Folder of the versions to compare."),
    ] = None,
    version: options.Version = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="V or FILE",
            help="Compare --version or --config with this version of the models, or with this "
            "configuration (TOML), instead of with peers; without --report.",
        ),
    ] = None,
    policy: options.PolicyFile = None,
    peers: Annotated[
        Literal["all", "best", "none"], typer.Option("--peers", help="Whom to compare with.")
    ] = "all",
    horizon_days: Annotated[
        float | None,
        typer.Option("--horizon-days", metavar="DAYS", help="S asks who buys again so soon."),
    ] = None,
    max_queries: Annotated[
        int, typer.Option("--max-queries", metavar="N", help="More are sampled.")
    ] = Protocol().max_queries,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of every sample.")] = 0,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything measured to this file."),
    ] = None,
    columns: options.Columns = None,
    catalog_columns: options.CatalogColumns = None,
    as_of: options.AsOf = None,
    timezone: options.Timezone = "UTC",
    returns: options.Returns = "columns",
    not_products: options.NotProducts = None,
    encoding: options.Encoding = "utf-8",
    strict: options.Strict = False,
    rejects: options.RejectsFile = None,
) -> None:
    """Split orders in time, fit before, ask after: beside peers, or one engine beside another."""
    reading = Reading(
        files=orders or (),
        catalog_file=catalog,
        columns=options.column_map(columns),
        catalog_columns=options.column_map(catalog_columns, "--map-catalog"),
        timezone=timezone,
        returns=returns,
        not_products=not_products,
        encoding=encoding,
        strict=strict,
        rejects=rejects,
        beside=report or json_file or Path("evaluation"),
    )
    reading.choose(store)
    if report is not None:
        check_report(report, against)
        check_output(report, "--report")
    if json_file is not None:
        check_output(json_file, "--json")
    chosen = candidates(models, version, against, config)
    facts, products = read_facts(reading, store)
    question = Question(
        facts.before(options.moment(as_of, timezone)),
        products,
        options.moment(cutoff, timezone, "--cutoff"),
        None if policy is None else Policy.read(policy),
        Protocol(horizon_days=horizon_days, max_queries=max_queries, seed=seed),
    )
    with progress("evaluating", ""):
        found = answer(question, chosen, peers)
    for line in lines_of(found):
        say(line)
    if json_file is not None:
        text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False)
        json_file.write_text(text + "\n", encoding="utf-8")
        tell(f"{json_file}: everything measured")
    if report is not None and isinstance(found, Evaluation):
        write_report(found, report)
        tell(f"{report}: the report")


class Question(NamedTuple):
    """What is evaluated on: orders and catalogue, the split, the policy in force, how much."""

    orders: Orders
    catalog: Catalog | None
    cutoff: dt.datetime | None
    policy: Policy | None
    protocol: Protocol


Chosen = EngineConfig | tuple[tuple[str, str], tuple[Candidate, Candidate]]


def answer(question: Question, chosen: Chosen, peers: str) -> Evaluation | Comparison:
    """Return one configuration beside its peers, or the second of two candidates to the first."""
    orders, catalog, cutoff, policy, protocol = question
    if isinstance(chosen, EngineConfig):
        return evaluate(
            orders, catalog, cutoff, chosen, policy=policy, peers=peers, protocol=protocol
        )
    names, (first, second) = chosen
    return compare(
        orders, first, second, catalog, cutoff, names=names, policy=policy, protocol=protocol
    )


def candidates(
    models: Path | None, version: str | None, against: str | None, config: Path | None
) -> Chosen:
    """Return the configuration to evaluate, or the names of two candidates and the two.

    Raises
    ------
    typer.BadParameter
        If the options do not say which two.
    ArtifactError, InvalidConfigError
        If one cannot be read.
    """
    if against is None:
        given = "--models" if models is not None else "--version" if version is not None else None
        if given is not None:
            raise typer.BadParameter(f"{given} is for --against: name what to compare with")
        return options.engine_config(config)
    directory = None if models is None else ModelsDirectory(models)
    of_first: Candidate
    of_second: Candidate
    if config is not None:
        second, of_second = str(config), options.engine_config(config)
    elif directory is not None:
        folder = directory.path(version)
        second, of_second = folder.name, folder
    else:
        second, of_second = "defaults", EngineConfig()
    if against.endswith(".toml"):
        first, of_first = against, options.engine_config(Path(against))
    elif directory is not None:
        first, of_first = against, directory.path(against)
    else:
        raise typer.BadParameter(
            f"{against!r} is no .toml file; of a version, say with --models DIR where it is",
            param_hint="--against",
        )
    if first == second:
        raise typer.BadParameter(
            f"{against!r} would be compared with itself; name another, or say which is asked about "
            "with --version or --config",
            param_hint="--against",
        )
    return (first, second), (of_first, of_second)


def check_report(report: Path, against: str | None) -> None:
    """Refuse before the work is done a report that could not be made after it.

    Raises
    ------
    typer.BadParameter
        If it is no ``.html`` file, or of a comparison.
    PersonalizeError
        If what it needs is not installed.
    """
    if against is not None:
        raise typer.BadParameter(
            "a report is of one evaluation, not of a comparison; take --json, or leave out "
            "--against",
            param_hint="--report",
        )
    if report.suffix.lower() != ".html":
        raise typer.BadParameter(f"{report} does not end in .html", param_hint="--report")
    check_installed()


def check_output(file: Path, option: str) -> None:
    """Refuse before the work is done what could not be written after it.

    Raises
    ------
    typer.BadParameter
        If the file has no folder, or is one.
    """
    if not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}", param_hint=option)
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a folder; name a file", param_hint=option)


def lines_of(found: Evaluation | Comparison) -> Iterator[str]:
    """Return the tables to print."""
    if isinstance(found, Evaluation):
        return evaluation_lines(found)
    return comparison_lines(found)
