"""Which versions wait to be promoted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from evergreen.registry.candidates import gate_key, newest_verdict, waiting
from evergreen.registry.judgement import Judged
from evergreen.store.decisions import Decision
from evergreen.store.trainings import Training

START = datetime(2013, 1, 1, tzinfo=UTC)


def test_an_accepted_adopted_version_waits() -> None:
    (candidate,) = waiting([_training(1)], [_gate(1)], [])
    assert (candidate.version, candidate.training_id) == (1, "training-1")


def test_a_gate_decision_made_before_there_was_a_version_counts_by_its_key() -> None:
    decision = _decision("gate", "accept", None, key=gate_key("training-1"))
    assert [candidate.version for candidate in waiting([_training(1)], [decision], [])] == [1]


def test_nothing_waits_without_version_or_without_a_yes() -> None:
    unadopted = _training(None, training_id="t")
    assert waiting([unadopted], [_decision("gate", "accept", None, key=gate_key("t"))], []) == []
    assert waiting([_training(1)], [], []) == []
    assert waiting([_training(1)], [_gate(1, "refuse")], []) == []
    assert waiting([_training(1)], [_gate(1, "cannot_judge")], []) == []


def test_the_newest_gate_decision_counts() -> None:
    assert waiting([_training(1)], [_gate(1), _gate(1, "refuse")], []) == []


def test_the_judgement_of_the_highest_ledger_number_counts_whenever_it_was_recorded() -> None:
    first = _decision("gate", "accept", None, key=gate_key("training-1"), ledger_seq=0)
    again = _decision("gate", "refuse", 1, key=gate_key("training-1", 2), ledger_seq=2)
    late = _decision("gate", "accept", None, key=gate_key("training-1", 1), ledger_seq=1)  # of a task that hung
    assert waiting([_training(1)], [first, again, late], []) == []
    assert newest_verdict(_training(1), [again, late, first]) == again
    earlier_release = _decision("gate", "refuse", 1)
    assert newest_verdict(_training(1), [first, earlier_release]) == first


def test_a_judgement_is_of_its_own_training_only() -> None:
    other = _decision("gate", "accept", None, key=gate_key("training-12"), ledger_seq=0)
    assert newest_verdict(_training(None, training_id="training-1"), [other]) is None
    assert newest_verdict(_training(None, training_id="training-12"), [other]) == other


def test_a_candidate_knows_what_it_was_judged_on() -> None:
    judged = _decision("gate", "accept", None, key=gate_key("training-1"), ledger_seq=4)
    (candidate,) = waiting([_training(1)], [judged], [])
    assert candidate.judged == Judged(4, 3)
    (of_an_earlier_release,) = waiting([_training(1)], [_gate(1)], [])
    assert of_an_earlier_release.judged is None


def test_the_newest_data_come_first() -> None:
    trainings = [_training(1, day=1), _training(2, day=9), _training(3, day=5), _training(4, day=9)]
    found = waiting(trainings, [_gate(v) for v in (1, 2, 3, 4)], [])
    assert [candidate.version for candidate in found] == [4, 2, 3, 1]


def test_what_a_deployment_refused_or_superseded_waits_no_more() -> None:
    trainings = [_training(v) for v in (1, 2, 3)]
    gates = [_gate(v) for v in (1, 2, 3)]
    closed = [_decision("deployment", "refused", 3), _decision("deployment", "superseded", 1)]
    assert [candidate.version for candidate in waiting(trainings, [*gates, *closed], [])] == [2]


def test_what_served_or_was_overtaken_waits_no_more(book) -> None:
    trainings = [_training(v) for v in (1, 2, 3)]
    found = waiting(trainings, [_gate(v) for v in (1, 2, 3)], book.promote(2).entries)
    assert [candidate.version for candidate in found] == [3]


def test_a_rolled_back_version_does_not_wait(book) -> None:
    book.promote(1).promote(2).roll_back(1)
    assert waiting([_training(1), _training(2)], [_gate(1), _gate(2)], book.entries) == []


def _training(version: int | None, *, day: int = 0, training_id: str = "") -> Training:
    empty: dict[str, Any] = dict.fromkeys(Training.__dataclass_fields__)
    known = {
        "training_id": training_id or f"training-{version}", "model": "m", "as_of": f"day {day}", "workspace": "w",
        "as_of_time": START + timedelta(days=day), "requested_seq": 0, "adopted_version": version,
    }  # fmt: skip
    return Training(**{**empty, **known})


def _gate(version: int, verdict: str = "accept") -> Decision:
    return _decision("gate", verdict, version)


def _decision(kind: str, verdict: str, version: int | None, key: str = "k", **more: Any) -> Decision:
    figures = {"memory": 3} if "ledger_seq" in more else {}
    return Decision(0, kind, "m", "", START, verdict, figures, [], key, version, False, START, **more)
