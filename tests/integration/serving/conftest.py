"""Gateways as processes of their own, on a real store and lake."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from evergreen.lake.lake import Lake
from evergreen.store.ledger import Ledger
from evergreen.store.schema import gateways
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings

_PARTS = Path(__file__).parents[2] / "unit" / "serving" / "conftest.py"
_spec = importlib.util.spec_from_file_location("serving_parts", _PARTS)
assert _spec is not None and _spec.loader is not None
parts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(parts)

KEY = "a-key-of-the-tests"
DAY = datetime(2013, 2, 1, tzinfo=UTC)


class Gateway:
    """One server process, and a client of it."""

    def __init__(self, home: Path, lake: str, store_url: str, *, key: str = KEY, port: int | None = None) -> None:
        self.port = port or free_port()
        env = {
            **os.environ,
            "EVERGREEN_HOME": str(home),
            "EVERGREEN_LAKE": lake,
            "EVERGREEN_STORE_URL": store_url,
            "EVERGREEN_GATEWAY_PORT": str(self.port),
            "EVERGREEN_GATEWAY_KEY": key,
            "EVERGREEN_GATEWAY_LOG_SECONDS": "5",
        }
        self.log = home / f"gateway-{self.port}.log"
        home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "evergreen.serving"]
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, headers={"X-API-Key": KEY}, timeout=20, trust_env=False)

    def health(self) -> dict[str, Any]:
        return dict(self.client.get("/health").raise_for_status().json())

    def wait(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 40) -> dict[str, Any]:
        """Until ``/health`` meets a condition."""
        deadline = time.monotonic() + seconds
        health: dict[str, Any] = {}
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                health = self.health()
            except httpx.TransportError:
                health = {}
            if health and condition(health):
                return health
            time.sleep(0.05)
        raise AssertionError(f"{health}\n{self.log.read_text()}")

    def ask(self, model: str, **fields: Any) -> dict[str, Any]:
        row = {**parts.ROW, **fields}
        answer = self.client.post(f"/models/{model}/invocations", json={"rows": [row]})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


class Hammer:
    """Clients that ask without pause; keeps every answer and every failure."""

    def __init__(self, gateway: Gateway, model: str, clients: int = 3) -> None:
        self.answers: list[tuple[int, float, str]] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(gateway, model)) for _ in range(clients)]

    def __enter__(self) -> Hammer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, gateway: Gateway, model: str) -> None:
        with httpx.Client(base_url=gateway.url, headers={"X-API-Key": KEY}, timeout=20, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    told = client.post(f"/models/{model}/invocations", json={"rows": [parts.ROW]})
                    told.raise_for_status()
                    body = told.json()
                    [one] = body["predictions"]
                    self.answers.append((body["version"], one["prediction"], one["request_id"]))
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))


class Life:
    """A model's life in the store, by hand."""

    def __init__(self, store: Store, lake: Lake, model: str, scratch: Path) -> None:
        self.store, self.lake, self.model, self.scratch = store, lake, model, scratch
        self.ledger = Ledger(store)

    def train(self, version: int, bundle: str | None = None, **how: Any) -> None:
        trainings, training_id = Trainings(self.store), f"{self.model}-{version}"
        if bundle is None:
            folder = parts.save_bundle(self.scratch / uuid.uuid4().hex, version, **how)
            bundle = parts.freeze_bundle(self.lake, folder)
        trainings.start(
            training_id, self.model, "2013-02-01", DAY, spec_digest="s", workspace="w", inputs={}, seed=1
        )  # fmt: skip
        trainings.finish(training_id, run_id="r", trained_through=DAY, training_set="t", bundle=bundle)
        assert trainings.adopt(training_id) == version, "train versions in order"

    def serve(self, version: int, action: Any = "promote") -> int:
        entry = self.ledger.append(
            self.model, self.ledger.seq(self.model), version=version, action=action, actor="test", reason="r",
            as_of="2013-02-01", as_of_time=DAY,
        )  # fmt: skip
        return entry.seq

    def wait_logged(self, wanted: set[str], seconds: float = 60) -> list[str]:
        """Ids of all lines in the lake, as soon as the wanted ones are among them."""
        deadline = time.monotonic() + seconds
        while not wanted <= set(self.logged()):
            assert time.monotonic() < deadline, f"{len(wanted - set(self.logged()))} of {len(wanted)} are missing"
            time.sleep(0.2)
        return self.logged()

    def logged(self) -> list[str]:
        table = self.lake.table(f"predictions/{self.model}")
        return sorted(table.read()["request_id"].to_pylist()) if table.exists() else []


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def life(store: Store, tmp_path: Path) -> Life:
    with store.transaction() as connection:
        connection.execute(delete(gateways))  # those that earlier tests killed count as live for a while
    return Life(store, Lake(tmp_path / "lake"), f"m_{uuid.uuid4().hex[:12]}", tmp_path / "scratch")


@pytest.fixture
def start(postgres_url: str, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways that share a home; all have ended when the test has."""
    started: list[Gateway] = []

    def make(**how: Any) -> Gateway:
        given = {"lake": str(tmp_path / "lake"), "store_url": postgres_url, **how}
        started.append(Gateway(tmp_path / "home", **given))
        return started[-1]

    yield make
    for gateway in started:
        gateway.client.close()
        gateway.end(signal.SIGKILL)


@pytest.fixture
def hammer() -> type[Hammer]:
    return Hammer
