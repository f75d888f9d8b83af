"""A broken YAML file shows where people look, and takes nothing down, not even its own resource."""

from __future__ import annotations

import pytest
from plant import JANUARY
from world import World, until

pytestmark = pytest.mark.timeout(600)

FILE = "datasets/brittle.yaml"
SEEN_SECONDS = 90


def import_errors(world: World) -> str:
    return "\n".join(error["stack_trace"] for error in world.api.get("/importErrors")["import_errors"])


def tags(world: World, dag: str) -> set[str]:
    return {tag["name"] for tag in world.api.get(f"/dags/{dag}")["tags"]}


def test_a_broken_file_is_an_import_error_while_its_last_valid_version_lives_on(world: World) -> None:
    valid = world.edit(FILE, schedule={"cron": "every morning"})
    try:
        line = (world.workspace / FILE).read_text().splitlines().index("  cron: every morning") + 1
        place = f"{FILE}:{line} schedule.cron must be a cron expression of five fields"
        until(lambda: place in import_errors(world), SEEN_SECONDS, "the import error")
        assert "got 'every morning'" in import_errors(world)
        until(lambda: "spec-broken" in tags(world, "brittle.ingest"), SEEN_SECONDS, "the tag")
        assert "spec-broken" not in tags(world, "spared.ingest") | tags(world, "bike_demand.train")
        world.lay("brittle", JANUARY)
        world.run("brittle.ingest", JANUARY)
        assert world.lake.table("datasets/brittle").read().num_rows == 744
    finally:
        (world.workspace / FILE).write_text(valid)
    until(lambda: import_errors(world) == "", SEEN_SECONDS, "the import error to go")
    until(lambda: "spec-broken" not in tags(world, "brittle.ingest"), SEEN_SECONDS, "the tag to go")
