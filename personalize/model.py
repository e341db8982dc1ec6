"""All that is learned, as one frozen value: fitted from orders, written to an artifact, read back.

It holds products and what was learned of them; it holds no customer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from personalize.artifact import Contents
from personalize.association import Association
from personalize.blocks import at_once
from personalize.catalog import Catalog, Product
from personalize.config import EngineConfig
from personalize.demand import Demand, Mix, Sales, Sold
from personalize.interactions import Interactions, kept_lines, number_products, product_nums
from personalize.likeness import Likeness
from personalize.mixing import learned_mix
from personalize.past import Past, cut_of
from personalize.products import ProductSpace
from personalize.purchases import Occasion, Purchases
from personalize.repurchase import (
    Curves,
    Level,
    Logistic,
    earlier_habits,
    fit_curves,
    fit_logistic,
    target_features,
)
from personalize.sorting import distinct
from personalize.substitutes import Substitutes, fit_substitutes
from personalize.suppression import SCOPES, LevelModel

if TYPE_CHECKING:
    import pyarrow as pa

    from personalize.orders import Orders

_LEVELS: Final = SCOPES
_TYPES: Final = "types_"


@dataclass(frozen=True, eq=False)
class Model:
    """What one fit learned.

    Parameters
    ----------
    config : EngineConfig
    as_of : int, microseconds UTC
        Facts before it were learned from.
    catalog : Catalog
        One row for every product that has a number.
    products, types : Association
        What is bought with what, by product and by product type.
    demand : Demand
    mix : Mix
        How far what comes next follows it.
    likeness : Likeness
        Which products are alike.
    levels : tuple of LevelModel
        Products, item groups and product types.
    substitutes : Substitutes
    counts : mapping of str to int
        Orders, lines, customers, products, item groups and product types learned from.
    metrics : mapping of str to float
        Training figures.
    """

    config: EngineConfig
    as_of: int
    catalog: Catalog
    products: Association
    types: Association
    demand: Demand
    mix: Mix
    likeness: Likeness
    levels: tuple[LevelModel, LevelModel, LevelModel]
    substitutes: Substitutes
    counts: Mapping[str, int]
    metrics: Mapping[str, float]
    past: Past | None = None
    """None in an artifact of an earlier release."""

    @cached_property
    def space(self) -> ProductSpace:
        """The model's products by number."""
        return ProductSpace.from_model(list(self.catalog.products()))

    @classmethod
    def fit(cls, orders: Orders, catalog: Catalog, config: EngineConfig, as_of: int) -> Self:
        """Return what orders that are already cut at `as_of` teach."""
        known = [product.product_id for product in catalog.products()]
        numbered = number_products(orders, known)
        catalog = _every_product(numbered, catalog)
        space = ProductSpace.from_model(list(catalog.products()))
        sensitive = [p.product_id for p in catalog.products() if p.sensitive]
        baskets: Interactions
        levels: Levels
        baskets, levels = at_once(
            lambda: Interactions.from_orders(orders, product_ids=known, sensitive=sensitive),
            lambda: _levels(orders, space, numbered),
        )
        types, (fitted, metrics, by_type, sold) = at_once(
            lambda: _type_baskets(baskets, space), lambda: _fit_levels(levels, as_of, config)
        )
        lines = (*baskets.lines(), len(space), config, as_of)
        in_basket = np.repeat(np.arange(baskets.n_baskets), np.diff(baskets.basket_indptr))
        of_type = space.array("type")[baskets.basket_products]
        sales, past, likeness, substitutes = at_once(
            lambda: Sales.of_lines(*lines),
            lambda: Past.fit(*lines, sold),
            lambda: Likeness.fit(space.products, baskets, config, as_of),
            lambda: fit_substitutes(
                by_type.occasions, by_type.orders, (in_basket, of_type), as_of, config
            ),
        )
        of_products, of_types, mix = at_once(
            lambda: Association.fit(baskets, config, as_of),
            lambda: Association.fit(types, config, as_of),
            lambda: learned_mix(baskets, config),
        )
        return cls(
            config=config,
            as_of=as_of,
            catalog=catalog,
            products=of_products,
            types=of_types,
            demand=Demand.of_sales(sales, config, as_of, mix),
            mix=mix,
            likeness=likeness,
            levels=fitted,
            substitutes=substitutes,
            counts=_counts(orders, space),
            metrics=metrics,
            past=past,
        )

    def refreshed(self, orders: Orders, as_of: int, past: Past | None = None) -> Model:
        """Return the model with the demand of orders that are already cut at `as_of`.

        With `past` they are those since its cut only.
        """
        import pyarrow as pa

        ids = pa.array(self.space.ids, pa.large_string())
        nums, times = kept_lines(orders, ids)
        is_sensitive = np.fromiter((p.sensitive for p in self.space.products), bool, len(ids))
        shown = ~is_sensitive[nums]  # as in `fit`, the others are bought unseen
        sales = Sales.of_lines(nums[shown], times[shown], len(ids), self.config, as_of)
        earlier: tuple[Sold | None, ...] = (None, None, None)
        if past is not None:
            sales, earlier = sales + past.sales(self.config, as_of), past.sold()
        levels = _levels(orders, self.space, ids)
        targets = [
            target_features(make(), as_of, old.curves, before)
            for old, make, before in zip(self.levels, levels, earlier, strict=True)
        ]
        demand = Demand.of_sales(sales, self.config, as_of, self.mix)
        return self._with(demand, targets, as_of)

    def _with(self, demand: Demand, targets: Sequence[NDArray[Any]], as_of: int) -> Model:
        first, second, third = (
            old._replace(targets=new) for old, new in zip(self.levels, targets, strict=True)
        )
        made = replace(self, demand=demand, levels=(first, second, third), as_of=as_of)
        vars(made)["space"] = self.space  # the same products: not laid out again
        return made

    def demand_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a refresh changes, by its name in the artifact."""
        targets = {
            f"{name}_features": level.targets
            for name, level in zip(_LEVELS, self.levels, strict=True)
        }
        return {**self.demand.arrays(), **targets}

    def with_demand(self, arrays: Mapping[str, NDArray[Any]], as_of: int) -> Model:
        """Return the model with the arrays of `demand_arrays` in place of its own.

        Raises
        ------
        KeyError
            If one of them is not there.
        """
        targets = [arrays[f"{name}_features"] for name in _LEVELS]
        return self._with(Demand.from_arrays(arrays), targets, as_of)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array by its name in the artifact."""
        out = {**self.products.arrays(), **self.demand.arrays(), **self.substitutes.arrays()}
        out |= self.likeness.arrays() | {"mix": np.array(self.mix)}
        out |= {_TYPES + name: array for name, array in self.types.arrays().items()}
        for name, level in zip(_LEVELS, self.levels, strict=True):
            out |= level.curves.arrays(name)
            out[f"{name}_weights"] = level.logistic.array()
            out[f"{name}_features"] = level.targets
        return out if self.past is None else out | self.past.arrays()

    @classmethod
    def from_contents(cls, contents: Contents) -> Self:
        """Return the model in an artifact's contents.

        Raises
        ------
        KeyError
            If an array that the model needs is not there.
        """
        arrays, manifest = contents.arrays, contents.manifest
        types = {
            name.removeprefix(_TYPES): array
            for name, array in arrays.items()
            if name.startswith(_TYPES)
        }
        catalog = Catalog.from_table(contents.tables["products"])
        n_types = int(manifest["counts"]["product_types"])
        first, second, third = (
            LevelModel(
                Curves.from_arrays(name, arrays, n_types if name != _LEVELS[2] else 0),
                Logistic.from_array(arrays[f"{name}_weights"]),
                arrays[f"{name}_features"],
            )
            for name in _LEVELS
        )
        return cls(
            config=EngineConfig.from_dict(manifest["config"]),
            as_of=int(manifest["as_of_micros"]),
            catalog=catalog,
            products=Association.from_arrays(arrays),
            types=Association.from_arrays(types),
            demand=Demand.from_arrays(arrays),
            mix=Mix(*arrays["mix"].tolist()),
            likeness=Likeness.from_arrays(arrays),
            levels=(first, second, third),
            substitutes=Substitutes.from_arrays(arrays),
            counts=manifest["counts"],
            metrics=manifest["metrics"],
            past=Past.from_arrays(arrays),
        )


