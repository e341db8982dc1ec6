"""Two configurations, or two trained engines, asked the same before one is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from personalize.catalog import Catalog
from personalize.config import EngineConfig
from personalize.engine import Engine
from personalize.errors import InvalidConfigError
from personalize.evaluation.decision import RepurchaseResult
from personalize.evaluation.evaluating import Bench, Facts, Tell, plain_values, silent
from personalize.evaluation.lists import ListResult
from personalize.evaluation.metrics import Ratio, bootstrap_ratio
from personalize.evaluation.protocol import Protocol
from personalize.evaluation.split import FloatArray
from personalize.evaluation.subject import Guards, Subject, without_stock
from personalize.orders import Orders
from personalize.policy import Policy
from personalize.times import Moment, to_datetime, to_rfc3339

Candidate = EngineConfig | Engine | str | Path
"""A configuration to fit, an engine, or the folder of one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second of two candidates against the first, on one split in time.

    Parameters
    ----------
    facts : Facts
    first, second : str
        What the two are called in the tables.
    tasks : dict of str to ListResult
        ``A`` and ``B``; ``ratios`` holds the second's NDCG@10 to the first's.
    repurchase : dict of str to RepurchaseResult
        Task S, by candidate.
    log_loss_ratio : Ratio or None
        The second's log loss to the first's, over the same pairs, resampled by customer; below 1
        the second is better.
    guards : dict of str to dict
        By candidate, task and guard.
    notes : tuple of str
    """

    facts: Facts
    first: str
    second: str
    tasks: dict[str, ListResult]
    repurchase: dict[str, RepurchaseResult]
    log_loss_ratio: Ratio | None
    guards: dict[str, Guards]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested plain values; what is no number is None."""
        plain: dict[str, Any] = plain_values(asdict(self))
        return plain


def compare(
    orders: Orders,
    first: Candidate,
    second: Candidate,
    catalog: Catalog | None = None,
    cutoff: Moment | None = None,
    *,
    names: Sequence[str] = ("first", "second"),
    policy: Policy | None = None,
    protocol: Protocol | None = None,
    tell: Tell | None = None,
) -> Comparison:
    """Return how the second of two candidates does beside the first, on the same questions.

    A configuration is fitted on what lies before the cutoff; an engine answers as it was trained,
    with the orders up to the cutoff as history.

    Parameters
    ----------
    orders : Orders
    first, second : EngineConfig, Engine, or path of an artifact
    catalog : Catalog, optional
        To fit with, and laid over an engine's own; stock counts for the guards only.
    cutoff : moment, optional
        Default: the moment the newer engine learned up to; of two configurations as in `evaluate`.
    names : two different str
    policy : Policy, optional
    protocol : Protocol, optional
    tell : callable, optional

    Raises
    ------
    InvalidConfigError
        If an engine learned from orders after the cutoff, the two speak of different horizons, or
        an argument is not as described.
    InvalidOrdersError
        If the orders cannot be split in two.
    ArtifactError
        If an artifact cannot be read.
    """
    one, two = _names(names)
    given = {one: _loaded(first), two: _loaded(second)}
    engines = {name: each for name, each in given.items() if isinstance(each, Engine)}
    if cutoff is None and engines:
        newest = max(engine.as_of for engine in engines.values())
        if orders.newest < newest:
            raise InvalidConfigError(
                f"cutoff: no order lies after {to_rfc3339(newest)}, up to which "
                f"{' and '.join(engines)} learned; bring newer orders, or train with as_of at an "
                "earlier moment and give that as the cutoff",
                field="cutoff",
            )
        cutoff = to_datetime(newest)
    config = _common(given)
    say = tell or silent
    bench = Bench.of(orders, cutoff, protocol or Protocol(), config, catalog)
    _check_engines(engines, bench)
    past = orders.before(bench.split.cutoff)
    results, guards, losses = {}, {}, []
    for name, each in given.items():
        say(name)
        if isinstance(each, Engine):
            shown = without_stock(catalog or each.catalog)
            subject = Subject(each, past, bench.split, shown, policy)
        else:
            fitted = each if not bench.repurchase.horizon_days else _at_horizon(each, bench)
            subject = Subject.fit(orders, bench.split, fitted, catalog, policy)
        for task in bench.tasks.values():
            task.add_subject(name, subject)
        results[name] = bench.repurchase.result(subject, name)
        losses.append(_loss_by_customer(bench, subject))
        guards[name] = bench.guards(subject.stocked(catalog or subject.engine.catalog))
    return Comparison(
        bench.facts(orders, has_catalog=catalog is not None, peers="none"),
        one,
        two,
        {name: task.result((two,)) for name, task in bench.tasks.items()},
        results,
        _loss_ratio(losses, bench.protocol),
        guards,
        bench.notes,
    )


