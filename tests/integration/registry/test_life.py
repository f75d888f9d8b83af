"""A model's life through the registry and a real store: promotion, rollback, hold, release, and the copy in aliases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evergreen.errors import Superseded, UserError
from evergreen.registry.acts import Act, perform
from evergreen.registry.candidates import Candidate, candidate_of, candidates, gate_key
from evergreen.registry.promotion import promote
from evergreen.registry.status import status
from evergreen.store.decisions import Decisions
from evergreen.store.history import Promotion
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings

START = datetime(2013, 1, 1, tzinfo=UTC)


class Life:
    """One model; days count from 1 January 2013."""

    def __init__(self, store: Store, model: str) -> None:
        self.store, self.model = store, model

    @property
    def seq(self) -> int:
        return Ledger(self.store).seq(self.model)

    @property
    def serving(self) -> int | None:
        champion = Ledger(self.store).champion(self.model)
        return champion and champion.version

    def train(self, version: int, *, day: int = 0, verdict: str = "accept") -> Candidate:
        """A request, its training, the gate's verdict and the adopted version."""
        as_of, moment, training_id = f"day {day}", START + timedelta(days=day), f"{self.model}-{version}"
        request = Requests(self.store).open(self.model, as_of, moment, "manual", "r", f"k{version}")
        Trainings(self.store).start(
            training_id, self.model, as_of, moment, spec_digest="s", workspace="w", inputs={}, seed=7,
            request_ids=[request.id],
        )  # fmt: skip
        assert Trainings(self.store).adopt(training_id) == version
        return self.judge(version, verdict=verdict)

    def judge(self, version: int, *, verdict: str = "accept") -> Candidate:
        """The gate's verdict on a version, against the champions of now."""
        training = Trainings(self.store).by_version(self.model, version)
        assert training is not None
        Decisions(self.store).record(
            "gate", self.model, training.as_of, training.as_of_time, verdict=verdict, figures={"memory": 3},
            key=gate_key(training.training_id, self.seq), version=version, ledger_seq=self.seq,
        )  # fmt: skip
        candidate = candidate_of(training, Decisions(self.store).of(self.model))
        assert candidate is not None
        return candidate

    def deploy(self, candidate: Candidate, *, expected_seq: int | None = None) -> Promotion:
        seq = self.seq if expected_seq is None else expected_seq
        return promote(
            self.store, candidate, expected_seq=seq, actor="evergreen", reason="gate", evidence={"roc_auc": 0.7}
        )  # fmt: skip

    def act(self, action: str, version: int | None = None, *, day: int = 0, key: str | None = None) -> Promotion:
        moment = START + timedelta(days=day)
        act = Act(action, "why", version)
        return perform(self.store, self.model, act, actor="rita", as_of=f"day {day}", as_of_time=moment, key=key)


@pytest.fixture
def life(store: Store, model: str) -> Life:
    return Life(store, model)


def test_a_candidate_becomes_champion_and_waits_no_more(life: Life) -> None:
    candidate = life.train(1)
    assert candidates(life.store, life.model) == [candidate]
    entry = life.deploy(candidate)
    assert (entry.version, entry.as_of, entry.evidence) == (
        1, "day 0", {"training_id": candidate.training_id, "judged_seq": 0, "roc_auc": 0.7},
    )  # fmt: skip
    assert candidates(life.store, life.model) == []
    assert life.serving == 1


def test_a_repeated_deploy_changes_nothing_even_after_a_rollback(life: Life) -> None:
    life.deploy(life.train(1))
    second = life.train(2)
    entry = life.deploy(second, expected_seq=1)
    assert life.deploy(second, expected_seq=1).row_hash == entry.row_hash
    life.act("roll_back")
    assert life.deploy(second, expected_seq=1).row_hash == entry.row_hash
    assert (life.serving, life.seq) == (1, 3)


def test_a_rollback_during_a_waiting_deploy_ends_it(life: Life) -> None:
    life.deploy(life.train(1))
    life.deploy(life.train(2))
    waiting, base_seq = life.train(3), life.seq
    life.act("roll_back")
    with pytest.raises(Superseded, match=r"requested before rita held.*roll_back by rita: why"):
        life.deploy(waiting, expected_seq=base_seq)
    with pytest.raises(Superseded, match="was requested before rita held the model at seq 3"):
        life.deploy(waiting)
    assert life.serving == 1


def test_after_a_rollback_only_new_requests_lead_to_a_promotion_until_the_release(life: Life) -> None:
    life.deploy(life.train(1))
    life.deploy(life.train(2))
    before = life.train(3)
    life.act("roll_back")
    after = life.train(4)
    assert life.deploy(after).version == 4
    with pytest.raises(Superseded):
        life.deploy(before)
    assert status(life.store, life.model).hold.seq == 3
    life.act("release")
    assert status(life.store, life.model).hold is None


def test_a_release_lets_what_was_held_go_on_when_it_was_judged_again(life: Life) -> None:
    life.deploy(life.train(1))
    life.deploy(life.train(2))
    held = life.train(3)
    life.act("roll_back")
    life.act("release")
    with pytest.raises(Superseded, match=r"was judged at seq 2 against versions \[1, 2\], but by now \[1\] count"):
        life.deploy(held)
    life.judge(3)
    assert life.deploy(held).version == 3
    with pytest.raises(UserError, match="needs a model that is held"):
        life.act("release")


