"""Dataset: where rows come from, what makes a row, when it became known, what must hold of it."""

from __future__ import annotations

import codecs
import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from evergreen.spec.base import At, DType, Frozen, Resource, Share, SourceColumn, TimeZone
from evergreen.spec.cron import parse_cron
from evergreen.spec.timing import Duration, shifts_clocks


class FileSource(Frozen):
    """Files below the landing root.

    Attributes:
        path: Relative to the landing root; may hold ``{as_of}`` (the run's key) and the wildcards ``*``, ``**``, ``?``.
            A folder is read with hive partitions (``year=2013/part.parquet``). With ``{as_of}`` each run reads its own
            files whole; without, each run reads the rows of its interval and of ``late_window`` before it.
        kind: Only files so far.
        format: Taken from the ending when absent (``.csv``, ``.csv.zip``, ``.zip``, ``.csv.gz``, ``.parquet``).
        delimiter: Of CSV.
        encoding: Of CSV, by Python's name of it.
        null_values: Texts of a CSV field that mean "no value".
        when_missing: ``wait`` retries until ``wait_timeout``; ``fail`` fails at once; ``skip`` ends the run skipped.
        wait_timeout: Wall-clock time that ``wait`` waits.
    """

    kind: Literal["files"] = "files"
    path: str
    format: Literal["csv", "parquet"] | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("", "NA", "NaN", "null", "NULL")
    when_missing: Literal["wait", "fail", "skip"] = "fail"
    wait_timeout: Duration = timedelta(hours=12)

    @field_validator("path")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith("/") or "://" in value or ".." in PurePosixPath(value).parts:
            raise ValueError("must be relative to the landing root and stay below it")
        unknown = [each for each in re.findall(r"(?<!\{)\{\w*\}(?!\})", value) if each != "{as_of}"]
        if unknown:
            raise ValueError(f"may hold {{as_of}}, and no other placeholder such as {unknown[0]}")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError("must be an encoding such as utf-8 or latin-1") from None
        return value


class Schedule(Frozen):
    """When an interval closes.

    Attributes:
        cron: Five fields (minute, hour, day of month, month, day of week) in the dataset's time zone: numbers, names,
            ``*``, lists, ranges and steps, ``L`` for a month's last day, ``5#2`` and ``L5`` for its second and last
            Friday; of two restricted kinds of days either counts. Its instants are the partition keys: each ends an
            interval. A schedule of every hour needs a zone that never shifts its clocks.
    """

    cron: str

    @field_validator("cron")
    @classmethod
    def _spelt(cls, value: str) -> str:
        return parse_cron(value).text

    @property
    def is_every_hour(self) -> bool:
        """Whether it closes an interval in every hour of its days."""
        return parse_cron(self.cron).is_every_hour


class Expectation(Frozen):
    """One Great Expectations expectation.

    Attributes:
        expect: Its name, such as ``expect_column_values_to_be_between`` (``expect_`` may be left out).
        column: Of a column expectation.
        severity: Rows that break an ``error`` expectation are quarantined, an aggregate one stops the run; ``warn``
            only reports.
        mostly: Least share of rows that must hold; below it an ``error`` stops the run.
        args: The expectation's other arguments, such as ``min_value``.
    """

    expect: str
    column: SourceColumn | None = None
    severity: Literal["error", "warn"] = "error"
    mostly: Share = 0.0
    args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("expect")
    @classmethod
    def _full_name(cls, value: str) -> str:
        return value if value.startswith("expect_") else f"expect_{value}"


class Dataset(Resource):
    """A published, append-only table of row versions.

    Attributes:
        description: For people.
        owner: Whom to ask; becomes a tag and the tasks' owner in Airflow.
        timezone: IANA name; keys, wall-clock times of the files and ``cron`` are read in it.
        select: SQL on ``source`` (the rows just read); its result are the dataset's columns.
        columns: Types of the source's columns that are needed, by the names in its header, odd characters and all; a
            file without one of them is refused, a row whose value cannot be cast is quarantined. Columns not named here
            are not read when this is given. Without it a column gets a type that loses nothing, or stays text; one
            without values fits every type and decides none. ``bool`` reads true/false, yes/no, y/n, t/f, on/off, 1/0;
            ``timestamp`` a date with four digits of the year, a time of day, ``Z`` or an offset, in full or not at all.
        event_time: Column after ``select``; absent for whole snapshots.
        entity: Key columns; a row's identity is these plus the event time, of snapshots these alone.
        dedupe: Of several rows of one identity within a run the one known (or read) last, the first, or none stays.
        availability_delay: A row becomes known this long after its event time.
        known_at: Column after ``select`` that says when a row became known.
        late_window: Rows older than the interval's start by more than this are quarantined.
        expectations: What must hold of the rows.
        max_quarantined: Share of the rows read above which the run stops and publishes nothing.
        max_lost: Share of a whole snapshot's living rows that may be gone from the next one; more stops the run.
        on_change: What becomes of the history when the definition changed and the source no longer has all of it:
            ``rebuild`` builds the new table from what is there, ``continue`` goes on in the old table, which leaves a
            seam. Absent, the run stops and says what is missing.
        retention: Kept for later: rows are not deleted yet.
    """

    source: FileSource
    schedule: Schedule
    timezone: TimeZone = "UTC"
    columns: dict[SourceColumn, DType] | None = None
    select: str | None = None
    event_time: SourceColumn | None = None
    entity: tuple[SourceColumn, ...] = ()
    dedupe: Literal["latest", "first", "reject"] = "latest"
    availability_delay: Duration | None = None
    known_at: SourceColumn | None = None
    late_window: Duration = timedelta(0)
    expectations: tuple[Expectation, ...] = ()
    max_quarantined: Share = 0.05
    max_lost: Share = 0.5
    on_change: Literal["rebuild", "continue"] | None = None
    retention: Duration | None = None

    @model_validator(mode="after")
    def _identity(self) -> Dataset:
        if self.event_time is None and not self.entity:
            raise ValueError("must name event_time, or entity for whole snapshots, or both")
        if self.known_at is not None and self.availability_delay is not None:
            raise At(("known_at",), "must not be given together with availability_delay", remedy="Keep one of the two.")
        if self.schedule.is_every_hour and shifts_clocks(self.timezone):
            raise At(
                ("timezone",),
                "must be a zone that never shifts its clocks, since the schedule closes an interval in every hour",
                self.timezone,
                "Write UTC: by the local clock one hour of autumn comes twice.",
            )
        return self

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that make a row the same row."""
        return self.entity if self.event_time is None else (*self.entity, self.event_time)
