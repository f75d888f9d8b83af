"""A source that cannot be used says so, publishes nothing, and the next good run goes through."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from drill_world import FIRST, HEADER, INGEST, SECOND, World, content, csv_of, rows_of

from evergreen.errors import DataError, NotReady

GOOD = csv_of(rows_of(SECOND))
BROKEN: dict[str, tuple[bytes, str]] = {
    "cut off": (GOOD[: GOOD.index(rows_of(SECOND)[300][0]) + 30].encode(), r"truncated: it ends after 3 of 8"),
    "doubled header": (csv_of(rows_of(SECOND), [*HEADER[:7], "load"]).encode(), r"load"),
    "missing column": (csv_of([row[:7] for row in rows_of(SECOND)], HEADER[:7]).encode(), r"huge"),
    "wrong encoding": (GOOD.replace("false", "Größe", 1).encode("latin-1"), r"utf-8"),
    "empty": (b"", r"empty|header"),
    "not a CSV file": (b"\x00\x01\x02" * 500, r"csv"),
}


def nothing_of_it_is_visible(world: World, name: str, before: dict[str, Any]) -> None:
    assert content(world, name) == before
    assert not [path for path in world.lake.blobs.list("tables") if ".tmp" in path]


def with_a_first_week(world: World, **how: Any) -> str:
    name = world.dataset(**how)
    world.lay(name, FIRST, csv_of(rows_of(FIRST)))
    world.ingest(name, FIRST)
    return name


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_and_the_next_good_run_goes_through(bare_world: World, kind: str) -> None:
    broken, message = BROKEN[kind]
    name = with_a_first_week(bare_world)
    before = content(bare_world, name)
    path = bare_world.lay(name, SECOND, broken)
    run = bare_world.open(name, "ingest", SECOND)
    with pytest.raises(DataError) as refused:
        run.steps(*INGEST)
    assert re.search(message, str(refused.value), re.IGNORECASE), str(refused.value)
    assert path.name in str(refused.value)
    nothing_of_it_is_visible(bare_world, name, before)
    bare_world.lay(name, SECOND, GOOD)
    assert run.steps(*INGEST)["publish"].output["appended"] == 336


def test_a_packed_file_that_was_cut_off_is_refused(bare_world: World) -> None:
    name = bare_world.new_name("trips")
    bare_world.dataset(name, source={"path": f"{name}/{{as_of}}.csv.gz"})
    packed = gzip.compress(GOOD.encode())
    path = bare_world.lay(name, SECOND, b"").with_suffix(".csv.gz")
    path.write_bytes(packed[: len(packed) // 2])
    run = bare_world.open(name, "ingest", SECOND)
    with pytest.raises(DataError, match=re.escape(path.name)):
        run.steps(*INGEST)
    assert not bare_world.lake.table(f"datasets/{name}").exists()
    path.write_bytes(packed)
    assert run.steps(*INGEST)["publish"].output["appended"] == 336


@pytest.mark.parametrize("policy", ["wait", "fail", "skip"])
def test_a_file_that_is_not_there_waits_fails_or_skips(bare_world: World, policy: str) -> None:
    name = with_a_first_week(bare_world, source={"when_missing": policy})
    before = content(bare_world, name)
    run = bare_world.open(name, "ingest", SECOND)
    place = f"dataset {name} source.path"
    if policy == "skip":
        assert str(run.step("read").skip).startswith(place)
    else:
        with pytest.raises({"wait": NotReady, "fail": DataError}[policy], match=place):
            run.step("read")
    nothing_of_it_is_visible(bare_world, name, before)
    bare_world.lay(name, SECOND, GOOD)
    assert run.steps(*INGEST)["publish"].output["appended"] == 336


def test_too_many_quarantined_rows_stop_the_run(bare_world: World) -> None:
    name = with_a_first_week(bare_world)
    before = content(bare_world, name)
    rows = rows_of(SECOND)
    bare_world.lay(name, SECOND, csv_of([*([*row[:2], "1048", *row[3:]] for row in rows[:20]), *rows[20:]]))
    run = bare_world.open(name, "ingest", SECOND)
    with pytest.raises(DataError, match=r"20 of 336 rows \(5.95%\) were set aside, and max_quarantined is 5.00%"):
        run.steps(*INGEST)
    nothing_of_it_is_visible(bare_world, name, before)
    bare_world.lay(name, SECOND, GOOD)
    assert run.steps(*INGEST)["publish"].output["appended"] == 336
