"""MLflow's copies: numbered by MLflow, found by training, and nothing that happens to them stops the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evergreen.errors import DataError, TransientError, UserError
from evergreen.registry.aliases import heal_aliases
from evergreen.registry.copies import copied, note, register, register_run
from evergreen.store.decisions import Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Training, Trainings

START = datetime(2013, 1, 1, tzinfo=UTC)


class Shelf:
    """MLflow as far as copies go: numbers of its own, runs that may be gone, and days on which it is down."""

    def __init__(self, first_number: int = 1) -> None:
        self.next_number = first_number
        self.numbers: dict[str, int] = {}
        self.aliases: dict[str, int] = {}
        self.gone: set[str] = set()
        self.is_down = False

    def register(self, model: str, run_id: str, training_id: str, *, tags: Mapping[str, Any] | None = None) -> int:
        self._look()
        if training_id not in self.numbers:
            if run_id in self.gone:
                raise DataError(f"MLflow's run {run_id}", "must not be deleted")
            self.numbers[training_id], self.next_number = self.next_number, self.next_number + 1
        return self.numbers[training_id]

    def heal_aliases(self, model: str, wanted: Mapping[str, int | None]) -> None:
        self._look()
        self.aliases |= {name: number for name, number in wanted.items() if number is not None}
        for name in [name for name, number in wanted.items() if number is None]:
            self.aliases.pop(name, None)

    def delete_all(self, *, gone: set[str] = frozenset()) -> None:
        """A person deletes the registered model, and maybe runs: numbers begin at 1 again."""
        self.numbers, self.aliases, self.next_number, self.gone = {}, {}, 1, set(gone)

    def _look(self) -> None:
        if self.is_down:
            raise TransientError("MLflow, anything: it does not answer")


class Life:
    """One model: trainings t1, t2, … that the gate accepted."""

    def __init__(self, store: Store, model: str) -> None:
        self.store, self.model, self.shelf = store, model, Shelf()

    def train(self, number: int, *, verdict: str = "accept") -> Training:
        moment, trainings = START + timedelta(days=number), Trainings(self.store)
        training_id, seq = f"{self.model}-t{number}", Ledger(self.store).seq(self.model)
        trainings.start(
            training_id, self.model, f"day {number}", moment, spec_digest="s", workspace="w", inputs={}, seed=7
        )  # fmt: skip
        Decisions(self.store).record(
            "gate", self.model, f"day {number}", moment, verdict=verdict, figures={"memory": 3},
            key=f"gate:{training_id}", ledger_seq=seq,
        )  # fmt: skip
        return trainings.finish(
            training_id, run_id=f"run-{training_id}", trained_through=moment, training_set="s", bundle="b"
        )

    def register(self, number: int) -> int:
        training = Trainings(self.store).get(f"{self.model}-t{number}") or self.train(number)
        return register(self.store, self.shelf, training)

    def serve(self, version: int, *, day: int) -> None:
        ledger = Ledger(self.store)
        ledger.append(
            self.model, ledger.seq(self.model), version=version, action="promote", actor="a", reason="r",
            as_of=f"day {day}", as_of_time=START + timedelta(days=day),
        )  # fmt: skip

    def heal(self) -> dict[str, int | None]:
        return heal_aliases(self.store, self.shelf, self.model)

    @property
    def stands_for(self) -> dict[str, str]:
        """Alias -> the training whose copy it points to."""
        trainings = {number: name.removeprefix(f"{self.model}-") for name, number in self.shelf.numbers.items()}
        return {alias: trainings[number] for alias, number in self.shelf.aliases.items()}

    def noted(self) -> list[tuple[int | None, int | None]]:
        return [(each.adopted_version, each.mlflow_version) for each in Trainings(self.store).of(self.model)]


@pytest.fixture
def life(store: Store, model: str) -> Life:
    return Life(store, model)


def test_versions_are_the_stores_and_mlflows_number_stands_beside(life: Life) -> None:
    life.shelf.next_number = 5
    assert [life.register(number) for number in (1, 2, 1)] == [1, 2, 1]
    assert life.noted() == [(1, 5), (2, 6)]


def test_aliases_are_healed_from_the_store_in_mlflows_numbers(life: Life) -> None:
    life.shelf.next_number = 7
    for number in (1, 2, 3):
        life.register(number)
        if number < 3:
            life.serve(number, day=number)
    assert life.heal() == {"champion": 2, "previous": 1, "challenger": 3}
    assert life.shelf.aliases == {"champion": 8, "previous": 7, "challenger": 9}
    life.shelf.aliases |= {"champion": 9, "of_the_team": 9}  # somebody's hand
    life.heal()
    assert life.stands_for == {"champion": "t2", "previous": "t1", "challenger": "t3", "of_the_team": "t3"}


def test_what_was_deleted_is_made_again_and_may_get_a_number_that_another_had(life: Life) -> None:
    for number in (1, 2):
        life.register(number)
        life.serve(number, day=number)
    life.shelf.delete_all()
    assert life.register(3) == 3
    life.heal()
    assert life.stands_for == {"champion": "t2", "previous": "t1", "challenger": "t3"}
    assert life.noted() == [(1, 3), (2, 2), (3, 1)]


def test_an_alias_that_would_stand_for_another_training_is_taken_away(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        life.register(number)
        life.serve(number, day=number)
    life.shelf.delete_all(gone={f"run-{life.model}-t2"})
    life.shelf.aliases["champion"] = 1
    assert life.heal() == {"champion": 2, "previous": 1, "challenger": None}
    assert life.stands_for == {"previous": "t1"}
    assert life.noted() == [(1, 1), (2, None)]
    (told,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert told.getMessage() == (
        f"{life.model} version 2 has no copy in MLflow, and none can be made; it serves and is kept all the same: "
        f"MLflow's run run-{life.model}-t2 must not be deleted."
    )


def test_while_mlflow_is_down_all_goes_on_and_is_healed_later(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.register(1)
    life.serve(1, day=1)
    life.heal()
    life.shelf.is_down = True
    assert life.register(2) == 2
    life.serve(2, day=2)
    assert life.heal() == {"champion": 2, "previous": 1, "challenger": None}
    assert {each.levelname for each in caplog.records} == {"WARNING"}
    assert life.noted() == [(1, 1), (2, None)]
    life.shelf.is_down = False
    life.heal()
    assert (life.stands_for, life.noted()) == ({"champion": "t2", "previous": "t1"}, [(1, 1), (2, 2)])


def test_a_number_that_is_known_is_kept_while_mlflow_is_down(life: Life) -> None:
    life.register(1)
    life.serve(1, day=1)
    life.shelf.is_down = True
    life.heal()
    assert life.noted() == [(1, 1)]


def test_a_version_without_a_training_or_a_run_has_no_alias(life: Life) -> None:
    life.serve(1, day=1)
    assert life.heal() == {"champion": 1, "previous": None, "challenger": None}
    assert life.shelf.aliases == {}
    trainings = Trainings(life.store)
    started = trainings.start("t", life.model, "x", START, spec_digest="s", workspace="w", inputs={}, seed=7)
    assert copied(life.shelf, started) is None
    note(life.store, started, None)


def test_a_named_run_of_an_accepted_training_gets_the_stores_number(life: Life) -> None:
    life.shelf.next_number = 4
    training = life.train(1)
    for _ in range(2):
        named = register_run(life.store, life.shelf, life.model, f"run-{training.training_id}", training.training_id)
        assert named == (1, 4)
    assert life.noted() == [(1, 4)]


def test_a_named_run_of_a_refused_training_gets_none(life: Life) -> None:
    training = life.train(1, verdict="refuse")
    with pytest.raises(UserError, match=r"must be one that the gate accepted. Evaluate it first"):
        register_run(life.store, life.shelf, life.model, f"run-{training.training_id}", training.training_id)
    assert (life.noted(), life.shelf.numbers) == ([(None, None)], {})


def test_a_named_run_that_is_not_ours_is_registered_in_mlflow_alone(life: Life) -> None:
    training = life.train(1)
    for store, model, run_id, training_id in (
        (life.store, life.model, "their-run", "their-run"),
        (life.store, "their_model", f"run-{training.training_id}", training.training_id),
        (life.store, life.model, "a-second-run", training.training_id),
        (None, life.model, f"run-{training.training_id}", training.training_id),
    ):
        version, number = register_run(store, life.shelf, model, run_id, training_id)
        assert version is None and number == life.shelf.numbers[training_id]
    assert life.noted() == [(None, None)]
    life.shelf.is_down = True
    with pytest.raises(TransientError):
        register_run(life.store, life.shelf, life.model, "their-run", "their-run")