def test_a_person_brings_a_rolled_back_version_back_by_name(life: Life) -> None:
    life.deploy(life.train(1))
    life.deploy(life.train(2, day=15))
    life.act("roll_back", day=15)
    assert status(life.store, life.model).rolled_back == {2}
    entry = life.act("promote", 2, day=3)
    assert (entry.version, entry.actor, entry.as_of) == (2, "rita", "day 15")
    now = status(life.store, life.model)
    assert (now.champion.version, now.previous.version, now.rolled_back) == (2, 1, frozenset())
    assert now.hold is not None


def test_a_person_rolls_back_to_a_named_version(life: Life) -> None:
    for version in (1, 2, 3):
        life.deploy(life.train(version))
    assert life.act("roll_back", 1).version == 1
    assert status(life.store, life.model).previous.version == 2


def test_a_person_cannot_name_what_the_gate_refused_or_nobody_knows(life: Life) -> None:
    life.deploy(life.train(1))
    life.train(2, verdict="refuse")
    for version in (2, 9):
        with pytest.raises(UserError, match=rf"one that the gate accepted, got {version}. There are \[1\]"):
            life.act("promote", version)
    with pytest.raises(UserError, match="must not be the one that serves already, got 1"):
        life.act("promote", 1)


def test_a_rollback_that_is_tried_again_rolls_back_once(life: Life) -> None:
    for version in (1, 2, 3):
        life.deploy(life.train(version))
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: life.act("roll_back", key="run-1"), range(8)))
    assert {entry.version for entry in entries} == {2}
    assert (life.seq, life.serving) == (4, 2)


def test_old_periods_under_a_current_champion_promote_nothing(life: Life) -> None:
    life.deploy(life.train(1, day=60))
    with pytest.raises(Superseded, match="as of day 30, is older than the champion, as of day 60"):
        life.deploy(life.train(2, day=30))
    assert candidates(life.store, life.model) == []


def test_a_newer_candidate_supersedes_a_waiting_one(life: Life) -> None:
    older, newer = life.train(1, day=1), life.train(2, day=2)
    assert [candidate.version for candidate in candidates(life.store, life.model)] == [2, 1]
    with pytest.raises(Superseded, match="gives way to the newer version 2"):
        life.deploy(older)
    life.deploy(newer)
    assert candidates(life.store, life.model) == []


def test_what_was_judged_before_another_promotion_is_not_promoted(life: Life) -> None:
    life.deploy(life.train(1))
    second, third = life.train(2, day=2), life.train(3, day=3)
    with pytest.raises(Superseded, match="gives way to the newer version 3"):
        life.deploy(second)
    life.act("promote", 2, day=2)
    for _ in range(2):
        with pytest.raises(Superseded, match=r"judged at seq 1 against versions \[1\], but by now \[1, 2\] count"):
            life.deploy(third)
    life.judge(3, verdict="refuse")
    with pytest.raises(Superseded, match="does not wait to be promoted"):
        life.deploy(third)
    assert (life.serving, candidates(life.store, life.model)) == (2, [])


def test_a_verdict_of_which_nobody_knows_the_champions_promotes_nothing(life: Life) -> None:
    first = life.train(1)
    Decisions(life.store).record(
        "gate", life.model, "day 0", START, verdict="accept", key=gate_key(first.training_id)
    )  # as an earlier release did
    assert life.deploy(first).version == 1, "its newest verdict knows them"
    training = Trainings(life.store).start(
        f"{life.model}-old", life.model, "day 1", START + timedelta(days=1), spec_digest="s", workspace="w", inputs={},
        seed=7,
    )  # fmt: skip
    Decisions(life.store).record(
        "gate", life.model, "day 1", training.as_of_time, verdict="accept", key=gate_key(training.training_id)
    )
    Trainings(life.store).adopt(training.training_id)
    (old,) = candidates(life.store, life.model)
    with pytest.raises(Superseded, match="was judged without a note on which champions"):
        life.deploy(old)


def test_a_stray_never_serves(life: Life) -> None:
    candidate = life.train(1)
    stray = replace(candidate, version=2)
    with pytest.raises(Superseded, match="its training adopted another"):
        life.deploy(stray)


def test_what_the_gate_did_not_accept_or_a_deployment_refused_never_serves(life: Life) -> None:
    with pytest.raises(Superseded, match="the gate did not accept it"):
        life.deploy(life.train(1, verdict="refuse"))
    second = life.train(2)
    Decisions(life.store).record(
        "deployment", life.model, "day 0", START, verdict="refused", key=f"verify:{life.model}", version=2
    )
    with pytest.raises(Superseded, match="its deployment was ended"):
        life.deploy(second)
    assert life.serving is None


def test_of_twenty_deploys_that_began_together_one_promotes(life: Life) -> None:
    candidate = life.train(1)

    def deploy(number: int) -> bool:
        try:
            promote(life.store, candidate, expected_seq=0, actor="a", reason="r", key=f"run-{number}")
        except Superseded:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(deploy, range(20))) == 1
    assert life.seq == 1


def test_a_whole_life_leaves_a_sound_ledger(life: Life) -> None:
    for version in (1, 2, 3):
        life.deploy(life.train(version, day=version))
    life.act("roll_back")
    life.act("promote", 3)
    life.act("release")
    life.act("roll_back", 1)
    assert Ledger(life.store).verify_chain(life.model) == []
    assert [(entry.action, entry.version) for entry in Ledger(life.store).entries(life.model)] == [
        ("promote", 1), ("promote", 2), ("promote", 3), ("roll_back", 2), ("promote", 3), ("release", None),
        ("roll_back", 1),
    ]  # fmt: skip
