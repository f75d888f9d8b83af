"""The tables of the store. Migrations make them; this is what the code reads and writes by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """A timezone-aware instant, read back in UTC; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses what has no time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"an instant must carry a time zone, got {value!r}")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Gives UTC, whatever the session's time zone."""
        return None if value is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _instant(name: str) -> Column[datetime]:
    return Column(name, Instant, nullable=False)


def _stamp(name: str) -> Column[datetime]:
    return Column(name, Instant, nullable=False, server_default=func.clock_timestamp())


def _document(name: str) -> Column[Any]:
    # JSON, not JSONB: the text stays as written, so that a number hashes alike before and after the database.
    return Column(name, JSON(none_as_null=True), nullable=False)


def _text(name: str, *, primary_key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, primary_key=primary_key)


promotions = Table(
    "promotions",
    metadata,
    _text("model", primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer),
    _text("action"),
    _text("actor"),
    _text("reason"),
    _document("evidence"),
    _text("as_of"),
    _instant("as_of_time"),
    _instant("at"),
    Column("holds", Boolean, nullable=False),
    Column("served_from", Instant),
    Column("served_to", Instant),
    Column("end_cause", Text),
    Column("key", Text),
    _text("prev_hash"),
    _text("row_hash"),
    UniqueConstraint("model", "key"),
    CheckConstraint("seq >= 1", name="seq"),
    CheckConstraint("action IN ('promote', 'roll_back', 'release')", name="action"),
    CheckConstraint("(action IN ('promote', 'roll_back')) = (version IS NOT NULL)", name="version"),
    CheckConstraint("(version IS NOT NULL) = (served_from IS NOT NULL)", name="served_from"),
    CheckConstraint("(served_to IS NULL) = (end_cause IS NULL)", name="served_to"),
    CheckConstraint("NOT holds OR action = 'roll_back'", name="holds"),
    # One champion per model, said by the database itself.
    Index(
        "uq_promotions_serving",
        "model",
        unique=True,
        postgresql_where=text("served_from IS NOT NULL AND served_to IS NULL"),
    ),
)

requests = Table(
    "requests",
    metadata,
    _id(),
    _text("model"),
    _text("dedupe_key"),
    _text("cause"),
    _text("reason"),
    _document("evidence"),
    _text("as_of"),
    _instant("as_of_time"),
    _stamp("created_at"),
    Column("after_seq", Integer, nullable=False),
    _text("state"),
    Column("claimed_by", Text),
    Column("lease_until", Instant),
    Column("joined", Boolean, nullable=False, server_default=text("false")),
    Column("training_id", Text),
    Column("note", Text, nullable=False, server_default=""),
    Column("answered_at", Instant),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("model", "dedupe_key"),
    CheckConstraint(
        "state IN ('open', 'claimed', 'done', 'refused', 'not_needed', 'superseded', 'withdrawn', 'cannot_train')",
        name="state",
    ),
    CheckConstraint("state <> 'claimed' OR (claimed_by IS NOT NULL AND lease_until IS NOT NULL)", name="claimed"),
    Index(None, "model", "state"),
)

decisions = Table(
    "decisions",
    metadata,
    _id(),
    _text("kind"),
    _text("resource"),
    _text("as_of"),
    _instant("as_of_time"),
    _text("verdict"),
    _document("figures"),
    _document("reasons"),
    _text("key"),
    Column("version", Integer),
    Column("historic", Boolean, nullable=False),
    _stamp("at"),
    Column("ledger_seq", Integer),
    UniqueConstraint("key"),
    Index(None, "resource", "kind"),
)

trainings = Table(
    "trainings",
    metadata,
    _text("training_id", primary_key=True),
    _text("model"),
    _text("as_of"),
    _instant("as_of_time"),
    _text("spec_digest"),
    _text("workspace"),
    _document("inputs"),
    Column("seed", BigInteger, nullable=False),
    _document("causes"),
    Column("request_ids", ARRAY(BigInteger), nullable=False),
    Column("requested_seq", Integer, nullable=False),
    _stamp("created_at"),
    Column("run_id", Text),
    Column("trained_through", Instant),
    Column("training_set", Text),
    Column("bundle", Text),
    Column("finished_at", Instant),
    Column("adopted_version", Integer),
    Column("adopted_at", Instant),
    # MLflow's own number, noted: it may be missing, change, or be that of two trainings.
    Column("mlflow_version", Integer),
    UniqueConstraint("model", "adopted_version"),
    CheckConstraint("adopted_version >= 1", name="adopted_version"),
)

