"""The ledger of promotions: append-only, one row per act, in order. The only truth about who serves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Connection, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert

from evergreen import faults
from evergreen.errors import Superseded
from evergreen.store import history
from evergreen.store.history import Action, Hold, Promotion
from evergreen.store.schema import promotions
from evergreen.store.store import Store

_SERVING = and_(promotions.c.served_from.is_not(None), promotions.c.served_to.is_(None))


class Pulse(NamedTuple):
    """What tells one state of who serves from every other: equal pulses of one store mean that nothing has changed.

    A model's serving entry is only ever followed by one of a higher number, and in the same transaction, so that every
    commit that changes a server, or brings a model's first, makes ``seqs`` larger. It is counted from the rows that a
    snapshot sees: an entry that commits late counts from its commit on, whatever numbers and instants were seen before.

    Attributes:
        models: How many models serve.
        seqs: Sum of the numbers of the entries by which they do.
    """

    models: int
    seqs: int

    @classmethod
    def of(cls, servers: Mapping[str, int]) -> Self:
        """Of what :meth:`Ledger.servers` gave."""
        return cls(len(servers), sum(servers.values()))


class Ledger:
    """Reads and extends the ledgers of all models.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(self, model: str) -> list[Promotion]:
        """All entries of a model by seq."""
        query = select(promotions).where(promotions.c.model == model).order_by(promotions.c.seq)
        with self._store.transaction() as connection:
            return [Promotion(**row._mapping) for row in connection.execute(query)]

    def models(self) -> list[str]:
        """Models that have a ledger, by name."""
        query = select(promotions.c.model).distinct().order_by(promotions.c.model)
        with self._store.transaction() as connection:
            return list(connection.scalars(query))

    def servers(self) -> dict[str, int]:
        """Number of the entry by which each model serves, the newest promotion first; one look for a fleet.

        Reads the index of serving entries alone, whatever the length of the ledgers.
        """
        query = (
            select(promotions.c.model, promotions.c.seq)
            .where(_SERVING)
            .order_by(promotions.c.at.desc(), promotions.c.model)
        )
        with self._store.transaction() as connection:
            return {row.model: row.seq for row in connection.execute(query)}

    def pulse(self) -> Pulse:
        """Of the servers of all models: one row, whatever their number."""
        query = select(func.count(), func.coalesce(func.sum(promotions.c.seq), 0)).where(_SERVING)
        with self._store.transaction() as connection:
            models, seqs = connection.execute(query).one()
        return Pulse(models, seqs)

    def entries_of(self, models: Collection[str]) -> dict[str, list[Promotion]]:
        """All entries of several models by seq; one look for all of them."""
        query = select(promotions).where(promotions.c.model.in_(models)).order_by(promotions.c.model, promotions.c.seq)
        found: dict[str, list[Promotion]] = {model: [] for model in models}
        with self._store.transaction() as connection:
            for row in connection.execute(query):
                found[row.model].append(Promotion(**row._mapping))
        return found

    def seq(self, model: str) -> int:
        """Number of the newest entry, 0 if there is none: what a plan is made against."""
        query = select(func.coalesce(func.max(promotions.c.seq), 0)).where(promotions.c.model == model)
        with self._store.transaction() as connection:
            newest: int = connection.execute(query).scalar_one()
        return newest

    def by_key(self, model: str, key: str) -> Promotion | None:
        """The entry that was stored under a retry's key."""
        with self._store.transaction() as connection:
            return _one(connection, promotions.c.model == model, promotions.c.key == key)

    def append(
        self,
        model: str,
        expected_seq: int,
        *,
        version: int | None,
        action: Action,
        actor: str,
        reason: str,
        as_of: str,
        as_of_time: datetime,
        evidence: Mapping[str, Any] | None = None,
        holds: bool = False,
        key: str | None = None,
    ) -> Promotion:
        """Inserts ``(model, expected_seq + 1)`` and ends the service of the version before, in one transaction.

        Decides nothing but who comes first; what may be appended is decided in ``registry``.

        Args:
            expected_seq: The seq that the caller's decision was made against.
            version: What serves from now on; ``None`` for ``release``.
            holds: Whether a hold begins.
            key: Makes the call repeatable: an entry of the model with that key is returned as it is.

        Raises:
            Superseded: When the ledger has moved on from ``expected_seq``.
        """
        draft = Promotion(
            model, expected_seq + 1, version, action, actor, reason, evidence or {}, as_of, as_of_time,
            at=as_of_time, holds=holds, key=key,
        )  # fmt: skip
        faults.point("ledger.insert:before")
        try:
            with self._store.transaction() as connection:
                entry = _append(connection, expected_seq, draft)
                faults.point("ledger.commit:before")
        except _LostError:
            # What stands there is another's act, or our own of an earlier try that has committed by now.
            stored = None if key is None else self.by_key(model, key)
            if stored is None:
                raise _superseded(draft, self.entries(model)) from None
            return stored
        faults.point("ledger.insert:after")
        return entry

    def champion(self, model: str) -> Promotion | None:
        """The entry whose version serves now."""
        with self._store.transaction() as connection:
            return _one(connection, promotions.c.model == model, promotions.c.version.is_not(None))

    def champion_at(self, model: str, as_of_time: datetime) -> Promotion | None:
        """The entry whose version served at an instant of the data clock: the last by seq that is not after it."""
        with self._store.transaction() as connection:
            return _one(
                connection,
                promotions.c.model == model,
                promotions.c.version.is_not(None),
                promotions.c.as_of_time <= as_of_time,
            )

    def first(self, model: str) -> Promotion | None:
        """The entry with which the model began to serve."""
        return history.first(self.entries(model))

    def last_good(self, model: str) -> Promotion | None:
        """The last server before the present one that is not marked bad."""
        return history.last_good(self.entries(model))

    def rolled_back_versions(self, model: str) -> set[int]:
        """Versions that were taken off by a rollback and have not served since."""
        return history.rolled_back_versions(self.entries(model))

    def recent_champions(self, model: str, n: int) -> list[int]:
        """The last ``n`` distinct champions that are not marked bad, newest first."""
        return history.recent_champions(self.entries(model), n)

    def hold(self, model: str) -> Hold | None:
        """The hold that stands, if any."""
        return history.hold(self.entries(model))

    def is_historic(self, model: str, as_of_time: datetime) -> bool:
        """Whether work of that instant is older than the champion."""
        server = self.champion(model)
        return server is not None and as_of_time < server.as_of_time

    def verify_chain(self, model: str) -> list[str]:
        """What is wrong with the ledger; empty when all is well."""
        return history.verify_chain(self.entries(model))


