"""One evaluation: an engine fitted at the cutoff, beside its peers, on what came after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from personalize.catalog import Catalog
from personalize.config import EngineConfig
from personalize.errors import InvalidOrdersError
from personalize.evaluation.decision import RepurchaseResult, RepurchaseTask
from personalize.evaluation.learned import Gap, StrongPair, learned_gaps, strong_pairs
from personalize.evaluation.lists import ListResult, ListTask, group_codes
from personalize.evaluation.peers import all_peers
from personalize.evaluation.protocol import BEST, OURS, PLAIN, Protocol, check_peers
from personalize.evaluation.split import Split, cutoff_of, split_at
from personalize.evaluation.subject import Guards, Subject, count_guards
from personalize.orders import Orders
from personalize.policy import Policy
from personalize.times import Moment, to_rfc3339

Tell = Callable[[str], None]
"""Called with what is measured next."""
TASKS = ("A", "B")


@dataclass(frozen=True, slots=True)
class Facts:
    """What an evaluation rests on.

    Parameters
    ----------
    first, cutoff, last : str, RFC 3339 UTC
        Oldest order, first moment of the test period, newest order.
    n_train_lines, n_test_lines, n_train_orders, n_customers, n_products, n_eligible : int
        Lines that count on each side of the cutoff; orders, known customers and products before
        it; products that are asked for.
    has_catalog : bool
    config, protocol : dict
        Of the engine, and of the evaluation.
    peers : str
        ``all``, ``best`` or ``none``.
    """

    first: str
    cutoff: str
    last: str
    n_train_lines: int
    n_test_lines: int
    n_train_orders: int
    n_customers: int
    n_products: int
    n_eligible: int
    has_catalog: bool
    config: dict[str, Any]
    protocol: dict[str, Any]
    peers: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good the lists and the suppression are, beside their peers, on one split in time.

    Parameters
    ----------
    facts : Facts
    tasks : dict of str to ListResult
        ``A``, basket completion, and ``B``, follow-up.
    repurchase : RepurchaseResult
        Task S.
    guards : dict of str to dict
        Without a catalogue and with it: by task and guard, how often it was broken; all must be 0.
    gaps : tuple of Gap
    pairs : tuple of StrongPair
    notes : tuple of str
        What was left out, shortened or sampled, each in a sentence.
    """

    facts: Facts
    tasks: dict[str, ListResult]
    repurchase: RepurchaseResult
    guards: dict[str, Guards]
    gaps: tuple[Gap, ...] = ()
    pairs: tuple[StrongPair, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def n_violations(self) -> int:
        """How often a guard was broken, all of them together."""
        return sum(
            sum(counts.values()) for tasks in self.guards.values() for counts in tasks.values()
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as nested plain values; what is no number is None."""
        plain: dict[str, Any] = plain_values(asdict(self))
        return plain


def plain_values(value: Any) -> Any:
    """Return nested values as JSON has them: no tuples, no NaN, no infinity."""
    if isinstance(value, dict):
        return {name: plain_values(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(each) for each in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def evaluate(
    orders: Orders,
    catalog: Catalog | None = None,
    cutoff: Moment | None = None,
    config: EngineConfig | None = None,
    *,
    policy: Policy | None = None,
    peers: str = "all",
    protocol: Protocol | None = None,
    tell: Tell | None = None,
) -> Evaluation:
    """Return how good an engine fitted before the cutoff is on what came after it.

    Parameters
    ----------
    orders : Orders
        Both periods. Lines given away or wholly sent back do not count.
    catalog : Catalog, optional
        With it the engine is measured twice, with the catalogue and without. What is in stock
        today says nothing of the test period: it counts for the guards only.
    cutoff : moment, optional
        The first moment of the test period; default: the last fifth of the time span is test,
        from a midnight UTC on.
    config : EngineConfig, optional
    policy : Policy, optional
        In force on the lists and the decisions.
    peers : str
        ``all``, ``best`` (the strongest on the sets tried, for a quick look) or ``none``.
    protocol : Protocol, optional
        What is asked, and how much of it.
    tell : callable, optional
        Called with a word about what is measured next.

    Raises
    ------
    InvalidOrdersError
        If the orders cannot be split in two.
    InvalidConfigError
        If `cutoff`, `peers` or another argument is not as described.
    """
    check_peers(peers)
    setup, say = protocol or Protocol(), tell or silent
    bench = Bench.of(orders, cutoff, setup, config or EngineConfig(), catalog)
    notes = list(bench.notes)
    say("learning")
    subject = Subject.fit(orders, bench.split, bench.config, catalog, policy)
    plain = subject
    for task in bench.tasks.values():
        task.add_subject(OURS, subject)
    if catalog is not None:
        plain = Subject.fit(orders, bench.split, bench.config, None, policy)
        for task in bench.tasks.values():
            task.add_subject(PLAIN, plain)
    notes += bench.add_peers(peers, say)
    say("suppression")
    if peers != "none":
        notes += bench.repurchase.add_peers()
    repurchase = bench.repurchase.result(subject)
    say("guards")
    guards = {"without a catalogue": bench.guards(plain)}
    if catalog is not None:
        guards["with the catalogue"] = bench.guards(subject.stocked(catalog))
    ours = (OURS,) if catalog is None else (PLAIN, OURS)
    return Evaluation(
        bench.facts(orders, has_catalog=catalog is not None, peers=peers),
        {name: task.result(ours) for name, task in bench.tasks.items()},
        repurchase,
        guards,
        learned_gaps(subject),
        strong_pairs(subject),
        tuple(notes),
    )


def guards_of(
    orders: Orders,
    catalog: Catalog | None,
    cutoff: Moment | None = None,
    config: EngineConfig | None = None,
    *,
    protocol: Protocol | None = None,
) -> Guards:
    """Return every guard's count under one catalogue, stock included; see `evaluate`."""
    bench = Bench.of(orders, cutoff, protocol or Protocol(), config or EngineConfig())
    subject = Subject.fit(orders, bench.split, bench.config, catalog)
    return bench.guards(subject if catalog is None else subject.stocked(catalog))


def silent(_word: str) -> None:
    """Stand for nobody who listens."""


@dataclass(frozen=True, eq=False)
class Bench:
    """One split with its three tasks, ready to ask whatever answers.

    Parameters
    ----------
    split : Split
    protocol : Protocol
    config : EngineConfig
        With the horizon of task S.
    tasks : dict of str to ListTask
    repurchase : RepurchaseTask
    notes : tuple of str
    """

    split: Split
    protocol: Protocol
    config: EngineConfig
    tasks: dict[str, ListTask]
    repurchase: RepurchaseTask
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        orders: Orders,
        cutoff: Moment | None,
        protocol: Protocol,
        config: EngineConfig,
        catalog: Catalog | None = None,
    ) -> Bench:
        """Return the tasks of `orders` at `cutoff`.

        Raises
        ------
        InvalidOrdersError
            If the orders cannot be split, or nothing that counts lies before the cutoff.
        InvalidConfigError
            If the cutoff has no orders on one side.
        """
        if not isinstance(orders, Orders):
            raise InvalidOrdersError(
                f"orders: {type(orders).__name__} is no Orders; make one with read_orders or "
                "Orders.from_frame"
            )
        split = split_at(orders, cutoff_of(orders, cutoff), min_lines=protocol.min_lines)
        if not len(split.train):
            raise InvalidOrdersError(
                f"orders: every line before {to_rfc3339(split.cutoff)} was sent back or given "
                "away, so there is nothing to learn from; give a later cutoff"
            )
        horizon, notes = _horizon(split, protocol, config)
        groups = None if catalog is None else group_codes(split, catalog)
        tasks = {name: ListTask(name, split, protocol, groups) for name in TASKS}
        repurchase = RepurchaseTask(split, protocol, horizon)
        if horizon:
            config = replace(config, repurchase_horizon_days=horizon)
        notes += _said_of_size(tasks, repurchase)
        return cls(split, protocol, config, tasks, repurchase, tuple(notes))

    def add_peers(self, which: str, tell: Tell) -> list[str]:
        """Ask the peers of A and B; return a sentence for each that is left out."""
        if which == "none" or not any(len(task.queries) for task in self.tasks.values()):
            return []
        found = all_peers(
            self.split,
            most_ease_products=self.protocol.max_ease_products,
            only=BEST if which == "best" else (),
        )
        notes: list[str] = []
        for peer in found:
            if isinstance(peer, str):
                notes.append(peer)
            else:
                tell(peer.name)
                for task in self.tasks.values():
                    task.add_peer(peer)
        return notes

    def guards(self, subject: Subject) -> Guards:
        """Return every guard's count over the lists of A and B."""
        return count_guards(subject, self.tasks["A"].queries, self.tasks["B"].queries)

    def facts(self, orders: Orders, *, has_catalog: bool, peers: str) -> Facts:
        """Return what the evaluation rests on."""
        split, past = self.split, orders.before(self.split.cutoff)
        return Facts(
            first=to_rfc3339(int(orders.order_time[0])),
            cutoff=to_rfc3339(split.cutoff),
            last=to_rfc3339(orders.newest),
            n_train_lines=len(split.train),
            n_test_lines=len(split.test),
            n_train_orders=past.n_orders,
            n_customers=past.n_customers,
            n_products=int((split.n_lines() > 0).sum()),
            n_eligible=int(split.eligible.sum()),
            has_catalog=has_catalog,
            config=self.config.to_dict(),
            protocol=self.protocol.to_dict(),
            peers=peers,
        )


def _horizon(split: Split, protocol: Protocol, config: EngineConfig) -> tuple[float, list[str]]:
    """Return the horizon of task S, 0 where the test period is too short for any."""
    if not protocol.with_suppression:
        return 0.0, ["S is left out, as asked"]
    wanted = protocol.horizon_days or config.repurchase_horizon_days
    days = split.test_days
    if wanted <= days:
        return wanted, []
    if protocol.horizon_days is not None:
        return wanted, [_TOO_LONG.format(wanted, days)]
    if days < 1:
        return 0.0, ["S is left out: the test period is shorter than a day"]
    return float(int(days)), [_SHORTENED.format(int(days), wanted)]


_TOO_LONG = (
    "S asks for {:g} days, and the test period has {:.1f}: what is bought again after it is not "
    "seen, so that every probability looks too high"
)
_SHORTENED = "S asks for {} days, not {:g}: the test period is no longer than that"


def _said_of_size(tasks: dict[str, ListTask], repurchase: RepurchaseTask) -> list[str]:
    """Return a sentence for each task that is empty or sampled."""
    notes = []
    why = {
        "A": "no test order holds two products with enough order lines before the cutoff",
        "B": "no known customer bought something new after the cutoff",
    }
    for name, task in tasks.items():
        if not task.n_found:
            notes.append(f"{name} is empty: {why[name]}")
        elif len(task.queries) < task.n_found:
            seed = task.protocol.seed
            notes.append(
                f"{name} asks {len(task.queries):,} of {task.n_found:,} queries, drawn at random "
                f"(seed {seed})"
            )
    if repurchase.horizon_days and not len(repurchase.pairs):
        notes.append("S is empty: no known customer bought anything before the cutoff")
    elif not repurchase.is_empty and not repurchase.is_two_sided:
        again = "every" if repurchase.pairs.again.all() else "none"
        notes.append(f"S has no ranking: {again} of its pairs was bought again in time")
    if repurchase.customers_share < 1:
        notes.append(
            f"S looks at {repurchase.customers_share:.1%} of the customers, drawn at random, and "
            "its peers learn from them"
        )
    return notes
