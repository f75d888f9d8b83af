"""Requests for a training: written by whoever wants one, claimed by the run that trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from evergreen import faults
from evergreen.errors import UserError
from evergreen.store.claims import Answer, Request, answers, outdates, share_out
from evergreen.store.schema import promotions, requests
from evergreen.store.store import Store


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

    def claim(
        self, model: str, claimer: str, lease_seconds: float, *, as_of_time: datetime | None = None, only: bool = False
    ) -> list[Request]:
        """Takes all free requests of one as_of: open ones, and those whose lease ran out.

        What is taken together has one as_of, so that a request that cannot be trained takes no other with it. It is
        the claimer's own as_of if there is any request of it; else, for whoever is woken looks for what is left, the
        one that was tried least often, and of these the newest. Of parallel claimers one takes them.

        A claimer that comes again gets the same set again, whatever its state by then, with a new lease on what is
        not answered; it gets nothing new. Open requests that somebody else's live claim answers anyway (same as_of,
        nothing decided about the model in between) join that claim and are given to nobody.

        Args:
            claimer: Who claims, one name per run.
            lease_seconds: How long (wall clock) the claim stands; claim again to renew it.
            as_of_time: The claimer's own, if it has one.
            only: Take nothing of another as_of, as a person's run does.
        """
        mine = and_(requests.c.model == model, requests.c.claimed_by == claimer, ~requests.c.joined)
        faults.point("claim:before")
        with self._store.transaction() as connection:
            _lock(connection, model)
            now = connection.execute(select(func.clock_timestamp())).scalar_one()
            unanswered = and_(requests.c.model == model, requests.c.state.in_(("open", "claimed")))
            again = bool(_all(connection, mine))
            shares = share_out(
                _all(connection, unanswered), claimer, now, as_of_time=as_of_time, only=only, again=again
            )
            until = now + timedelta(seconds=lease_seconds)
            _give(
                connection,
                shares.taken,
                claimed_by=claimer,
                lease_until=until,
                joined=False,
                tries=requests.c.tries + 1,
            )
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

        What is ``done`` also supersedes the machine's open requests of older as_ofs: they wanted a newer model.

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
                _join(connection, [(r, live) for r in still_open for live in held if answers(live, r)])
            connection.execute(
                update(requests)
                .where(*closing)
                .values(state=state, training_id=training_id, note=note, answered_at=func.clock_timestamp())
            )
            answered = _all(connection, together)
            if state == "done":
                _supersede(connection, [each for each in answered if each.state == "done"])
            return answered

    def withdraw(self, model: str, request: int, *, actor: str, reason: str) -> Request:
        """Ends a request for good, because a person says so; one that was withdrawn before stays as it was.

        A training that works on it ends before it registers anything, unless it answers other requests too.

        Raises:
            UserError: When the model has no such request, or it was answered.
        """
        with self._store.transaction() as connection:
            _lock(connection, model)
            ours = and_(requests.c.model == model, requests.c.id == request)
            connection.execute(
                update(requests)
                .where(ours, requests.c.state.in_(("open", "claimed")))
                .values(state="withdrawn", note=f"{actor}: {reason}", answered_at=func.clock_timestamp())
            )
            found = _all(connection, ours)
        if not found:
            unanswered = [each.id for each in self.of(model) if each.state in ("open", "claimed")]
            remedy = f"Nobody has answered {', '.join(map(str, unanswered))}." if unanswered else "None is open."
            raise UserError(f"{model}: request", "must be one of the model's", value=request, remedy=remedy)
        if found[0].state != "withdrawn":
            how = f"{request}, which was answered before: {found[0].state} ({found[0].note})"
            raise UserError(f"{model}: request", f"must be one that nobody has answered, but it is {how}")
        return found[0]

    def withdrawn_from(self, model: str, claimer: str, ids: Sequence[int]) -> str:
        """Why a claimer has nothing to work for any more: the notes of its requests, when all were withdrawn.

        Args:
            ids: What it claimed, whoever holds that by now; what joined its claim counts too.
        """
        ours = or_(requests.c.id.in_(list(ids)), requests.c.claimed_by == claimer)
        with self._store.transaction() as connection:
            held = _all(connection, and_(requests.c.model == model, ours))
        if not held or any(each.state != "withdrawn" for each in held):
            return ""
        return "; ".join(dict.fromkeys(each.note for each in held))

    def give_back(self, model: str, claimer: str) -> list[Request]:
        """Opens again what a claimer holds and will not answer, so that nobody waits for its lease to run out."""
        free = {"state": "open", "claimed_by": None, "lease_until": None, "joined": False}
        with self._store.transaction() as connection:
            _lock(connection, model)
            held = and_(requests.c.model == model, requests.c.claimed_by == claimer, requests.c.state == "claimed")
            ids = connection.scalars(update(requests).where(held).values(free).returning(requests.c.id)).all()
            return _all(connection, requests.c.id.in_(ids))

    def of(self, model: str) -> list[Request]:
        """All requests of a model in the order they were written."""
        with self._store.transaction() as connection:
            return _all(connection, requests.c.model == model)

    def open_of(self, model: str) -> list[Request]:
        """Requests that nobody works on: what the last task looks for again."""
        with self._store.transaction() as connection:
            return _all(connection, and_(requests.c.model == model, _is_free()))

    def newest(self, model: str, *, by: datetime | None = None) -> Request | None:
        """The request with the latest as_of: what a cool-down in data time counts from.

        Args:
            by: Leaves later ones out: a wish for a day far ahead ends no cool-down.
        """
        known = [request for request in self.of(model) if by is None or request.as_of_time <= by]
        return max(known, key=lambda request: (request.as_of_time, request.id), default=None)


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


def _supersede(connection: Connection, done: Sequence[Request]) -> None:
    if not done:
        return
    free = _all(connection, and_(requests.c.model == done[0].model, _is_free()))
    for request in free:
        newer = next((each for each in done if outdates(each, request)), None)
        if newer is not None:
            connection.execute(
                update(requests)
                .where(requests.c.id == request.id)
                .values(
                    state="superseded",
                    training_id=newer.training_id,
                    note=f"request {newer.id} was trained as of {newer.as_of}, which is newer",
                    answered_at=func.clock_timestamp(),
                )
            )


def _is_free() -> ColumnElement[bool]:
    ran_out = and_(requests.c.state == "claimed", requests.c.lease_until < func.clock_timestamp())
    return or_(requests.c.state == "open", ran_out)


def _all(connection: Connection, where: ColumnElement[bool]) -> list[Request]:
    rows = connection.execute(select(requests).where(where).order_by(requests.c.id))
    return [Request(**row._mapping) for row in rows]
