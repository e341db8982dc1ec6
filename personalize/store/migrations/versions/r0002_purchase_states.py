"""What each customer owns, packed into one row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
derives = True


def upgrade() -> None:
    """Make the table; it is filled in the end."""
    op.create_table(
        "purchase_states",
        sa.Column(
            "customer_id",
            sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql"),
            primary_key=True,
        ),
        sa.Column("products", sa.Text, nullable=False),
        sa.Column("numbers", sa.LargeBinary, nullable=False),
    )
