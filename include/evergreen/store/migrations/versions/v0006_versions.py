"""Versions are numbered by the store, MLflow's number is noted beside; a decision knows the ledger's number."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Until here the adopted version was MLflow's number, so that both are the same."""
    op.add_column("trainings", sa.Column("mlflow_version", sa.Integer(), nullable=True))
    op.execute("UPDATE trainings SET mlflow_version = adopted_version WHERE adopted_version IS NOT NULL")
    op.add_column("decisions", sa.Column("ledger_seq", sa.Integer(), nullable=True))
