"""What is read, from where, and how much of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evergreen.spec.last_valid import LastValid
from evergreen.spec.loading import load, load_one
from evergreen.spec.reach import files_of, texts_of

EXAMPLES = Path(__file__).parents[3] / "include" / "examples"
_opened: list[str] | None = None


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _opened is not None and event in ("open", "os.scandir", "os.listdir"):
        _opened.append(f"{event} {args[0]}")


sys.addaudithook(_audit)


@contextmanager
def opened_files(root: Path) -> Iterator[list[str]]:
    """All files opened and folders listed below a folder, as the interpreter reports them."""
    global _opened
    _opened = []
    found: list[str] = []
    try:
        yield found
    finally:
        prefix = str(root)
        found += [each.replace(prefix + "/", "") for each in _opened if prefix in each]
        _opened = None


@pytest.fixture
def bikes(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "bikes", tmp_path / "workspace")
    return tmp_path / "workspace"


@pytest.mark.parametrize("example", ["bikes", "flights"])
def test_the_examples_are_valid_and_describe_every_feature(example: str) -> None:
    workspace = load(EXAMPLES / example)
    assert workspace.errors == ()
    for view in workspace.views.values():
        assert view.owner and view.description
        assert all(output.description for output in view.outputs.values())
    for model in workspace.models.values():
        assert model.monitoring.reference_versions == ("first",)


def test_the_workspace_that_a_team_begins_with_is_empty_and_valid() -> None:
    workspace = load(EXAMPLES.parent / "workspace")
    assert (workspace.errors, workspace.models) == ((), {})


def test_the_shortest_model_is_short(bikes: Path) -> None:
    text = "task: regression\nlabel:\n  dataset: rides\n  column: cnt\nfeatures: [demand, hour_of_week]\n"
    (bikes / "models/short.yaml").write_text(text)
    assert load(bikes).errors == ()


@pytest.mark.parametrize("fleet", [0, 200])
def test_one_resource_opens_as_many_files_in_a_large_fleet(bikes: Path, tmp_path: Path, fleet: int) -> None:
    text = (bikes / "models/bike_demand.yaml").read_text()
    for number in range(fleet):
        (bikes / f"models/copy_{number}.yaml").write_text(text)
    kept = LastValid(tmp_path / "last_valid")
    load(bikes, kept)
    with opened_files(tmp_path) as opened:
        workspace = load_one(bikes, "bike_demand", kept)
    assert set(workspace.models) == {"bike_demand"}
    assert set(workspace.views) == {"demand", "hour_of_week"}
    names = ["models/bike_demand", "features/demand", "features/hour_of_week", "datasets/rides"]
    sql = ["features/demand.sql", "features/hour_of_week.sql"]
    yaml = [f"open workspace/{name}.yaml" for name in names]
    stored = [f"open last_valid/{name}.json" for name in names]
    assert set(opened) == {*yaml, *stored, *(f"open workspace/{each}" for each in sql)}


def test_one_view_and_one_dataset_bring_only_what_they_refer_to(bikes: Path) -> None:
    view = load_one(bikes, "demand")
    assert (set(view.datasets), set(view.views), view.models) == ({"rides"}, {"demand"}, {})
    dataset = load_one(bikes, "rides")
    assert (set(dataset.datasets), dataset.views, dataset.models) == ({"rides"}, {}, {})
    assert load_one(bikes, "../../etc/passwd").errors == ()


def test_a_model_reaches_its_views_their_datasets_and_their_sql() -> None:
    workspace = load_one(EXAMPLES / "bikes", "bike_demand")
    assert [str(path) for path in files_of(workspace, "model", "bike_demand")] == [
        "datasets/rides.yaml",
        "features/demand.sql",
        "features/demand.yaml",
        "features/hour_of_week.sql",
        "features/hour_of_week.yaml",
        "models/bike_demand.yaml",
    ]


def test_what_is_reached_can_be_loaded_again(tmp_path: Path) -> None:
    first = load_one(EXAMPLES / "flights", "flight_late")
    for relative, content in texts_of(first, "model", "flight_late").items():
        path = tmp_path / relative
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    again = load_one(tmp_path, "flight_late")
    assert again.errors == ()
    assert (again.models, again.views, again.datasets) == (first.models, first.views, first.datasets)


def test_python_transforms_bring_the_siblings_that_they_import(bikes: Path) -> None:
    files = {
        "demand.py": "import json\nimport windows\nfrom shapes.round import circle\ndef compute(tables): ...\n",
        "windows.py": "from calendars import *\n",
        "calendars.py": "import windows\n",
        "shapes/__init__.py": "",
        "shapes/round.py": "from . import square\nfrom .deep.er import x\nimport calendars\n",
        "shapes/square.py": "",
        "shapes/deep/er.py": "import json\n",
        "unused.py": "raise RuntimeError\n",
    }
    for relative, text in files.items():
        path = bikes / "features" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yaml = bikes / "features/demand.yaml"
    yaml.write_text(yaml.read_text().replace("demand.sql", "demand.py:compute"))
    reached = files_of(load_one(bikes, "demand"), "feature_view", "demand")
    python = {str(path).removeprefix("features/") for path in reached if path.suffix == ".py"}
    assert python == set(files) - {"unused.py"}


def test_links_that_leave_the_workspace_are_refused(bikes: Path, tmp_path: Path) -> None:
    for folder, name in (("models", "bike_demand.yaml"), ("features", "demand.sql")):
        shutil.move(bikes / folder / name, tmp_path / name)
        os.symlink(tmp_path / name, bikes / folder / name)
    messages = [str(error) for error in load(bikes).errors]
    assert messages == [
        "features/demand.yaml:6 transform must not lead out of features, got 'demand.sql'. Copy the file there.",
        f"models/bike_demand.yaml must not lead out of the workspace, got '{tmp_path}/bike_demand.yaml'. "
        "Copy the file there.",
    ]


def test_links_inside_the_workspace_are_followed(bikes: Path) -> None:
    # A mounted Kubernetes config map looks like this.
    (bikes / "models/..data").mkdir()
    shutil.move(bikes / "models/bike_demand.yaml", bikes / "models/..data/bike_demand.yaml")
    os.symlink("..data/bike_demand.yaml", bikes / "models/bike_demand.yaml")
    assert set(load(bikes).models) == {"bike_demand"}


def test_what_is_no_regular_file_is_an_error_and_does_not_block(bikes: Path) -> None:
    os.mkfifo(bikes / "models/pipe.yaml")
    (bikes / "models/folder.yaml").mkdir()
    os.symlink("nowhere.yaml", bikes / "models/dangling.yaml")
    places = {error.place for error in load(bikes).errors}
    assert places == {"models/pipe.yaml", "models/dangling.yaml"}


def test_a_missing_workspace_is_an_error() -> None:
    errors = load(Path("no/such/folder")).errors
    assert [error.rule for error in errors] == ["must be a folder that holds datasets, features and models"]


def test_an_edit_is_seen_at_once_even_with_the_same_size_and_time(bikes: Path) -> None:
    path = bikes / "models/bike_demand.yaml"
    before = path.stat()
    assert load_one(bikes, "bike_demand").models["bike_demand"].gate.tolerance == 0.05
    path.write_text(path.read_text().replace("tolerance: 0.05", "tolerance: 0.06"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load_one(bikes, "bike_demand").models["bike_demand"].gate.tolerance == 0.06


def test_reading_a_workspace_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from evergreen.spec.loading import load;"
        f"assert not load(Path({str(EXAMPLES / 'flights')!r})).errors;"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'duckdb', 'mlflow', 'airflow', 'great_expectations', 'lightgbm',"
        " 'sklearn', 'evidently', 'deltalake', 'sqlalchemy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
