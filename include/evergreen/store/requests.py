"""Requests for a training: written by whoever wants one, claimed by the run that trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from evergreen import faults
from evergreen.store.schema import promotions, requests
from evergreen.store.store import Store

State = Literal["open", "claimed", "done", "refused", "not_needed", "superseded"]
Answer = Literal["done", "refused", "not_needed", "superseded"]


@dataclass(frozen=True)
class Request:
    """A wish for a training.

    Attributes:
        cause: ``drift``, ``decay``, ``new_rows``, ``manual``, …
        after_seq: Number of the model's newest ledger entry when it was written: a hold of that seq or an older one
            does not bind what this request leads to.
        lease_until: Until when (wall clock) nobody else may take it from ``claimed_by``.
        joined: Whether it came too late for ``claimed_by`` to take, but is answered by its claim.
        created: Whether this very call inserted it; known to :meth:`Requests.open` alone.
    """

    id: int
    model: str
    dedupe_key: str
    cause: str
    reason: str
    evidence: Mapping[str, Any]
    as_of: str
    as_of_time: datetime
    created_at: datetime
    after_seq: int
    state: State
    claimed_by: str | None
    lease_until: datetime | None
    joined: bool
    training_id: str | None
    note: str
    answered_at: datetime | None
    created: bool = False


class Shares(NamedTuple):
    """What a claim does with the unanswered requests."""

    taken: list[Request]
    renewed: list[Request]
    joined: list[tuple[Request, Request]]
    """Requests, each with the live one that answers it too."""


def share_out(unanswered: Sequence[Request], claimer: str, now: datetime, *, again: bool) -> Shares:
    """Decides a claim; see :meth:`Requests.claim`.

    Args:
        unanswered: The model's open and claimed requests.
        again: Whether the claimer has claimed before.
    """
    live = [r for r in unanswered if r.claimed_by is not None and r.lease_until is not None and r.lease_until >= now]
    shares = Shares([], [], [])
    for request in unanswered:
        other = next((each for each in live if each.claimed_by != claimer and _answers(each, request)), None)
        if request.claimed_by == claimer:
            shares.renewed.append(request)
        elif request in live:
            continue
        elif request.state == "open" and other is not None:
            shares.joined.append((request, other))
        elif not again:
            shares.taken.append(request)
    return shares


def _answers(live: Request, request: Request) -> bool:
    return live.as_of_time == request.as_of_time and live.after_seq >= request.after_seq


class Requests:
    """The requests of all models.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(
        self,
        model: str,
        as_of: str,
        as_of_time: datetime,
        cause: str,
        reason: str,
        dedupe_key: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> Request:
        """Writes a request, or returns the one of the model that has this ``dedupe_key``, whatever its state."""
        newest_seq = select(func.coalesce(func.max(promotions.c.seq), 0)).where(promotions.c.model == model)
        row = {
            "model": model, "as_of": as_of, "as_of_time": as_of_time, "cause": cause, "reason": reason,
            "dedupe_key": dedupe_key, "evidence": evidence or {}, "state": "open",
            "after_seq": newest_seq.scalar_subquery(),
        }  # fmt: skip
        faults.point("request.insert:before")
        with self._store.transaction() as connection:
            inserted = connection.execute(
                insert(requests).values(row).on_conflict_do_nothing().returning(*requests.columns)
            ).first()
            stored = inserted or connection.execute(
                select(requests).where(requests.c.model == model, requests.c.dedupe_key == dedupe_key)
            ).one()  # fmt: skip
        faults.point("request.insert:after")
        return Request(**stored._mapping, created=inserted is not None)

    def claim(self, model: str, claimer: str, lease_seconds: float) -> list[Request]:
        """Takes all open requests of the model, and those whose lease ran out; of parallel claimers one takes all.

        A claimer that comes again gets the same set again, whatever its state by then, with a new lease on what is
        not answered; it gets nothing new. Open requests that somebody else's live claim answers anyway (same as_of,
        nothing decided about the model in between) join that claim and are given to nobody.

        Args:
            claimer: Who claims, one name per run.
            lease_seconds: How long (wall clock) the claim stands; claim again to renew it.
        """
        mine = and_(requests.c.model == model, requests.c.claimed_by == claimer, ~requests.c.joined)
        faults.point("claim:before")
        with self._store.transaction() as connection:
            _lock(connection, model)
            now = connection.execute(select(func.clock_timestamp())).scalar_one()
            unanswered = and_(requests.c.model == model, requests.c.state.in_(("open", "claimed")))
            shares = share_out(_all(connection, unanswered), claimer, now, again=bool(_all(connection, mine)))
            until = now + timedelta(seconds=lease_seconds)
            _give(connection, shares.taken, claimed_by=claimer, lease_until=until, joined=False)
            _give(connection, shares.renewed, lease_until=until)
            _join(connection, shares.joined)
            claimed = _all(connection, mine)
        faults.point("claim:after")
        return claimed

    def answer(
        self,
        ids: Sequence[int],
        state: Answer,
        *,
        claimer: str | None = None,
        training_id: str | None = None,
        note: str = "",
    ) -> list[Request]:
        """Closes requests, and those that joined (or would join) their claim; what is closed stays as it was.

        Args:
            claimer: Close only what this claimer (still) holds: a zombie whose lease was taken over closes nothing.
        """
        named = requests.c.id.in_(list(ids))
        claims = select(requests.c.model, requests.c.claimed_by).where(named, requests.c.claimed_by.is_not(None))
        together = or_(named, tuple_(requests.c.model, requests.c.claimed_by).in_(claims))
        closing = [together, requests.c.state.in_(("open", "claimed"))]
        if claimer is not None:
            closing.append(requests.c.claimed_by == claimer)
        with self._store.transaction() as connection:
            for model in connection.scalars(select(requests.c.model).where(named).distinct()).all():
                _lock(connection, model)
                held = _all(connection, and_(*closing, requests.c.model == model, requests.c.state == "claimed"))
                still_open = _all(connection, and_(requests.c.model == model, requests.c.state == "open"))
                _join(connection, [(r, live) for r in still_open for live in held if _answers(live, r)])
            connection.execute(
                update(requests)
                .where(*closing)
                .values(state=state, training_id=training_id, note=note, answered_at=func.clock_timestamp())
            )
            return _all(connection, together)

    def give_back(self, model: str, claimer: str) -> None:
        """Opens again what a claimer holds and will not answer, so that nobody waits for its lease to run out."""
        free = {"state": "open", "claimed_by": None, "lease_until": None, "joined": False}
        with self._store.transaction() as connection:
            _lock(connection, model)
            held = and_(requests.c.model == model, requests.c.claimed_by == claimer, requests.c.state == "claimed")
            connection.execute(update(requests).where(held).values(free))

    def of(self, model: str) -> list[Request]:
        """All requests of a model in the order they were written."""
        with self._store.transaction() as connection:
            return _all(connection, requests.c.model == model)

    def open_of(self, model: str) -> list[Request]:
        """Requests that nobody works on: what the last task looks for again."""
        with self._store.transaction() as connection:
            return _all(connection, and_(requests.c.model == model, _is_free()))

    def newest(self, model: str) -> Request | None:
        """The request with the latest as_of: what a cool-down in data time counts from."""
        return max(self.of(model), key=lambda request: (request.as_of_time, request.id), default=None)


def _lock(connection: Connection, model: str) -> None:
    # Claimers of one model queue up here: by row locks alone, two of them could share the rows.
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("claim"), func.hashtext(model))))


def _give(connection: Connection, given: Sequence[Request], **values: Any) -> None:
    if given:
        ids = [request.id for request in given]
        connection.execute(update(requests).where(requests.c.id.in_(ids)).values(state="claimed", **values))


def _join(connection: Connection, pairs: Sequence[tuple[Request, Request]]) -> None:
    for request, live in pairs:
        _give(connection, [request], claimed_by=live.claimed_by, lease_until=live.lease_until, joined=True)


def _is_free() -> ColumnElement[bool]:
    ran_out = and_(requests.c.state == "claimed", requests.c.lease_until < func.clock_timestamp())
    return or_(requests.c.state == "open", ran_out)


def _all(connection: Connection, where: ColumnElement[bool]) -> list[Request]:
    rows = connection.execute(select(requests).where(where).order_by(requests.c.id))
    return [Request(**row._mapping) for row in rows]
