"""Requests are withdrawn or answered "cannot train", and count their tries."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATES = ("open", "claimed", "done", "refused", "not_needed", "superseded", "withdrawn", "cannot_train")


def upgrade() -> None:
    """Adds the states and the counter."""
    op.add_column("requests", sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.drop_constraint(op.f("ck_requests_state"), "requests", type_="check")
    states = ", ".join(f"'{state}'" for state in STATES)
    op.create_check_constraint(op.f("ck_requests_state"), "requests", f"state IN ({states})")
