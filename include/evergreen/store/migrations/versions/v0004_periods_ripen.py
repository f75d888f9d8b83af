"""Periods are kept until their labels are ripe; what became of every interval of datasets and views is noted."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")

# What was judged before: the newest 32 periods of a model may still ripen, as far as the rule before this one went.
WATCHED = """
insert into watched (model, as_of, start_time, as_of_time, state, judged_time, read_at)
select model, as_of, coalesce(lag(as_of_time) over of_model, as_of_time - interval '1 day'), as_of_time,
       case when row_number() over (partition by model order by as_of_time desc) <= 32 then 'open' else 'settled' end,
       as_of_time, clock_timestamp()
from (select distinct model, as_of, as_of_time from periods) known
window of_model as (partition by model order by as_of_time)
"""
DATASETS = """
insert into intervals (resource, as_of_time, as_of, state, at)
select dataset, as_of_time, min(as_of), 'published', max(at) from row_counts group by dataset, as_of_time
"""
# Which intervals of a view were built was not noted: all that its newest one leaves behind, so that nothing waits.
VIEWS = """
insert into intervals (resource, as_of_time, as_of, state)
select seen.resource, known.as_of_time, min(known.as_of), 'published'
from seen join row_counts known on known.as_of_time <= seen.as_of_time
where seen.resource not in (select dataset from row_counts)
  and seen.resource not in (select model from periods)
group by seen.resource, known.as_of_time
"""


def upgrade() -> None:
    """Makes both tables, and fills them with what is known."""
    op.create_table(
        "watched",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("start_time", INSTANT, nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("judged_time", INSTANT, nullable=True),
        sa.Column("read_at", INSTANT, nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'open', 'settled')", name=op.f("ck_watched_state")),
        sa.CheckConstraint("(judged_time IS NULL) = (read_at IS NULL)", name=op.f("ck_watched_judged")),
        sa.PrimaryKeyConstraint("model", "as_of", name=op.f("pk_watched")),
    )
    op.create_index(
        "ix_watched_unsettled", "watched", ["model"], unique=False, postgresql_where=sa.text("state <> 'settled'")
    )
    op.create_table(
        "intervals",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("as_of_time", INSTANT, nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.CheckConstraint("state IN ('published', 'skipped')", name=op.f("ck_intervals_state")),
        sa.PrimaryKeyConstraint("resource", "as_of_time", name=op.f("pk_intervals")),
    )
    for statement in (WATCHED, DATASETS, VIEWS):
        op.execute(statement)
