"""Monitoring figures per period: how each watched version did on the period's labelled rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import periods
from evergreen.store.store import Store


@dataclass(frozen=True)
class Period:
    """One figure of one period.

    Attributes:
        as_of: The period's end.
        role: ``champion`` (at the period's start), ``first``, ``version_N`` (named in the spec), ``logged`` (what
            the gateway answered).
        version: The model version that predicted; ``None`` where there was none, or several (``logged``).
        value: The metric; ``None`` where it could not be computed.
        n_rows: Rows of the period; ``n_labelled`` of them had a label.
    """

    model: str
    as_of: str
    as_of_time: datetime
    role: str
    version: int | None
    metric: str
    value: float | None
    n_rows: int
    n_labelled: int


class Periods:
    """The monitoring figures of all models.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def replace(self, model: str, as_of: str, as_of_time: datetime, rows: Sequence[Mapping[str, Any]]) -> None:
        """Puts a period's figures in place of those that were there.

        Args:
            rows: ``role``, ``version``, ``metric``, ``value``, ``n_rows`` and ``n_labelled`` of each.
        """
        made = [Period(model, as_of, as_of_time, **{**row, "value": _finite(row["value"])}) for row in rows]
        of_period = (periods.c.model == model, periods.c.as_of == as_of)
        with self._store.transaction() as connection:
            # Two writers of a period would each delete what the other has not committed yet, and double it.
            lock = func.pg_advisory_xact_lock(func.hashtext(f"period {as_of}"), func.hashtext(model))
            connection.execute(select(lock))
            connection.execute(delete(periods).where(*of_period))
            if made:
                connection.execute(insert(periods), [asdict(period) for period in made])

    def of(self, model: str) -> list[Period]:
        """All figures of a model, by period."""
        columns = [column for column in periods.columns if column.name != "id"]
        query = select(*columns).where(periods.c.model == model).order_by(periods.c.as_of_time, periods.c.id)
        with self._store.transaction() as connection:
            return [Period(**row._mapping) for row in connection.execute(query)]


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
