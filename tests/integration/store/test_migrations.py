"""Migrations make exactly the tables that the code reads and writes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from evergreen.errors import UserError
from evergreen.store.decisions import Decisions
from evergreen.store.intervals import Intervals
from evergreen.store.ledger import Ledger
from evergreen.store.periods import Periods
from evergreen.store.schema import metadata
from evergreen.store.store import Store
from evergreen.store.trainings import Trainings


@pytest.fixture
def empty_url(postgres_server, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"empty_{request.function.__name__[:40]}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


def test_an_empty_database_says_that_it_must_be_migrated(empty_url: str) -> None:
    with pytest.raises(UserError, match=r"must have the newest tables.*Migrate it first"):
        Ledger(Store(empty_url)).champion("m")


def test_the_migrated_schema_is_the_declared_one(empty_url: str) -> None:
    store = Store(empty_url)
    store.migrate()
    with store.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
        for table in metadata.tables.values():
            declared = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
            assert {c["name"] for c in inspect(connection).get_check_constraints(table.name)} == declared


def test_the_declared_rules_are_those_of_the_migrations(postgres_server, empty_url: str) -> None:
    """Alembic compares neither checks nor partial indexes: compare what the server makes of both."""
    Store(empty_url).migrate()
    url = postgres_server.create_database("declared_rules")
    try:
        with Store(url).transaction() as connection:
            metadata.create_all(connection)
        assert _rules(Store(empty_url)) == _rules(Store(url))
    finally:
        postgres_server.drop_database("declared_rules")


def test_migrating_twice_changes_nothing(empty_url: str) -> None:
    store = Store(empty_url)
    store.migrate()
    moment = datetime(2013, 2, 1, tzinfo=UTC)
    Ledger(store).append(
        "m", 0, version=1, action="promote", actor="a", reason="r", as_of="2013-02-01", as_of_time=moment
    )
    store.migrate()
    assert Ledger(store).seq("m") == 1


def test_versions_of_the_first_schema_keep_their_number_which_was_mlflows(empty_url: str) -> None:
    store = Store(empty_url)
    _migrate(store, "0001")
    given = "'2013-02-01', '2013-02-01T00:00Z', 's', 'w', '{}', 7, '[]', '{}', 0"
    columns = "training_id, model, as_of, as_of_time, spec_digest, workspace, inputs, seed, causes, request_ids, "
    with store.transaction() as connection:
        for name, version in (("a", "1"), ("b", "3"), ("c", "null")):
            connection.exec_driver_sql(
                f"insert into trainings ({columns} requested_seq, adopted_version) "
                f"values ('{name}', 'm', {given}, {version})"
            )
        connection.exec_driver_sql(
            "insert into decisions (kind, resource, as_of, as_of_time, verdict, figures, reasons, key, historic) "
            "values ('gate', 'm', '2013-02-01', '2013-02-01T00:00Z', 'accept', '{}', '[]', 'gate:c', false)"
        )
    store.migrate()
    kept = {each.training_id: (each.adopted_version, each.mlflow_version) for each in Trainings(store).of("m")}
    assert kept == {"a": (1, 1), "b": (3, 3), "c": (None, None)}
    assert Trainings(store).adopt("c") == 4
    assert [decision.ledger_seq for decision in Decisions(store).of("m")] == [None]


def test_what_was_watched_and_published_before_is_taken_over(empty_url: str) -> None:
    store = Store(empty_url)
    with store.transaction() as connection:
        config = Config()
        config.set_main_option("script_location", "evergreen.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for day in range(40):
            at = {"key": f"k{day:02}", "at": datetime(2013, 2, 1, tzinfo=UTC) + timedelta(days=day)}
            connection.execute(text(PERIOD), at)
            if day % 2 == 0:
                connection.execute(text(COUNT), at)
        connection.execute(text(SEEN), {"at": datetime(2013, 2, 11, tzinfo=UTC)})
    store.migrate()
    periods, intervals = Periods(store), Intervals(store)
    assert [period.as_of for period in periods.in_state("m", "open")] == [f"k{day:02}" for day in range(8, 40)]
    assert len(periods.in_state("m", "settled")) == 8
    newest = periods.in_state("m", "open")[-1]
    assert newest.start_time == datetime(2013, 3, 11, tzinfo=UTC)
    assert periods.judge("m", "k39", [], judged_time=newest.as_of_time, read_at=periods.now(), settled=True)
    noted = [set(intervals.at(["rides", "demand", "m"], datetime(2013, 2, day, tzinfo=UTC))) for day in (1, 2, 11, 13)]
    assert noted == [{"rides", "demand"}, set(), {"rides", "demand"}, {"rides"}]


PERIOD = """
insert into periods (model, as_of, as_of_time, role, version, metric, value, n_rows, n_labelled)
values ('m', :key, :at, 'champion', 1, 'roc_auc', 0.7, 9, 8), ('m', :key, :at, 'first', 1, 'roc_auc', 0.6, 9, 8)
"""
COUNT = """
insert into row_counts (dataset, as_of, as_of_time, step_key, rows_read, good, quarantined, superseded, details)
values ('rides', :key, :at, 'a', 0, 0, 0, 0, '{}'), ('rides', :key, :at, 'b', 0, 0, 0, 0, '{}')
"""
SEEN = """
insert into seen (resource, as_of, as_of_time) values ('demand', 'k10', :at), ('rides', 'k38', :at), ('m', 'k39', :at)
"""


def test_many_migrate_an_empty_database_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Store(empty_url).migrate(), range(8)))
    assert Ledger(Store(empty_url)).seq("m") == 0


def test_processes_migrate_an_empty_database_at_once(empty_url: str) -> None:
    code = "import sys; from evergreen.store.store import Store; Store(sys.argv[1]).migrate()"
    processes = [subprocess.Popen([sys.executable, "-c", code, empty_url]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert Ledger(Store(empty_url)).seq("m") == 0


def _migrate(store: Store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "evergreen.store:migrations")
    config.set_main_option("path_separator", "os")
    with store.transaction() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _rules(store: Store) -> set[tuple[str, str]]:
    with store.transaction() as connection:
        checks = connection.exec_driver_sql(
            "select conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace"
        )
        indexes = connection.exec_driver_sql("select indexname, indexdef from pg_indexes where schemaname = 'public'")
        return {(name, text) for name, text in [*checks, *indexes] if not name.startswith("alembic_version")}
