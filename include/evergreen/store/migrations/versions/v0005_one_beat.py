"""A gateway beats once for all its models; what it serves of each stands in a table of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Makes both tables afresh: live gateways report themselves within seconds, others count as gone anyway."""
    op.drop_table("gateways")
    op.create_table(
        "gateways",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("instance", name=op.f("pk_gateways")),
    )
    op.create_table(
        "gateway_models",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("applied_seq", sa.Integer(), nullable=False),
        sa.Column("fault_seq", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance"], ["gateways.instance"], name=op.f("fk_gateway_models_instance"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("instance", "model", name=op.f("pk_gateway_models")),
    )
