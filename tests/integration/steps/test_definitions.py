"""A table belongs to the definition that computed it; a version is judged and watched by its own code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from drill_world import BUILD, DEPLOY, KEYS, MONITOR, VIEW, VIEW_SQL, World, csv_of, rows_of

from evergreen.errors import UserError
from evergreen.steps.building import catch_up
from evergreen.steps.context import StepContext
from evergreen.store.decisions import Decisions
from evergreen.store.definitions import Definitions
from evergreen.store.periods import Periods

DAILY = {"cron": "0 0 * * *"}
LOCAL: dict[str, Any] = {
    "schedule": DAILY, "columns": {"customer": "string", "moment": "timestamp", "amount": "int"},
    "entity": ["customer"], "event_time": "moment", "availability_delay": "1h", "late_window": "2d", "expectations": [],
}  # fmt: skip


def lay(world: World, name: str, key: str, rows: list[tuple[Any, ...]]) -> None:
    lines = ["customer,moment,amount", *(",".join(map(str, row)) for row in rows)]
    world.lay(name, key, "\n".join(lines) + "\n")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def tables_of(world: World, name: str) -> list[str]:
    return [each.table for each in Definitions(world.store).of(name)]


def own_trips(world: World, weeks: int = 3) -> str:
    name = world.dataset()
    for key in KEYS[:weeks]:
        world.lay(name, key, csv_of(rows_of(key)))
        world.ingest(name, key)
    return name


def test_an_edited_view_is_another_table_with_all_its_history(bare_world: World) -> None:
    trips = own_trips(bare_world)
    view = bare_world.view(trips)
    bare_world.open(view, "build", KEYS[1]).steps(*BUILD)
    thousandfold = VIEW_SQL.format(dataset=trips).replace("avg(load)", "avg(1000 * load)")
    bare_world.write(f"features/{view}.sql", thousandfold)
    done = bare_world.open(view, "build", KEYS[2]).steps(*BUILD)["publish"]
    old, new = tables_of(bare_world, view)
    assert (old, done.event["table"]) == (f"features/{view}", new)
    before, after = (bare_world.lake.table(name).read() for name in (old, new))
    assert before.num_rows == after.num_rows == 3 * 336
    small, large = (table["recent_load"].to_pylist() for table in (before, after))
    assert large == pytest.approx([1000 * value for value in small])
    assert before["_known_at"].equals(after["_known_at"]), "built from what was known at each key"


def test_a_comment_or_a_description_is_no_other_definition(bare_world: World) -> None:
    trips = own_trips(bare_world, 1)
    view = bare_world.view(trips)
    bare_world.open(view, "build", KEYS[0]).steps(*BUILD)
    bare_world.write(f"features/{view}.sql", "-- last six hours\n" + VIEW_SQL.format(dataset=trips))
    described = {"outputs": {"recent_load": {"type": "float", "description": "Mean load."}}, "owner": "ann@example.com"}
    bare_world.write(f"features/{view}.yaml", {**VIEW, **described, "reads": [trips], "transform": f"{view}.sql"})
    bare_world.open(view, "build", KEYS[0]).steps(*BUILD)
    assert len(tables_of(bare_world, view)) == 1


def test_a_first_load_builds_its_views_period_by_period(bare_world: World) -> None:
    """All history in one file: the view covers it, and each row is known when it would have been."""
    name = bare_world.new_name("history")
    bare_world.dataset(name, **LOCAL)
    first = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [("ann", f"{first + timedelta(hours=h):%Y-%m-%dT%H:%M:%SZ}", h) for h in range(24 * 20)]
    lay(bare_world, name, "2024-01-21", rows)
    bare_world.ingest(name, "2024-01-21")
    view = bare_world.new_name("daily")
    bare_world.write(
        f"features/{view}.sql", f"select customer, $end as moment, sum(amount) as total from {name} group by customer"
    )
    bare_world.write(
        f"features/{view}.yaml",
        {"reads": [name], "entity": ["customer"], "timestamp": "moment", "transform": f"{view}.sql",
         "outputs": {"total": {"type": "int"}}},
    )  # fmt: skip
    done = bare_world.open(view, "build", "2024-01-21").steps(*BUILD)["publish"].output
    assert done["keys"] == 20
    built = bare_world.lake.table(f"features/{view}").read().to_pylist()
    assert [row["moment"] for row in built] == [first + timedelta(days=d) for d in range(1, 21)]
    days = [sum(range(24 * (d - 1), 24 * d)) for d in range(1, 21)]
    late = [24 * d - 1 for d in range(1, 21)]  # known an hour later than its hour: the key's end has not seen it
    seen = [total - row for total, row in zip(days, late, strict=True)]
    assert [row["total"] for row in built] in (days, seen)
    assert bare_world.open(view, "build", "2024-01-21").steps(*BUILD)["publish"].output["keys"] == 0


def test_a_key_that_comes_late_is_built_with_all_that_it_touches(bare_world: World) -> None:
    trips = bare_world.dataset()
    for key in KEYS[:3]:
        bare_world.lay(trips, key, csv_of(rows_of(key)))
    view, twin = bare_world.view(trips), bare_world.view(trips)
    for key in (KEYS[0], KEYS[2]):
        bare_world.ingest(trips, key)
        bare_world.open(view, "build", key).steps(*BUILD)
    bare_world.ingest(trips, KEYS[1])
    bare_world.open(view, "build", KEYS[1]).steps(*BUILD)
    bare_world.open(twin, "build", KEYS[2]).steps(*BUILD)
    one, two = (bare_world.lake.table(f"features/{name}").read(["moment", "recent_load"]) for name in (view, twin))
    assert one.select(["moment", "recent_load"]).equals(two.select(["moment", "recent_load"]))


def test_a_mended_zone_is_a_new_table_and_doubles_nobody(bare_world: World) -> None:
    name = bare_world.new_name("visits")
    bare_world.dataset(name, **LOCAL)
    files = {
        "2024-03-02": [("ann", "2024-03-01 10:00", 1), ("bob", "2024-03-01 12:00", 2)],
        "2024-03-03": [("ann", "2024-03-02 10:00", 3)],
    }
    for key, rows in files.items():
        lay(bare_world, name, key, rows)
        bare_world.ingest(name, key)
    bare_world.dataset(name, **LOCAL, timezone="Etc/GMT+5")  # five hours west
    bare_world.ingest(name, "2024-03-03")
    old, new = tables_of(bare_world, name)
    assert bare_world.lake.table(old).read().num_rows == 3
    assert [
        (row["customer"], row["moment"], row["_known_at"]) for row in bare_world.lake.table(new).read().to_pylist()
    ] == [
        ("ann", at("2024-03-01T15:00"), at("2024-03-01T16:00")),
        ("bob", at("2024-03-01T17:00"), at("2024-03-01T18:00")),
        ("ann", at("2024-03-02T15:00"), at("2024-03-02T16:00")),
    ]


def test_todays_file_makes_no_repair_known_in_the_past(bare_world: World) -> None:
    name = bare_world.new_name("visits")
    bare_world.dataset(name, **LOCAL)
    lay(bare_world, name, "2024-03-02", [("ann", "2024-03-01 10:00", 1), ("bob", "2024-03-01 12:00", 2)])
    lay(bare_world, name, "2024-03-03", [("ann", "2024-03-02 10:00", 3)])
    for key in ("2024-03-02", "2024-03-03"):
        bare_world.ingest(name, key)
    lay(bare_world, name, "2024-03-02", [("ann", "2024-03-01 10:00", 1), ("bob", "2024-03-01 12:00", 99)])
    bare_world.dataset(name, **LOCAL, timezone="Etc/GMT+5")
    lay(bare_world, name, "2024-03-04", [])
    bare_world.ingest(name, "2024-03-04")
    rows = bare_world.lake.table(tables_of(bare_world, name)[1]).read().to_pylist()
    known = {(row["customer"], row["amount"]): row["_known_at"] for row in rows}
    assert known["ann", 1] == at("2024-03-01T16:00"), "as it was first read"
    assert known["bob", 99] == at("2024-03-04T05:00"), "nobody knew it before the history was built anew"


def test_an_added_column_keeps_its_table(bare_world: World) -> None:
    name = bare_world.new_name("visits")
    slim = {**LOCAL, "columns": {"customer": "string", "moment": "timestamp"}}
    bare_world.dataset(name, **slim, select="select customer, moment from source")
    lay(bare_world, name, "2024-03-02", [("ann", "2024-03-01 10:00", 1)])
    bare_world.ingest(name, "2024-03-02")
    bare_world.dataset(name, **LOCAL, select="SELECT customer, moment, amount * 2 AS doubled\nFROM source -- more")
    lay(bare_world, name, "2024-03-03", [("bob", "2024-03-02 10:00", 4)])
    bare_world.ingest(name, "2024-03-03")
    assert tables_of(bare_world, name) == [f"datasets/{name}"] * 2
    rows = bare_world.lake.table(f"datasets/{name}").read(["customer", "doubled"], system=False).to_pylist()
    assert rows == [{"customer": "ann", "doubled": None}, {"customer": "bob", "doubled": 8}]
    bare_world.dataset(name, **LOCAL, select="SELECT customer, moment, amount * 3 AS doubled FROM source")
    bare_world.ingest(name, "2024-03-03")
    assert len(set(tables_of(bare_world, name))) == 2, "a changed column is another definition"


@pytest.mark.parametrize("on_change", [None, "rebuild", "continue"])
def test_where_files_are_gone_the_owner_says_how_to_go_on(bare_world: World, on_change: str | None) -> None:
    name = bare_world.new_name("visits")
    bare_world.dataset(name, **LOCAL)
    for key, hour in (("2024-03-02", "2024-03-01 10:00"), ("2024-03-03", "2024-03-02 10:00")):
        lay(bare_world, name, key, [("ann", hour, 1)])
        bare_world.ingest(name, key)
    bare_world.lay(name, "2024-03-02", "").unlink()
    lay(bare_world, name, "2024-03-04", [("ann", "2024-03-03 10:00", 1)])
    bare_world.dataset(name, **LOCAL, timezone="Etc/GMT+5", **({"on_change": on_change} if on_change else {}))
    if on_change is None:
        with pytest.raises(UserError, match=r"no longer has 1 of 2 keys: 2024-03-02.*on_change: rebuild.*continue"):
            bare_world.ingest(name, "2024-03-04")
        bare_world.dataset(name, **LOCAL, timezone="Etc/GMT+5", on_change="rebuild")
    bare_world.ingest(name, "2024-03-04")
    newest = Definitions(bare_world.store).of(name)[-1]
    rows = bare_world.lake.table(newest.table).read()["moment"].to_pylist()
    if on_change == "continue":
        assert newest.seam is not None
        assert (newest.table, newest.seam["from"]) == (f"datasets/{name}", "2024-03-04")
        assert rows == [at("2024-03-01T10:00"), at("2024-03-02T10:00"), at("2024-03-03T15:00")]
    else:
        assert list(newest.lost) == ["2024-03-02"]
        assert rows == [at("2024-03-02T15:00"), at("2024-03-03T15:00")]


def test_a_step_reads_each_table_at_one_version(bare_world: World) -> None:
    trips = own_trips(bare_world, 1)
    view = bare_world.view(trips)
    run = bare_world.open(view, "build", KEYS[0])
    ctx = StepContext(run.input("build"), bare_world.settings)
    from evergreen.steps import tables

    table = tables.table_of(ctx, "dataset", trips)
    version = tables.version_of(ctx, table)
    bare_world.lay(trips, KEYS[1], csv_of(rows_of(KEYS[1])))
    bare_world.ingest(trips, KEYS[1])
    assert (tables.version_of(ctx, table), tables.read(ctx, table).num_rows) == (version, 336)
    catch_up(ctx, view, ctx.inp.workspace)
    assert bare_world.lake.table(f"features/{view}").read().num_rows == 336


SIGNAL = "select load + wind / 40 as signal from request"


def judged_model(world: World) -> tuple[str, str]:
    """A model of one on-demand feature, whose champion is trained on the sum that the labels follow."""
    view = world.new_name("signal")
    world.write(f"features/{view}.sql", SIGNAL)
    world.write(
        f"features/{view}.yaml",
        {"kind": "on_demand", "transform": f"{view}.sql", "outputs": {"signal": {"type": "float"}}},
    )
    changes = {"exclude": ["load", "wind"], "features": [view], "gate": {"min_rows": 50, "tolerance": 0}}
    return world.model(**changes), view


def test_a_champion_is_judged_and_watched_by_its_own_on_demand_code(world: World) -> None:
    model, view = judged_model(world)
    world.champion(model, KEYS[1])
    world.open(model, "monitor", KEYS[2]).steps(*MONITOR)
    world.write(f"features/{view}.sql", "select wind as signal from request")
    world.train(model, KEYS[2])
    gate = next(each for each in Decisions(world.store).of(model, kind="gate") if each.as_of == KEYS[2])
    (rival,) = gate.figures["champions"]
    assert rival["values"]["roc_auc"] > 0.8, "by its own code"
    assert gate.figures["candidate"]["roc_auc"] < rival["values"]["roc_auc"]
    assert gate.verdict == "refuse"
    assert "settle" not in world.open(model, "deploy", KEYS[2]).steps(*DEPLOY)
    before = {row.as_of: row.value for row in Periods(world.store).of(model) if row.role == "champion"}
    world.open(model, "monitor", KEYS[2]).steps(*MONITOR)
    after = {row.as_of: row.value for row in Periods(world.store).of(model) if row.role == "champion"}
    assert before[KEYS[2]] is not None
    assert after[KEYS[2]] == before[KEYS[2]] > 0.8


def test_a_champion_goes_on_reading_the_view_that_it_was_trained_with(world: World) -> None:
    trips = own_trips(world)
    view = world.view(trips)
    model = world.model(features=[view], label={"dataset": trips})
    world.open(view, "build", KEYS[1]).steps(*BUILD)
    world.champion(model, KEYS[1])
    flipped = VIEW_SQL.format(dataset=trips).replace("avg(load)", "avg(-1000 * load)")
    world.write(f"features/{view}.sql", flipped)
    world.lay(trips, KEYS[3], csv_of(rows_of(KEYS[3])))
    world.ingest(trips, KEYS[3])
    world.open(view, "build", KEYS[3]).steps(*BUILD)
    old, new = tables_of(world, view)
    assert world.lake.table(old).read().num_rows == world.lake.table(new).read().num_rows == 4 * 336
    run = world.open(model, "monitor", KEYS[3])
    run.steps(*MONITOR)
    report = next(each for each in Decisions(world.store).of(model, kind="drift") if each.as_of == KEYS[3])
    assert report.figures["columns"]["recent_load"] < 0.2, "compared with what it was trained on, in its own units"
