"""Monitored periods: how each watched version did on the labelled rows, and which periods may still change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.schema import periods, watched
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


@dataclass(frozen=True)
class Watched:
    """One period of one model.

    Attributes:
        start_time: The period's start, inclusive; ``as_of_time`` is its end, exclusive.
        state: ``waiting`` for its inputs, ``open`` while labels may still ripen, ``settled`` when it was judged for
            good.
        note: What it waits for, or what was missing when it was watched.
        judged_time: Labels known by this instant of the data clock were counted; ``None`` before the first time.
        read_at: When these were read, by the database's clock.
    """

    model: str
    as_of: str
    start_time: datetime
    as_of_time: datetime
    state: Literal["waiting", "open", "settled"]
    note: str
    judged_time: datetime | None
    read_at: datetime | None


class Periods:
    """The monitored periods of all models.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def wait(self, model: str, as_of: str, start_time: datetime, as_of_time: datetime, note: str) -> None:
        """Notes that a period cannot be watched yet; one that was watched before stays as it is."""
        row = {"model": model, "as_of": as_of, "start_time": start_time, "as_of_time": as_of_time, "note": note}
        statement = insert(watched).values(state="waiting", **row)
        waits = statement.on_conflict_do_update(
            index_elements=["model", "as_of"], set_={"note": note}, where=watched.c.state == "waiting"
        )
        with self._store.transaction() as connection:
            connection.execute(waits)

    def open(self, model: str, as_of: str, start_time: datetime, as_of_time: datetime, note: str = "") -> None:
        """Notes a period that is watched: from now on it is judged until it is settled."""
        row = {"model": model, "as_of": as_of, "start_time": start_time, "as_of_time": as_of_time, "note": note}
        statement = insert(watched).values(state="open", **row)
        opened = statement.on_conflict_do_update(index_elements=["model", "as_of"], set_={**row, "state": "open"})
        with self._store.transaction() as connection:
            connection.execute(opened)

    def in_state(self, model: str, state: Literal["waiting", "open", "settled"]) -> list[Watched]:
        """A model's periods in a state, oldest first."""
        query = select(watched).where(watched.c.model == model, watched.c.state == state).order_by(watched.c.as_of_time)
        with self._store.transaction() as connection:
            return [Watched(**row._mapping) for row in connection.execute(query)]

    def now(self) -> datetime:
        """The database's clock: taken before labels are read, it says which of two readings is the later one."""
        with self._store.transaction() as connection:
            moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment

    def judge(
        self,
        model: str,
        as_of: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        judged_time: datetime,
        read_at: datetime,
        settled: bool,
    ) -> bool:
        """Puts a period's figures in place of those that were there, unless those know more.

        Args:
            rows: ``role``, ``version``, ``metric``, ``value``, ``n_rows`` and ``n_labelled`` of each.
            judged_time: Up to which instant of the data clock labels were counted; an earlier one never takes the
                place of a later.
            read_at: Of :meth:`now` before they were read; of two with the same ``judged_time`` the later stays.
            settled: Whether nothing can change any more.

        Returns:
            Whether these figures stand now.
        """
        of_period = (watched.c.model == model, watched.c.as_of == as_of)
        with self._store.transaction() as connection:
            # Two writers of a period would each delete what the other has not committed yet, and double it.
            lock = func.pg_advisory_xact_lock(func.hashtext(f"period {as_of}"), func.hashtext(model))
            connection.execute(select(lock))
            period = connection.execute(select(watched).where(*of_period)).one()
            if not _knows_more((judged_time, read_at), period):
                return False
            _replace(connection, model, as_of, period.as_of_time, rows)
            state = "settled" if settled else "open"
            connection.execute(
                update(watched).where(*of_period).values(judged_time=judged_time, read_at=read_at, state=state)
            )
            return True

    def of(self, model: str) -> list[Period]:
        """All figures of a model, by period."""
        return self._figures(periods.c.model == model)

    def of_champion(self, model: str, version: int, *, after: datetime, until: datetime) -> list[Period]:
        """Figures of a version while it was the champion, of periods that ended after one instant and by another."""
        return self._figures(
            periods.c.model == model,
            periods.c.role == "champion",
            periods.c.version == version,
            periods.c.as_of_time > after,
            periods.c.as_of_time <= until,
        )

    def _figures(self, *where: ColumnElement[bool]) -> list[Period]:
        columns = [column for column in periods.columns if column.name != "id"]
        query = select(*columns).where(*where).order_by(periods.c.as_of_time, periods.c.id)
        with self._store.transaction() as connection:
            return [Period(**row._mapping) for row in connection.execute(query)]


def _knows_more(ours: tuple[datetime, datetime], period: Row[Any]) -> bool:
    return period.judged_time is None or ours >= (period.judged_time, period.read_at)


def _replace(
    connection: Connection, model: str, as_of: str, as_of_time: datetime, rows: Sequence[Mapping[str, Any]]
) -> None:
    made = [Period(model, as_of, as_of_time, **{**row, "value": _finite(row["value"])}) for row in rows]
    connection.execute(delete(periods).where(periods.c.model == model, periods.c.as_of == as_of))
    if made:
        connection.execute(insert(periods), [asdict(period) for period in made])


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
