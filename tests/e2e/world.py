"""The one stack of all end-to-end tests, as tests talk to it: by REST, by files, and by reading store and lake."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml
from plant import csv_of, rows_of, write

from evergreen.errors import EvergreenError
from evergreen.lake.lake import Lake
from evergreen.replay.airflow_api import AirflowApi
from evergreen.settings import Settings
from evergreen.stack.stack import Stack
from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.store import Store

ENDED = ("success", "failed")


def until(holds: Callable[[], Any], seconds: float, what: str) -> Any:
    """What ``holds`` gives as soon as it is true; fails when it is not in time."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.2)
    return found


@dataclass
class World:
    """A running stack with the workspace of bikes and the plant."""

    stack: Stack
    workspace: Path
    orders: Path
    api: AirflowApi

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_env(self.stack.env)

    @cached_property
    def store(self) -> Store:
        return Store(self.settings.store_url)

    @cached_property
    def lake(self) -> Lake:
        return Lake(self.settings.lake)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store)

    @property
    def requests(self) -> Requests:
        return Requests(self.store)

    def lay(self, dataset: str, key: str, text: str | None = None) -> Path:
        """Lays a month's file, by default all that the plant has of it, at once and whole."""
        path = Path(self.settings.landing) / dataset / f"{key}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}")
        staged.write_text(csv_of(rows_of(key)) if text is None else text)
        return staged.rename(path)

    def edit(self, path: str, **changes: Any) -> str:
        """Changes top-level keys of a YAML file; gives its old text."""
        file = self.workspace / path
        old = file.read_text()
        write(file, {**yaml.safe_load(old), **changes})
        return old

    def order(self, point: str, word: str) -> None:
        """``KILL`` or ``STOP`` for the first process that reaches a point (see ``evergreen.faults``)."""
        staged = self.orders / f".{point}"
        staged.write_text(word)
        staged.rename(self.orders / point)

    def is_obeyed(self, point: str) -> bool:
        return not (self.orders / point).exists()

    def run(self, dag: str, key: str | None = None, *, conf: dict[str, Any] | None = None, seconds: float = 180) -> str:
        """Triggers a DAG by REST, waits for the run's good end and gives its id."""
        run = self.api.trigger(dag, key=key, conf=conf)
        self.api.wait_for_run(dag, run, seconds=seconds)
        return run

    def run_ids(self, dag: str) -> set[str]:
        return {run["dag_run_id"] for run in self.api.runs(dag)}

    def next_run(self, dag: str, before: set[str], *, seconds: float = 180, state: str = "success") -> str:
        """Waits for the end of a run that was not among those before; gives its id."""

        def ended() -> list[dict[str, Any]]:
            return [r for r in self.api.runs(dag) if r["dag_run_id"] not in before and r["state"] in ENDED]

        run = until(ended, seconds, f"a run of {dag}")[-1]
        assert run["state"] == state, self.why(dag, run["dag_run_id"])
        return str(run["dag_run_id"])

    def task(self, dag: str, run: str, task: str) -> dict[str, Any]:
        return self.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}")

    def clear(self, dag: str, run: str) -> None:
        """Clears all tasks of a run, whatever their state, as the button in the UI does."""
        body = {"dry_run": False, "dag_run_id": run, "only_failed": False, "reset_dag_runs": True}
        self.api.post(f"/dags/{dag}/clearTaskInstances", body)

    def why(self, dag: str, run: str) -> str:
        """The end of every failed task's log."""
        states = self.api.task_states(dag, run)
        lines = {task: self.api.task_log(dag, run, task)[-5:] for task, state in states.items() if state == "failed"}
        return f"{dag} {run}: {states} {lines}"

    def status(self, path: str, *, token: str | None = None) -> httpx.Response:
        """A GET of any path of Airflow's server, with or without a login."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.stack.airflow_url}{path}", headers=headers, timeout=60)

    def token(self) -> str:
        login = {"username": self.stack.airflow_user, "password": self.stack.airflow_password}
        answer = httpx.post(f"{self.stack.airflow_url}/auth/token", json=login, timeout=60)
        return str(answer.raise_for_status().json()["access_token"])

    def refusal(self, dag: str, **body: Any) -> str:
        """The message with which REST refuses a trigger."""
        try:
            self.api.post(f"/dags/{dag}/dagRuns", {"logical_date": None, **body})
        except EvergreenError as error:
            return str(error)
        raise AssertionError(f"{dag} took {body}")

    def champion(self, model: str) -> int | None:
        entry = self.ledger.champion(model)
        return None if entry is None else entry.version

    def renew(self, model: str, key: str, seed: int) -> int:
        """Trains a model with another seed by hand and deploys it; gives the version that serves then."""
        self.reseed(model, seed)
        before = self.run_ids(f"{model}.deploy")
        self.run(f"{model}.train", key, conf={"reason": f"seed {seed}"})
        self.next_run(f"{model}.deploy", before)
        version = self.champion(model)
        assert version is not None
        return version

    def reseed(self, model: str, seed: int) -> None:
        """Edits the model's YAML so that a training for the same key is another one."""
        file = self.workspace / f"models/{model}.yaml"
        trainer = yaml.safe_load(file.read_text())["trainer"]
        self.edit(f"models/{model}.yaml", trainer={**trainer, "seed": seed})
