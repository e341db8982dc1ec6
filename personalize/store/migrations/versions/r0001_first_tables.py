"""Orders with their lines and adjustments, products, policies and keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _id() -> sa.types.TypeEngine[str]:
    return sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of an empty database."""
    _orders()
    _products()
    op.create_table(
        "policies",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Integer, primary_key=True),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
    )
    op.create_index("ix_api_keys_secret_hash", "api_keys", ["secret_hash"], unique=True)


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("order_id", _id(), primary_key=True),
        sa.Column("customer_id", _id()),
        sa.Column("ordered_at", sa.BigInteger),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("currency", sa.String(255)),
        sa.Column("channel", sa.String(255)),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "order_lines",
        sa.Column("customer_id", _id(), primary_key=True),
        sa.Column("ordered_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("order_id", _id(), primary_key=True),
        sa.Column("product_id", _id(), primary_key=True),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("returned_quantity", sa.Integer, nullable=False),
        sa.Column("returned_at", sa.BigInteger),
        sa.Column("gift", sa.Boolean, nullable=False),
        sa.Column("unit_price", sa.Double),
        sa.Column("sent_returned_quantity", sa.Integer),
        sa.Column("sent_returned_at", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "adjustments",
        sa.Column("order_id", _id(), primary_key=True),
        sa.Column("adjustment_id", _id(), primary_key=True),
        sa.Column("adjusted_at", sa.BigInteger, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("lines", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("product_id", _id(), primary_key=True),
        sa.Column("item_group_id", _id()),
        sa.Column("title", sa.Text),
        sa.Column("product_type", sa.Text),
        sa.Column("brand", sa.Text),
        sa.Column("price", sa.Double),
        sa.Column("currency", sa.Text),
        sa.Column("availability", sa.Text),
        sa.Column("link", sa.Text),
        sa.Column("image_link", sa.Text),
        sa.Column("sensitive", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_products_revision", "products", ["revision"])
