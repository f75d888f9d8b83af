"""Requests: written once, claimed all at once by one, answered once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from evergreen.errors import UserError
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Request, Requests
from evergreen.store.store import Store

MARCH, APRIL = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC)


def test_a_request_is_written_once_per_dedupe_key(store: Store, model: str) -> None:
    first, again = _open(store, model, "a"), _open(store, model, "a", cause="decay")
    assert (first.created, again.created) == (True, False)
    assert (again.id, again.cause) == (first.id, "drift")
    assert len(Requests(store).of(model)) == 1


def test_parallel_writers_of_one_key_write_one(store: Store, model: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        written = list(pool.map(lambda _: _open(store, model, "a"), range(10)))
    assert sum(request.created for request in written) == 1
    assert len({request.id for request in written}) == 1


def test_one_of_a_hundred_parallel_claimers_takes_all(store: Store, model: str) -> None:
    for number in range(30):
        _open(store, model, f"k{number}", cause=("drift", "decay", "manual")[number % 3])
    with ThreadPoolExecutor(40) as pool:
        claims = list(pool.map(lambda n: Requests(store).claim(model, f"run-{n}", 600), range(100)))
    winners = [claim for claim in claims if claim]
    assert [len(claim) for claim in winners] == [30]
    assert {request.claimed_by for request in winners[0]} == {winners[0][0].claimed_by}


def test_parallel_runs_that_write_and_claim_lead_to_one_training(store: Store, model: str) -> None:
    def run(number: int) -> list[Request]:
        _open(store, model, f"k{number}")
        return Requests(store).claim(model, f"run-{number}", 600)

    with ThreadPoolExecutor(20) as pool:
        winners = [claim for claim in pool.map(run, range(40)) if claim]
    assert len(winners) == 1
    Requests(store).answer([request.id for request in winners[0]], "done", training_id="t")
    assert {(request.state, request.training_id) for request in Requests(store).of(model)} == {("done", "t")}


def test_what_is_given_back_is_open_to_whoever_claims_next_and_what_is_answered_stays(store: Store, model: str) -> None:
    requests = Requests(store)
    done = _open(store, model, "a")
    requests.claim(model, "me", 600)
    requests.answer([done.id], "done", training_id="t")
    failed = _open(store, model, "b")
    requests.claim(model, "mine too", 600)
    joined = _open(store, model, "c")
    assert requests.claim(model, "late", 600) == []
    requests.give_back(model, "mine too")
    assert [request.id for request in requests.claim(model, "next", 600)] == [failed.id, joined.id]
    assert [request.state for request in requests.of(model)] == ["done", "claimed", "claimed"]


def test_the_same_claimer_gets_the_same_again_and_nothing_new(store: Store, model: str) -> None:
    requests = Requests(store)
    first = _open(store, model, "a")
    assert [request.id for request in requests.claim(model, "me", 600)] == [first.id]
    _open(store, model, "b", as_of="2013-04-01", moment=datetime(2013, 4, 1, tzinfo=UTC))
    assert [request.id for request in requests.claim(model, "me", 600)] == [first.id]
    requests.answer([first.id], "done", training_id="t")
    assert [(request.id, request.state) for request in requests.claim(model, "me", 600)] == [(first.id, "done")]
    assert [request.dedupe_key for request in requests.claim(model, "other", 600)] == ["b"]


def test_a_request_for_the_same_data_joins_a_live_claim(store: Store, model: str) -> None:
    requests = Requests(store)
    first = _open(store, model, "a")
    requests.claim(model, "me", 600)
    late = _open(store, model, "b", cause="manual")
    assert requests.claim(model, "other", 600) == []
    assert requests.open_of(model) == []
    assert [request.id for request in requests.claim(model, "me", 600)] == [first.id]
    requests.answer([first.id], "done", claimer="me", training_id="t")
    assert [(r.id, r.state, r.training_id, r.joined) for r in requests.of(model)] == [
        (first.id, "done", "t", False), (late.id, "done", "t", True),
    ]  # fmt: skip


def test_an_answer_closes_what_came_for_the_same_data_meanwhile(store: Store, model: str) -> None:
    requests = Requests(store)
    first = _open(store, model, "a")
    requests.claim(model, "me", 600)
    _open(store, model, "b", cause="manual")
    _open(store, model, "c", as_of="2013-04-01", moment=datetime(2013, 4, 1, tzinfo=UTC))
    requests.answer([first.id], "done", claimer="me", training_id="t")
    assert [(r.dedupe_key, r.state) for r in requests.of(model)] == [("a", "done"), ("b", "done"), ("c", "open")]


def test_an_answer_without_a_claim_closes_only_what_it_names(store: Store, model: str) -> None:
    first = _open(store, model, "a")
    _open(store, model, "b")
    Requests(store).answer([first.id], "not_needed")
    assert [request.state for request in Requests(store).of(model)] == ["not_needed", "open"]


def test_a_request_for_other_data_joins_nothing(store: Store, model: str) -> None:
    _open(store, model, "a")
    Requests(store).claim(model, "me", 600)
    _open(store, model, "b", as_of="2013-04-01", moment=datetime(2013, 4, 1, tzinfo=UTC))
    assert [request.dedupe_key for request in Requests(store).claim(model, "other", 600)] == ["b"]


def test_a_request_after_a_rollback_joins_no_claim_from_before_it(store: Store, model: str) -> None:
    _open(store, model, "a")
    Requests(store).claim(model, "me", 600)
    _promote(store, model)
    after = _open(store, model, "b")
    assert after.after_seq == 1
    assert [request.id for request in Requests(store).claim(model, "other", 600)] == [after.id]


def test_a_lease_that_ran_out_is_taken_over(store: Store, model: str) -> None:
    requests = Requests(store)
    first = _open(store, model, "a")
    requests.claim(model, "dead", 0)
    assert [request.id for request in requests.open_of(model)] == [first.id]
    (taken,) = requests.claim(model, "heir", 600)
    assert (taken.id, taken.claimed_by) == (first.id, "heir")
    assert requests.claim(model, "dead", 600) == []


def test_a_zombie_closes_nothing_of_its_heir(store: Store, model: str) -> None:
    requests = Requests(store)
    first = _open(store, model, "a")
    requests.claim(model, "dead", 0)
    requests.claim(model, "heir", 600)
    requests.answer([first.id], "done", claimer="dead", training_id="dead's")
    assert requests.of(model)[0].state == "claimed"
    requests.answer([first.id], "done", claimer="heir", training_id="heir's")
    assert requests.of(model)[0].training_id == "heir's"


def test_the_first_answer_stands(store: Store, model: str) -> None:
    first = _open(store, model, "a")
    Requests(store).answer([first.id], "not_needed", note="nothing changed")
    (answered,) = Requests(store).answer([first.id], "done", training_id="t")
    assert (answered.state, answered.note, answered.training_id) == ("not_needed", "nothing changed", None)
    assert Requests(store).claim(model, "me", 600) == []
    assert Requests(store).answer([], "done") == []


def test_the_newest_request_is_that_of_the_latest_data(store: Store, model: str) -> None:
    assert Requests(store).newest(model) is None
    _open(store, model, "april", as_of="2013-04-01", moment=datetime(2013, 4, 1, tzinfo=UTC))
    _open(store, model, "march")
    assert Requests(store).newest(model).dedupe_key == "april"


def test_a_claim_takes_its_own_as_of_first_and_counts_its_tries(store: Store, model: str) -> None:
    requests = Requests(store)
    march = _open(store, model, "a")
    april = _open(store, model, "b", as_of="2013-04-01", moment=APRIL)
    assert requests.claim(model, "person", 600, as_of_time=APRIL + timedelta(days=1), only=True) == []
    (mine,) = requests.claim(model, "me", 600, as_of_time=MARCH)
    assert (mine.id, mine.tries) == (march.id, 1)
    assert [request.id for request in requests.give_back(model, "me")] == [march.id]
    assert [request.id for request in requests.claim(model, "next", 600)] == [april.id], "it was not tried yet"


def test_what_is_done_supersedes_a_machines_older_wishes(store: Store, model: str) -> None:
    requests = Requests(store)
    _open(store, model, "machine")
    _open(store, model, "person", cause="manual")
    done = _open(store, model, "newer", as_of="2013-04-01", moment=APRIL)
    requests.claim(model, "me", 600, as_of_time=APRIL)
    requests.answer([done.id], "refused", claimer="me")
    assert [request.state for request in requests.of(model)] == ["open", "open", "refused"]
    again = _open(store, model, "once more", as_of="2013-04-01", moment=APRIL)
    requests.claim(model, "you", 600, as_of_time=APRIL)
    requests.answer([again.id], "done", claimer="you", training_id="t")
    machine, person, *_ = requests.of(model)
    assert (machine.state, machine.training_id, person.state) == ("superseded", "t", "open")
    assert machine.note == f"request {again.id} was trained as of 2013-04-01, which is newer"


def test_what_somebody_works_on_is_not_superseded(store: Store, model: str) -> None:
    requests = Requests(store)
    _open(store, model, "older")
    requests.claim(model, "at work", 600, as_of_time=MARCH)
    newer = _open(store, model, "newer", as_of="2013-04-01", moment=APRIL)
    requests.claim(model, "me", 600, as_of_time=APRIL)
    requests.answer([newer.id], "done", claimer="me", training_id="t")
    assert [request.state for request in requests.of(model)] == ["claimed", "done"]


def test_a_withdrawn_request_is_claimed_answered_and_given_back_by_nobody(store: Store, model: str) -> None:
    requests = Requests(store)
    first, joined = _open(store, model, "a"), None
    requests.claim(model, "me", 600)
    joined = _open(store, model, "b")
    assert requests.claim(model, "late", 600) == []
    requests.withdraw(model, first.id, actor="eve", reason="no")
    assert requests.withdrawn_from(model, "me", [first.id]) == "", "the one that joined is still to be answered"
    requests.withdraw(model, joined.id, actor="ada", reason="never")
    assert requests.withdrawn_from(model, "me", [first.id]) == "eve: no; ada: never"
    assert requests.withdrawn_from(model, "a zombie", [first.id]) == "eve: no"
    assert requests.withdrawn_from(model, "nobody", []) == ""
    requests.answer([first.id], "done", claimer="me", training_id="t")
    assert requests.give_back(model, "me") == []
    assert requests.withdraw(model, first.id, actor="eve", reason="again").note == "eve: no"
    assert [(r.state, r.training_id) for r in requests.of(model)] == [("withdrawn", None)] * 2
    assert requests.open_of(model) == [] and requests.claim(model, "other", 600) == []


def test_a_withdrawal_and_an_answer_at_once_leave_one_of_them(store: Store, model: str) -> None:
    requests = Requests(store)
    for number in range(10):
        request = _open(store, model, f"k{number}", as_of=f"2013-05-{number + 1:02}", moment=APRIL)
        requests.claim(model, f"run-{number}", 600, as_of_time=APRIL)

        def end(how: str, request: Request = request, number: int = number) -> str:
            try:
                if how == "withdraw":
                    return requests.withdraw(model, request.id, actor="eve", reason="no").state
                requests.answer([request.id], "done", claimer=f"run-{number}", training_id="t")
                return "done"
            except UserError:
                return "too late"

        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(end, ("withdraw", "answer")))
        state = requests.of(model)[number].state
        assert told[0] == ("withdrawn" if state == "withdrawn" else "too late")
        assert state in ("withdrawn", "done")


def _open(
    store: Store, model: str, key: str, *, cause: str = "drift", as_of: str = "2013-03-01", moment: datetime = MARCH
) -> Request:
    return Requests(store).open(model, as_of, moment, cause, "because", key, {"share": 0.5})


def _promote(store: Store, model: str) -> None:
    Ledger(store).append(
        model, 0, version=1, action="promote", actor="a", reason="r", as_of="2013-03-01", as_of_time=MARCH
    )
