"""The point-in-time join against hand-worked cases and, by property, against brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.errors import DataError
from evergreen.features import join
from evergreen.features.join import point_in_time

INSTANT = pa.timestamp("us", tz="UTC")
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def versions(rows: list[dict[str, Any]], *, row_id: bool = False) -> pa.Table:
    schema = [("k", pa.string()), ("n", pa.int64()), ("v", pa.float64()), ("_event_time", INSTANT)]
    schema += [("_known_at", INSTANT), ("_deleted", pa.bool_()), ("_commit", pa.int64())]
    full = [
        {"k": "a", "n": 1, "v": None, "_deleted": False, "_commit": number, **row} for number, row in enumerate(rows)
    ]
    if row_id:
        schema.append(("_row_id", pa.string()))
        full = [{"_row_id": f"{row['k']}|{row['n']}|{row['_event_time']}", **row} for row in full]
    return pa.Table.from_pylist(full, schema=pa.schema(schema))


def row(value: float | None, event: float, known: float, **more: Any) -> dict[str, Any]:
    return {"v": value, "_event_time": at(event), "_known_at": at(known), **more}


def ask(rows: pa.Table, *hours: float, entity: tuple[str, ...] = ("k",), ttl: timedelta | None = None) -> list[Any]:
    queries = pa.table({"k": ["a"] * len(hours), "n": [1] * len(hours), "t": pa.array([at(h) for h in hours], INSTANT)})
    return point_in_time(queries, "t", rows, list(entity), ["v"], ttl)["v"].to_pylist()


def test_a_value_counts_from_the_moment_it_is_known_not_from_its_event():
    rows = versions([row(1.0, 0, 0.5), row(2.0, 1, 5)])
    assert ask(rows, 0, 0.4, 0.5, 2, 4.9, 5) == [None, None, 1.0, 1.0, 1.0, 2.0]


def test_a_late_row_does_not_hide_a_newer_one():
    rows = versions([row(1.0, 0, 6), row(2.0, 1, 1)])
    assert ask(rows, 1, 6, 7) == [2.0, 2.0, 2.0]


def test_a_corrected_row_counts_from_its_correction_on():
    rows = versions([row(1.0, 0, 0), row(9.0, 0, 3), row(2.0, 5, 5)])
    assert ask(rows, 2, 3, 5) == [1.0, 9.0, 2.0]


def test_of_versions_known_at_once_the_later_commit_counts_whatever_the_order_of_rows():
    first, second = row(1.0, 0, 3, _commit=1), row(2.0, 0, 3, _commit=2)
    assert ask(versions([first, second]), 3) == ask(versions([second, first]), 3) == [2.0]


def test_a_forecast_counts_from_its_event_on():
    rows = versions([row(1.0, 5, 0), row(2.0, 1, 1), row(3.0, 5, 2)])
    assert ask(rows, 0, 1, 4.9, 5) == [None, 2.0, 2.0, 3.0]


def test_a_deleted_row_uncovers_the_one_before_it():
    rows = versions([row(1.0, 0, 0), row(2.0, 1, 1), row(None, 1, 4, _deleted=True), row(5.0, 1, 6)])
    assert ask(rows, 1, 3.9, 4, 5.9, 6) == [2.0, 2.0, 1.0, 1.0, 5.0]


def test_deletions_of_one_entity_leave_the_others_alone():
    rows = versions([row(1.0, 0, 0), row(None, 0, 1, _deleted=True), row(7.0, 0, 0, k="b")])
    queries = pa.table({"k": ["b", "a", "b"], "t": pa.array([at(2)] * 3, INSTANT)})
    assert point_in_time(queries, "t", rows, ["k"], ["v"], None)["v"].to_pylist() == [7.0, None, 7.0]


def test_a_deleted_snapshot_row_is_known_by_its_row_id():
    rows = [row(1.0, 0, 0), row(2.0, 3, 3), row(2.0, 3, 5, _deleted=True)]
    table = versions(rows).append_column("_row_id", pa.array(["x"] * 3))
    assert ask(table, 0, 3, 5) == [1.0, 2.0, None]


def test_a_value_exactly_as_old_as_the_ttl_counts():
    rows = versions([row(1.0, 0, 0)])
    queries = pa.table({"k": ["a", "a"], "t": pa.array([at(2), at(2) + timedelta(microseconds=1)], INSTANT)})
    found = point_in_time(queries, "t", rows, ["k"], ["v"], timedelta(hours=2))
    assert found["v"].to_pylist() == [1.0, None]


def test_a_null_value_is_a_value_and_hides_older_ones():
    assert ask(versions([row(1.0, 0, 0), row(None, 1, 1)]), 2) == [None]


def test_null_keys_and_null_times_find_nothing():
    rows = versions([row(1.0, 0, 0), row(2.0, 0, 0, k=None)])
    queries = pa.table({"k": ["a", None, "a", "zz"], "t": pa.array([at(1), at(1), None, at(1)], INSTANT)})
    assert point_in_time(queries, "t", rows, ["k"], ["v"], None)["v"].to_pylist() == [1.0, None, None, None]


def test_without_an_entity_all_rows_are_one():
    rows = versions([row(1.0, 0, 0, k="x"), row(2.0, 1, 1, k="y")])
    assert ask(rows, 0.5, 1, entity=()) == [1.0, 2.0]


def test_an_empty_table_and_no_queries_give_nulls_and_nothing():
    assert ask(versions([]), 1, 2) == [None, None]
    assert ask(versions([row(1.0, 0, 0)])) == []


@pytest.mark.parametrize("change", [datetime(2013, 3, 10, 7, tzinfo=UTC), datetime(2013, 11, 3, 6, tzinfo=UTC)])
def test_hours_around_a_change_of_daylight_saving_time_stay_apart(change: datetime):
    """New York, 2013: 1:30 local comes twice on 3 November, 2:30 never on 10 March; instants know nothing of it."""
    instants = [change + timedelta(minutes=30 * step) for step in range(-6, 7)]
    rows = versions([{"v": float(n), "_event_time": t, "_known_at": t} for n, t in enumerate(instants)])
    local = pa.array(instants, INSTANT).cast(pa.timestamp("us", tz="America/New_York"))
    queries = pa.table({"k": ["a"] * len(instants), "t": local})
    assert point_in_time(queries, "t", rows, ["k"], ["v"], None)["v"].to_pylist() == list(map(float, range(13)))
    naive = pa.table({"k": ["a"] * len(instants), "t": pa.array([t.replace(tzinfo=None) for t in instants])})
    assert point_in_time(naive, "t", rows, ["k"], ["v"], None)["v"].to_pylist() == list(map(float, range(13)))


def test_keys_of_different_types_are_refused_with_both_named():
    queries = pa.table({"k": [1], "t": pa.array([NOON], INSTANT)})
    with pytest.raises(DataError, match=r"entity column k must have the same type.*int64 and string"):
        point_in_time(queries, "t", versions([row(1.0, 0, 0)]), ["k"], ["v"], None)


def test_keys_of_one_kind_but_different_width_match():
    rows = versions([row(1.0, 0, 0, k="a")]).set_column(0, "k", pa.array([7], pa.int32()))
    queries = pa.table({"k": pa.array([7, 2**40]), "t": pa.array([at(1)] * 2, INSTANT)})
    assert point_in_time(queries, "t", rows, ["k"], ["v"], None)["v"].to_pylist() == [1.0, None]


def test_missing_and_doubled_columns_are_refused():
    queries = pa.table({"k": ["a"], "v": [1.0], "t": pa.array([NOON], INSTANT)})
    with pytest.raises(DataError, match="must not already have the columns v"):
        point_in_time(queries, "t", versions([]), ["k"], ["v"], None)
    with pytest.raises(DataError, match="rows must have the columns w"):
        point_in_time(queries, "t", versions([]), ["k"], ["w"], None)


moments = st.integers(0, 12)
keys = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
stored = st.lists(
    st.fixed_dictionaries(
        {
            "k": keys,
            "n": st.one_of(st.none(), st.integers(1, 2)),
            "v": st.one_of(st.none(), st.integers(0, 99).map(float)),
            "_event_time": moments.map(at),
            "_known_at": moments.map(at),
            "_deleted": st.booleans(),
        }
    ),
    max_size=40,
)
asked = st.lists(st.tuples(keys, st.one_of(st.none(), st.integers(1, 3)), st.one_of(st.none(), moments)), max_size=25)


@settings(max_examples=400, deadline=None)
@given(
    stored,
    asked,
    st.sampled_from([(), ("k",), ("k", "n"), ("n", "k")]),
    st.one_of(st.none(), st.integers(0, 6)),
    st.sampled_from(["none", "some"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2, join._BLOCK]),
    st.randoms(use_true_random=False),
)
def test_it_finds_what_brute_force_finds(rows, queries, entity, ttl, deletions, row_id, ranks, block, random):
    rows = [{**each, "_commit": number} for number, each in enumerate(rows)]
    if deletions == "none":
        rows = [{**each, "_deleted": False} for each in rows]
    random.shuffle(rows)
    if entity != ("k", "n") and entity != ("n", "k"):  # a row is one by what the join calls its entity
        row_id = False
    ttl = None if ttl is None else timedelta(hours=ttl)
    table = pa.table(
        {
            "k": pa.array([q[0] for q in queries], pa.string()),
            "n": pa.array([q[1] for q in queries], pa.int64()),
            "t": pa.array([None if q[2] is None else at(q[2]) for q in queries], INSTANT),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        if ranks:  # as where entity and time don't fit into one integer
            patch.setattr(join, "_LARGEST", 1)
        patch.setattr(join, "_BLOCK", block)
        found = point_in_time(table, "t", versions(rows, row_id=row_id), list(entity), ["v"], ttl)
    assert found["v"].to_pylist() == [brute_force(query, rows, entity, ttl) for query in table.to_pylist()]
    assert found.drop_columns(["v"]).equals(table)


def brute_force(
    query: dict[str, Any], rows: list[dict[str, Any]], entity: tuple[str, ...], ttl: timedelta | None
) -> Any:
    if query["t"] is None or any(query[key] is None for key in entity):
        return None
    newest: dict[datetime, dict[str, Any]] = {}
    for each in rows:
        if any(each[key] != query[key] for key in entity) or max(each["_event_time"], each["_known_at"]) > query["t"]:
            continue
        other = newest.get(each["_event_time"])
        if other is None or (other["_known_at"], other["_commit"]) < (each["_known_at"], each["_commit"]):
            newest[each["_event_time"]] = each
    living = [each for each in newest.values() if not each["_deleted"]]
    if not living:
        return None
    best = max(living, key=lambda each: each["_event_time"])
    return best["v"] if ttl is None or query["t"] - best["_event_time"] <= ttl else None


def test_both_ways_agree_on_many_rows(monkeypatch: pytest.MonkeyPatch):
    """One pass, and the sweep that deletions need, on the same 20,000 rows without deletions."""
    random = np.random.default_rng(3)
    event = random.integers(0, 10_000, 20_000)
    known = event + random.integers(-50, 3_000, 20_000)
    rows = join.Versions(random.integers(0, 30, 20_000), event, known, np.arange(20_000))
    entity, time = random.integers(0, 32, 5_000), random.integers(-100, 14_000, 5_000)
    identity = rows.entity * 10_000 + event
    swept = join.sweep(entity, time, *rows, np.zeros(20_000, dtype=bool), identity)
    assert (join.newest(entity, time, rows) == swept).all()
    monkeypatch.setattr(join, "_LARGEST", 1)
    assert (join.newest(entity, time, rows) == swept).all()
    monkeypatch.setattr(join, "_BLOCK", 7)
    assert (join.newest(entity, time, rows) == swept).all()
