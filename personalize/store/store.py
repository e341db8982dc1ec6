"""Store: the facts on disk, behind one class.

This file decides what is one transaction; what is in it, the other files of the package decide.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from personalize.catalog import Catalog, Product
from personalize.errors import StoreError
from personalize.packing import PackedState
from personalize.policy import Policy
from personalize.purchases import OrderLine
from personalize.store import catalogue, keys, lines, orders, policies, purchase_states
from personalize.store.database import Database
from personalize.store.driver import driver_of
from personalize.store.keys import KeyRecord
from personalize.store.opening import open_database
from personalize.store.orders import Versioned
from personalize.store.patience import Patience
from personalize.store.state import (
    Adjustment,
    OrderSnapshot,
    StoredOrder,
    canonical_adjustment,
    canonical_snapshot,
    snapshot_version,
    tombstone,
)

if TYPE_CHECKING:
    from personalize.orders import Orders
    from personalize.store.transfer import ImportReport, Progress


class Store:
    """The facts of a shop: orders, returns, products, and beside them its policy and keys.

    What is written is durable when the call returns, and every later read, in any process, sees
    it. One store may be shared by threads and several processes may have it open: reads run side
    by side; writes one after the other in a file, and in PostgreSQL where they touch the same.
    Close it when no thread uses it any more.

    Every method can raise `StoreError`: the database cannot be reached, does not answer within the
    store's `Patience`, is locked by another process for too long, or the store is closed.

    Examples
    --------
    >>> import tempfile
    >>> from personalize.store import OrderSnapshot, SnapshotLine, Store
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Store.open(f"sqlite:///{folder.name}/shop.db") as store:
    ...     coat = SnapshotLine("coat-1", 1)
    ...     _ = store.put_order(OrderSnapshot("o-1", "c-1", 0, 0, lines=(coat,)))
    ...     [line.product_id for line in store.customer_lines("c-1")]
    ['coat-1']
    >>> folder.cleanup()
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._purchase_state = purchase_states.StateOf(database)
        self._purchase_states = purchase_states.StatesOf(database)
        self._scopes_of = keys.ScopesOf(database)

    @classmethod
    def open(
        cls,
        url: str = "sqlite:///shop.db",
        *,
        create: bool = True,
        patience: Patience | None = None,
    ) -> Self:
        """Return the store at `url`, its tables made or brought up to date.

        Parameters
        ----------
        url : str
            ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db`` or
            ``postgresql://user@host/database?schema=shop``.
        create : bool
            False: there must be a store already.
        patience : Patience, optional
            How long to wait for the database before saying that it does not answer.

        Raises
        ------
        StoreError
            If it cannot be opened, is no store of ours, or was written by a newer version.
        """
        return cls(open_database(url, create=create, patience=patience or Patience()))

    @property
    def url(self) -> str:
        """Where the store is, without a password."""
        return self._database.url

    @property
    def is_embedded(self) -> bool:
        """Whether a read stays in this process: microseconds, and no network that may fail."""
        return self._database.url.startswith("sqlite")

    def close(self) -> None:
        """Close the store; nothing is left open, or beside its file. Closing twice does no harm."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ping(self) -> None:
        """Ask the database for something small; raise `StoreError` if it does not answer."""
        self.catalog_revision()

    def is_ready(self) -> bool:
        """Return whether the database answers."""
        try:
            self.ping()
        except StoreError:
            return False
        return True

    def takes_writes(self) -> bool:
        """Return whether the database takes writes, as far as it says; a replica takes none."""
        return self._database.read(lambda each: driver_of(each).takes_writes(each))

    def put_order(self, snapshot: OrderSnapshot) -> bool:
        """Store an order as its source knows it; return whether it is now the order's state.

        The same snapshot again changes nothing and is the state still: True. One that is older
        than what is stored (at equal times: of a smaller content hash) is left out: False. A
        snapshot without lines deletes the order.

        Raises
        ------
        InvalidOrdersError
            For an id, time, quantity or price that is not allowed.
        """
        return self.put_orders([snapshot])[0]

    def put_orders(self, snapshots: Sequence[OrderSnapshot]) -> list[bool]:
        """Store many orders in one transaction: all or none; see `put_order`.

        Raises
        ------
        InvalidOrdersError
            For the first value that is not allowed; nothing is stored then.
        """
        canonical = [canonical_snapshot(each) for each in snapshots]
        versioned = [Versioned(each, snapshot_version(each)) for each in canonical]
        return self._database.write(orders.put, versioned)

    def delete_order(self, order_id: str, updated_at: int) -> bool:
        """Delete an order as of `updated_at` (microseconds UTC); return whether it is deleted.

        False: the store has a newer snapshot. What stays is the id and the time, so that an
        older snapshot that arrives later does not bring the order back.

        Raises
        ------
        InvalidOrdersError
            If the id or the time is not allowed.
        """
        return self.put_order(tombstone(order_id, updated_at))

    def adjust(self, adjustment: Adjustment) -> bool:
        """Store an adjustment, also before its order; return whether its id now stands for it.

        False: another content under this id is newer. It has no effect while the order lacks its
        products, or where the newest snapshot already told the returns of its time.

        Raises
        ------
        InvalidOrdersError
            For an id, time or quantity that is not allowed.
        """
        canonical = canonical_adjustment(adjustment)
        return self._database.write(orders.adjust, canonical)

    def order(self, order_id: str, as_of: int | None = None) -> StoredOrder | None:
        """Return an order as it stands, adjustments included; None if unknown or deleted.

        With `as_of` (microseconds UTC) only adjustments before it count, as in `customer_lines`.
        """
        return self._database.read(orders.order, order_id, as_of)

    def customer_lines(self, customer_id: str, as_of: int | None = None) -> list[OrderLine]:
        """Return all lines of a customer, sorted by time, order and product: one indexed read.

        Parameters
        ----------
        customer_id : str
        as_of : int, microseconds UTC, optional
            Only adjustments before it count, at the cost of further reads; default: all count.
            Lines that were ordered or returned later stay: whoever asks leaves them out.
        """
        return self.lines_of_customers([customer_id], as_of)[customer_id]

    def purchase_state(self, customer_id: str) -> PackedState:
        """Return what a customer owns and sent back, by all facts: one short indexed read."""
        return self._purchase_state(customer_id)

    def purchase_states(self, customer_ids: Collection[str]) -> dict[str, PackedState]:
        """Return the same of each of many customers, read at one moment."""
        return self._purchase_states(customer_ids)

    def lines_of_customers(
        self, customer_ids: Collection[str], as_of: int | None = None
    ) -> dict[str, list[OrderLine]]:
        """Return the lines of each of many customers; an empty list for one without.

        With `as_of` (microseconds UTC) only adjustments before it count, as in `customer_lines`.
        """
        return self._database.read(lines.of_customers, customer_ids, as_of)

    def customers(self, after: str | None = None, limit: int = 1000) -> list[str]:
        """Return up to `limit` ids of customers with orders, sorted, from behind `after` on."""
        return self._database.read(purchase_states.customers, after, limit)

    def check(self) -> list[str]:
        """Return the customers whose purchase state is not what their lines give, sorted.

        There are none, unless somebody wrote into the tables past this class, or with a version
        that knew no purchase states. `repair` puts it right.
        """
        return self._database.export(lambda each: list(purchase_states.differing(each)))

    def repair(self) -> None:
        """Pack anew what every customer owns, from their lines; writers wait meanwhile."""
        self._database.load(purchase_states.rebuild)

    def import_orders(self, given: Orders, *, progress: Progress | None = None) -> ImportReport:
        """Store every order of a table; the result is that of putting each.

        It is written in parts, each durable by itself: an import that was cut off is simply
        repeated. Whether the orders tell returns is ``given.carries_returns``; an order with
        something returned tells them in any case.

        Parameters
        ----------
        given : Orders
        progress : callable of (done, total), optional
            Called after every part, in orders.
        """
        from personalize.store import transfer

        done = applied = 0
        for part in transfer.snapshots(given):
            applied += sum(self._database.load(orders.put, part))
            done += len(part)
            if progress is not None:
                progress(done, given.n_orders)
        return transfer.ImportReport(done, given.n_lines, applied, done - applied)

    def orders(self, since: int | None = None) -> Orders:
        """Return all orders as they stand, for training; deleted ones are absent.

        With `since` (microseconds UTC) only those that were ordered then or later.
        """
        from personalize.store import transfer

        return self._database.export(transfer.read, since)

    def put_products(self, products: Sequence[Product]) -> int:
        """Store products, each as a whole; return the catalogue's revision.

        The revision grows by one if anything changed, and stays if nothing did.

        Raises
        ------
        InvalidCatalogError
            For an id or price that is not allowed; nothing is stored then.
        """
        canonical = catalogue.canonical_products(products)
        return self._database.write(catalogue.put, canonical)

    def import_catalog(self, catalog: Catalog) -> int:
        """Store every product of a catalogue, as `put_products`; products it lacks stay."""
        canonical = catalogue.canonical_products(catalog.products())
        return self._database.load(catalogue.put, canonical)

    def product(self, product_id: str) -> Product | None:
        """Return one product, or None if it is unknown."""
        return self._database.read(catalogue.product, product_id)

    def catalog(self) -> Catalog:
        """Return the catalogue as it stands."""
        return self._database.export(catalogue.catalog)

    def catalog_revision(self) -> int:
        """Return the number of the catalogue's last change; 0 if it is empty."""
        return self._database.read(catalogue.revision)

    def products_changed_since(self, revision: int) -> tuple[int, list[Product]]:
        """Return the catalogue's revision and what changed after `revision`, sorted by id.

        A `revision` from the future (the store was put back to an older state) gets everything.
        """
        return self._database.read(catalogue.changed_since, revision)

    def policy(self) -> tuple[int, Policy]:
        """Return the version of the policy in force, and the policy; version 0 is the empty one."""
        return self._database.read(policies.newest)

    def put_policy(self, policy: Policy, *, created_at: int | None = None) -> int:
        """Put a policy in force; return its version, that in force if it is the same."""
        return self._database.write(policies.put, policy, created_at)

    def create_key(self, name: str, scopes: Collection[str], *, created_at: int) -> str:
        """Return the secret of a new key; only its hash is stored, so it is shown this once.

        Parameters
        ----------
        name : str
            Who uses it.
        scopes : collection of str
            Of ``ingest``, ``decide``, ``export`` and ``admin``; none implies another.
        created_at : int, microseconds UTC

        Raises
        ------
        InvalidConfigError
            For an empty name, no scope or an unknown one.
        """
        return self._database.write(keys.create, name, scopes, created_at)

    def keys(self) -> list[KeyRecord]:
        """Return all keys without their secrets, revoked ones too, oldest first."""
        return self._database.read(keys.records)

    def revoke_key(self, key_id: int) -> bool:
        """Make a key worthless at once; return whether there is such a key."""
        return self._database.write(keys.revoke, key_id)

    def scopes_of(self, secret: str) -> frozenset[str] | None:
        """Return what a secret allows; None if it is unknown or revoked."""
        return self._scopes_of(secret)
