"""What is known of a workspace's SQL without its data, and that it is what the runs say later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evergreen.features.binding import bound
from evergreen.features.columns import arrow_type, dtype_of
from evergreen.ingest import files
from evergreen.lake.binding import Binder
from evergreen.lake.columns import canonical
from evergreen.lake.duck import run_sql
from evergreen.spec import checks
from evergreen.spec.loading import load

EXAMPLES = Path(__file__).parents[3] / "include" / "examples"
COLUMNS: dict[str, Any] = {
    "n": "int", "x": "float", "s": "string", "b": "bool", "t": "timestamp", "d": "date", "two words": "int",
}  # fmt: skip


@pytest.mark.parametrize("example", ["bikes", "flights"])
def test_the_examples_bind(example: str) -> None:
    workspace = load(EXAMPLES / example)
    assert bound(workspace) == workspace


def test_types_are_those_that_a_run_gives() -> None:
    sql = (
        'select n, x, s, b, t, d, "two words", n + 1 as a, n / 2 as h, n // 2 as q, sum(n) over () as total, 1.5 as l, '
        "avg(n) over () as mean, s || 'x' as cat, t::date as day, d + interval 1 day as later, t at time zone 'UTC' as "
        "local, n > 1 as more, null as nothing, count(*) over () as many, n::tinyint as small, x::float as short, "
        "n::decimal(9, 2) as price, n::decimal(9, 0) as whole, epoch(t) as seconds, extract(hour from t) as hour, "
        "date_trunc('day', t) as midnight, case when b then s end as maybe, md5(s) as digest, 2::utinyint as byte "
        "from source"
    )
    with Binder() as binder:
        made = binder.bind(sql, {"source": COLUMNS})
    assert made.faults == [] and made.columns is not None
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in COLUMNS.items()])
    run = canonical(run_sql(sql, {"source": schema.empty_table()}), "rows").schema
    assert dict(made.columns) == {field.name: dtype_of(field.type) for field in run}


@pytest.mark.parametrize("value", ["[n]", "{'a': n}", "t - t", "t::time", "map {s: n}"])
def test_what_a_table_cannot_hold_has_no_type(value: str) -> None:
    with Binder() as binder:
        made = binder.bind(f"select {value} as v from source", {"source": COLUMNS})
    assert (made.columns, made.unfit) == ([("v", None)], ("v",))


def test_statements_leave_nothing_behind() -> None:
    with Binder() as binder:
        assert binder.bind("select n from source", {"source": {"n": "int"}}).columns == [("n", "int")]
        assert binder.bind("select n from source where current_date = d", {"source": COLUMNS}).faults
        assert binder.bind("select current_date from source", {"source": {"current_date": "date"}}).faults == []
        assert binder.bind("select n from other", {"source": COLUMNS}).faults
        assert binder.bind("select n from source", {"source": {"m": "int"}}).faults
        assert binder.bind("select n from source;\n;", {"source": {"n": "string"}}).columns == [("n", "string")]


def test_a_resource_that_does_not_bind_counts_as_absent_with_what_refers_to_it(tmp_path: Path) -> None:
    files_of = {
        "datasets/sales.yaml": "source: {path: 'sales/{as_of}.csv'}\nschedule: {cron: '0 0 * * *'}\nevent_time: day\n"
        "columns: {day: date, sold: int}\nselect: select dya as day, sold from source\n",
        "features/mean.yaml": "reads: [sales]\ntimestamp: day\ntransform: mean.sql\noutputs: {mean: {}}\n",
        "features/mean.sql": "select day, avg(whatever) as mean from sales group by all\n",
        "features/fixed.yaml": "kind: on_demand\ntransform: fixed.sql\noutputs: {fixed: {}}\n",
        "features/fixed.sql": "select 1 as fixed from request\n",
        "models/demand.yaml": "task: regression\nlabel: {dataset: sales, column: sold}\nfeatures: [mean, fixed]\n",
        "models/broken.yaml": "task: nonsense\n",
    }
    for name, text in files_of.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    before = load(tmp_path)
    after = bound(before)
    assert (after.datasets, set(after.views), after.models) == ({}, {"fixed"}, {})
    assert after.errors[0].place == "datasets/sales.yaml:5 select"
    assert set(before.errors) < set(after.errors) and len(after.errors) == len(before.errors) + 1


def test_what_refers_to_another_workspace_file_by_a_roundabout_path_binds(tmp_path: Path) -> None:
    for name, text in {
        "features/deep/fixed.sql": "select 1 as fixed from request\n",
        "features/fixed.yaml": "kind: on_demand\ntransform: ./deep/../deep/fixed.sql\noutputs: {fixed: {}}\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert bound(load(tmp_path)).errors == ()


def test_the_endings_are_those_that_ingestion_reads() -> None:
    assert set(checks.ENDINGS) == set(files._ENDINGS)


def test_validating_imports_nothing_heavy_and_reading_a_workspace_no_duckdb() -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom evergreen.spec.loading import load\n"
        f"workspace = load(Path({str(EXAMPLES / 'flights')!r}))\n"
        "assert 'duckdb' not in sys.modules\n"
        "from evergreen.features.binding import bound\nassert bound(workspace).errors == ()\n"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'mlflow', 'airflow', 'great_expectations'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
