"""The engine: fitted once from orders, then asked; holds judgement, never a customer.

Facts are handed in with every question, so an order placed a minute ago counts without a refit.
Tables in and out are described in docs/data-format.md, the formulas in docs/concepts.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from personalize.artifact import base_of, read_artifact, write_artifact
from personalize.catalog import Catalog
from personalize.config import EngineConfig
from personalize.errors import ArtifactError, InvalidConfigError, InvalidOrdersError
from personalize.model import Model
from personalize.policy import Policy
from personalize.purchases import PurchaseState
from personalize.suppression import Decision
from personalize.times import MISSING, Moment, to_micros, to_rfc3339
from personalize.view import ABOUT_AN_ORDER, View, check_k, check_list, check_moment

if TYPE_CHECKING:
    import pandas as pd

    from personalize.batch import Batch
    from personalize.orders import Orders

_KEPT_VIEWS = 4


@dataclass(frozen=True, eq=False, repr=False)
class Engine:
    """What was learned from order history, ready to answer; made by `fit` or `load`.

    Parameters
    ----------
    model : Model
    model_version : str
        The folder's name for a loaded engine, a digest for one that was just fitted.
    """

    model: Model
    model_version: str
    digest: str | None = None
    """Checksum of the artifact it was loaded from; None for one that was just fitted."""
    _views: list[tuple[Policy | None, Catalog | None, View]] = field(
        default_factory=list, repr=False
    )

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"Engine({self.model_version}, learned up to {to_rfc3339(self.as_of)} from "
            f"{counts['lines']:,} lines of {counts['customers']:,} customers, "
            f"{counts['products']:,} products)"
        )

    # --- life ---

    @classmethod
    def fit(
        cls,
        orders: Orders,
        catalog: Catalog | None = None,
        config: EngineConfig | None = None,
        as_of: Moment | None = None,
    ) -> Self:
        """Return an engine that learned from orders.

        Parameters
        ----------
        orders : Orders
        catalog : Catalog, optional
            Variants, types, availability; without it, there are only products.
        config : EngineConfig, optional
        as_of : moment, optional
            Orders and returns at or after it do not count; default: just after the newest order.

        Raises
        ------
        InvalidOrdersError
            If there is no order, or none before `as_of`.
        InvalidConfigError
            If `as_of` is no moment.
        """
        moment = _moment(orders, as_of)
        if not orders.n_lines:
            raise InvalidOrdersError("orders: no usable rows to learn from; see the problem report")
        _check_kind(catalog, Catalog, "catalog", "read_catalog or Catalog.from_frame")
        _check_kind(config, EngineConfig, "config", "EngineConfig or EngineConfig.from_dict")
        known = orders.before(moment)
        if not known.n_lines:
            raise InvalidOrdersError(
                f"orders: none of {orders.n_orders} orders lies before {to_rfc3339(moment)}; "
                "give orders to learn from, or a later as_of"
            )
        model = Model.fit(known, catalog or Catalog.empty(), config or EngineConfig(), moment)
        return cls(model, _digest(model))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the engine in an artifact folder, verified; its arrays are memory-mapped.

        Raises
        ------
        ArtifactError
            If the folder is missing, damaged, or from a newer version.
        """
        contents = read_artifact(path)
        if "refreshes" in contents.manifest:
            base = base_of(path, contents.manifest)
            return cls.load(base).with_demand(path)
        try:
            model = Model.from_contents(contents)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _broken_promise(path, error) from error
        version = str(contents.manifest.get("model_version") or Path(path).resolve().name)
        return cls(model, version, contents.manifest["sha256"])

    def save(self, path: str | Path) -> None:
        """Write the engine as an artifact folder, all or nothing.

        Raises
        ------
        ArtifactError
            If it cannot be written.
        """
        model = self.model
        manifest: dict[str, Any] = {
            "config": model.config.to_dict(),
            "as_of": to_rfc3339(model.as_of),
            "as_of_micros": model.as_of,
            "counts": dict(model.counts),
            "metrics": dict(model.metrics),
        }
        if "+" in self.model_version:
            manifest["model_version"] = self.model_version
        write_artifact(path, manifest, model.arrays(), {"products": model.catalog.frame})

    def refreshed(
        self, orders: Orders, as_of: Moment | None = None, *, recent: bool = False
    ) -> Engine:
        """Return a new engine with the demand of today, nothing else learned again.

        Parameters
        ----------
        orders : Orders
            All orders, or with `recent` those from `demand_since` on; those before `as_of` count.
        as_of : moment, optional
            Default: just after the newest order.
        recent : bool
            What was sold before is then taken from the artifact. The outcome is that of all
            orders, but for what has changed in older ones since the training.

        Raises
        ------
        ArtifactError
            With `recent`, if the artifact is of an earlier release, which kept no past sales.
        InvalidConfigError
            With `recent`, if `as_of` lies before the moment learned up to.
        InvalidOrdersError
            With `recent`, if an order lies before `demand_since`: it would count twice.
        """
        moment = _moment(orders, as_of)
        past = None
        if recent:
            self._check_recent(orders, moment)
            past = self.model.past
        model = self.model.refreshed(orders.before(moment), moment, past)
        version = self.model_version.partition("+")[0]
        return Engine(model, f"{version}+{to_rfc3339(moment).replace(':', '-')}", self.digest)

    def _check_recent(self, orders: Orders, moment: int) -> None:
        past = self.model.past
        if past is None:
            raise ArtifactError(
                f"model {self.model_version}: it was trained by an earlier release and holds no "
                "past sales to refresh demand with; train again"
            )
        if moment < past.as_of:
            raise InvalidConfigError(
                f"as_of: {to_rfc3339(moment)} lies before {to_rfc3339(past.as_of)}, up to which "
                f"model {self.model_version} was trained; give a later moment",
                field="as_of",
            )
        oldest = int(orders.order_time.min(initial=moment))
        if oldest < past.since:
            raise InvalidOrdersError(
                f"orders: the oldest is of {to_rfc3339(oldest)}, and what was sold before "
                f"{to_rfc3339(past.since)} is in model {self.model_version} already; give the "
                "orders from demand_since on, or all of them without recent=True"
            )

    @property
    def demand_since(self) -> int | None:
        """The first moment whose orders a refresh needs; None: all of them are needed."""
        return None if self.model.past is None else self.model.past.since

    def save_demand(self, path: str | Path, base: str) -> None:
        """Write what a refresh changed, a few arrays, as an artifact of its own.

        Parameters
        ----------
        path : path
            The folder, as `ModelsDirectory.refresh_path` says.
        base : str
            The version that was refreshed, which this artifact needs beside it.

        Raises
        ------
        ArtifactError
            If it cannot be written, or the refreshed engine was never saved.
        """
        if self.digest is None:
            raise ArtifactError(
                f"model {self.model_version}: it was refreshed from an engine that is not saved; "
                "save that one, load it, and refresh it"
            )
        model = self.model
        manifest = {
            "refreshes": base,
            "refreshes_sha256": self.digest,
            "as_of": to_rfc3339(model.as_of),
            "as_of_micros": model.as_of,
            "model_version": self.model_version,
        }
        write_artifact(path, manifest, model.demand_arrays(), {})

    def with_demand(self, path: str | Path) -> Self:
        """Return this engine with the demand that `save_demand` wrote; all else is shared.

        Raises
        ------
        ArtifactError
            If it is missing or damaged, or was made from another engine than this one.
        """
        contents = read_artifact(path)
        manifest = contents.manifest
        if self.digest is None or manifest.get("refreshes_sha256") != self.digest:
            raise ArtifactError(
                f"artifact {path}: it does not refresh model {self.model_version}, or another "
                "model of that name; refresh this one with `personalize refresh-demand`",
                path=path,
            )
        try:
            model = self.model.with_demand(contents.arrays, int(manifest["as_of_micros"]))
            return type(self)(model, str(manifest["model_version"]), self.digest)
        except (LookupError, TypeError, ValueError) as error:
            raise _broken_promise(path, error) from error

    @property
    def as_of(self) -> int:
        """The moment learned up to, microseconds UTC."""
        return self.model.as_of

    @property
    def config(self) -> EngineConfig:
        """The configuration fitted with."""
        return self.model.config

    @property
    def catalog(self) -> Catalog:
        """The catalogue of the artifact: every product it knows."""
        return self.model.catalog

    @property
    def counts(self) -> Mapping[str, int]:
        """What was learned from: orders, lines, customers, products, item groups, types."""
        return self.model.counts

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures of the fit."""
        return self.model.metrics

    def types(self) -> pd.DataFrame:
        """Return what was learned of each product type, before any policy.

        Returns
        -------
        DataFrame, one row per product type
            ``product_type``, ``is_one_per_need``, ``ratio`` (later orders with the type by its
            buyers, seen over expected by chance) with its 10% and 90% bounds ``lower`` and
            ``upper``, ``expected``, ``per_basket``, ``typical_gap_days`` (NaN: for good).
        """
        from personalize.type_table import type_table

        return type_table(self.model)

    def view(self, policy: Policy | None = None, catalog: Catalog | None = None) -> View:
        """Return the engine under a policy and a catalogue; the last few are kept.

        Parameters
        ----------
        policy : Policy, optional
            Default: everything as learned.
        catalog : Catalog, optional
            Counts product by product before the artifact's own.
        """
        _check_kind(catalog, Catalog, "catalog", "read_catalog or Catalog.from_frame")
        _check_kind(policy, Policy, "policy", "Policy.read or Policy.from_dict")
        for known_policy, known_catalog, view in self._views:
            if known_policy is policy and known_catalog is catalog:
                return view
        view = View.compiled(self.model, policy or Policy(), catalog, self.model_version)
        self._views.insert(0, (policy, catalog, view))
        del self._views[_KEPT_VIEWS:]
        return view

    # --- what goes with it ---

    def complements(
        self,
        baskets: pd.DataFrame,
        k: int = 10,
        *,
        catalog: Catalog | None = None,
        policy: Policy | None = None,
        fill: bool = True,
    ) -> pd.DataFrame:
        """Return what goes with each basket, the same for everyone.

        Parameters
        ----------
        baskets : DataFrame, one row per product in a basket
            ``basket_id``, ``product_id``. Unknown products are ignored.
        k : int
            Rows per basket at most.
        catalog : Catalog, optional
        policy : Policy, optional
        fill : bool
            Whether backed-off and popular products may fill a list up to `k`.

        Returns
        -------
        DataFrame, one row per pick
            ``basket_id``, ``product_id``, ``rank``, ``score``, ``reason``,
            ``because_product_id``, ``support`` (orders holding both), ``lift``.

        Raises
        ------
        InvalidConfigError
            If `k` is no list length or `baskets` lacks a column.
        """
        from personalize.batch import COMPLEMENT_COLUMNS, pick_table
        from personalize.columns import by_key, column

        check_k(k)
        view = self.view(policy, catalog)
        ids = column(baskets, "basket_id", "baskets")
        products = column(baskets, "product_id", "baskets")
        wanted = list(dict.fromkeys(ids))
        lists = (view.complements(each, k, fill=fill) for each in by_key(ids, products, wanted))
        return pick_table(wanted, lists, "basket_id")[list(COMPLEMENT_COLUMNS)]

    def recommend(
        self,
        orders: Orders,
        customers: Collection[str] | None = None,
        k: int = 10,
        as_of: Moment | None = None,
        *,
        moment: str = "follow_up",
        anchors: pd.DataFrame | None = None,
        exclude: Collection[str] | pd.DataFrame | None = None,
        catalog: Catalog | None = None,
        policy: Policy | None = None,
        include_due: bool = False,
        fill: bool = True,
    ) -> pd.DataFrame:
        """Return what to show each customer: nothing suppressed, nothing they own.

        Parameters
        ----------
        orders : Orders
            History; those before `as_of` count.
        customers : collection of str, optional
            Default: every customer of `orders`. An unknown one gets what is wanted now.
        k : int
            Rows per customer at most.
        as_of : moment, optional
            Default: just after the newest order.
        moment : str
            Why we speak: ``order_confirmation``, ``shipped``, ``follow_up``, ``ad``, ``browse``.
        anchors : DataFrame, optional
            ``customer_id``, ``product_id``: what the message is about. Default: the customer's
            newest order for ``order_confirmation`` and ``shipped``, else none.
        exclude : collection of str, or DataFrame[customer_id, product_id], optional
            Products nobody, or a customer, must be shown.
        catalog : Catalog, optional
        policy : Policy, optional
        include_due : bool
            Whether what is owned and has come due may lead the list.
        fill : bool
            Whether backed-off and popular products may fill a list up to `k`.

        Returns
        -------
        DataFrame, one row per pick
            ``customer_id``, ``product_id``, ``rank``, ``score``, ``reason``,
            ``because_product_id``.

        Raises
        ------
        InvalidConfigError
            If `k`, `moment` or a table is not as described.
        """
        from personalize.batch import Batch

        check_k(k)
        check_moment(moment)
        batch = Batch.of(self.view(policy, catalog), orders, _moment(orders, as_of))
        return batch.recommend(
            customers,
            k,
            seeds=_seeds(batch, anchors, moment),
            excluded=_excluded(exclude),
            include_due=include_due,
            fill=fill,
        )

    # --- what must not be shown ---

    def suppress(
        self,
        orders: Orders,
        customers: Collection[str] | None = None,
        as_of: Moment | None = None,
        *,
        policy: Policy | None = None,
        catalog: Catalog | None = None,
    ) -> pd.DataFrame:
        """Return the suppression list: what each customer must not be shown, and until when.

        Parameters
        ----------
        orders : Orders
            History; those before `as_of` count.
        customers : collection of str, optional
            Default: every customer of `orders`.
        as_of : moment, optional
            Default: just after the newest order.
        policy : Policy, optional
        catalog : Catalog, optional

        Returns
        -------
        DataFrame, one row per customer and target
            ``customer_id``, ``scope`` (product, item_group or product_type), ``target_id``,
            ``reason``, ``since``, ``until`` (NaT: for good), ``basis``,
            ``repurchase_probability`` of the target (NaN: never owned).
        """
        from personalize.batch import Batch

        batch = Batch.of(self.view(policy, catalog), orders, _moment(orders, as_of))
        return batch.suppress(customers)

    def check(
        self,
        pairs: pd.DataFrame,
        orders: Orders,
        as_of: Moment | None = None,
        *,
        policy: Policy | None = None,
        catalog: Catalog | None = None,
    ) -> pd.DataFrame:
        """Return whether each product must not be shown to each customer.

        Parameters
        ----------
        pairs : DataFrame
            ``customer_id``, ``product_id``.
        orders : Orders
            History; those before `as_of` count.
        as_of : moment, optional
            Default: just after the newest order.
        policy : Policy, optional
        catalog : Catalog, optional

        Returns
        -------
        DataFrame, the rows and index of `pairs`
            ``customer_id``, ``product_id``, ``suppress``, ``reason``, ``since``, ``until`` (NaT:
            for good, or not suppressed), ``basis``, ``repurchase_probability``.

        Raises
        ------
        InvalidConfigError
            If `pairs` lacks a column or an id.
        """
        from personalize.batch import Batch

        batch = Batch.of(self.view(policy, catalog), orders, _moment(orders, as_of))
        return batch.check(pairs)

    def decide(
        self,
        state: PurchaseState,
        product_ids: Sequence[str],
        as_of: Moment,
        *,
        policy: Policy | None = None,
        catalog: Catalog | None = None,
    ) -> list[Decision]:
        """Return the decision about each product for one customer; no table is built.

        The state says which facts count: make it for the moment that is asked about.

        Parameters
        ----------
        state : PurchaseState
        product_ids : sequence of str
        as_of : moment
        policy : Policy, optional
        catalog : Catalog, optional

        Raises
        ------
        InvalidConfigError
            If `state` is none, `product_ids` is one text, or `as_of` no moment.
        """
        _check_asked(state, product_ids, "product_ids")  # nothing dearer: this is the hot path
        return self.view(policy, catalog).decide(state, product_ids, to_micros(as_of))

    def explain(
        self,
        state: PurchaseState,
        product_id: str,
        as_of: Moment,
        *,
        anchors: Sequence[str] = (),
        policy: Policy | None = None,
        catalog: Catalog | None = None,
    ) -> dict[str, Any]:
        """Return the arithmetic behind a decision and behind a pick, as nested plain values.

        Parameters
        ----------
        state : PurchaseState
        product_id : str
        as_of : moment
        anchors : sequence of str
            What the message is about, if the pick is to be explained beside anchors.
        policy : Policy, optional
        catalog : Catalog, optional

        Returns
        -------
        dict
            ``model_version``; ``decision``, as from `decide`, times as text; ``scopes``, a dict
            for the product, its group and its one-per-need type, as far as something of it is
            owned: what is owned, the gap in days, until when it suppresses, the parts of the
            probability in log odds; ``pick``: whether it is ``is_recommendable`` (in stock and
            not sensitive), and how its score is made by the ``history`` and by the ``anchors``;
            None where nothing knows the product. Every key is in docs/python.md, with its unit.

        Raises
        ------
        InvalidConfigError
            If `state` is none, `anchors` is one text, or `as_of` no moment.
        UnknownProductError
            If nothing knows the product and the customer does not own it.
        """
        from personalize.explanation import explained

        _check_asked(state, anchors, "anchors")
        view = self.view(policy, catalog)
        return explained(view, state, product_id, to_micros(as_of), anchors)


def _broken_promise(path: str | Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"artifact {path}: what the manifest promises is not there ({error}); train again",
        path=path,
    )


def _check_kind(given: object, kind: type, argument: str, makers: str) -> None:
    if given is not None and not isinstance(given, kind):
        raise InvalidConfigError(
            f"{argument}: {type(given).__name__} is no {kind.__name__}; make one with {makers}",
            field=argument,
        )


def _check_asked(state: object, product_ids: object, argument: str) -> None:
    if not isinstance(state, PurchaseState):
        raise InvalidConfigError(
            f"state: {type(state).__name__} is no PurchaseState; make one with "
            "PurchaseState.from_orders(orders, customer_id, as_of)",
            field="state",
        )
    check_list(product_ids, argument)


def _moment(orders: Orders, as_of: Moment | None) -> int:
    """Return the moment a question is about; everything that takes orders passes here first."""
    from personalize.orders import Orders

    if not isinstance(orders, Orders):
        raise InvalidOrdersError(
            f"orders: {type(orders).__name__} is no Orders; make one with read_orders or "
            "Orders.from_frame"
        )
    if as_of is not None:
        return to_micros(as_of)
    return orders.newest + 1 if orders.newest != MISSING else 0


def _seeds(
    batch: Batch, anchors: pd.DataFrame | None, moment: str
) -> Callable[[list[str], NDArray[np.int64]], Sequence[NDArray[np.int64]]] | None:
    """Return what says which products each customer's message is about; None: about none."""
    if anchors is None:
        is_about_an_order = moment in ABOUT_AN_ORDER
        return (lambda _, codes: batch.newest_orders(codes)) if is_about_an_order else None
    from personalize.columns import by_key, column

    keys = column(anchors, "customer_id", "anchors")
    products = column(anchors, "product_id", "anchors")
    return lambda ids, _: [batch.view.numbers(each) for each in by_key(keys, products, ids)]


def _excluded(
    exclude: Collection[str] | pd.DataFrame | None,
) -> Callable[[list[str]], Sequence[Collection[str]]] | Collection[str]:
    """Return what nobody must be shown, or what says so of each customer."""
    import pandas as pd

    from personalize.columns import by_key, column, listed

    if not isinstance(exclude, pd.DataFrame):
        return () if exclude is None else frozenset(listed(exclude, "product_id", "exclude"))
    keys = column(exclude, "customer_id", "exclude")
    products = column(exclude, "product_id", "exclude")
    return lambda ids: by_key(keys, products, ids)


def _digest(model: Model) -> str:
    """Return a name for a model that was not saved: the same bytes have the same name."""
    found = hashlib.sha256(repr(sorted(model.config.to_dict().items())).encode())
    for name, array in sorted(model.arrays().items()):
        found.update(name.encode())
        found.update(array.tobytes())
    found.update(model.catalog.frame.to_json().encode())
    return f"unsaved-{found.hexdigest()[:12]}"
