"""Row versions, exactly-once appends, replacements and reads, on real Delta tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import DataError, NotReady, UserError
from evergreen.lake import delta
from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns
from evergreen.lake.tables import Appended, Table

STAMP = pa.timestamp("us", tz="UTC")
DAY0 = datetime(2013, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return DAY0 + timedelta(days=number)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Lake(tmp_path / "a lake").table("datasets/flights")


def events(rows: Sequence[tuple[int, float, Any]], known: Sequence[float] | None = None, as_of: str = "k") -> pa.Table:
    """Rows of (id, event day, value); known at the event unless said otherwise."""
    user = pa.table(
        {
            "id": pa.array([row[0] for row in rows], pa.int64()),
            "at": pa.array([day(row[1]) for row in rows], STAMP),
            "v": pa.array([row[2] for row in rows], pa.string()),
        }
    )
    times = pa.array([day(each) for each in known], STAMP) if known is not None else user["at"]
    return with_system_columns(user, identity=["id", "at"], event_time="at", known_at=times, as_of=as_of)


def snapshot(rows: dict[int, str], at: float) -> pa.Table:
    user = pa.table({"id": pa.array(list(rows), pa.int64()), "v": pa.array(list(rows.values()), pa.string())})
    known = pa.array([day(at)] * len(rows), STAMP)
    return with_system_columns(user, identity=["id"], event_time=None, known_at=known, as_of=str(at))


def values(table: pa.Table) -> list[tuple[Any, ...]]:
    return [(row["id"], row["v"]) for row in table.to_pylist()]


def test_nothing_is_there_at_first(table: Table) -> None:
    assert not table.exists()
    assert table.version() == -1
    with pytest.raises(NotReady, match="table datasets/flights does not exist yet"):
        table.read()


def test_first_rows_then_only_new_and_changed_ones(table: Table) -> None:
    first = table.append_versions(events([(1, 0.1, "a"), (2, 0.2, "b")]), tag="one", until=day(1))
    assert first == Appended(version=1, appended=2, unchanged=0, tombstones=0)
    again = table.append_versions(events([(1, 0.1, "a"), (2, 0.2, "b")]), tag="again", until=day(1))
    assert again == Appended(version=1, appended=0, unchanged=2, tombstones=0)
    mixed = events([(1, 0.1, "a"), (2, 0.2, "B"), (3, 1.1, "c")])
    assert table.append_versions(mixed, tag="two", until=day(2)) == Appended(2, appended=2, unchanged=1, tombstones=0)
    assert values(table.read()) == [(1, "a"), (2, "B"), (3, "c")]
    assert table.read().column("_known_at").to_pylist() == [day(0.1), day(2), day(1.1)]
    assert table.read().column("_commit").to_pylist() == [1, 2, 2]
    assert table.version() == 2
    assert values(table.read(version=1)) == [(1, "a"), (2, "b")]
    assert [commit.get("evergreen.tag") for commit in table.history(2)] == ["two", "one"]


def test_corrected_row_wins_although_its_derived_known_time_is_the_old_one(table: Table) -> None:
    table.append_versions(events([(1, 0.1, "wrong")]), tag="", until=day(1))
    table.append_versions(events([(1, 0.1, "right")]), tag="", until=day(1))
    table.append_versions(events([(1, 0.1, "best")]), tag="", until=day(1), changed_known_at=day(0.5))
    assert values(table.read()) == [(1, "best")]
    assert table.read_versions().column("_known_at").to_pylist() == [day(0.1), day(1)], "of an instant the last counts"
    assert values(table.read(known_by=day(0.9))) == [(1, "wrong")]


def test_run_of_an_old_interval_is_judged_by_what_was_known_then(table: Table) -> None:
    table.append_versions(events([(1, 0.1, "a")], as_of="1"), tag="", until=day(1))
    table.append_versions(events([(1, 0.1, "b")], as_of="3"), tag="", until=day(3))
    late_twin = events([(1, 0.1, "a")], as_of="2")
    assert table.append_versions(late_twin, tag="", until=day(2)).unchanged == 1
    assert table.append_versions(events([(1, 0.1, "c")], as_of="2"), tag="", until=day(2)).appended == 1
    assert table.append_versions(events([(1, 0.1, "c")], as_of="2"), tag="", until=day(2)).unchanged == 1
    assert [values(table.read(known_by=day(k)))[0][1] for k in (1, 2, 3)] == ["a", "c", "b"]


def test_rows_that_become_known_after_the_interval_are_not_doubled(table: Table) -> None:
    late = events([(1, 0.9, "a")], known=[1.5])
    assert table.append_versions(late, tag="", until=day(1)).appended == 1
    assert table.append_versions(late, tag="", until=day(1)).unchanged == 1
    assert table.append_versions(events([(1, 0.9, "b")], known=[1.5]), tag="", until=day(1)).appended == 1
    assert values(table.read()) == [(1, "b")]


def test_source_that_says_itself_when_rows_were_known(table: Table) -> None:
    def append(value: str, known: float) -> int:
        rows = events([(1, 0.1, value)], known=[known])
        return table.append_versions(rows, tag="", until=day(9), source_known_at=True).appended

    assert append("departed", 0.2) == 1
    assert append("arrived", 0.4) == 1
    assert append("departed", 0.2) == 0  # an old file again
    assert append("airborne", 0.3) == 1  # inserted into the past
    assert append("airborne", 0.3) == 0
    assert append("corrected", 0.4) == 1  # the later commit wins at one instant
    seen = [values(table.read(known_by=day(k)))[0][1] for k in (0.2, 0.3, 0.4, 5)]
    assert seen == ["departed", "airborne", "corrected", "corrected"]
    assert table.read(known_by=day(0.1)).num_rows == 0


def test_full_snapshot_leaves_tombstones(table: Table) -> None:
    def append(rows: dict[int, str], at: float) -> tuple[int, int, int]:
        done = table.append_versions(snapshot(rows, at), tag="", until=day(at), full_snapshot=True, as_of=f"as of {at}")
        return done.appended, done.unchanged, done.tombstones

    assert append({1: "a", 2: "b", 3: "c"}, 1) == (3, 0, 0)
    assert append({1: "a", 2: "B"}, 2) == (1, 1, 1)
    assert append({1: "a", 2: "B"}, 2) == (0, 2, 0)
    assert append({1: "a", 2: "B", 3: "c"}, 3) == (1, 2, 0)
    assert append({}, 4) == (0, 0, 3)
    assert append({}, 4) == (0, 0, 0)
    assert [sorted(values(table.read(known_by=day(k)))) for k in (1, 2, 3, 4)] == [
        [(1, "a"), (2, "b"), (3, "c")],
        [(1, "a"), (2, "B")],
        [(1, "a"), (2, "B"), (3, "c")],
        [],
    ]
    graves = [row for row in table.read_versions().to_pylist() if row["_deleted"]]
    assert [(row["id"], row["v"], row["_as_of"], row["_event_time"]) for row in graves[:1]] == [
        (3, "c", "as of 2", day(2))
    ]
    everything = table.read_versions()
    assert everything.column("_event_time").equals(everything.column("_known_at"))


def test_rows_may_come_as_deleted(table: Table) -> None:
    rows = events([(1, 0.1, "a"), (2, 0.1, "b")])
    table.append_versions(rows, tag="", until=day(1))
    index = rows.schema.get_field_index("_deleted")
    deleted = rows.set_column(index, "_deleted", pa.array([True, False]))
    assert table.append_versions(deleted, tag="", until=day(2)) == Appended(2, appended=0, unchanged=1, tombstones=1)
    assert table.append_versions(deleted, tag="", until=day(3)) == Appended(2, appended=0, unchanged=2, tombstones=0)
    assert values(table.read()) == [(2, "b")]
    assert table.append_versions(rows, tag="", until=day(4)).appended == 1


def test_filters_and_columns(table: Table) -> None:
    for number in range(4):
        rows = events([(number, number + 0.5, "v"), (9, number + 0.25, "x" * 100 + str(number))])
        table.append_versions(rows, tag="", until=day(number + 1))
    assert table.read(["v", "id"], event_from=day(1), event_to=day(1.5), system=False).to_pylist() == [
        {"v": "x" * 100 + "1", "id": 9}
    ]
    assert table.read(["id"]).column_names == [
        "id", "_row_id", "_row_hash", "_event_time", "_known_at", "_deleted", "_as_of", "_commit",
    ]  # fmt: skip
    assert table.read([], match={"id": [1, 2]}).num_rows == 2
    assert table.read(match={"v": "x" * 100 + "3"}).num_rows == 1
    assert table.read(["_known_at"], system=False, known_by=day(0.3)).to_pylist() == [{"_known_at": day(0.25)}]
    with pytest.raises(DataError, match=r"must have the columns that are asked for .*got \['nix'\]"):
        table.read(["nix"])
    with pytest.raises(DataError, match="must have a version 99"):
        table.read(version=99)
    with pytest.raises(TypeError, match="no time zone"):
        table.read(known_by=datetime(2013, 1, 1))


def test_rows_within_a_millisecond_are_found_again(table: Table) -> None:
    moment = 0.1 + 456.789 / 86_400_000
    rows = events([(1, moment, "a")])
    table.append_versions(rows, tag="", until=day(1))
    assert table.append_versions(rows, tag="", until=day(1)).unchanged == 1


def test_order_is_the_same_whatever_the_order_of_writing(tmp_path: Path) -> None:
    rows = events([(number, number % 7, str(number)) for number in range(50)])
    one, two = Lake(tmp_path).table("one"), Lake(tmp_path).table("two")
    one.append_versions(rows, tag="", until=day(9))
    for start in (30, 0, 15):
        two.append_versions(rows.slice(start, 20 if start == 30 else 15), tag="", until=day(9))
    assert one.read(["id", "v"], system=False).equals(two.read(["id", "v"], system=False))


def test_types_survive_and_widths_are_one(table: Table) -> None:
    user = pa.table(
        {
            "at": pa.array([day(0)], pa.timestamp("ns")),
            "i": pa.array([1], pa.int16()),
            "f": pa.array([1.5], pa.float32()),
            "b": [True],
            "d": [date(2013, 1, 1)],
            "s": pa.array(["a"]).dictionary_encode(),
            "empty": pa.nulls(1, pa.string()),
            "unknown": pa.nulls(1),
        }
    )
    rows = with_system_columns(user, identity=["at"], event_time="at", known_at=user["at"], as_of="k")
    table.append_versions(rows, tag="", until=day(1))
    schema = table.read(system=False).schema
    assert dict(zip(schema.names, schema.types, strict=True)) == {
        "at": STAMP, "i": pa.int64(), "f": pa.float64(), "b": pa.bool_(), "d": pa.date32(),
        "s": pa.string(), "empty": pa.string(),
    }  # fmt: skip
    assert table.schema().names[0] == "_row_id"


def test_new_column_is_added_and_old_rows_are_null(table: Table) -> None:
    table.append_versions(events([(1, 0.1, "a")]), tag="", until=day(1))
    wider = events([(2, 1.1, "b")]).append_column("extra", pa.array([1.5]))
    table.append_versions(wider, tag="", until=day(2))
    narrower = events([(3, 2.1, "c")]).drop(["v"])
    table.append_versions(narrower, tag="", until=day(3))
    assert table.read(["id", "v", "extra"], system=False).to_pylist() == [
        {"id": 1, "v": "a", "extra": None},
        {"id": 2, "v": "b", "extra": 1.5},
        {"id": 3, "v": None, "extra": None},
    ]


def test_changed_type_is_refused_and_nothing_is_written(table: Table) -> None:
    table.append_versions(events([(1, 0.1, "a")]), tag="", until=day(1))
    rows = events([(1, 0.1, "a")])
    index = rows.schema.get_field_index("v")
    wrong = rows.set_column(index, "v", pa.array([1.5]))
    with pytest.raises(DataError, match=r"table datasets/flights column v must keep its type string, got 'double'"):
        table.append_versions(wrong, tag="", until=day(1))
    with pytest.raises(DataError, match="column v must keep its name's case, got 'V'"):
        table.append_versions(rows.append_column("V", pa.array(["x"])).drop(["v"]), tag="", until=day(1))
    assert table.version() == 1


def test_broken_rows_are_refused(table: Table) -> None:
    rows = events([(1, 0.1, "a")])
    with pytest.raises(DataError, match=r"one row per identity, got '1 doubled'"):
        table.append_versions(pa.concat_tables([rows, rows]), tag="", until=day(1))
    with pytest.raises(DataError, match=r"all system columns, got \['_row_hash'\]"):
        table.append_versions(rows.drop(["_row_hash"]), tag="", until=day(1))
    null = rows.set_column(rows.schema.get_field_index("_known_at"), "_known_at", pa.nulls(1, STAMP))
    with pytest.raises(DataError, match=r"no nulls in its system columns, got \['_known_at'\]"):
        table.append_versions(null, tag="", until=day(1))
    with pytest.raises(TypeError, match="needs as_of"):
        table.append_versions(rows, tag="", until=day(1), full_snapshot=True)
    assert not table.exists()


def test_a_write_that_is_repeated_under_its_tag_says_what_it_did_and_does_nothing(table: Table) -> None:
    table.append_versions(events([(1, 0.1, "a"), (2, 0.2, "b")]), tag="one", until=day(1))
    rows = events([(1, 0.1, "a"), (2, 0.2, "B"), (3, 1.1, "c")])
    assert table.append_versions(rows, tag="two", until=day(2)) == Appended(2, appended=2, unchanged=1, tombstones=0)
    table.append_versions(events([(2, 0.2, "repaired")]), tag="three", until=day(2))
    assert table.append_versions(rows, tag="two", until=day(2)) == Appended(3, appended=2, unchanged=1, tombstones=0)
    assert values(table.read()) == [(1, "a"), (2, "repaired"), (3, "c")]


def test_a_snapshot_that_is_repeated_under_its_tag_counts_its_tombstones(table: Table) -> None:
    for _ in range(2):
        table.append_versions(snapshot({1: "a", 2: "b"}, 1), tag="one", until=day(1), full_snapshot=True, as_of="1")
    for _ in range(2):
        done = table.append_versions(snapshot({1: "a"}, 2), tag="two", until=day(2), full_snapshot=True, as_of="2")
        assert done == Appended(2, appended=0, unchanged=1, tombstones=1)


def test_empty_append_makes_a_readable_table(table: Table) -> None:
    assert table.append_versions(events([]), tag="", until=day(1)) == Appended(0, 0, 0, 0)
    assert table.exists()
    assert table.read().num_rows == 0
    assert "v" in table.read().column_names


@pytest.mark.parametrize("name", ["", "/abs", "../up", "a//b", "a/../b", "a b", "a%20b"])
def test_bad_table_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="table name must be words"):
        Lake(tmp_path).table(name)


def test_tagged_append_happens_once(table: Table) -> None:
    assert table.append_once(pa.table({"reason": ["a"], "line": pa.nulls(1)}), "step-1")
    assert not table.append_once(pa.table({"reason": ["a"]}), "step-1")
    assert table.append_once(pa.table({"reason": ["b"], "line": [3]}), "step-2")
    assert not table.append_once(pa.table({"reason": pa.array([], pa.string())}), "step-3")
    assert sorted(table.read().column("reason").to_pylist()) == ["a", "b"]
    assert table.read(match={"reason": "b"}).to_pylist() == [{"reason": "b", "line": 3}]


def test_tags_and_sequence_outlive_a_checkpoint(table: Table) -> None:
    for number in range(105):
        assert table.append_once(pa.table({"n": [number]}), f"tag {number}")
    assert list(Path(table.uri, "_delta_log").glob("*.checkpoint.parquet"))
    assert not table.append_once(pa.table({"n": [3]}), "tag 3")
    assert sorted(table.read().column("n").to_pylist()) == list(range(105))


def test_log_is_never_cleaned_up(table: Table) -> None:
    table.append_once(pa.table({"n": [1]}), "x")
    log = Path(table.uri, "_delta_log", "00000000000000000000.json").read_text()
    assert '"delta.enableExpiredLogCleanup":"false"' in log


def test_replacement_touches_only_its_own_rows(table: Table) -> None:
    def report(as_of: str, metric: float, rows: int = 2) -> pa.Table:
        return pa.table({"as of": [as_of] * rows, "metric": [metric] * rows})

    table.replace(report("a's", 1.0), "as of", "a's")
    table.replace(report("b", 2.0), "as of", "b")
    assert table.replace(report("a's", 3.0, 1), "as of", "a's") == table.version()
    assert sorted(table.read().column("metric").to_pylist()) == [2.0, 2.0, 3.0]
    table.replace(report("b", 2.0, 0), "as of", "b")
    assert table.read().to_pylist() == [{"as of": "a's", "metric": 3.0}]
    with pytest.raises(DataError, match="must be 'c' in every row of this replacement"):
        table.replace(report("b", 1.0), "as of", "c")
    with pytest.raises(DataError, match="must be given the column nix"):
        table.replace(report("b", 1.0), "nix", "c")


def test_repeated_transaction_is_accepted_by_delta_but_not_from_a_stale_snapshot(table: Table, tmp_path: Path) -> None:
    """The fact on which compare-and-set stands; a new deltalake must keep it."""
    root, rows = Lake(tmp_path).root, pa.table({"n": [1]})
    delta.create(root, "t", rows.schema)
    one, two = delta.load(root, "t"), delta.load(root, "t")
    assert one is not None
    assert two is not None
    one.append(rows, {"app": 1}, {})
    with pytest.raises(delta.Conflict):
        two.append(rows, {"app": 1}, {})
    with pytest.raises(delta.Conflict):
        two.append(rows, {"app": 2}, {})
    fresh = delta.load(root, "t")
    assert fresh is not None
    assert fresh.transaction("app") == 1
    fresh.append(rows, {"app": 1}, {})


def test_a_bound_between_two_milliseconds_loses_no_row(table: Table) -> None:
    """Statistics of files are cut to milliseconds; a row that lies after the cut is found nevertheless."""
    at = 1 + 123_456 / 86_400e6
    table.append_versions(events([(1, at, "a")]), tag="one", until=day(2))
    just = day(1) + timedelta(microseconds=123_456)
    for before, found in ((0, 1), (1, 1), (456, 1), (-1, 0)):
        bound = just - timedelta(microseconds=before)
        assert table.read(event_from=bound).num_rows == found
        assert table.read(["v"], event_from=bound, system=False).column_names == ["v"]
    assert table.read(known_by=just).num_rows == 1
    assert table.read(known_by=just - timedelta(microseconds=1)).num_rows == 0
    assert table.read(event_to=just).num_rows == 0


def test_only_files_that_may_hold_what_is_asked_for_are_opened(table: Table, tmp_path: Path) -> None:
    for number in range(4):
        table.append_versions(events([(number, number, "x")], as_of=f"k{number}"), tag=f"t{number}", until=day(9))
    files = sorted((tmp_path / "a lake" / "tables").rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    for file in files[:2]:
        file.unlink()
    assert values(table.read(event_from=day(2))) == [(2, "x"), (3, "x")]
    assert values(table.read(match={"_as_of": "k3"})) == [(3, "x")]
    assert table.changes(2, 4).num_rows == 2
    with pytest.raises(DataError, match="must have all files that its log names"):
        table.read()
