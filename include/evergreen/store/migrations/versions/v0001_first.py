"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Makes all tables."""
    op.create_table(
        "consumed",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "input", "version", name=op.f("pk_consumed")),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("figures", postgresql.JSON(), nullable=False),
        sa.Column("reasons", postgresql.JSON(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("historic", sa.Boolean(), nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sa.UniqueConstraint("key", name=op.f("uq_decisions_key")),
    )
    op.create_index(op.f("ix_decisions_resource_kind"), "decisions", ["resource", "kind"], unique=False)
    op.create_table(
        "gateways",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("applied_seq", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("instance", "model", name=op.f("pk_gateways")),
    )
    op.create_table(
        "periods",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("n_labelled", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_periods")),
    )
    op.create_index(op.f("ix_periods_model_as_of"), "periods", ["model", "as_of"], unique=False)
    op.create_table(
        "pins",
        sa.Column("table", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("table", "version", "holder", name=op.f("pk_pins")),
    )
    op.create_table(
        "promotions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSON(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("served_from", INSTANT, nullable=True),
        sa.Column("served_to", INSTANT, nullable=True),
        sa.Column("end_cause", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(action IN ('promote', 'roll_back')) = (version IS NOT NULL)", name=op.f("ck_promotions_version")
        ),
        sa.CheckConstraint("NOT holds OR action = 'roll_back'", name=op.f("ck_promotions_holds")),
        sa.CheckConstraint("action IN ('promote', 'roll_back', 'release')", name=op.f("ck_promotions_action")),
        sa.CheckConstraint("(served_to IS NULL) = (end_cause IS NULL)", name=op.f("ck_promotions_served_to")),
        sa.CheckConstraint("(version IS NOT NULL) = (served_from IS NOT NULL)", name=op.f("ck_promotions_served_from")),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_promotions_seq")),
        sa.PrimaryKeyConstraint("model", "seq", name=op.f("pk_promotions")),
        sa.UniqueConstraint("model", "key", name=op.f("uq_promotions_model_key")),
    )
    op.create_index(
        "uq_promotions_serving",
        "promotions",
        ["model"],
        unique=True,
        postgresql_where=sa.text("served_from IS NOT NULL AND served_to IS NULL"),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", postgresql.JSON(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("after_seq", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("joined", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("training_id", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("answered_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "state <> 'claimed' OR (claimed_by IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_requests_claimed"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'claimed', 'done', 'refused', 'not_needed', 'superseded')",
            name=op.f("ck_requests_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("model", "dedupe_key", name=op.f("uq_requests_model_dedupe_key")),
    )
    op.create_index(op.f("ix_requests_model_state"), "requests", ["model", "state"], unique=False)
    op.create_table(
        "rollouts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("base_seq", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("shares", postgresql.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("started_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "state IN ('running', 'done', 'failed', 'refused', 'superseded')", name=op.f("ck_rollouts_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
        sa.UniqueConstraint("model", "key", name=op.f("uq_rollouts_model_key")),
    )
    op.create_table(
        "row_counts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("step_key", sa.Text(), nullable=False),
        sa.Column("rows_read", sa.BigInteger(), nullable=False),
        sa.Column("good", sa.BigInteger(), nullable=False),
        sa.Column("quarantined", sa.BigInteger(), nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("details", postgresql.JSON(), nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "good >= 0 AND quarantined >= 0 AND superseded >= 0", name=op.f("ck_row_counts_not_negative")
        ),
        sa.CheckConstraint("rows_read = good + quarantined + superseded", name=op.f("ck_row_counts_sum")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_row_counts")),
        sa.UniqueConstraint("dataset", "as_of", "step_key", name=op.f("uq_row_counts_dataset_as_of_step_key")),
    )
    op.create_table(
        "seen",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("resource", name=op.f("pk_seen")),
    )
    op.create_table(
        "trainings",
        sa.Column("training_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("spec_digest", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("inputs", postgresql.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("causes", postgresql.JSON(), nullable=False),
        sa.Column("request_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("requested_seq", sa.Integer(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("trained_through", INSTANT, nullable=True),
        sa.Column("training_set", sa.Text(), nullable=True),
        sa.Column("bundle", sa.Text(), nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("adopted_version", sa.Integer(), nullable=True),
        sa.Column("adopted_at", INSTANT, nullable=True),
        sa.CheckConstraint("adopted_version >= 1", name=op.f("ck_trainings_adopted_version")),
        sa.PrimaryKeyConstraint("training_id", name=op.f("pk_trainings")),
        sa.UniqueConstraint("model", "adopted_version", name=op.f("uq_trainings_model_adopted_version")),
    )