def _every_product(numbered: pa.Array, catalog: Catalog) -> Catalog:
    """Return a catalogue with a row for every numbered product, known or not."""
    missing = [Product(each) for each in numbered.to_pylist() if each not in catalog]
    return Catalog(Catalog.from_products(missing).overlaid(catalog).frame)


def _counts(orders: Orders, space: ProductSpace) -> dict[str, int]:
    """Return what there was to learn from, for the manifest."""
    return {
        "orders": orders.n_orders,
        "lines": orders.n_lines,
        "customers": orders.n_customers,
        "products": len(space),
        "item_groups": len(space.groups),
        "product_types": len(space.types),
    }


def _type_baskets(baskets: Interactions, space: ProductSpace) -> Interactions:
    """Return the same baskets, holding product types in place of products."""
    import pyarrow as pa

    order = np.repeat(np.arange(baskets.n_baskets), np.diff(baskets.basket_indptr))
    kind = space.array("type")[baskets.basket_products]
    n_types = max(len(space.types), 1)
    cells = distinct(order[kind >= 0] * n_types + kind[kind >= 0])
    return Interactions.from_lines(
        pa.array(space.types, pa.large_string()),
        cells // n_types,
        cells % n_types,
        baskets.basket_time,
        np.where(baskets.basket_customer < baskets.n_customers, baskets.basket_customer, -1),
    )


