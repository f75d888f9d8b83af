"""Who takes which request, by table and by property: what is taken together has one as_of, and nobody starves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from evergreen.store.claims import Request, claimer_of, outdates, share_out

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = {name: datetime(2013, 3, day, tzinfo=UTC) for day, name in enumerate("abcd", start=1)}


def request(number: int, as_of: str, **fields: object) -> Request:
    plain = Request(
        id=number, model="m", dedupe_key=str(number), cause="drift", reason="r", evidence={}, as_of=as_of,
        as_of_time=DAYS[as_of], created_at=NOW, after_seq=0, state="open", claimed_by=None, lease_until=None,
        joined=False, training_id=None, note="", answered_at=None, tries=0,
    )  # fmt: skip
    return replace(plain, **fields)


def held(number: int, as_of: str, by: str, *, minutes: int = 5, **fields: object) -> Request:
    until = NOW + timedelta(minutes=minutes)
    return request(number, as_of, state="claimed", claimed_by=by, lease_until=until, tries=1, **fields)


def taken(requests: list[Request], own: str | None, *, only: bool = False) -> list[int]:
    moment = None if own is None else DAYS[own]
    shares = share_out(requests, "me", NOW, as_of_time=moment, only=only, again=False)
    return [each.id for each in shares.taken]


def test_ones_own_as_of_comes_first() -> None:
    requests = [request(1, "a"), request(2, "b"), request(3, "c"), request(4, "b")]
    assert taken(requests, "b") == [2, 4]
    assert taken(requests, "b", only=True) == [2, 4]


def test_what_is_left_over_is_taken_by_whoever_has_none_of_his_own_and_is_no_person() -> None:
    requests = [request(1, "a"), request(2, "c"), request(3, "b")]
    assert taken(requests, "d") == [2]
    assert taken(requests, None) == [2]
    assert taken(requests, "d", only=True) == []


def test_what_failed_before_comes_after_what_was_not_tried() -> None:
    requests = [request(1, "c", tries=2), request(2, "b", tries=1), request(3, "a", tries=1)]
    assert taken(requests, "d") == [2]
    assert taken([*requests, request(4, "b", tries=3)], "d") == [3], "one of a group that was tried is enough"


def test_a_lease_that_ran_out_is_free_and_a_live_one_is_not() -> None:
    assert taken([held(1, "a", "other", minutes=-1), request(2, "b")], "a") == [1]
    assert taken([held(1, "a", "other"), request(2, "b")], "a") == [2]
    assert taken([held(1, "a", "other"), request(2, "a")], "a") == [], "it joins"
    assert taken([held(1, "a", "other"), request(2, "a", after_seq=1)], "a") == [2], "something was decided between"


def test_who_asks_for_the_sake_of_certain_files_joins_only_who_works_by_these() -> None:
    requests = [held(1, "a", claimer_of("run", "old"))]
    for evidence in ({"run": "mine", "files": "new"}, {"found": {"drift": ["w"], "code": ["new"]}}):
        assert taken([*requests, request(2, "a", evidence=evidence)], "a") == [2]
        assert taken([held(1, "a", claimer_of("run", "new")), request(2, "a", evidence=evidence)], "a") == []
    assert taken([*requests, request(2, "a", evidence={"found": {"drift": ["w"]}})], "a") == [], "any files will do"


def test_a_newer_training_outdates_a_machines_wish_from_before_it() -> None:
    done = request(1, "c", after_seq=1)
    assert outdates(done, request(2, "b"))
    assert not outdates(done, request(2, "c"))
    assert not outdates(done, request(2, "d"))
    assert not outdates(done, request(2, "b", cause="manual"))
    assert not outdates(done, request(2, "b", after_seq=2)), "asked after a rollback that the training does not know"


requests_ = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from([None, "me", "other", "late"])), max_size=8
)


@given(requests_, st.sampled_from([None, *"abcd"]), st.booleans(), st.booleans())
def test_what_is_taken_together_has_one_as_of(drawn, own: str | None, only: bool, again: bool) -> None:
    unanswered = [
        replace(request(number, as_of), tries=tries)
        if by is None
        else held(number, as_of, "other" if by == "late" else by, minutes=-1 if by == "late" else 5)
        for number, (as_of, tries, by) in enumerate(drawn)
    ]
    moment = None if own is None else DAYS[own]
    shares = share_out(unanswered, "me", NOW, as_of_time=moment, only=only, again=again)
    moments = {each.as_of_time for each in shares.taken}
    assert len(moments) <= 1
    assert not only or moments <= {moment}
    assert not again or not shares.taken
    named = [*shares.taken, *shares.renewed, *(one for one, _ in shares.joined)]
    assert len({each.id for each in named}) == len(named)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8))
def test_every_request_is_taken_in_time_though_every_training_fails(as_ofs: list[str]) -> None:
    left = [request(number, as_of) for number, as_of in enumerate(as_ofs)]
    seen: set[int] = set()
    for _ in range(len(set(as_ofs))):
        ids = taken(left, None)
        assert not seen & set(ids)
        seen |= set(ids)
        left = [replace(each, tries=each.tries + (each.id in ids)) for each in left]
    assert seen == set(range(len(as_ofs)))
