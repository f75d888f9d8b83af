"""What looks like a template in YAML or in a run's conf stays text: no secret is looked up for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from plant import BAIT, FEBRUARY, SECRET
from world import World

from evergreen.stack.postgres import EmbeddedPostgres

pytestmark = pytest.mark.timeout(600)


def test_bait_in_yaml_and_conf_is_shown_as_it_was_written(grown: World) -> None:
    described = {
        "readings.ingest": "Readings", "recent.build": "Power of late", "calm.monitor": "Power from wind",
        "calm.train": "Power from wind", "calm.deploy": "Power from wind", "calm.rollback": "Power from wind",
    }  # fmt: skip
    for dag, description in described.items():
        shown = grown.api.get(f"/dags/{dag}/details")
        assert shown["description"] == f"{description} {BAIT}"
        assert shown["owners"] == [f"plant {BAIT}"]
        assert f"plant {BAIT}" in {tag["name"] for tag in shown["tags"]}
    grown.reseed("calm", 31)
    before = grown.run_ids("calm.deploy")
    run = grown.run("calm.train", FEBRUARY, conf={"reason": BAIT, "again": BAIT})
    request = grown.requests.newest("calm")
    assert request is not None and request.reason == f"admin: {BAIT}"
    assert grown.api.xcom("calm.train", run, "claim")["reason"] == f"admin: {BAIT}"
    for task in ("claim", "train", "evaluate", "register"):
        assert grown.task("calm.train", run, task)["rendered_fields"] == {}
        log = "\n".join(grown.api.task_log("calm.train", run, task))
        assert log and "***" not in log, "Airflow would mask a connection's password that was looked up"
    grown.next_run("calm.deploy", before)


def test_the_secret_that_the_bait_asks_for_stands_nowhere(grown: World) -> None:
    refused = grown.api.trigger("calm.rollback", conf={"action": "promote", "version": 999, "reason": BAIT})
    grown.next_run("calm.rollback", grown.run_ids("calm.rollback") - {refused}, state="failed")
    folder = grown.stack.instance.folder
    named = {folder / "config.json"}  # our own extra_env
    files = [path for path in folder.rglob("*") if path.is_file() and path not in named]
    assert any(path.suffix == ".log" for path in files) and any(path.suffix == ".parquet" for path in files)
    assert [path for path in files if holds(path, SECRET)] == []
    server = EmbeddedPostgres(grown.stack.instance.postgres)
    for name, password in grown.stack.passwords.databases.items():
        with sa.create_engine(server.url(name, password), poolclass=sa.pool.NullPool).connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            assert tables
            for table in tables:
                query = sa.text(f'select count(*) from "{table}" as t where t::text like :wanted')
                assert connection.execute(query, {"wanted": f"%{SECRET}%"}).scalar() == 0, (name, table)


def holds(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except FileNotFoundError:  # staged by somebody, and in its place by now
        return False
