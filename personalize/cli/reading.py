"""Read what a command is given, say what was read, and put aside what was rejected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import typer

from personalize.catalog import Catalog, read_catalog
from personalize.cells import ColumnTypeError, read_ids
from personalize.cli.console import progress, tell, warn
from personalize.cli.wording import in_options
from personalize.errors import InvalidConfigError, Problem
from personalize.orders import Orders, read_orders
from personalize.store import Store
from personalize.tables import Rejects, TableError, open_parts, readable
from personalize.times import to_rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a command reads its orders and its catalogue from, and how.

    Parameters
    ----------
    files : sequence of path
        Orders.
    catalog_file : path or None
    columns, catalog_columns : mapping of source column to our name, or None
    timezone : str
        Zone of times that name none.
    returns : str
        ``columns`` or ``negative-rows``, also written ``negative_rows``.
    not_products : str or None
        Lines of product ids that match are left out.
    encoding : str
        Of CSV files, orders and catalogue.
    strict : bool
        Stop at bad rows.
    rejects : path or None
        Where rejected rows go.
    beside : path
        What the command writes: rejected rows go next to it when `rejects` is None.
    """

    files: Sequence[Path] = ()
    catalog_file: Path | None = None
    columns: Mapping[str, str] | None = None
    catalog_columns: Mapping[str, str] | None = None
    timezone: str = "UTC"
    returns: str = "columns"
    not_products: str | None = None
    encoding: str = "utf-8"
    strict: bool = False
    rejects: Path | None = None
    beside: Path = Path("personalize")

    def choose(self, store: str | None) -> None:
        """Check that orders come either from files or from `store`, and options with them.

        Raises
        ------
        typer.BadParameter
            If both or none were given, or an option that only files take came with a store.
        """
        if bool(self.files) == bool(store):
            seen = "both" if store else "neither"
            raise typer.BadParameter(f"give --orders FILE... or --store URL; got {seen}")
        given = {
            "--map": self.columns,
            "--not-products": self.not_products,
            "--returns": self.returns != "columns",
        }
        extra = [option for option, value in given.items() if value]
        if store and extra:
            raise typer.BadParameter(
                f"{extra[0]} says how files are read; a store holds what import read"
            )

    def read_orders(self) -> Orders:
        """Return the orders of the files, after a report on stderr.

        Raises
        ------
        InvalidOrdersError
            If they cannot be read; with `strict`, for any bad row.
        """
        with progress("reading orders", "rows") as advance:
            orders = read_orders(
                list(self.files),
                self.columns,
                strict=self.strict,
                timezone=self.timezone,
                returns="columns" if self.returns == "columns" else "negative_rows",
                not_products=self.not_products,
                progress=advance,
                encoding=self.encoding,
            )
        tell_orders(orders, self.returns)
        self._report(orders.problems, orders.rejected, "orders")
        return orders

    def read_catalog(self) -> Catalog | None:
        """Return the catalogue file's products, after a report on stderr; None without a file.

        Raises
        ------
        InvalidCatalogError
            If it cannot be read; with `strict`, for any bad row.
        """
        if self.catalog_file is None:
            return None
        catalog = read_catalog(
            self.catalog_file, self.catalog_columns, strict=self.strict, encoding=self.encoding
        )
        groups = catalog.frame["item_group_id"].nunique()
        types = catalog.frame["product_type"].nunique()
        tell(f"catalogue: {len(catalog):,} products, {groups:,} groups, {types:,} types")
        self._report(catalog.problems, catalog.rejected, "products")
        return catalog

    def _report(self, problems: Sequence[Problem], rejected: Rejects | None, what: str) -> None:
        for problem in problems:
            warn(in_options(problem.message))
        if rejected is not None and len(rejected):
            file = self._rejects_file(what)
            file.parent.mkdir(parents=True, exist_ok=True)
            rejected.write(file)
            warn(f"{what}: {len(rejected):,} rejected rows, each with its reason, are in {file}")
        elif self.rejects is None:
            self._rejects_file(what).unlink(missing_ok=True)  # an earlier run's would mislead

    def _rejects_file(self, what: str) -> Path:
        if self.rejects is None:
            return self.beside.with_name(f"{self.beside.name}.rejected-{what}.csv")
        if what == "orders":
            return self.rejects
        return self.rejects.with_name(f"{what}-{self.rejects.name}")


