"""The catalogue as it changes: products, each with the revision of its last change.

The revision is one counter over all products: it is the number of the last write that changed
something. A feed that repeats what is known changes nothing, so what was derived from the
catalogue stays valid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from personalize.catalog import Catalog, Product
from personalize.errors import InvalidCatalogError
from personalize.schema import normalise_type
from personalize.store.driver import Among, driver_of
from personalize.store.layout import products
from personalize.store.state import ID_RULE, is_id, is_text

_FIELDS = tuple(products.c[name] for name in Product._fields)
_IDS = ("product_id", "item_group_id")
_TEXTS = tuple(name for name in Product._fields if name not in ("price", "sensitive"))
_ALL = sa.select(*_FIELDS).order_by(products.c.product_id)
_ONE = sa.select(*_FIELDS).where(products.c.product_id == sa.bindparam("product_id"))
_SOME = Among(sa.select(*_FIELDS), products.c.product_id)
_SINCE = _ALL.where(products.c.revision > sa.bindparam("revision"))
_REVISION = sa.select(sa.func.coalesce(sa.func.max(products.c.revision), 0))


def canonical_products(given: Iterable[Product]) -> dict[str, Product]:
    """Return products by id in their one spelling; the last of one id counts.

    Raises
    ------
    InvalidCatalogError
        For an id or a price that is not allowed; nothing is stored then.
    """
    return {each.product_id: _canonical(each) for each in given}


def put(connection: sa.Connection, given: dict[str, Product]) -> int:
    """Store canonical products; return the revision, a new one if that changed anything."""
    driver = driver_of(connection)
    driver.lock(connection, "catalogue")
    known = {row[0]: Product(*row) for row in _SOME.rows(connection, given)}
    changed = [product for product_id, product in given.items() if known.get(product_id) != product]
    now = revision(connection)
    if not changed:
        return now
    driver.upsert(connection, products, [(*each, now + 1) for each in changed])
    return now + 1


def revision(connection: sa.Connection) -> int:
    """Return the revision of the last change; 0 if there is no product."""
    return int(connection.execute(_REVISION).scalar_one())


def changed_since(connection: sa.Connection, since: int) -> tuple[int, list[Product]]:
    """Return the revision and what changed after `since`: all of it if `since` is none of ours."""
    now = revision(connection)
    after = {"revision": since if since <= now else 0}
    return now, [Product(*row) for row in connection.execute(_SINCE, after)]


def product(connection: sa.Connection, product_id: str) -> Product | None:
    """Return one product, or None if it is unknown."""
    row = connection.execute(_ONE, {"product_id": product_id}).one_or_none()
    return None if row is None else Product(*row)


def catalog(connection: sa.Connection) -> Catalog:
    """Return all products."""
    found: Sequence[Product] = [Product(*row) for row in connection.execute(_ALL)]
    return Catalog.from_products(found)


def _canonical(given: Product) -> Product:
    for name in _TEXTS:
        value = getattr(given, name)
        is_needed = name == "product_id"
        if name in _IDS and (value is not None or is_needed) and not is_id(value):
            raise _refused(given, name, value, ID_RULE)
        if value is not None and not is_text(value):
            raise _refused(given, name, value, "Unicode text")
    price = None if given.price is None or math.isnan(given.price) else float(given.price)
    if price is not None and not 0 <= price < math.inf:
        raise _refused(given, "price", given.price, "0 or more, finite")
    path = given.product_type
    return given._replace(
        price=price,
        product_type=None if path is None else normalise_type(path) or None,
        sensitive=bool(given.sensitive),
    )


def _refused(product: Product, what: str, value: object, allowed: str) -> InvalidCatalogError:
    return InvalidCatalogError(
        f"product {product.product_id!r}: {what} is {value!r}; allowed is {allowed}; "
        "no product of this call was stored"
    )
