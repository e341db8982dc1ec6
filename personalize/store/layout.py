"""The tables of the store, as the newest migration leaves them.

A change here needs a migration beside it; a test compares the two. Times are microseconds since
1970 UTC. Ids sort by their UTF-8 bytes, in every database, so that codes order like ids.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

HEAD: Final = "0002"
"""The newest migration."""

GUEST: Final = ""
"""The customer of a guest's lines: no id is empty, and a primary key cannot be null."""

metadata: Final = sa.MetaData()


def id_type() -> sa.types.TypeEngine[str]:
    """Return the column type of an id."""
    return sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")


orders: Final = sa.Table(
    "orders",
    metadata,
    sa.Column("order_id", id_type(), primary_key=True),
    sa.Column("customer_id", id_type()),  # null: a guest, or deleted
    sa.Column("ordered_at", sa.BigInteger),  # null: deleted
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
    sa.Column("currency", sa.String(255)),
    sa.Column("channel", sa.String(255)),
    sqlite_with_rowid=False,
)
"""The newest snapshot of every order ever seen, without its lines; deleted ones stay."""

order_lines: Final = sa.Table(
    "order_lines",
    metadata,
    sa.Column("customer_id", id_type(), primary_key=True),  # GUEST for guests
    sa.Column("ordered_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("order_id", id_type(), primary_key=True),
    sa.Column("product_id", id_type(), primary_key=True),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("returned_quantity", sa.Integer, nullable=False),
    sa.Column("returned_at", sa.BigInteger),
    sa.Column("gift", sa.Boolean, nullable=False),
    sa.Column("unit_price", sa.Double),
    sa.Column("sent_returned_quantity", sa.Integer),
    sa.Column("sent_returned_at", sa.BigInteger),
    sqlite_with_rowid=False,
)
"""The lines of every order as they stand, clustered by customer.

``sent_returned_*`` is what the snapshot itself said (null: nothing), ``returned_*`` what stands
after adjustments.
"""

purchase_states: Final = sa.Table(
    "purchase_states",
    metadata,
    sa.Column("customer_id", id_type(), primary_key=True),  # no guests
    sa.Column("products", sa.Text, nullable=False),
    sa.Column("numbers", sa.LargeBinary, nullable=False),
)
"""What each customer with an order owns, as `personalize.packing` packs it: derived."""

adjustments: Final = sa.Table(
    "adjustments",
    metadata,
    sa.Column("order_id", id_type(), primary_key=True),
    sa.Column("adjustment_id", id_type(), primary_key=True),
    sa.Column("adjusted_at", sa.BigInteger, nullable=False),
    sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
    sa.Column("lines", sa.Text, nullable=False),  # JSON: [[product_id, quantity], ...]
    sqlite_with_rowid=False,
)
"""Every adjustment, also of orders not seen yet: they wait, and none is ever folded in."""

products: Final = sa.Table(
    "products",
    metadata,
    sa.Column("product_id", id_type(), primary_key=True),
    sa.Column("item_group_id", id_type()),
    sa.Column("title", sa.Text),
    sa.Column("product_type", sa.Text),
    sa.Column("brand", sa.Text),
    sa.Column("price", sa.Double),
    sa.Column("currency", sa.Text),
    sa.Column("availability", sa.Text),
    sa.Column("link", sa.Text),
    sa.Column("image_link", sa.Text),
    sa.Column("sensitive", sa.Boolean, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
)
"""The catalogue; ``revision`` grows with every change, over all products."""

policies: Final = sa.Table(
    "policies",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("policy", sa.Text, nullable=False),  # JSON, as Policy.to_dict
    sa.Column("created_at", sa.BigInteger),
)
"""Every policy there was; the newest version is in force."""

api_keys: Final = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.Integer, primary_key=True),
    sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),  # words, separated by a space
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.Boolean, nullable=False),
    sa.Index("ix_api_keys_secret_hash", "secret_hash", unique=True),
)
"""Keys of the HTTP interface: only the hash of a secret is kept."""