def read_facts(reading: Reading, store: str | None) -> tuple[Orders, Catalog | None]:
    """Return orders and catalogue; a catalogue file is laid over the store's catalogue.

    Raises
    ------
    InvalidOrdersError, InvalidCatalogError
        If the files cannot be read.
    StoreError
        If there is no such store.
    """
    if store is None:
        return reading.read_orders(), reading.read_catalog()
    with Store.open(store, create=False) as opened:
        facts, stored = opened.orders(), opened.catalog()
    tell_orders(facts)
    file = reading.read_catalog()
    return facts, stored if file is None else stored.overlaid(file)


def tell_orders(orders: Orders, returns: str = "columns") -> None:
    """Say on stderr what orders hold: lines, orders, customers, days, returns."""
    tell(_orders_line(orders))
    tell(_returns_line(orders, returns))


def customer_ids(file: Path | None) -> list[str] | None:
    """Return the customers that a file names, once each, in its order; None without a file.

    Raises
    ------
    InvalidConfigError
        If the file cannot be read, has no column ``customer_id``, or holds what is no id.
    """
    if file is None:
        return None
    try:
        columns = _lines(file) if file.suffix.lower() == ".txt" else _columns(file)
        return list(dict.fromkeys(text for column in columns for text in _ids(column, file)))
    except ColumnTypeError as error:
        told = f"customers: column customer_id of {file} {error}"
        raise InvalidConfigError(told, field="customers") from error
    except TableError as error:
        raise InvalidConfigError(f"customers: {error}", field="customers") from error


def _lines(file: Path) -> Iterator[pa.Array]:
    with readable(str(file)), file.open(encoding="utf-8-sig", newline="") as text:
        # No splitlines(), which also splits at what may stand within an id.
        lines = text.read().replace("\r\n", "\n").split("\n")
    yield pa.array(lines, pa.large_string())


def _columns(file: Path) -> Iterator[pa.ChunkedArray]:
    for part in open_parts(file, ("customer_id",)):
        if "customer_id" not in part.columns:
            raise TableError(
                f"{file} has no column customer_id, only {', '.join(part.columns)}; rename one, "
                "or give a .txt of one id per line"
            )
        for batch in part.batches(["customer_id"]):
            for row, seen in batch.unreadable:
                raise TableError(f"{file} cannot be read at row {row:,} ({seen}); mend that row")
            yield batch.table["customer_id"]


def _ids(column: pa.ChunkedArray | pa.Array, file: Path) -> Iterator[str]:
    """Yield the ids of a column as the readers of orders read them."""
    found = read_ids(column, placeholders=True)
    for fault in sorted(found.faults):
        value = str(column[int(found.faults[fault].argmax())].as_py())
        raise TableError(
            f"{file} names {value[:40]!r}, which is no id ({fault.replace('_', ' ')}); "
            "write ids as the orders have them"
        )
    words = found.words.to_pylist()
    yield from (words[code] for code in found.codes if code >= 0)


def _orders_line(orders: Orders) -> str:
    line = (
        f"orders: {orders.n_lines:,} lines in {orders.n_orders:,} orders of "
        f"{orders.n_customers:,} customers, {len(orders.product_ids):,} products"
    )
    if not orders.n_orders:
        return line
    first, last = (to_rfc3339(int(orders.order_time[at]))[:10] for at in (0, -1))
    return f"{line}, {first} to {last}"


def _returns_line(orders: Orders, returns: str) -> str:
    n_lines = int((orders.returned_quantity > 0).sum())
    line = f"returns: {n_lines:,} lines sent back, in part or all"
    if returns == "columns":
        return line
    return (
        f"{line}; of the return rows, {orders.n_returns_matched:,} found their purchase, "
        f"{orders.n_returns_unmatched:,} did not"
    )