Levels = tuple[Callable[[], Level], Callable[[], Level], Callable[[], Level]]
"""What makes each level: of a large shop there is room for few at a time."""


def _levels(orders: Orders, space: ProductSpace, numbered: pa.Array) -> Levels:
    """Return the purchases of known customers by product, item group and product type."""
    bought = Purchases.from_orders(orders)
    product = np.asarray(product_nums(orders.product_ids, numbered))[bought.product]
    group, kind = space.array("group"), space.array("type")

    def level(
        of: NDArray[Any],
        n: int,
        groups: NDArray[np.int64] | None,
        types: NDArray[np.int64] | None,
    ) -> Level:
        target = np.append(of, -1).astype(np.int32)[product]
        occasions = Occasion.from_lines(bought.customer, target, bought.at, bought.quantity, n)
        return Level(occasions, whole, groups, types, len(space.types) if types is not None else 0)

    nothing = np.zeros(len(bought.customer), dtype=np.int32)
    whole = Occasion.from_lines(bought.customer, nothing, bought.at, bought.quantity, 1)
    return (
        partial(level, np.arange(len(space)), len(space), group, kind),
        partial(level, group, len(space.groups), None, space.type_of_group),
        partial(level, kind, len(space.types), None, None),
    )


_Fitted = tuple[LevelModel, dict[str, float], Sold]


def _fit_levels(
    levels: Levels, as_of: int, config: EngineConfig
) -> tuple[tuple[LevelModel, LevelModel, LevelModel], dict[str, float], Level, list[Sold]]:
    """Return what is learned of each level, figures of it, the level of types, and past sales."""
    from threadpoolctl import threadpool_limits

    def fit(name: str, level: Level) -> _Fitted:
        curves = fit_curves(level, as_of, config)
        bought = level.occasions
        old = bought.at < cut_of(as_of)
        n_sold = np.bincount(bought.target[old], minlength=bought.n_targets)
        sold = Sold(n_sold, int(bought.at.min(initial=as_of)))
        logistic, facts = fit_logistic(level, habits, as_of, config)
        learned = LevelModel(curves, logistic, target_features(level, as_of, curves))
        return learned, {f"repurchase_{name}_{key}": n for key, n in facts.items()}, sold

    product, group, kind = levels
    made = [product()]
    habits = earlier_habits(made[0], as_of, config)
    types: list[Level] = []

    def fit_types() -> _Fitted:
        types.append(kind())
        return fit(_LEVELS[2], types[0])

    with threadpool_limits(1):  # in all threads until the last is done
        found = at_once(
            lambda: fit(_LEVELS[0], made.pop()),  # let go of as soon as it is done
            lambda: fit(_LEVELS[1], group()),
            fit_types,
        )
    (first, second, third), facts, sold = zip(*found, strict=True)
    return (first, second, third), facts[0] | facts[1] | facts[2], types[0], [*sold]
