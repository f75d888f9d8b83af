"""System columns and digests."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.errors import DataError
from evergreen.lake.columns import canonical
from evergreen.lake.rows import digest, with_system_columns

T = datetime(2013, 1, 1, 12, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")


def _one(**columns: pa.Array) -> str:
    table = canonical(pa.table(columns), "x")
    return str(digest(table, table.column_names)[0].as_py())


def test_system_columns_of_event_rows() -> None:
    table = pa.table({"id": [1, 2], "at": pa.array([T, T], pa.timestamp("ns", tz="Europe/Paris")), "v": ["a", None]})
    rows = with_system_columns(table, identity=["id", "at"], event_time="at", known_at=table["at"], as_of="2013-01-02")
    assert rows.column_names[3:] == ["_row_id", "_row_hash", "_event_time", "_known_at", "_deleted", "_as_of"]
    assert rows.schema.field("_event_time").type == rows.schema.field("at").type == STAMP
    assert rows.column("_event_time").to_pylist() == [T, T]
    assert rows.column("_as_of").to_pylist() == ["2013-01-02"] * 2
    assert rows.column("_deleted").to_pylist() == [False, False]
    assert len(set(rows.column("_row_id").to_pylist())) == 2


def test_snapshots_happen_when_they_are_known() -> None:
    rows = with_system_columns(
        pa.table({"id": [1]}), identity=["id"], event_time=None, known_at=pa.array([T], STAMP), as_of="k"
    )
    assert rows.column("_event_time").to_pylist() == rows.column("_known_at").to_pylist() == [T]


def test_digest_does_not_depend_on_form() -> None:
    base = _one(a=pa.array([1]), b=pa.array([0.0]), c=pa.array(["x"]))
    assert base == _one(
        c=pa.array(["x"]).dictionary_encode(), b=pa.array([-0.0], pa.float32()), a=pa.array([1], pa.uint8())
    )
    assert base == _one(a=pa.array([1]), b=pa.array([0.0]), c=pa.array(["x"]), d=pa.array([None], pa.float64()))
    assert base == _one(a=pa.array([1]), b=pa.array([0.0]), c=pa.array(["x"]), d=pa.nulls(1))


def test_digest_tells_values_apart() -> None:
    distinct = [
        _one(a=pa.array(["x"]), b=pa.array(["y;z"])),
        _one(a=pa.array(["x;1:y"]), b=pa.array(["z"])),
        _one(a=pa.array([None], pa.string()), b=pa.array(["x"])),
        _one(a=pa.array(["x"]), b=pa.array([None], pa.string())),
        _one(a=pa.array([""])),
        _one(a=pa.array([None], pa.string())),
        _one(a=pa.array([float("nan")])),
        _one(a=pa.array([0.1 + 0.2])),
        _one(a=pa.array([0.3])),
        _one(a=pa.array([date(2013, 1, 1)])),
        _one(a=pa.array([T], STAMP)),
        _one(a=pa.array([True])),
        _one(A=pa.array([True])),
        _one(**{"it's": pa.array([True])}),
    ]
    assert len(set(distinct)) == len(distinct)


VALUES = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(),
        "s": st.none() | st.text(alphabet="ab;:,1'\x1f\x00é", max_size=5),
        "t": st.none() | st.text(alphabet="ab;:,1'\x1f\x00é", max_size=5),
        "b": st.none() | st.booleans(),
    }
)
SCHEMA = pa.schema([("i", pa.int64()), ("f", pa.float64()), ("s", pa.string()), ("t", pa.string()), ("b", pa.bool_())])


def _key(row: dict[str, object]) -> str:
    return repr(
        {
            name: ("nan" if value != value else value + 0.0 if name == "f" and value is not None else value)  # type: ignore[operator]
            for name, value in sorted(row.items())
        }
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=5))
def test_digest_is_equal_exactly_for_equal_rows(rows: list[dict[str, object]]) -> None:
    whole = digest(pa.Table.from_pylist(rows, SCHEMA), SCHEMA.names).to_pylist()
    alone = [digest(pa.Table.from_pylist([row], SCHEMA), SCHEMA.names)[0].as_py() for row in rows]
    assert whole == alone
    assert len(set(whole)) == len({_key(row) for row in rows})


def test_digest_is_the_same_in_another_process_and_release() -> None:
    """A changed digest would make every stored row look changed: these values must never move."""
    code = (
        "import pyarrow as pa; from evergreen.lake.rows import digest;"
        "t = pa.table({'a': [1, None], 'b': [1.5, float('nan')], 'c': ['é', None]});"
        "print(*digest(t, ['c', 'b', 'a']).to_pylist(), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    bits = [struct.unpack("<q", struct.pack("<d", value))[0] for value in (1.5, float("nan"))]
    lines = [f"1:a,1:b,1:c,1;{bits[0]};2:é", f"1:b,{bits[1]}"]
    assert done.stdout.split() == [hashlib.sha256(line.encode()).hexdigest()[:32] for line in lines]
    assert done.stdout.split()[0] == "a6cb732b8975f4fca3846910ba308772"


def test_chunks_and_slices_do_not_matter() -> None:
    table = pa.table({"f": pa.chunked_array([[1.5, None], [], [-0.0]]), "s": pa.chunked_array([["a"], ["b", None]])})
    parts = [digest(table.slice(k, 1), ["f", "s"])[0].as_py() for k in range(3)]
    assert digest(table, ["f", "s"]).to_pylist() == parts
    assert digest(table.slice(0, 0), ["f", "s"]).to_pylist() == []


def test_mistakes_are_named() -> None:
    known = pa.array([T], STAMP)
    with pytest.raises(
        DataError, match=r"datasets/x must not have columns with the lake's own names, got \['_row_id'\]"
    ):
        with_system_columns(
            pa.table({"_row_id": ["x"]}),
            identity=["_row_id"],
            event_time=None,
            known_at=known,
            as_of="",
            place="datasets/x",
        )
    with pytest.raises(DataError, match=r"must have the columns of its identity and time \(id\), got \['id', 'at'\]"):
        with_system_columns(pa.table({"x": ["x"]}), identity=["id"], event_time="at", known_at=known, as_of="")
    with pytest.raises(DataError, match="column at must not be null, got '1 nulls'"):
        with_system_columns(
            pa.table({"at": pa.array([None], STAMP)}), identity=["at"], event_time="at", known_at=known, as_of=""
        )
    with pytest.raises(DataError, match="column x must be a number, text, truth value, date or timestamp, got 'list<"):
        canonical(pa.table({"x": [[1]]}), "rows")
    with pytest.raises(DataError, match="distinct column names, whatever their case: Id, got 'ID'"):
        canonical(pa.table({"Id": [1], "ID": [1]}), "rows")
    with pytest.raises(DataError, match="column x must fit into int64"):
        canonical(pa.table({"x": pa.array([2**64 - 1], pa.uint64())}), "rows")


def test_a_wide_table_is_digested_by_slices_to_the_same_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """900,000 rows of 100 columns were more text than one Arrow array holds."""
    columns = {"id": list(range(7)), "a": [None, "x", None, None, "", "y", None], "b": [0.5, None] * 3 + [1.0]}
    table = canonical(pa.table(columns), "x")
    whole = digest(table, table.column_names).to_pylist()
    monkeypatch.setattr("evergreen.lake.rows.ROWS_AT_ONCE", 2)
    assert digest(table, table.column_names).to_pylist() == whole
    assert digest(table.slice(0, 0), table.column_names).to_pylist() == []
