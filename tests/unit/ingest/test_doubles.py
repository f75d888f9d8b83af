"""Doubles found bit by bit are those that are found among all rows at once."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
from hypothesis import given, settings

from evergreen.ingest.doubles import Doubles, find_doubles

ROW = st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.one_of(st.none(), st.integers(0, 3)))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(ROW, max_size=12), size=st.integers(1, 5), knows=st.booleans(),
    dedupe=st.sampled_from(["latest", "first", "reject"]),
)  # fmt: skip
def test_doubles_are_the_same_whatever_the_portions(rows, size, knows, dedupe):
    known = pa.array([None if each[2] is None else each[2] * 1_000_000 for each in rows], pa.int64())
    table = pa.table(
        {
            "n": pa.array([each[0] for each in rows], pa.int64()),
            "t": pa.array([each[1] for each in rows], pa.string()),
            "known": known.cast(pa.timestamp("us", tz="UTC")),
        }
    )
    parts = [table.slice(at, size) for at in range(0, len(table), size)]
    doubles = Doubles(["n", "t"], dedupe, "known" if knows else None)
    for part in parts:
        doubles.add(part)

    def tables(columns: list[str]) -> Iterator[pa.Table]:
        yield from (part.select(columns) for part in parts)

    found = doubles.find(tables)
    expected = find_doubles(table, ["n", "t"], dedupe, "known" if knows else None)
    assert (np.zeros(len(table), dtype=bool) if found is None else found).tolist() == expected.tolist()
