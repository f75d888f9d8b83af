"""A client of Airflow's REST API, as far as a replay needs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast

import httpx

from evergreen.errors import EvergreenError, TransientError

log = logging.getLogger(__name__)

ACTIVE = ("queued", "running", "scheduled", "deferred", "restarting", "up_for_retry")


class RunFailed(EvergreenError):
    """A DAG run that was waited for has failed; the message ends with its last error lines."""


class AirflowApi:
    """Talks to one Airflow as one user; the token is renewed when it runs out.

    Args:
        url: Address of the API server.
        user, password: Of Airflow's login.
        poll_seconds: Pause between two looks at a run.
        patience_seconds: How long a run is waited for unless a call says otherwise.
    """

    def __init__(
        self, url: str, user: str, password: str, *, poll_seconds: float = 0.4, patience_seconds: float = 300
    ) -> None:
        self._login = {"username": user, "password": password}
        self._client = httpx.Client(base_url=url, timeout=60)
        self.poll_seconds, self.patience_seconds = poll_seconds, patience_seconds

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET below ``/api/v2``."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST below ``/api/v2``."""
        return self._call("POST", path, json=body)

    def trigger(self, dag: str, *, key: str | None = None, conf: dict[str, Any] | None = None) -> str:
        """Starts a run by hand and returns its id."""
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if key is not None:
            body["partition_key"] = key
        return str(self.post(f"/dags/{dag}/dagRuns", body)["dag_run_id"])

    def backfill(self, dag: str, first: str, last: str, *, max_active_runs: int = 1) -> int:
        """Starts a backfill of the partition keys from first to last and returns its id.

        Airflow reads the clock of the instants that it is given in the timetable's zone, whatever offset they name.
        """
        clock = [datetime.fromisoformat(key).replace(tzinfo=None).isoformat() for key in (first, last)]
        body = {
            "dag_id": dag,
            "from_date": f"{clock[0]}Z",
            "to_date": f"{clock[1]}Z",
            "max_active_runs": max_active_runs,
            "run_backwards": False,
            "dag_run_conf": {},
        }
        return int(self.post("/backfills", body)["id"])

    def wait_for_dags(self, dags: set[str], *, seconds: float = 120) -> None:
        """Waits until Airflow knows these DAGs.

        Raises:
            TransientError: When it does not in time, with what it says of import errors.
        """

        def missing() -> set[str]:
            return dags - {dag["dag_id"] for dag in self._dags() if not dag.get("is_stale")}

        if not self._until(lambda: not missing(), seconds):
            errors = [error["stack_trace"][-500:] for error in self.get("/importErrors")["import_errors"]]
            raise TransientError(f"Airflow did not find {sorted(missing())} in {seconds:g} s; import errors: {errors}")

    def _dags(self) -> Iterator[dict[str, Any]]:
        """All DAGs, page by page: Airflow gives a hundred at most, whatever limit is asked for."""
        offset = 0
        while page := self.get("/dags", limit=100, offset=offset)["dags"]:
            yield from page
            offset += len(page)

    def runs(self, dag: str, key: str | None = None) -> list[dict[str, Any]]:
        """Newest runs of a DAG, of one partition key if given."""
        found = self.get(f"/dags/{dag}/dagRuns", limit=100, order_by="-run_after")["dag_runs"]
        return [run for run in found if key is None or run.get("partition_key") == key]

    def wait_for_key(
        self, dag: str, key: str, *, seconds: float | None = None, done: str | None = None
    ) -> dict[str, Any]:
        """Waits until the DAG has run for a key and nothing of that key is under way; gives the newest run.

        Args:
            done: A task that must have been done, and not skipped, in one of the runs: the newest of these is given.

        Raises:
            RunFailed: When that run failed.
            TransientError: When there was no such run in time.
        """
        chosen: list[dict[str, Any]] = []

        def settled() -> bool:
            found = self.runs(dag, key)
            if not found or any(run["state"] not in ("success", "failed") for run in found):
                return False
            chosen[:] = [run for run in found if done is None or self._did(dag, run, done)][:1]
            return bool(chosen)

        seconds = self.patience_seconds if seconds is None else seconds
        if not self._until(settled, seconds):
            states = [(run["dag_run_id"], run["state"]) for run in self.runs(dag, key)]
            raise TransientError(f"{dag} did not settle for {key} in {seconds:g} s: {states or 'no run'}")
        return self._checked(dag, chosen[0])

    def wait_for_run(self, dag: str, run_id: str, *, seconds: float | None = None) -> dict[str, Any]:
        """Waits for the end of one run.

        Raises:
            RunFailed: When it failed.
            TransientError: When it did not end in time.
        """
        path = f"/dags/{dag}/dagRuns/{run_id}"
        seconds = self.patience_seconds if seconds is None else seconds
        if not self._until(lambda: self.get(path)["state"] in ("success", "failed"), seconds):
            raise TransientError(f"{dag} run {run_id} did not end in {seconds:g} s")
        return self._checked(dag, self.get(path))

    def task_states(self, dag: str, run_id: str) -> dict[str, str]:
        """Task id -> state of one run."""
        tasks = self.get(f"/dags/{dag}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in tasks}

    def task_log(self, dag: str, run_id: str, task: str, attempt: int = 1) -> list[str]:
        """The messages of one try of one task."""
        answer = self.get(f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}")
        content = answer.get("content") or []
        return [line if isinstance(line, str) else _line(line) for line in content]

    def xcom(self, dag: str, run_id: str, task: str, key: str = "return_value") -> Any:
        """A value that a task pushed."""
        return self.get(f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/{key}")["value"]

    def _did(self, dag: str, run: dict[str, Any], task: str) -> bool:
        """Whether a run did a task, or has failed, which is told instead."""
        return run["state"] == "failed" or self.task_states(dag, run["dag_run_id"]).get(task) == "success"

    def _checked(self, dag: str, run: dict[str, Any]) -> dict[str, Any]:
        if run["state"] != "failed":
            return run
        told = []
        for task, state in self.task_states(dag, run["dag_run_id"]).items():
            if state == "failed":
                lines = self.task_log(dag, run["dag_run_id"], task)
                told.append(f"task {task}: " + " | ".join(line for line in lines if "rror" in line)[-1500:])
        raise RunFailed(f"{dag} run {run['dag_run_id']} failed. {' '.join(told)}")

    def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                return False
            time.sleep(self.poll_seconds)
        return True

    def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        for attempt in (1, 2, 3):
            if "Authorization" not in self._client.headers:
                answer = self._client.post("/auth/token", json=self._login)
                answer.raise_for_status()
                self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            try:
                answer = self._client.request(method, f"/api/v2{path}", **more)
            except httpx.TransportError as error:
                if attempt == 3 or method != "GET":
                    raise TransientError(f"Airflow's API does not answer: {error}") from error
                time.sleep(1)
                continue
            if answer.status_code == 401 and attempt < 3:
                del self._client.headers["Authorization"]
                continue
            break
        if answer.status_code >= 400:
            raise EvergreenError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}")
        return cast(dict[str, Any], answer.json()) if answer.content else {}


def _line(entry: dict[str, Any]) -> str:
    detail = entry.get("error_detail")
    text = str(entry.get("event", ""))
    if detail:
        text += " " + "; ".join(f"{each.get('exc_type')}: {each.get('exc_value')}" for each in detail)
    return text