def _names(names: Sequence[str]) -> tuple[str, str]:
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise InvalidConfigError(
            f"names: {names!r} are not two different names", field="names", value=names
        )
    return names[0], names[1]


def _loaded(candidate: Candidate) -> EngineConfig | Engine:
    if isinstance(candidate, (EngineConfig, Engine)):
        return candidate
    if isinstance(candidate, (str, Path)):
        return Engine.load(candidate)
    raise InvalidConfigError(
        f"{type(candidate).__name__} is nothing to compare; give an EngineConfig, an Engine or the "
        "folder of an artifact",
        field="first",
        value=candidate,
    )


def _common(given: dict[str, EngineConfig | Engine]) -> EngineConfig:
    """Return the configuration that says the horizon of S: an engine's, else the first's."""
    configs = {
        name: each.config if isinstance(each, Engine) else each for name, each in given.items()
    }
    (one, first), (two, second) = configs.items()
    a, b = first.repurchase_horizon_days, second.repurchase_horizon_days
    if a != b:
        raise InvalidConfigError(
            f"repurchase_horizon_days: {one} speaks of {a:g} days and {two} of {b:g}, so their "
            "probabilities cannot be compared; train both with the same",
            field="repurchase_horizon_days",
            value=b,
        )
    return first


def _check_engines(engines: dict[str, Engine], bench: Bench) -> None:
    for name, engine in engines.items():
        if engine.as_of > bench.split.cutoff:
            raise InvalidConfigError(
                f"cutoff: {name} ({engine.model_version}) learned from orders up to "
                f"{to_rfc3339(engine.as_of)}, which is after the cutoff "
                f"({to_rfc3339(bench.split.cutoff)}): it has seen what it would be asked; give a "
                "cutoff at or after that, and orders that go on after it, or an engine trained "
                "with as_of at the cutoff",
                field="cutoff",
                value=to_rfc3339(bench.split.cutoff),
            )
        wanted = engine.config.repurchase_horizon_days
        if wanted != bench.repurchase.horizon_days:
            raise InvalidConfigError(
                f"horizon: {name} speaks of {wanted:g} days, and S would ask for "
                f"{bench.repurchase.horizon_days:g}; give an earlier cutoff, so that the test "
                "period is long enough, and no other horizon_days",
                field="horizon_days",
                value=bench.repurchase.horizon_days,
            )


def _at_horizon(config: EngineConfig, bench: Bench) -> EngineConfig:
    return EngineConfig.from_dict(
        {**config.to_dict(), "repurchase_horizon_days": bench.repurchase.horizon_days}
    )


def _loss_by_customer(bench: Bench, subject: Subject) -> FloatArray | None:
    """Return each customer's summed log loss over their pairs; None without probabilities."""
    task = bench.repurchase
    if not task.is_two_sided:
        return None
    _, probability = subject.check(task.pairs.customer, task.pairs.product)
    if np.isnan(probability).any():
        return None
    sure = np.clip(probability, 1e-15, 1 - 1e-15)
    loss = -np.where(task.pairs.again, np.log(sure), np.log1p(-sure))
    _, row = np.unique(task.pairs.customer, return_inverse=True)
    return np.asarray(np.bincount(row, loss), dtype=np.float64)


def _loss_ratio(losses: Sequence[FloatArray | None], protocol: Protocol) -> Ratio | None:
    first, second = losses
    if first is None or second is None:
        return None
    return bootstrap_ratio(second, first, n_resamples=protocol.n_resamples, seed=protocol.seed)
