"""What runs saw of a source that is one for all of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables ``seen_runs`` and ``seen_days``."""
    op.create_table(
        "seen_runs",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("covers_from", INSTANT, nullable=True),
        sa.Column("covers_to", INSTANT, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("late", postgresql.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "as_of", name=op.f("pk_seen_runs")),
    )
    op.create_table(
        "seen_days",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "day", name=op.f("pk_seen_days")),
    )


def downgrade() -> None:
    """Drops them."""
    op.drop_table("seen_days")
    op.drop_table("seen_runs")
