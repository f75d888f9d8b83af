"""Gateways: which instance serves which model, up to which entry of the ledger. Wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import gateways
from evergreen.store.store import Store


@dataclass(frozen=True)
class Gateway:
    """The last sign of life of one instance for one model; ``applied_seq`` is the ledger entry that it serves by."""

    instance: str
    model: str
    applied_seq: int
    url: str
    seen_at: datetime


class Gateways:
    """The gateways that report to the store.

    Args:
        store: Where they report.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def beat(self, instance: str, model: str, applied_seq: int, url: str = "") -> None:
        """Says that an instance lives and what it serves by."""
        now = {"applied_seq": applied_seq, "url": url, "seen_at": func.clock_timestamp()}
        statement = insert(gateways).values(instance=instance, model=model, **now)
        with self._store.transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["instance", "model"], set_=now))

    def live(self, model: str, within_seconds: float) -> list[Gateway]:
        """Instances that were seen in the last ``within_seconds``, by name."""
        since = func.clock_timestamp() - timedelta(seconds=within_seconds)
        query = select(gateways).where(gateways.c.model == model, gateways.c.seen_at >= since)
        with self._store.transaction() as connection:
            return [Gateway(**row._mapping) for row in connection.execute(query.order_by(gateways.c.instance))]

    def remove(self, instance: str) -> None:
        """Forgets an instance that goes down by intent."""
        with self._store.transaction() as connection:
            connection.execute(delete(gateways).where(gateways.c.instance == instance))