class _LostError(Exception):
    """Another act stands where ours was to stand; our transaction must be undone."""


def _append(connection: Connection, expected_seq: int, draft: Promotion) -> Promotion:
    of_model = promotions.c.model == draft.model
    mine = None if draft.key is None else _one(connection, of_model, promotions.c.key == draft.key)
    if mine is not None:
        return mine
    last = _one(connection, of_model)
    if (last.seq if last else 0) != expected_seq:
        raise _LostError
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    entry = history.following(last, replace(draft, at=now))
    if entry.serves:
        connection.execute(
            update(promotions).where(of_model, _SERVING).values(served_to=entry.at, end_cause=entry.action)
        )
    row = {column.name: getattr(entry, column.name) for column in promotions.columns}
    inserted = connection.execute(
        insert(promotions).values(row).on_conflict_do_nothing().returning(promotions.c.seq)
    ).first()
    if inserted is None:
        raise _LostError
    return entry


def _one(connection: Connection, *where: ColumnElement[bool]) -> Promotion | None:
    row = connection.execute(select(promotions).where(*where).order_by(promotions.c.seq.desc()).limit(1)).first()
    return None if row is None else Promotion(**row._mapping)


def _superseded(draft: Promotion, entries: Sequence[Promotion]) -> Superseded:
    last = entries[-1] if entries else None
    stands = "it is empty" if last is None else f"seq {last.seq} stands ({last.action} by {last.actor}: {last.reason})"
    return Superseded(f"The ledger of {draft.model} was expected at seq {draft.seq - 1}, but {stands}.")
