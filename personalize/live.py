"""The same questions against the live store: its orders, its catalogue, its policy.

This file decides which facts a question sees and when a change of policy, catalogue or model is in
force. What is suppressed or recommended is decided by the engine's view.

*Which facts.* An explicit `as_of` looks only at facts before it. Without one the question is about
now, and an order that a wrong clock dated ahead counts all the same: facts up to the customer's
newest order are seen, while ends and expiries use now.

*When.* A question is answered by one immutable view (model, policy, catalogue), which is looked
over at most once a second and replaced as a whole; an answer names the model of its view.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeVar

from personalize.catalog import Product
from personalize.errors import ArtifactError, PersonalizeError, UnknownProductError
from personalize.packing import pack
from personalize.purchases import OrderLine, PurchaseState
from personalize.suppression import unowned
from personalize.times import MISSING, Moment, to_micros
from personalize.view import MANY, View, check_list

if TYPE_CHECKING:
    from personalize.engine import Engine
    from personalize.packing import PackedState
    from personalize.ranking import Pick
    from personalize.store import Store, StoredOrder
    from personalize.suppression import Decision, Suppression

Row = TypeVar("Row")
Clock = Callable[[], "Moment | int"]
"""Returns the present: a moment, or microseconds since 1970 UTC."""

_ORDERED_AT: Final = itemgetter(OrderLine._fields.index("ordered_at"))

REBUILD_ABOVE: Final = 10_000
"""So many changed products at once are quicker to compile anew than to lay over the old."""


def system_clock() -> int:
    """Return the present in microseconds since 1970 UTC, from the machine's clock.

    The only place of the library that reads the time: a default that callers can replace.
    """
    return time.time_ns() // 1_000


class UnknownOrderError(PersonalizeError, LookupError):
    """An order that the store does not hold, or that belongs to another customer."""

    def __init__(self, order_id: str) -> None:
        super().__init__(
            f"order {order_id!r} is unknown, or of another customer; put the order first, or "
            "name its own customer"
        )
        self.order_id = order_id


@dataclass(frozen=True, slots=True)
class InForce:
    """What answers questions at one moment; replaced as a whole, never changed.

    Parameters
    ----------
    engine, view : Engine, View
        The judgement, and it under the policy and catalogue of these versions.
    policy_version, catalog_revision : int
    """

    engine: Engine
    view: View
    policy_version: int
    catalog_revision: int

    @property
    def model_version(self) -> str:
        """The model that answers."""
        return self.engine.model_version

    @property
    def tag(self) -> str:
        """What `complements` depends on, as one text: it changes when an answer may."""
        return f"{self.model_version} {self.policy_version} {self.catalog_revision}"


class Answer(list[Row]):
    """The rows of an answer; ``in_force`` is what answered, with its ``model_version``."""

    __slots__ = ("in_force",)

    def __init__(self, rows: Iterable[Row], in_force: InForce) -> None:
        super().__init__(rows)
        self.in_force = in_force

    @property
    def model_version(self) -> str:
        """The model that answered."""
        return self.in_force.model_version

    def product(self, product_id: str) -> Product | None:
        """Return what the catalogue that answered knows of a product."""
        return self.in_force.view.product(product_id)


class Personalizer:
    """Answers from a store's facts, policy and catalogue, and an engine's judgement.

    Safe to share between threads.

    Parameters
    ----------
    store : Store
    engine : Engine, optional
        Without one every question raises `ArtifactError`, until `use`.
    clock : callable, optional
        Returns the present; default: the machine's clock.
    refresh_seconds : float, optional
        How long a view may answer before a question asks the store for changes; None: no
        question does, whoever calls `refresh` does.

    Raises
    ------
    StoreError
        If the store cannot be reached.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine | None = None,
        *,
        clock: Clock = system_clock,
        refresh_seconds: float | None = 1.0,
    ) -> None:
        self.store = store
        self._clock = clock
        self._refresh_seconds = math.inf if refresh_seconds is None else refresh_seconds
        self._lock = threading.Lock()
        self._current: InForce | None = None
        self._next_look = 0.0
        self.use(engine)

    # What is in force -----------------------------------------------------------------------

    def use(self, engine: Engine | None) -> None:
        """Answer with `engine` from now on; questions under way end with the one before.

        Raises
        ------
        StoreError
            If the store cannot be reached; the engine before stays.
        """
        with self._lock:
            self._current = None if engine is None else self._compiled(engine)
            self._next_look = time.monotonic() + self._refresh_seconds

    def refresh(self) -> None:
        """Put changes of policy and catalogue in force now, not within a second.

        Raises
        ------
        StoreError
            If the store cannot be reached.
        """
        with self._lock:
            self._look()

    @property
    def in_force(self) -> InForce:
        """What answers questions now.

        Raises
        ------
        ArtifactError
            If there is no model.
        StoreError
            If the store was asked for changes and cannot be reached.
        """
        if time.monotonic() >= self._next_look and self._lock.acquire(blocking=False):
            try:  # whoever comes while one thread looks is answered from the view before
                self._look()
            finally:
                self._lock.release()
        current = self._current
        if current is None:
            raise ArtifactError(
                "model: there is none yet, so no question can be answered; run "
                "`personalize train`, or `personalize models use VERSION`"
            )
        return current

    @property
    def model_version(self) -> str | None:
        """The model in force, or None without one."""
        current = self._current
        return None if current is None else current.model_version

    @property
    def model_as_of(self) -> int | None:
        """The moment up to which the model in force learned, in microseconds UTC, or None."""
        current = self._current
        return None if current is None else current.engine.as_of

    def now(self) -> int:
        """Return the present by this object's clock, in microseconds since 1970 UTC."""
        return _micros(self._clock())

    def _look(self) -> None:
        self._next_look = time.monotonic() + self._refresh_seconds
        current = self._current
        if current is None:
            return
        version, _ = self.store.policy()
        revision = self.store.catalog_revision()
        if version != current.policy_version or revision < current.catalog_revision:
            self._current = self._compiled(current.engine)
        elif revision > current.catalog_revision:
            revision, changed = self.store.products_changed_since(current.catalog_revision)
            if len(changed) > REBUILD_ABOVE:
                self._current = self._compiled(current.engine)
            else:
                view = _warmed(current.view.with_products(changed))
                self._current = InForce(current.engine, view, version, revision)

    def _compiled(self, engine: Engine) -> InForce:
        version, policy = self.store.policy()
        revision = self.store.catalog_revision()  # before the catalogue: a change between is seen
        catalog = self.store.catalog()  # its rows count before the artifact's
        view = View.compiled(engine.model, policy, catalog, engine.model_version)
        return InForce(engine, _warmed(view), version, revision)

    # Questions ------------------------------------------------------------------------------

    def decide(
        self, customer_id: str, product_ids: Sequence[str], as_of: Moment | int | None = None
    ) -> Answer[Decision]:
        """Return whether a customer may be shown each product, in the order asked.

        Parameters
        ----------
        customer_id : str
        product_ids : sequence of str
        as_of : moment, or int microseconds UTC, optional
            Default: now.

        Raises
        ------
        ArtifactError
            If there is no model.
        StoreError
            If the store cannot be reached.
        InvalidConfigError
            If `product_ids` is no list of texts, or `as_of` no moment.
        """
        touched = self.touched(customer_id, product_ids, as_of)
        told = {decision.product_id: decision for decision in touched}
        rows = (told.get(each) or unowned(customer_id, each) for each in product_ids)
        return Answer(rows, touched.in_force)

    def touched(
        self, customer_id: str, product_ids: Sequence[str], as_of: Moment | int | None = None
    ) -> Answer[Decision]:
        """Return the decisions on which the customer's purchases may have a say, in their order.

        Of the products of `decide`, with its errors, these are few: of what is left out nothing
        like it was ever ordered, and its decision is `unowned`.
        """
        check_list(product_ids, "product_ids")
        in_force = self.in_force
        before, moment = self._times(as_of)
        packed = self._packed(customer_id, before, moment)
        return Answer(in_force.view.touched(packed, customer_id, product_ids, moment), in_force)

    def check(
        self, pairs: Iterable[tuple[str, str]], as_of: Moment | int | None = None
    ) -> Answer[Decision]:
        """Return a decision for each (customer, product), in the order asked.

        Parameters
        ----------
        pairs : iterable of (customer_id, product_id)
        as_of : moment, or int microseconds UTC, optional
            Default: now.

        Raises
        ------
        ArtifactError
            If there is no model.
        StoreError
            If the store cannot be reached.
        InvalidConfigError
            If `as_of` is no moment.
        """
        in_force = self.in_force
        before, moment = self._times(as_of)
        asked = list(pairs)
        products_of: dict[str, list[str]] = {}
        for customer_id, product_id in asked:
            products_of.setdefault(customer_id, []).append(product_id)
        told: dict[tuple[str, str], Decision] = {}
        for customer_id, packed in self._packed_each(products_of, before, moment).items():
            products = products_of[customer_id]
            for row in in_force.view.touched(packed, customer_id, products, moment):
                told[customer_id, row.product_id] = row
        return Answer((told.get(pair) or unowned(*pair) for pair in asked), in_force)

    def suppressions(
        self, customer_id: str, as_of: Moment | int | None = None
    ) -> Answer[Suppression]:
        """Return what a customer must not be shown: products, then groups, then types.

        Parameters
        ----------
        customer_id : str
        as_of : moment, or int microseconds UTC, optional
            Default: now.

        Raises
        ------
        ArtifactError
            If there is no model.
        StoreError
            If the store cannot be reached.
        InvalidConfigError
            If `as_of` is no moment.
        """
        in_force = self.in_force
        before, moment = self._times(as_of)
        state = self._state(customer_id, before, moment)
        return Answer(in_force.view.suppressions(state, moment), in_force)

    def recommend(
        self,
        customer_id: str | None = None,
        k: int = 10,
        as_of: Moment | int | None = None,
        *,
        moment: str = "follow_up",
        order_id: str | None = None,
        product_ids: Sequence[str] | None = None,
        exclude: Collection[str] = (),
        include_due: bool = False,
        fill: bool = True,
    ) -> Answer[Pick]:
        """Return what to show a customer, best first.

        Parameters
        ----------
        customer_id : str, optional
            Their history always counts; default: the customer of `order_id`, or nobody known.
        k : int, > 0
        as_of : moment, or int microseconds UTC, optional
            Default: now.
        moment : str
            Why we speak to them: ``order_confirmation``, ``shipped``, ``follow_up``, ``ad``,
            ``browse``.
        order_id : str, optional
            The order this message is about: what was bought in it for the customer is the anchor.
        product_ids : sequence of str, optional
            The anchors themselves, in place of `order_id`.
        exclude : collection of str
            Products that must not come.
        include_due : bool
            Whether what is due again may come.
        fill : bool
            Whether backed-off and popular products may fill the list.

        Raises
        ------
        UnknownOrderError
            If the store does not hold the order (before `as_of`), or it is of another customer.
        ArtifactError
            If there is no model.
        StoreError
            If the store cannot be reached.
        InvalidConfigError
            If `as_of` or `moment` is none.
        """
        in_force = self.in_force
        before, at = self._times(as_of)
        order = None
        if order_id is not None:
            order = self._order(order_id, customer_id, before)
            customer_id = order.customer_id
        if customer_id is not None:
            state = self._state(customer_id, before, at)
        else:
            lines = [] if order is None else _lines_of(order)
            state = PurchaseState.from_lines("", lines, _horizon(lines, before, at))
        if order is not None:
            product_ids, others = _anchors(order, before, at)
            exclude = {*exclude, *others}
        picks = in_force.view.recommend(
            state,
            k,
            at,
            moment=moment,
            anchors=product_ids,
            exclude=exclude,
            include_due=include_due,
            fill=fill,
        )
        return Answer(picks, in_force)

    def complements(self, product_id: str, k: int = 10, *, fill: bool = True) -> Answer[Pick]:
        """Return what goes with a product, best first; the same for everyone.

        Parameters
        ----------
        product_id : str
        k : int, > 0
        fill : bool
            Whether backed-off and popular products may fill the list.

        Raises
        ------
        UnknownProductError
            If neither the model nor the catalogue knows the product.
        ArtifactError
            If there is no model.
        StoreError
            If the store cannot be reached.
        """
        in_force = self.in_force
        if not in_force.view.knows(product_id):
            raise UnknownProductError(product_id)
        return Answer(in_force.view.complements([product_id], k, fill=fill), in_force)

    def _state(self, customer_id: str, before: int | None, moment: int) -> PurchaseState:
        """Return what one customer owns as a question of these times sees it."""
        return self._packed(customer_id, before, moment).unpacked(customer_id)

    def _packed(self, customer_id: str, before: int | None, moment: int) -> PackedState:
        """Return the same, packed."""
        if before is None:
            return self._now(customer_id, self.store.purchase_state(customer_id), moment)
        return _packed(customer_id, self.store.customer_lines(customer_id, before), before)

    def _packed_each(
        self, customer_ids: Collection[str], before: int | None, moment: int
    ) -> dict[str, PackedState]:
        """Return the same of each of many customers, read at one moment."""
        if before is None:
            found = self.store.purchase_states(customer_ids)
            return {each: self._now(each, packed, moment) for each, packed in found.items()}
        lines_of = self.store.lines_of_customers(customer_ids, before)
        return {each: _packed(each, lines, before) for each, lines in lines_of.items()}

    def _now(self, customer_id: str, packed: PackedState, moment: int) -> PackedState:
        """Return what one customer owns by all facts as it is at `moment`, which is now."""
        if moment >= packed.holds_from:
            return packed
        # A clock dated a return ahead: it has not happened, unless an order is ahead of it.
        lines = self.store.customer_lines(customer_id)
        return _packed(customer_id, lines, _horizon(lines, None, moment))

    def _times(self, as_of: Moment | int | None) -> tuple[int | None, int]:
        """Return the moment before which facts count (None: all do), and the one asked about."""
        if as_of is None:
            return None, self.now()
        moment = _micros(as_of)
        return moment, moment

    def _order(self, order_id: str, customer_id: str | None, before: int | None) -> StoredOrder:
        order = self.store.order(order_id, before)
        if order is None or (before is not None and order.ordered_at >= before):
            raise UnknownOrderError(order_id)
        if customer_id is not None and order.customer_id != customer_id:
            raise UnknownOrderError(order_id)
        return order


