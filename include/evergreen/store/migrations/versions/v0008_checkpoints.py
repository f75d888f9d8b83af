"""Checkpoints of feature tables; counts of rows as increments."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables ``checkpoints``, ``counted`` and ``increments``."""
    op.create_table(
        "checkpoints",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("moment", INSTANT, nullable=False),
        sa.Column("commit", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("at", INSTANT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("table", "moment", "commit", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "counted",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("counter", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table", "counter", name=op.f("pk_counted")),
    )
    op.create_table(
        "increments",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("counter", sa.Text(), nullable=False),
        sa.Column("commit", sa.BigInteger(), nullable=False),
        sa.Column("event", INSTANT, nullable=False),
        sa.Column("known", INSTANT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table", "counter", "commit", "event", "known", name=op.f("pk_increments")),
    )
