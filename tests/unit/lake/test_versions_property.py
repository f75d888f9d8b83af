"""Appends and reads of row versions against a model in plain Python."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.lake import versions
from evergreen.lake.lake import Lake
from evergreen.lake.rows import with_system_columns
from evergreen.lake.versions import all_differ

DAY0 = datetime(2013, 1, 1, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Version:
    row: int
    value: str
    known: int
    as_of: str
    commit: int
    deleted: bool


class Model:
    """The meaning of a table of row versions, row by row."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.commit = 0

    def newest(self, row: int, known_by: int, own: str = "~", *, whenever: bool = False) -> Version | None:
        """The version that counts at an instant; of equally known ones not those of keys later than ``own``.

        ``whenever`` adds what the key itself said, however late that is known.
        """
        seen = [
            each
            for each in self.versions
            if each.row == row and ((each.known, each.as_of) <= (known_by, own) or (whenever and each.as_of == own))
        ]
        return max(seen, key=lambda each: (each.known, each.as_of, each.commit), default=None)

    def append(self, rows: dict[int, tuple[str, int]], until: int, source: bool, full: bool) -> tuple[int, int, int]:
        fresh, unchanged, key = [], 0, str(until)
        for row, (value, known) in rows.items():
            prior = self.newest(row, known if source else max(until, known), key, whenever=not source)
            if prior is not None and not prior.deleted and prior.value == value:
                unchanged += 1
                continue
            if prior is not None and not source:
                known = max(until, known, prior.known)
            fresh.append(Version(row, value, known, key, self.commit + 1, False))
        graves = []
        for row in sorted({each.row for each in self.versions} - set(rows)) if full else []:
            prior = self.newest(row, until, key)
            if prior is not None and not prior.deleted:
                graves.append(Version(row, prior.value, max(until, prior.known), key, self.commit + 1, True))
        self.versions += fresh + graves
        self.commit += bool(fresh or graves)
        return len(fresh), unchanged, len(graves)

    def told(self) -> list[Version]:
        """The versions that were ever seen and say something else than the one before them."""
        found = []
        for row in range(4):
            before: Version | None = None
            last = {v.known: v for v in sorted(self.versions, key=lambda v: (v.as_of, v.commit)) if v.row == row}
            for each in sorted(last.values(), key=lambda v: v.known):
                if before is None or (each.deleted, each.value) != (before.deleted, before.value):
                    found.append(each)
                before = each
        return found

    def read(self, known_by: int) -> list[tuple[int, str]]:
        found = (self.newest(row, known_by) for row in range(4))
        return [(each.row, each.value) for each in found if each is not None and not each.deleted]


ROWS = st.dictionaries(st.integers(0, 3), st.tuples(st.sampled_from("ab"), st.integers(0, 6)), max_size=4)
APPENDS = st.lists(st.tuples(ROWS, st.integers(1, 5)), min_size=1, max_size=5)


@settings(max_examples=15, deadline=None)
@given(appends=APPENDS, source=st.booleans(), full=st.booleans())
def test_table_means_what_the_model_means(
    appends: list[tuple[dict[int, tuple[str, int]], int]], source: bool, full: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table, model = Lake(Path(folder)).table("t"), Model()
        for rows, until in appends:
            known = {row: (value, min(at, until) if source or full else at) for row, (value, at) in rows.items()}
            made = _rows(known, full, str(until))
            for again in (False, True):
                done = table.append_versions(
                    made,
                    tag="",
                    until=_day(until),
                    source_known_at=source,
                    full_snapshot=full,
                    as_of=str(until) if full else None,
                )
                expected = model.append(known, until, source, full)
                assert (done.appended, done.unchanged, done.tombstones) == expected
                assert not (again and (done.appended or done.tombstones))
        assert table.version() == model.commit
        for known_by in range(7):
            read = table.read(["id", "v"], known_by=_day(known_by), system=False).sort_by("id").to_pylist()
            assert [(row["id"], row["v"]) for row in read] == model.read(known_by)
        stored = table.read_versions(["id", "v"]).to_pylist()
        found = [
            Version(s["id"], s["v"], (s["_known_at"] - DAY0).days, s["_as_of"], s["_commit"], s["_deleted"])
            for s in stored
        ]
        assert sorted(found, key=repr) == sorted(model.told(), key=repr)


def _rows(rows: dict[int, tuple[str, int]], full: bool, as_of: str) -> pa.Table:
    user = pa.table({"id": pa.array(list(rows), pa.int64()), "v": pa.array([v for v, _ in rows.values()], pa.string())})
    if not full:
        user = user.append_column("at", pa.array([_day(row / 10) for row in rows], STAMP))
    known = pa.array([_day(at) for _, at in rows.values()], STAMP)
    identity = ["id"] if full else ["id", "at"]
    return with_system_columns(user, identity=identity, event_time=None if full else "at", known_at=known, as_of=as_of)


def _day(number: float) -> datetime:
    return DAY0 + timedelta(days=number)


@given(st.lists(st.one_of(st.integers(0, 40).map(lambda n: f"{n:032x}"), st.text(max_size=3)), max_size=60), st.data())
def test_rows_that_differ_are_known_to_and_others_never_taken_for_it(ids: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=3)))
    whole = pa.array(ids, pa.string())
    chunks = [whole[a:b] for a, b in pairwise([0, *cuts, len(ids)])]
    told = all_differ(pa.chunked_array(chunks, pa.string()))
    assert told == (len(set(ids)) == len(ids) and (len(ids) < 2 or all(len(each.encode()) == 32 for each in ids)))


@settings(max_examples=60, deadline=None)
@given(positions=st.lists(st.integers(0, 30), max_size=40), run=st.integers(1, 3), chunk=st.integers(1, 31))
def test_rows_are_cut_as_they_are_taken(positions: list[int], run: int, chunk: int) -> None:
    values = pa.array([None if n % 5 == 0 else f"v{n}" for n in range(31)], pa.string())
    column = pa.chunked_array([values.slice(at, chunk) for at in range(0, 31, chunk)])
    at = [n for start in positions for n in range(start, min(start + run * 3, 31))]
    wanted = pa.chunked_array([pa.array(at, pa.int64())])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "_LEAST_RUN", run)
        assert versions.Picked(wanted).of(column).to_pylist() == column.take(wanted).to_pylist()
