from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evergreen.lake.rows import digest, with_system_columns
from evergreen.serving.identity import row_id

INSTANT = pa.timestamp("us", tz="UTC")
TYPES = {
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "string": (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
    "float": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "bool": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates(date(1000, 1, 1), date(9999, 12, 31))),
    "timestamp": (INSTANT, st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))),
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_equals_the_lakes_digest_for_every_type(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=3))
    names = data.draw(st.lists(st.sampled_from(["a", "Über", "o'clock", "zz"]), min_size=3, max_size=3, unique=True))
    columns = {}
    for name, kind in zip(names, kinds, strict=False):
        arrow, values = TYPES[kind]
        columns[name] = pa.array(data.draw(st.lists(values, min_size=4, max_size=4)), arrow)
    table = pa.table(columns)
    assert [row_id(row) for row in table.to_pylist()] == digest(table, table.column_names).to_pylist()


def test_equals_what_ingestion_writes_into_the_label_dataset() -> None:
    moments = [datetime(2013, 2, 3, 17, 30, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
    user = pa.table({
        "carrier": ["UA", "ÅÄ;1"], "flight": pa.array([7, -1], pa.int32()), "at": pa.array(moments, INSTANT),
        "distance": [1.5, 2.5],
    })  # fmt: skip
    stored = with_system_columns(
        user, identity=["carrier", "flight", "at"], event_time="at", known_at=user["at"], as_of="k"
    )
    keys = [{name: row[name] for name in ("at", "flight", "carrier")} for row in user.to_pylist()]
    assert [row_id(key) for key in keys] == stored["_row_id"].to_pylist()


@pytest.mark.parametrize("key", [{"a": None}, {"a": 1, "b": None}])
def test_a_row_without_a_part_of_its_key_has_no_identity(key: dict[str, object]) -> None:
    assert row_id(key) is None
