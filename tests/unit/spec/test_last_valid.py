"""A mistake in one file takes nothing else down."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evergreen.errors import SpecErrors, UserError
from evergreen.spec.last_valid import LastValid
from evergreen.spec.loading import Workspace, load, load_one
from evergreen.spec.reach import texts_of

EXAMPLES = Path(__file__).parents[3] / "include" / "examples"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "bikes", tmp_path / "workspace")
    return tmp_path / "workspace"


@pytest.fixture
def kept(tmp_path: Path, root: Path) -> LastValid:
    versions = LastValid(tmp_path / "last_valid")
    assert not load(root, versions).errors
    return versions


def edit(root: Path, relative: str, old: str, new: str) -> None:
    path = root / relative
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def both(root: Path, name: str, kept: LastValid) -> list[Workspace]:
    return [load(root, kept), load_one(root, name, kept)]


def test_a_broken_model_is_served_from_its_last_valid_version(root: Path, kept: LastValid) -> None:
    good = load(root).models["bike_demand"]
    edit(root, "models/bike_demand.yaml", "task: regression", "task: regresion")
    for workspace in both(root, "bike_demand", kept):
        assert workspace.models["bike_demand"] == good
        assert workspace.broken == {"bike_demand"}
        assert [error.place for error in workspace.errors] == ["models/bike_demand.yaml:4 task"]


def test_without_a_last_valid_version_a_broken_resource_and_what_needs_it_are_absent(root: Path) -> None:
    edit(root, "datasets/rides.yaml", "cron:", "corn:")
    workspace = load(root)
    assert (workspace.datasets, workspace.models, workspace.broken) == ({}, {}, frozenset())
    assert set(workspace.views) == {"hour_of_week"}
    assert {error.place.partition(":")[0] for error in workspace.errors} == {"datasets/rides.yaml"}


def test_a_valid_model_uses_the_last_valid_version_of_a_broken_view(root: Path, kept: LastValid) -> None:
    edit(root, "features/demand.yaml", "ttl: 2d", "ttl: two days")
    for workspace in both(root, "bike_demand", kept):
        assert workspace.broken == {"demand"}
        assert set(workspace.models) == {"bike_demand"}
        assert b"ttl: 2d" in texts_of(workspace, "model", "bike_demand")["features/demand.yaml"]


def test_a_broken_transform_breaks_its_view_and_the_last_valid_sql_is_frozen(root: Path, kept: LastValid) -> None:
    good = (root / "features/demand.sql").read_bytes()
    (root / "features/demand.sql").unlink()
    for workspace in both(root, "demand", kept):
        assert workspace.broken == {"demand"}
        assert texts_of(workspace, "feature_view", "demand")["features/demand.sql"] == good


def test_a_removed_model_is_not_resurrected(root: Path, kept: LastValid) -> None:
    (root / "models/bike_demand.yaml").unlink()
    workspace = load(root, kept)
    assert (workspace.models, workspace.errors, workspace.broken) == ({}, (), frozenset())
    (root / "models/bike_demand.yaml").write_text("task: nonsense\n")
    assert load(root, kept).models == {}


def test_a_removed_view_lives_as_long_as_a_declared_model_refers_to_it(root: Path, kept: LastValid) -> None:
    (root / "features/demand.yaml").unlink()
    for workspace in both(root, "bike_demand", kept):
        assert workspace.broken == {"bike_demand", "demand"}
        assert [error.rule for error in workspace.errors] == ["must name a feature view"]
    assert set(load_one(root, "demand", kept).views) == {"demand"}
    edit(root, "models/bike_demand.yaml", "[demand, hour_of_week]", "[hour_of_week]")
    workspace = load(root, kept)
    assert (set(workspace.views), workspace.broken, workspace.errors) == ({"hour_of_week"}, frozenset(), ())
    assert not load_one(root, "demand", kept).views


def test_a_mended_file_is_served_as_it_is_now(root: Path, kept: LastValid) -> None:
    edit(root, "models/bike_demand.yaml", "task: regression", "task: regresion")
    load(root, kept)
    edit(root, "models/bike_demand.yaml", "task: regresion", "description: Again.\ntask: regression")
    edit(root, "models/bike_demand.yaml", "description: How many bikes will be rented in an hour.\n", "")
    for workspace in both(root, "bike_demand", kept):
        assert workspace.models["bike_demand"].description == "Again."
        assert not workspace.broken


def test_a_version_is_written_only_when_it_changed(root: Path, kept: LastValid, tmp_path: Path) -> None:
    def stamps() -> dict[str, int]:
        return {str(path): path.stat().st_ino for path in (tmp_path / "last_valid").rglob("*.json")}

    before = stamps()
    load(root, kept)
    load_one(root, "bike_demand", kept)
    assert stamps() == before
    edit(root, "features/demand.sql", "23 hours", "24 hours")
    load(root, kept)
    assert {path for path, stamp in stamps().items() if stamp != before[path]} == {
        str(tmp_path / "last_valid/features/demand.json")
    }
    assert not list((tmp_path / "last_valid").rglob(".*"))


def test_a_damaged_version_counts_as_none(root: Path, kept: LastValid, tmp_path: Path) -> None:
    for content in ("", "{", "[]", json.dumps({"texts": {"models/bike_demand.yaml": "task: no"}})):
        (tmp_path / "last_valid/models/bike_demand.json").write_text(content)
        (root / "models/bike_demand.yaml").write_text("task: no\n")
        assert load(root, kept).models == {}


def test_who_reads_while_others_write_sees_a_whole_version(tmp_path: Path) -> None:
    kept = LastValid(tmp_path)
    versions = [{"models/a.yaml": letter * 200_000} for letter in "xyz"]
    kept.put("model", "a", versions[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(kept.put, "model", "a", version) for version in versions * 10]
        reads = [kept.get("model", "a") for _ in range(30)]
        assert all(write.result() is None for write in writes)
    assert all(read in versions for read in reads)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a.json"]


def test_a_folder_that_refuses_versions_is_no_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not load(root, LastValid(tmp_path / "file" / "below")).errors


def test_a_workspace_that_vanished_forgets_nothing(root: Path, kept: LastValid) -> None:
    shutil.rmtree(root)
    assert load(root, kept).errors
    assert kept.names("model") == ["bike_demand"]


def test_of_two_resources_with_one_name_the_one_that_was_there_before_stays(root: Path, kept: LastValid) -> None:
    shutil.copy(root / "datasets/rides.yaml", root / "datasets/bike_demand.yaml")
    for workspace in both(root, "bike_demand", kept):
        assert "bike_demand" in workspace.models
        assert "bike_demand" not in workspace.datasets
        assert [error.place for error in workspace.errors] == ["datasets/bike_demand.yaml"]


def test_a_remote_folder_is_refused_so_far() -> None:
    with pytest.raises(UserError, match="must be kept in a local folder so far, got 's3://bucket/x'"):
        LastValid("s3://bucket/x")


def test_what_a_workspace_does_not_have_can_not_be_frozen(root: Path) -> None:
    edit(root, "datasets/rides.yaml", "cron:", "corn:")
    with pytest.raises(SpecErrors, match=r"schedule\.corn"):
        texts_of(load_one(root, "bike_demand"), "model", "bike_demand")
    with pytest.raises(SpecErrors, match=r"models/other\.yaml must be a file"):
        texts_of(load_one(root, "other"), "model", "other")
