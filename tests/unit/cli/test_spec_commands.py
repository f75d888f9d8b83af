"""``evergreen validate`` and ``evergreen schema``, as a person runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "include" / "examples"


def evergreen(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from evergreen.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_valid_workspace_passes() -> None:
    done = evergreen("validate", EXAMPLES / "flights")
    assert (done.returncode, done.stdout) == (0, "Valid: 3 datasets, 4 feature views, 1 model.\n")


def test_all_errors_are_printed_and_the_code_is_1(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "datasets").mkdir()
    (tmp_path / "models/a.yaml").write_text("task: binary\nlabel: {dataset: none, column: x}\nrequest: [y]\n")
    (tmp_path / "datasets/b.yaml").write_text("")
    done = evergreen("validate", tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "datasets/b.yaml:1 must be a mapping of a dataset's keys, and is empty.",
        "models/a.yaml:2 label.dataset must name a dataset, got 'none'. There is: b.",
        "2 errors in 2 files. Valid: 0 datasets, 0 feature views, 0 models.",
    ]
    document = json.loads(evergreen("validate", tmp_path, "--json").stdout)
    assert document["valid"] is False
    assert document["errors"][1]["place"] == "models/a.yaml:2 label.dataset"


def test_sql_is_bound_to_the_declared_types(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "bikes", tmp_path, dirs_exist_ok=True)
    sql = tmp_path / "features" / "demand.sql"
    sql.write_text(sql.read_text().replace("cnt::double", "count::double"))
    done = evergreen("validate", tmp_path)
    assert done.returncode == 1
    error, summary = done.stdout.splitlines()
    assert error.startswith('features/demand.sql:6 must be SQL that DuckDB can run; it says: Referenced column "count"')
    assert summary == "1 error in 1 file. Valid: 1 dataset, 1 feature view, 0 models."


def test_no_folder_is_code_2(tmp_path: Path) -> None:
    done = evergreen("validate", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "must be a folder" in done.stderr


def test_schema_prints_json() -> None:
    assert json.loads(evergreen("schema", "model").stdout)["title"] == "Model"
    assert evergreen("schema", "recipe").returncode == 2
