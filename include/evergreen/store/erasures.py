"""Erasures of persons: who asked for each and why, what went, and which model versions cannot be reproduced since.

A request is written before anything goes and done when a sweep found nothing more. The key itself stands nowhere: a
digest of it does. What of other tables names what went (training sets, pins, counters) is mended here, in one
transaction with the record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, Update, cast, delete, func, or_, select, union_all, update
from sqlalchemy.dialects.postgresql import insert

from evergreen import faults
from evergreen.store.schema import (
    checkpoints,
    counted,
    coverage,
    decisions,
    erasures,
    increments,
    intervals,
    pins,
    promotions,
    requests,
    row_counts,
    trainings,
    watched,
)
from evergreen.store.store import Store

_WRITTEN = (
    decisions.c.figures, decisions.c.reasons, intervals.c.reason, promotions.c.reason, promotions.c.evidence,
    requests.c.reason, requests.c.evidence, requests.c.note, row_counts.c.details, watched.c.note,
)  # fmt: skip
"""Columns that hold what somebody, or some data, said."""


@dataclass(frozen=True)
class Request:
    """One erasure.

    Attributes:
        key_digest: Of the columns and their values, under the lake's salt.
        columns: Names of the key's columns.
        scope: Datasets that it is about, joined by commas; empty for all.
        state: ``requested``, or ``done``.
        sweeps: How often all was gone through.
        rows: Where -> how many rows went; of tables of row versions all versions count.
        files: Folder of the lake -> how many files went, or were written anew.
        lost: ``training_id``, ``model``, ``version`` (``None`` where none was made), ``rows`` and ``of`` (rows of the
            training set before) of each training that cannot be done again with the same rows; ``golden_rows`` of them
            stand in its bundle, and ``names_key`` says whether that holds the key's value.
        left: What stays and names the key, or may.
        row_ids: Digests of the rows' identities, while it is not done.
    """

    id: int
    key_digest: str
    columns: Sequence[str]
    scope: str
    actor: str
    reason: str
    state: str
    requested_at: datetime
    done_at: datetime | None
    sweeps: int
    rows: Mapping[str, int]
    files: Mapping[str, int]
    lost: Sequence[Mapping[str, Any]]
    left: Sequence[str]
    row_ids: Sequence[str] | None


class Erasures:
    """All erasures.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def request(self, key_digest: str, columns: Sequence[str], scope: str, *, actor: str, reason: str) -> Request:
        """Writes a request; one of the same key and scope that is not done is gone on with instead."""
        row = {
            "key_digest": key_digest, "columns": list(columns), "scope": scope, "actor": actor, "reason": reason,
            "state": "requested", "rows": {}, "files": {}, "lost": [], "left": [], "row_ids": [],
        }  # fmt: skip
        same = (erasures.c.key_digest == key_digest, erasures.c.scope == scope, erasures.c.state == "requested")
        faults.point("erase.request:before")
        with self._store.transaction() as connection:
            connection.execute(insert(erasures).values(row).on_conflict_do_nothing())
            request = Request(**connection.execute(select(erasures).where(*same)).one()._mapping)
        faults.point("erase.request:after")
        return request

    def get(self, number: int) -> Request:
        """A request as it stands."""
        with self._store.transaction() as connection:
            return _one(connection, number)

    def all(self) -> list[Request]:
        """All of them, in the order in which they were asked for."""
        with self._store.transaction() as connection:
            return [Request(**row._mapping) for row in connection.execute(select(erasures).order_by(erasures.c.id))]

    def sweeps(self) -> int:
        """A number that grows with every sweep that begins: what was read before is not to be written any more."""
        with self._store.transaction() as connection:
            return int(connection.execute(select(func.coalesce(func.sum(erasures.c.sweeps), 0))).scalar_one())

    def begin_sweep(self, number: int) -> None:
        """Counts a sweep that begins."""
        with self._store.transaction() as connection:
            connection.execute(_mine(number).values(sweeps=erasures.c.sweeps + 1))

    def note(
        self, number: int, *, rows: Mapping[str, int], files: Mapping[str, int], row_ids: Sequence[str]
    ) -> Request:
        """Adds what was found: identities, and figures, of which the larger one stands where it is found again."""
        with self._store.transaction() as connection:
            stood = _one(connection, number, lock=True)
            values = {
                "rows": _larger(stood.rows, rows),
                "files": _larger(stood.files, files),
                "row_ids": None if stood.state == "done" else sorted({*(stood.row_ids or ()), *row_ids}),
            }  # of two that work on it at once the other one may have ended it
            connection.execute(_mine(number).values(values))
            return _one(connection, number)

    def finish(self, number: int, left: Sequence[str]) -> Request:
        """Notes that nothing more is found, and forgets the identities."""
        faults.point("erase.done:before")
        with self._store.transaction() as connection:
            first = func.coalesce(erasures.c.done_at, func.clock_timestamp())
            connection.execute(_mine(number).values(state="done", done_at=first, left=list(left), row_ids=None))
            request = _one(connection, number)
        faults.point("erase.done:after")
        return request

    def replace_set(
        self, number: int, old: tuple[str, str], new: tuple[str, str], lost: Sequence[Mapping[str, Any]]
    ) -> None:
        """Lets trainings and pins name a training set without the rows that went, and names these trainings as lost.

        Args:
            number: Of the request.
            old: Path and digest of the set.
            new: Path and digest of what is left of it.
            lost: What each training that is found to name it loses.
        """
        with self._store.transaction() as connection:
            stood = _one(connection, number, lock=True)
            known = {each["training_id"] for each in stood.lost}
            fresh = [each for each in lost if each["training_id"] not in known]
            connection.execute(_mine(number).values(lost=[*stood.lost, *fresh]))
            for row in connection.execute(select(trainings).where(_has_set(old)).with_for_update()):
                values = {
                    "inputs": {**row.inputs, "training_set": new[0]},
                    "training_set": None if row.training_set is None else new[1],
                }
                mine = update(trainings).where(trainings.c.training_id == row.training_id)
                connection.execute(mine.values(values))
            holders = connection.scalars(select(pins.c.holder).where(pins.c.table == old[0])).all()
            made = [{"table": new[0], "version": 0, "holder": holder} for holder in holders]
            if made:
                connection.execute(insert(pins).values(made).on_conflict_do_nothing())
            connection.execute(delete(pins).where(pins.c.table == old[0]))

    def naming(self, tables: Sequence[str]) -> set[str]:
        """Paths of the readings and checkpoints of some tables."""
        with self._store.transaction() as connection:
            readings = connection.scalars(select(coverage.c.reading).where(coverage.c.table.in_(tables))).all()
            kept = connection.scalars(select(checkpoints.c.path).where(checkpoints.c.table.in_(tables))).all()
            return {*readings, *kept}

    def is_staged(self, path: str) -> bool:
        """Whether a reading or a checkpoint names staged rows."""
        named = union_all(
            select(coverage.c.reading).where(coverage.c.reading == path),
            select(checkpoints.c.path).where(checkpoints.c.path == path),
        )
        with self._store.transaction() as connection:
            return connection.execute(named.limit(1)).first() is not None

    def replace_staged(self, old: str, new: str, *, rows: int) -> int:
        """Lets readings and checkpoints name staged rows without those that went; gives how many did name the old."""
        with self._store.transaction() as connection:
            readings = connection.execute(update(coverage).where(coverage.c.reading == old).values(reading=new))
            kept = connection.execute(update(checkpoints).where(checkpoints.c.path == old).values(path=new, rows=rows))
            return readings.rowcount + kept.rowcount

    def forget_counts(self, table: str) -> None:
        """Forgets how many rows a table has: it is counted anew by whoever asks."""
        with self._store.transaction() as connection:
            connection.execute(delete(increments).where(increments.c.table == table))
            connection.execute(delete(counted).where(counted.c.table == table))

    def of_training(self, training_id: str) -> list[tuple[Request, Mapping[str, Any]]]:
        """Erasures that took rows from a training's set, each with what it took."""
        return [(each, lost) for each in self.all() for lost in each.lost if lost["training_id"] == training_id]

    def mentions(self, values: Sequence[str]) -> dict[str, int]:
        """Columns of the store that hold all of the values as words, and in how many rows; they stay as they are."""
        patterns = [rf"(^|\W){re.escape(value)}(\W|$)" for value in values]
        found = {}
        with self._store.transaction() as connection:
            for column in _WRITTEN:
                said = [cast(column, Text).op("~")(each) for each in patterns]
                query = select(func.count()).select_from(column.table).where(*said)
                count = connection.execute(query).scalar_one()
                if count:
                    found[f"{column.table.name}.{column.name}"] = int(count)
        return found


def _one(connection: Connection, number: int, *, lock: bool = False) -> Request:
    query = select(erasures).where(erasures.c.id == number)
    return Request(**connection.execute(query.with_for_update() if lock else query).one()._mapping)


def _mine(number: int) -> Update:
    return update(erasures).where(erasures.c.id == number)


def _has_set(set_of: tuple[str, str]) -> ColumnElement[bool]:
    path, sha256 = set_of
    return or_(trainings.c.training_set == sha256, trainings.c.inputs["training_set"].as_string() == path)


def _larger(stood: Mapping[str, int], found: Mapping[str, int]) -> dict[str, int]:
    return {where: max(stood.get(where, 0), found.get(where, 0)) for where in sorted({*stood, *found})}