rollouts = Table(
    "rollouts",
    metadata,
    _id(),
    _text("model"),
    _text("key"),
    Column("base_seq", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    _document("shares"),
    _text("state"),
    Column("note", Text, nullable=False, server_default=""),
    _stamp("started_at"),
    Column("ended_at", Instant),
    UniqueConstraint("model", "key"),
    CheckConstraint("state IN ('running', 'done', 'failed', 'refused', 'superseded')", name="state"),
)

gateways = Table(
    "gateways",
    metadata,
    _text("instance", primary_key=True),
    _text("url"),
    _instant("seen_at"),
)

gateway_models = Table(
    "gateway_models",
    metadata,
    Column("instance", Text, ForeignKey("gateways.instance", ondelete="CASCADE"), primary_key=True),
    _text("model", primary_key=True),
    Column("applied_seq", Integer, nullable=False),
    Column("fault_seq", Integer, nullable=False),
    _text("fault"),
    _stamp("at"),
)

consumed = Table(
    "consumed",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _text("consumer", primary_key=True),
    _text("input", primary_key=True),
    _text("version", primary_key=True),
    _stamp("at"),
)

pins = Table(
    "pins",
    metadata,
    Column("table", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("holder", Text, primary_key=True),
    _stamp("at"),
)

periods = Table(
    "periods",
    metadata,
    _id(),
    _text("model"),
    _text("as_of"),
    _instant("as_of_time"),
    _text("role"),
    Column("version", Integer),
    _text("metric"),
    Column("value", Float),
    Column("n_rows", BigInteger, nullable=False),
    Column("n_labelled", BigInteger, nullable=False),
    Index(None, "model", "as_of"),
)

watched = Table(
    "watched",
    metadata,
    _text("model", primary_key=True),
    _text("as_of", primary_key=True),
    _instant("start_time"),
    _instant("as_of_time"),
    _text("state"),
    Column("note", Text, nullable=False, server_default=""),
    Column("judged_time", Instant),
    Column("read_at", Instant),
    CheckConstraint("state IN ('waiting', 'open', 'settled')", name="state"),
    CheckConstraint("(judged_time IS NULL) = (read_at IS NULL)", name="judged"),
    Index("ix_watched_unsettled", "model", postgresql_where=text("state <> 'settled'")),
)

intervals = Table(
    "intervals",
    metadata,
    _text("resource", primary_key=True),
    Column("as_of_time", Instant, nullable=False, primary_key=True),
    _text("as_of"),
    _text("state"),
    Column("reason", Text, nullable=False, server_default=""),
    _stamp("at"),
    CheckConstraint("state IN ('published', 'skipped')", name="state"),
)

row_counts = Table(
    "row_counts",
    metadata,
    _id(),
    _text("dataset"),
    _text("as_of"),
    _instant("as_of_time"),
    _text("step_key"),
    Column("rows_read", BigInteger, nullable=False),
    Column("good", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("superseded", BigInteger, nullable=False),
    _document("details"),
    _stamp("at"),
    UniqueConstraint("dataset", "as_of", "step_key"),
    CheckConstraint("rows_read = good + quarantined + superseded", name="sum"),
    CheckConstraint("good >= 0 AND quarantined >= 0 AND superseded >= 0", name="not_negative"),
)

seen = Table(
    "seen",
    metadata,
    _text("resource", primary_key=True),
    _text("as_of"),
    _instant("as_of_time"),
)

definitions = Table(
    "definitions",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _text("resource", primary_key=True),
    _text("digest", primary_key=True),
    _text("table"),
    _document("document"),
    _text("workspace"),
    _text("as_of"),
    _instant("as_of_time"),
    Column("seam", JSON(none_as_null=True)),
    _document("lost"),
    _document("approximate"),
    _stamp("at"),
    Index(None, "table"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _text("table", primary_key=True),
    Column("moment", Instant, primary_key=True),
    Column("commit", BigInteger, primary_key=True),
    _text("path"),
    Column("rows", BigInteger, nullable=False),
    _stamp("at"),
)

counted = Table(
    "counted",
    metadata,
    _text("table", primary_key=True),
    _text("counter", primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
)

increments = Table(
    "increments",
    metadata,
    _text("table", primary_key=True),
    _text("counter", primary_key=True),
    Column("commit", BigInteger, primary_key=True),
    Column("event", Instant, primary_key=True),
    Column("known", Instant, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("labels", BigInteger, nullable=False),
)

coverage = Table(
    "coverage",
    metadata,
    _text("table", primary_key=True),
    _text("as_of", primary_key=True),
    _instant("as_of_time"),
    _text("step_key"),
    _text("reading"),
    Column("event_from", Instant),
    Column("event_to", Instant),
    _document("details"),
    _stamp("planned_at"),
    Column("done_at", Instant),
)

seen_runs = Table(
    "seen_runs",
    metadata,
    _text("dataset", primary_key=True),
    _text("as_of", primary_key=True),
    Column("covers_from", Instant),
    _instant("covers_to"),
    _text("definition"),
    _document("late"),
)

seen_days = Table(
    "seen_days",
    metadata,
    _text("dataset", primary_key=True),
    Column("day", Date, primary_key=True),
    Column("n_rows", BigInteger, nullable=False),
    Column("digest", BigInteger, nullable=False),
    _text("definition"),
)

erasures = Table(
    "erasures",
    metadata,
    _id(),
    _text("key_digest"),
    _document("columns"),
    _text("scope"),
    _text("actor"),
    _text("reason"),
    _text("state"),
    _stamp("requested_at"),
    Column("done_at", Instant),
    Column("sweeps", Integer, nullable=False, server_default=text("0")),
    _document("rows"),
    _document("files"),
    _document("lost"),
    _document("left"),
    Column("row_ids", JSON(none_as_null=True)),
    CheckConstraint("state IN ('requested', 'done')", name="state"),
    CheckConstraint("(state = 'done') = (done_at IS NOT NULL)", name="done"),
    CheckConstraint("state <> 'done' OR row_ids IS NULL", name="row_ids"),
    Index(
        "uq_erasures_requested",
        "key_digest",
        "scope",
        unique=True,
        postgresql_where=text("state = 'requested'"),
    ),
)
