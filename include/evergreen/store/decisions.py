"""Every evaluation of gate, policy and deployment with figures and reasons, the "no" too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import decisions
from evergreen.store.store import Store


@dataclass(frozen=True)
class Decision:
    """One evaluation.

    Attributes:
        kind: ``gate``, ``retraining``, ``deployment``, ``drift``, …
        verdict: The kind's own word, such as ``accept`` or ``refuse``.
        figures: What it was decided by; NaN reads back as ``None``.
        key: What makes a repeated recording the same one.
        version: The model version that it is about, if any.
        historic: Whether it is about work older than the champion.
        ledger_seq: Number of the model's newest ledger entry that it was made on, where it depends on the ledger.
    """

    id: int
    kind: str
    resource: str
    as_of: str
    as_of_time: datetime
    verdict: str
    figures: Mapping[str, Any]
    reasons: Sequence[str]
    key: str
    version: int | None
    historic: bool
    at: datetime
    ledger_seq: int | None = None


class Decisions:
    """The decisions on all resources.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(
        self,
        kind: str,
        resource: str,
        as_of: str,
        as_of_time: datetime,
        *,
        verdict: str,
        key: str,
        figures: Mapping[str, Any] | None = None,
        reasons: Sequence[str] = (),
        version: int | None = None,
        historic: bool = False,
        ledger_seq: int | None = None,
    ) -> Decision:
        """Stores a decision, or returns the one that stands under this key."""
        row = {
            "kind": kind, "resource": resource, "as_of": as_of, "as_of_time": as_of_time, "verdict": verdict,
            "figures": figures or {}, "reasons": list(reasons), "key": key, "version": version, "historic": historic,
            "ledger_seq": ledger_seq,
        }  # fmt: skip
        with self._store.transaction() as connection:
            connection.execute(insert(decisions).values(row).on_conflict_do_nothing())
            return Decision(**connection.execute(select(decisions).where(decisions.c.key == key)).one()._mapping)

    def by_key(self, key: str) -> Decision | None:
        """The decision that stands under a key."""
        with self._store.transaction() as connection:
            row = connection.execute(select(decisions).where(decisions.c.key == key)).first()
        return None if row is None else Decision(**row._mapping)

    def of(self, resource: str, kind: str | None = None) -> list[Decision]:
        """Decisions on a resource in the order they were recorded."""
        query = select(decisions).where(decisions.c.resource == resource).order_by(decisions.c.id)
        if kind is not None:
            query = query.where(decisions.c.kind == kind)
        with self._store.transaction() as connection:
            return [Decision(**row._mapping) for row in connection.execute(query)]

    def latest(
        self, resource: str, kind: str, *, as_of: str | None = None, version: int | None = None
    ) -> Decision | None:
        """The decision recorded last, among those of an as_of or on a version where these are given."""
        query = select(decisions).where(decisions.c.resource == resource, decisions.c.kind == kind)
        if as_of is not None:
            query = query.where(decisions.c.as_of == as_of)
        if version is not None:
            query = query.where(decisions.c.version == version)
        with self._store.transaction() as connection:
            row = connection.execute(query.order_by(decisions.c.id.desc()).limit(1)).first()
        return None if row is None else Decision(**row._mapping)
