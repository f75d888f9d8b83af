"""A process that dies at a named point and is started again leaves one entry, one request, one adopted version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.store.ledger import Ledger
from evergreen.store.requests import Requests
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings

MARCH = datetime(2013, 3, 1, tzinfo=UTC)
_HEAD = """
    import sys
    from datetime import UTC, datetime
    from evergreen.store.store import Store
    store, model, march = Store(sys.argv[1]), sys.argv[2], datetime(2013, 3, 1, tzinfo=UTC)
"""
_APPEND = """
    from evergreen.store.ledger import Ledger
    Ledger(store).append(model, 1, version=2, action="promote", actor="a", reason="r", as_of="x", as_of_time=march,
                         key="mine")
"""
_OPEN = """
    from evergreen.store.requests import Requests
    Requests(store).open(model, "2013-03-01", march, "drift", "r", "mine")
"""
_CLAIM = """
    from evergreen.store.requests import Requests
    assert len(Requests(store).claim(model, "me", 600)) == 1
"""
_ADOPT = """
    from evergreen.store.trainings import Trainings
    Trainings(store).adopt("t-" + model)
"""


@pytest.mark.parametrize("point", ["ledger.insert:before", "ledger.commit:before", "ledger.insert:after"])
def test_a_promotion_that_died_and_is_tried_again_stands_once(
    store: Store, postgres_url: str, model: str, tmp_path: Path, point: str
) -> None:
    ledger = Ledger(store)
    ledger.append(model, 0, version=1, action="promote", actor="a", reason="r", as_of="x", as_of_time=MARCH)
    _die_and_try_again(_APPEND, postgres_url, model, tmp_path, point)
    assert [entry.version for entry in ledger.entries(model)] == [1, 2]
    assert ledger.verify_chain(model) == []


@pytest.mark.parametrize("point", ["request.insert:before", "request.insert:after"])
def test_a_request_that_died_and_is_tried_again_stands_once(
    store: Store, postgres_url: str, model: str, tmp_path: Path, point: str
) -> None:
    _die_and_try_again(_OPEN, postgres_url, model, tmp_path, point)
    assert [request.state for request in Requests(store).of(model)] == ["open"]


@pytest.mark.parametrize("point", ["claim:before", "claim:after"])
def test_a_claim_that_died_and_is_tried_again_takes_the_same(
    store: Store, postgres_url: str, model: str, tmp_path: Path, point: str
) -> None:
    Requests(store).open(model, "2013-03-01", MARCH, "drift", "r", "mine")
    _die_and_try_again(_CLAIM, postgres_url, model, tmp_path, point)
    assert [request.claimed_by for request in Requests(store).of(model)] == ["me"]


@pytest.mark.parametrize("point", ["adopt:before", "adopt:after"])
def test_an_adoption_that_died_and_is_tried_again_stands_once(
    store: Store, postgres_url: str, model: str, tmp_path: Path, point: str
) -> None:
    Trainings(store).start(
        f"t-{model}", model, "2013-03-01", MARCH, spec_digest="s", workspace="w", inputs={}, seed=7
    )  # fmt: skip
    _die_and_try_again(_ADOPT, postgres_url, model, tmp_path, point)
    assert Trainings(store).get(f"t-{model}").adopted_version == 1
    Trainings(store).start(f"u-{model}", model, "2013-03-01", MARCH, spec_digest="s", workspace="w", inputs={}, seed=7)
    assert Trainings(store).adopt(f"u-{model}") == 2, "a kill leaves no gap"


def _die_and_try_again(code: str, url: str, model: str, folder: Path, point: str) -> None:
    token = folder / "token"
    token.touch()
    command = [sys.executable, "-c", textwrap.dedent(_HEAD) + textwrap.dedent(code), url, model]
    environment = {**os.environ, "EVERGREEN_KILL_AT": point, "EVERGREEN_KILL_TOKEN": str(token)}
    codes = [subprocess.run(command, env=environment, timeout=60).returncode for _ in range(2)]
    assert codes == [-signal.SIGKILL, 0]
