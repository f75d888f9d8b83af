"""Registration, promotion and rollback by operators of one's own DAG, on a real store."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import AirflowFailException

from evergreen.errors import TransientError
from evergreen.store.decisions import Decisions
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings
from evergreen.tracking import mlflow_client
from evergreen_airflow.operators.mlflow_promote import MlflowPromoteOperator
from evergreen_airflow.operators.mlflow_register import MlflowRegisterOperator
from evergreen_airflow.operators.mlflow_rollback import MlflowRollbackOperator


class Aliases:
    """MLflow's side, which numbers its versions otherwise: remembers the aliases it was given."""

    given: ClassVar[dict[str, Any]] = {}

    def __init__(self, uri: str, *, ui: str = "") -> None:
        self.uri = uri

    def run_tags(self, run_id: str) -> dict[str, str]:
        return {"training_id": run_id.removeprefix("run-")} if run_id.startswith("run-") else {}

    def run_url(self, run_id: str) -> str:
        return f"http://mlflow/{run_id}"

    def register(self, model: str, run_id: str, training_id: str, *, tags: dict[str, Any] | None = None) -> int:
        assert run_id == (f"run-{training_id}" if tags else training_id)
        return 10 + int((tags or {"version": 80})["version"])

    def heal_aliases(self, model: str, wanted: dict[str, int | None]) -> None:
        self.given.setdefault(model, {}).update(wanted)


class Down(Aliases):
    """MLflow on a day on which it does not answer."""

    def register(self, model: str, run_id: str, training_id: str, *, tags: dict[str, Any] | None = None) -> int:
        raise TransientError("MLflow, registering: it does not answer")


@pytest.fixture
def store(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("EVERGREEN_STORE_URL", postgres_url)
    monkeypatch.setattr(mlflow_client, "Tracking", Aliases)
    store = Store(postgres_url)
    store.migrate()
    return store


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


def train(store: Store, model: str, version: int) -> None:
    trainings, training_id, moment = Trainings(store), f"{model}-{version}", datetime(2011, version + 2, 1, tzinfo=UTC)
    trainings.start(training_id, model, "x", moment, spec_digest="s", workspace="w", inputs={}, seed=7)
    trainings.finish(training_id, run_id=f"run-{training_id}", trained_through=moment, training_set="s", bundle="b")
    assert trainings.adopt(training_id) == version


def serve(store: Store, model: str, *versions: int) -> None:
    ledger = Ledger(store)
    for seq, version in enumerate(versions):
        train(store, model, version)
        ledger.append(
            model, seq, version=version, action="promote", actor="evergreen", reason="gate", evidence={},
            as_of=f"2011-0{seq + 3}-01", as_of_time=datetime(2011, seq + 3, 1, tzinfo=UTC),
        )  # fmt: skip


def context(task_id: str, *, key: str | None = "2011-06-01") -> Any:
    run = SimpleNamespace(dag_id="mine", run_id="r1", partition_key=key, triggering_user_name="ann")
    return {"dag_run": run, "ti": SimpleNamespace(task_id=task_id)}


def execute(task: Any, given: Any) -> Any:
    return type(task).execute.__wrapped__(task, given)


def test_rollback_and_promotion_are_done_once_and_copied_to_mlflow(store: Store, ledger: Ledger) -> None:
    serve(store, "bikes", 1, 2)
    back = MlflowRollbackOperator(task_id="back", model="bikes", reason="wrong fares")
    done = execute(back, context("back"))
    assert done == {"model": "bikes", "action": "roll_back", "version": 1, "seq": 3}
    assert execute(back, context("back")) == done  # a retry finds what was done
    entry = ledger.champion("bikes")
    assert entry is not None and (entry.version, entry.actor, entry.reason) == (1, "ann", "wrong fares")
    assert ledger.hold("bikes") is not None
    assert Aliases.given["bikes"]["champion"] == 11, "MLflow's number of version 1"

    forward = MlflowPromoteOperator(task_id="forward", model="bikes", version="2", reason="fares were right")
    assert execute(forward, context("forward"))["version"] == 2
    assert Aliases.given["bikes"] == {"champion": 12, "previous": 11, "challenger": None}
    assert ledger.verify_chain("bikes") == []


def test_an_act_of_the_future_is_refused_since_all_until_then_would_be_historic(store: Store, ledger: Ledger) -> None:
    serve(store, "early", 1, 2)
    back = MlflowRollbackOperator(task_id="back", model="early", reason="wrong fares")
    with pytest.raises(AirflowFailException, match="early: as_of must not lie in the future, got '2162-02-01'"):
        execute(back, context("back", key="2162-02-01"))
    assert ledger.seq("early") == 2


def test_a_rollback_is_done_while_mlflow_does_not_answer(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve(store, "alone", 1, 2)
    monkeypatch.setattr(mlflow_client, "Tracking", Down)
    back = MlflowRollbackOperator(task_id="back", model="alone", reason="wrong fares")
    assert execute(back, context("back"))["version"] == 1
    assert "Could not copy to MLflow's aliases who serves alone" in caplog.text
    assert ledger.champion("alone").version == 1


def test_a_registration_gives_the_stores_number_and_mlflows_beside(store: Store) -> None:
    serve(store, "boats", 1)
    moment = datetime(2011, 8, 1, tzinfo=UTC)
    Trainings(store).start("boats-2", "boats", "x", moment, spec_digest="s", workspace="w", inputs={}, seed=7)
    Trainings(store).finish("boats-2", run_id="run-boats-2", trained_through=moment, training_set="s", bundle="b")
    ours = MlflowRegisterOperator(task_id="t", model="boats", run_id="run-boats-2")
    with pytest.raises(AirflowFailException, match="training boats-2 must be one that the gate accepted"):
        execute(ours, context("t"))
    Decisions(store).record("gate", "boats", "x", moment, verdict="accept", key="gate:boats-2")
    for _ in range(2):
        done = execute(ours, context("t"))
        assert done == {"model": "boats", "version": 2, "mlflow_version": 12, "run_id": "run-boats-2"}
    assert ours.made == {"mlflow_run": "http://mlflow/run-boats-2"}
    theirs = MlflowRegisterOperator(task_id="t", model="boats", run_id="abc")
    assert execute(theirs, context("t")) == {
        "model": "boats", "version": None, "mlflow_version": 90, "run_id": "abc",
    }  # fmt: skip


def test_what_the_ledger_does_not_allow_fails_with_its_reason(store: Store, ledger: Ledger) -> None:
    serve(store, "lonely", 1)
    with pytest.raises(AirflowFailException, match="lonely: rollback needs a good version before the present one"):
        execute(MlflowRollbackOperator(task_id="t", model="lonely", reason="r"), context("t"))
    with pytest.raises(AirflowFailException, match="lonely: version must be one that the gate accepted, got 9"):
        execute(MlflowPromoteOperator(task_id="t", model="lonely", version=9, reason="r"), context("t"))
    with pytest.raises(AirflowFailException, match=r"conf\.reason must say why"):
        execute(MlflowRollbackOperator(task_id="t", model="lonely", reason=" "), context("t"))
    assert ledger.seq("lonely") == 1