def _warmed(view: View) -> View:
    """Return the view after a first question of each kind: nobody waits for what it lays out."""
    nobody = PurchaseState.unknown("")
    for n in (1, MANY):
        view.decide(nobody, view.space.ids[:1] * n, 0)
    view.recommend(nobody, 1, 0, moment="browse")
    return view


def _packed(customer_id: str, lines: Sequence[OrderLine], horizon: int) -> PackedState:
    return pack(PurchaseState.from_lines(customer_id, lines, horizon))


def _micros(moment: Moment | int) -> int:
    return moment if isinstance(moment, int) else to_micros(moment)


def _lines_of(order: StoredOrder) -> list[OrderLine]:
    return [
        OrderLine(
            line.product_id,
            order.ordered_at,
            line.quantity,
            line.returned_quantity or 0,
            line.returned_at,
            line.gift,
            order.order_id,
        )
        for line in order.lines
    ]


def _horizon(lines: Sequence[OrderLine], before: int | None, moment: int) -> int:
    """Return the first moment that is not seen any more."""
    if before is not None:
        return before
    return max(moment, max(map(_ORDERED_AT, lines), default=MISSING) + 1)


def _anchors(order: StoredOrder, before: int | None, moment: int) -> tuple[list[str], list[str]]:
    """Return what was bought in the order for the customer, and what else was in it."""
    lines = _lines_of(order)
    state = PurchaseState.from_lines("", lines, _horizon(lines, before, moment))
    others = {line.product_id for line in lines}.difference(state.occasions)
    return sorted(state.occasions), sorted(others)
