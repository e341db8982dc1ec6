"""Products, policy and keys in the store."""

from __future__ import annotations

import pandas as pd
import pytest
import sqlalchemy as sa

from personalize.catalog import Catalog, Product
from personalize.errors import InvalidCatalogError, InvalidConfigError
from personalize.policy import Policy
from personalize.store import KeyRecord, Store
from personalize.store.driver import Access
from personalize.store.layout import api_keys

COAT = Product(
    "coat", "g", "A coat", "Apparel > Coats", "B", 99.0, "EUR", "in_stock", "l", "i", True
)
TIE = Product("tie")


def test_product_comes_back_as_it_was_put(store: Store) -> None:
    """A product is read back whole; unknown fields stay unknown."""
    store.put_products([COAT, TIE])
    assert store.product("coat") == COAT
    assert store.product("tie") == TIE
    assert store.product("sock") is None
    assert store.product("coat").sensitive is True


def test_product_is_replaced_as_a_whole(store: Store) -> None:
    """The last of one id counts, in one call and over calls; nothing of the old one stays."""
    store.put_products([COAT, COAT._replace(price=1.0)])
    assert store.product("coat").price == 1.0
    store.put_products([Product("coat", title="Another")])
    assert store.product("coat") == Product("coat", title="Another")


def test_revision_grows_with_changes(store: Store) -> None:
    """The revision is 0 at first, grows by one with every write that changes something."""
    assert store.catalog_revision() == 0
    assert store.put_products([COAT, TIE]) == 1
    assert store.put_products([COAT]) == 1
    assert store.put_products([COAT, TIE._replace(availability="out_of_stock")]) == 2
    assert store.put_products([]) == 2
    assert store.catalog_revision() == 2


def test_changes_since_a_revision(store: Store) -> None:
    """Only what changed after the revision comes, sorted, with the revision to ask from next."""
    store.put_products([COAT, TIE])
    assert store.products_changed_since(0) == (1, [COAT, TIE])
    store.put_products([COAT, Product("belt"), TIE._replace(price=2)])
    assert store.products_changed_since(1) == (2, [Product("belt"), TIE._replace(price=2.0)])
    assert store.products_changed_since(2) == (2, [])


def test_changes_since_the_future_are_everything(store: Store) -> None:
    """A revision the store never had, as after restoring a backup, gets all products."""
    store.put_products([COAT])
    assert store.products_changed_since(7) == (1, [COAT])


def test_catalog_is_imported_over_what_is_there(store: Store) -> None:
    """An imported catalogue replaces its own products; others stay; it is one change."""
    store.put_products([COAT, TIE])
    catalog = Catalog.from_products([COAT._replace(title="New"), Product("belt", price=3.0)])
    assert store.import_catalog(catalog) == 2
    expected = Catalog.from_products([COAT, TIE]).overlaid(catalog)
    pd.testing.assert_frame_equal(store.catalog().frame, expected.frame)


def test_empty_catalog(store: Store) -> None:
    """A store without products has an empty catalogue."""
    assert len(store.catalog()) == 0


def test_product_is_brought_into_one_spelling(store: Store) -> None:
    """A category path is normalised, NaN is no price, and neither counts as a change later."""
    odd = Product("coat", product_type="Apparel>Coats", price=float("nan"))
    assert store.put_products([odd]) == store.put_products([odd]) == 1
    assert store.product("coat") == Product("coat", product_type="Apparel > Coats")


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (Product(""), "product '': product_id is ''; allowed is text of 1 to 255 characters"),
        (Product(None), "product None: product_id is None"),
        (
            Product("p", ""),
            "product 'p': item_group_id is ''; .*no product of this call was stored",
        ),
        (Product("p", price=-1.0), "product 'p': price is -1.0; allowed is 0 or more, finite"),
        (Product("p", price=float("inf")), "product 'p': price is inf"),
        (Product("p", title="\ud800"), "product 'p': title is '.ud800'; allowed is Unicode text"),
    ],
)
def test_bad_product_is_refused(store: Store, product: Product, message: str) -> None:
    """A product that is not allowed is refused, and with it the whole call."""
    with pytest.raises(InvalidCatalogError, match=message):
        store.put_products([TIE, product])
    assert store.product("tie") is None


def test_policy_is_versioned(store: Store) -> None:
    """Version 0 is the empty policy; each change is a new version; the same again is none."""
    assert store.policy() == (0, Policy())
    first = Policy.from_dict(
        {"rules": {"returned": False}, "types": {"Socks": {"suppress": False}}}
    )
    assert store.put_policy(first, created_at=5) == 1
    assert store.policy() == (1, first)
    assert store.put_policy(first) == 1
    assert store.put_policy(Policy()) == 2
    assert store.policy() == (2, Policy())


def test_empty_policy_can_be_put_first(store: Store) -> None:
    """Putting the empty policy into an empty store is a decision, and gets a version."""
    assert store.put_policy(Policy()) == 1


def test_secret_opens_its_scopes(store: Store) -> None:
    """A secret allows the scopes it was made with; another secret none; admin implies nothing."""
    secret = store.create_key("shop", ["decide", "ingest"], created_at=5)
    admin = store.create_key("boss", {"admin"}, created_at=6)
    assert secret.startswith("pk_")
    assert len(secret) == 46
    assert store.scopes_of(secret) == {"decide", "ingest"}
    assert store.scopes_of(admin) == {"admin"}
    assert store.scopes_of("pk_") is None
    assert store.scopes_of("\ud800") is None


def test_secret_is_not_stored(store: Store) -> None:
    """Of a secret only the hash is stored."""
    secret = store.create_key("shop", ["decide"], created_at=5)
    with store._database.transaction(Access.READ) as connection:
        (stored,) = connection.execute(sa.select(api_keys)).mappings()
    assert stored["name"] == "shop"
    assert all(secret not in str(value) for value in stored.values())
    assert secret.encode() not in stored["secret_hash"]


def test_revoked_key_is_worthless(store: Store) -> None:
    """A revoked key opens nothing, and stays in the list; an unknown one cannot be revoked."""
    secret = store.create_key("shop", ["decide"], created_at=5)
    assert store.keys() == [KeyRecord(1, "shop", frozenset({"decide"}), 5, False)]
    assert store.revoke_key(1)
    assert store.scopes_of(secret) is None
    assert store.keys() == [KeyRecord(1, "shop", frozenset({"decide"}), 5, True)]
    assert not store.revoke_key(2)


@pytest.mark.parametrize(
    ("name", "scopes", "message"),
    [
        (" ", ["decide"], "key name: it is empty; say who will use the key"),
        ("shop", [], "key scopes: none given; allowed are one or more of ingest, decide, export"),
        ("shop", ["decide", "root"], "key scopes: 'root'; allowed are .*, admin"),
        ("shop", "rdi", "key scopes: 'rdi'; allowed are"),
    ],
)
def test_bad_key_is_refused(store: Store, name: str, scopes: list[str], message: str) -> None:
    """A key needs a name and scopes of the closed set."""
    with pytest.raises(InvalidConfigError, match=message):
        store.create_key(name, scopes, created_at=5)
