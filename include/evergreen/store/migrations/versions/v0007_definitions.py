"""Tables belong to definitions; readings of keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Makes the tables ``definitions`` and ``coverage``."""
    op.create_table(
        "definitions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSON(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("seam", postgresql.JSON(), nullable=True),
        sa.Column("lost", postgresql.JSON(), nullable=False),
        sa.Column("approximate", postgresql.JSON(), nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("resource", "digest", name=op.f("pk_definitions")),
    )
    op.create_index(op.f("ix_definitions_table"), "definitions", ["table"])
    op.create_table(
        "coverage",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("step_key", sa.Text(), nullable=False),
        sa.Column("reading", sa.Text(), nullable=False),
        sa.Column("event_from", INSTANT, nullable=True),
        sa.Column("event_to", INSTANT, nullable=True),
        sa.Column("details", postgresql.JSON(), nullable=False),
        sa.Column("planned_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("done_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("table", "as_of", name=op.f("pk_coverage")),
    )

    # What was published before: each dataset's table is its first definition's, its readings are not known any more.
    op.execute(
        """
        INSERT INTO coverage ("table", as_of, as_of_time, step_key, reading, details, done_at)
        SELECT DISTINCT ON (dataset, as_of) 'datasets/' || dataset, as_of, as_of_time, step_key, '',
               CASE WHEN as_of_time = min(as_of_time) OVER (PARTITION BY dataset) THEN '{"first_load": true}'
                    ELSE '{}' END::json, at
        FROM row_counts ORDER BY dataset, as_of, id DESC
        """
    )
