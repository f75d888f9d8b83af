"""``evergreen requests`` and ``evergreen withdraw``, as a person runs them, on a real store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

from evergreen.store.requests import Requests
from evergreen.store.store import Store

MARCH = datetime(2013, 3, 1, tzinfo=UTC)


def evergreen(url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from evergreen.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "EVERGREEN_STORE_URL": url, "LOGNAME": "ada"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_a_person_lists_the_open_requests_and_withdraws_one(store: Store, postgres_url: str, model: str) -> None:
    opened = [
        Requests(store).open(model, "2013-03-01", MARCH, cause, "it\x1b[31m fell\nby 12 %", f"{model}:{cause}")
        for cause in ("drift", "decay")
    ]
    drift, decay = (request.id for request in opened)
    listed = evergreen(postgres_url, "requests", model)
    assert [line.strip() for line in listed.stdout.splitlines()] == [
        f"{number}  2013-03-01  open  {cause}: it [31m fell by 12 %"
        for number, cause in ((drift, "drift"), (decay, "decay"))
    ]
    done = evergreen(postgres_url, "withdraw", model, drift, "--reason", " a  holiday ")
    assert done.returncode == 0 and "withdrawn" in done.stdout and "[ada: a holiday]" in done.stdout
    assert evergreen(postgres_url, "withdraw", model, drift, "--reason", "again").returncode == 0
    assert Requests(store).of(model)[0].note == "ada: a holiday"
    (left,) = json.loads(evergreen(postgres_url, "requests", model, "--json").stdout)
    assert (left["id"], left["state"], left["cause"], left["tries"]) == (decay, "open", "decay", 0)
    every = json.loads(evergreen(postgres_url, "requests", model, "--all", "--json").stdout)
    assert [request["state"] for request in every] == ["withdrawn", "open"]


def test_what_cannot_be_withdrawn_says_why_and_ends_with_2(store: Store, postgres_url: str, model: str) -> None:
    request = Requests(store).open(model, "2013-03-01", MARCH, "drift", "r", f"{model}:drift")
    unknown = evergreen(postgres_url, "withdraw", model, request.id + 1, "--reason", "r")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        f"evergreen: {model}: request must be one of the model's, got {request.id + 1}. "
        f"Nobody has answered {request.id}.\n",
    )
    silent = evergreen(postgres_url, "withdraw", model, request.id, "--reason", " ")
    assert silent.returncode == 2 and "conf.reason must say why" in silent.stderr
    Requests(store).answer([request.id], "not_needed", note="calm")
    answered = evergreen(postgres_url, "withdraw", model, request.id, "--reason", "r")
    assert answered.returncode == 2 and "was answered before: not_needed (calm)" in answered.stderr
    assert "No request" in evergreen(postgres_url, "requests", model).stdout
