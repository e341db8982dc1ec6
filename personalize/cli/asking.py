"""`personalize suppress` and `personalize recommend`: a table of answers, written as it comes.

Customers are asked about in parts, so that memory does not grow with their number. Orders in
files are asked by the library's own batch calls; a store is asked as the service asks it: its
orders, its catalogue, its policy, and what is due by now.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import typer

from personalize.artifact import ModelsDirectory
from personalize.cli import options
from personalize.cli.console import Advance, progress, say
from personalize.cli.policies import warn_of_unknown_types
from personalize.cli.present import now
from personalize.cli.reading import Reading, customer_ids
from personalize.engine import Engine
from personalize.live import Personalizer
from personalize.orders import Orders
from personalize.policy import Policy
from personalize.store import Store
from personalize.tables import table_endings
from personalize.tables.writing import write_batches
from personalize.times import MISSING, to_datetime

CUSTOMERS_AT_ONCE = 10_000
_TIME = pa.timestamp("us", "UTC")
SUPPRESSIONS = pa.schema(
    [
        ("customer_id", pa.large_string()),
        ("scope", pa.large_string()),
        ("target_id", pa.large_string()),
        ("reason", pa.large_string()),
        ("since", _TIME),
        ("until", _TIME),
        ("basis", pa.large_string()),
        ("repurchase_probability", pa.float64()),
    ]
)
PICKS = pa.schema(
    [
        ("customer_id", pa.large_string()),
        ("product_id", pa.large_string()),
        ("rank", pa.int64()),
        ("score", pa.float64()),
        ("reason", pa.large_string()),
        ("because_product_id", pa.large_string()),
    ]
)
MomentWord = Annotated[
    Literal["order_confirmation", "shipped", "follow_up", "ad", "browse"],
    typer.Option("--moment", help="Why we speak to the customer."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of which model, about whom, and where the answers go.

    Parameters
    ----------
    models : path
    version : str or None
        None: the current one.
    customers : path or None
        None: everyone with an order.
    as_of : datetime or None
        None: just after the newest order of files, now for a store.
    policy : path or None
        Of files; a store has its own.
    out : path
    picks : dict or None
        ``k``, ``moment``, ``include_due`` and ``fill`` of a recommendation; None asks for the
        suppression list.
    """

    models: Path
    version: str | None
    customers: Path | None
    as_of: dt.datetime | None
    policy: Path | None
    out: Path
    picks: dict[str, Any] | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the answer."""
        return SUPPRESSIONS if self.picks is None else PICKS


def suppress(
    *,
    models: options.ModelsFolder,
    out: options.OutFile,
    orders: options.OrderFiles = None,
    store: options.StoreUrl = None,
    customers: options.CustomersFile = None,
    version: options.Version = None,
    catalog: options.CatalogFile = None,
    policy: options.PolicyFile = None,
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
    """Write what each customer must not be shown, why, since when and until when."""
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
        beside=out,
    )
    question = Question(
        models=models,
        version=version,
        customers=customers,
        as_of=options.moment(as_of, timezone),
        policy=policy,
        out=out,
    )
    _answer(reading, store, question)


def recommend(
    *,
    models: options.ModelsFolder,
    out: options.OutFile,
    orders: options.OrderFiles = None,
    store: options.StoreUrl = None,
    customers: options.CustomersFile = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Products per customer.")] = 10,
    moment: MomentWord = "follow_up",
    include_due: Annotated[
        bool, typer.Option("--include-due", help="Also what is due to be bought again.")
    ] = False,
    fill: Annotated[
        bool, typer.Option("--fill/--no-fill", help="Fill short lists with what is popular.")
    ] = True,
    version: options.Version = None,
    catalog: options.CatalogFile = None,
    policy: options.PolicyFile = None,
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
    """Write what to show each customer, best first, with the reason."""
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
        beside=out,
    )
    question = Question(
        models=models,
        version=version,
        customers=customers,
        as_of=options.moment(as_of, timezone),
        policy=policy,
        out=out,
        picks={"k": k, "moment": moment, "include_due": include_due, "fill": fill},
    )
    _answer(reading, store, question)


def _answer(reading: Reading, store: str | None, question: Question) -> None:
    """Ask about every customer wanted, and write the rows as they come."""
    reading.choose(store)
    if store and (question.policy or reading.catalog_file):
        raise typer.BadParameter(
            "a store has its own policy and catalogue; `personalize import --store URL --policy "
            "FILE --catalog FILE` changes them"
        )
    _check_out(question.out)
    wanted = customer_ids(question.customers)
    directory = ModelsDirectory(question.models)
    engine = Engine.load(directory.path(question.version or directory.served()))
    n_rows = 0

    def counted(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        nonlocal n_rows
        yield question.schema.empty_table()  # the columns, also of an answer without rows
        for table in tables:
            n_rows += len(table)
            yield table

    with progress("asking", "customers") as advance:
        if store:
            with Store.open(store, create=False) as opened:
                tables = _from_store(engine, opened, wanted, question, advance)
                write_batches(counted(tables), question.out)
        else:
            tables = _from_files(engine, reading, wanted, question, advance)
            write_batches(counted(tables), question.out)
    say(f"{question.out}: {n_rows:,} rows, by model {engine.model_version}")


def _from_files(
    engine: Engine,
    reading: Reading,
    wanted: list[str] | None,
    question: Question,
    advance: Advance,
) -> Iterator[pa.Table]:
    """Yield the answers to parts of the customers, all as of the same moment."""
    policy = None if question.policy is None else Policy.read(question.policy)
    orders, catalog = reading.read_orders(), reading.read_catalog()
    if policy is not None and question.policy is not None:
        warn_of_unknown_types(policy, question.policy, engine.catalog, catalog)
    as_of = question.as_of
    if as_of is None and orders.newest != MISSING:
        as_of = to_datetime(orders.newest + 1)
    everyone = _customers(orders) if wanted is None else wanted
    done = 0
    for part in _parts(everyone):
        theirs = orders.for_customers(part)
        if question.picks is None:
            frame = engine.suppress(theirs, part, as_of, policy=policy, catalog=catalog)
        else:
            frame = engine.recommend(
                theirs, part, as_of=as_of, policy=policy, catalog=catalog, **question.picks
            )
        done += len(part)
        advance(done, len(everyone))
        yield pa.Table.from_pandas(frame, schema=question.schema, preserve_index=False)


def _from_store(
    engine: Engine,
    store: Store,
    wanted: list[str] | None,
    question: Question,
    advance: Advance,
) -> Iterator[pa.Table]:
    """Yield the answers to parts of the customers; without a moment, all as of the same now."""
    present = now()
    personalizer = Personalizer(store, engine, clock=lambda: present)
    parts = _stored(store) if wanted is None else _parts(wanted)
    done = 0
    for part in parts:
        rows: list[tuple[Any, ...]] = []
        for customer_id in part:
            if question.picks is None:
                rows.extend(personalizer.suppressions(customer_id, question.as_of))
            else:
                picks = personalizer.recommend(customer_id, as_of=question.as_of, **question.picks)
                rows.extend((customer_id, *pick) for pick in picks)
        done += len(part)
        advance(done, None if wanted is None else len(wanted))
        yield _table(rows, question.schema)


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    width = len(schema.names)  # what a pick tells beyond the columns is left out
    columns = zip(*(row[:width] for row in rows), strict=True) if rows else [()] * width
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _check_out(path: Path) -> None:
    """Refuse before the work is done what could not be written after it."""
    if not path.name.lower().endswith(table_endings()):
        raise typer.BadParameter(
            f"{path} ends in none of {', '.join(table_endings())}", param_hint="--out"
        )
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint="--out")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file", param_hint="--out")


def _customers(orders: Orders) -> list[str]:
    seen = np.unique(orders.order_customer)
    names: list[str] = orders.customer_ids.take(pa.array(seen[seen >= 0])).to_pylist()
    return names


def _parts(customers: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(customers), CUSTOMERS_AT_ONCE):
        yield customers[start : start + CUSTOMERS_AT_ONCE]


def _stored(store: Store) -> Iterator[list[str]]:
    after: str | None = None
    while part := store.customers(after, CUSTOMERS_AT_ONCE):
        yield part
        after = part[-1]
