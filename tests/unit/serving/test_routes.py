import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.errors import EvergreenError
from evergreen.features.request import RequestErrors
from evergreen.lake.lake import Lake
from evergreen.serving.answer import ModelFailedError, answer
from evergreen.serving.copies import KEPT_BUNDLES
from evergreen.serving.routes import Route, Routes

NOW = datetime(2013, 2, 3, 12, tzinfo=UTC)
BROKEN_VIEW = -666
DOUBLED_ROW = -667


@pytest.fixture
def routes(tmp_path):
    return Routes(tmp_path / "gateway")


def asked(routes: Routes, row: dict) -> tuple[int, int]:
    """The version that says it answered, and the one that the prediction gives away."""
    given = answer(routes.target("toy"), [row], NOW)
    return given.version, round(given.predictions[0] / 100)


def damage(folder: Path) -> None:
    for path in folder.rglob("model.txt"):
        path.write_text("rotten")


def test_a_gateway_starts_from_its_own_disk_alone(routes, lake, frozen, row, tmp_path):
    routes.apply(Route("toy", 1, 1, frozen(1)), lake)
    routes.apply(Route("toy", 2, 2, frozen(2), 1, frozen(1)), lake)
    shutil.rmtree(tmp_path / "lake")
    again = Routes(tmp_path / "gateway")
    again.restore()
    assert again.target("toy").is_complete
    assert asked(again, row) == (2, 2)


def test_of_a_fleet_a_start_loads_what_it_has_time_for_and_the_rest_when_it_is_asked(
    routes, lake, frozen, row, tmp_path
):
    routes.apply(Route("toy", 2, 2, frozen(2), 1, frozen(1)), lake)
    again = Routes(tmp_path / "gateway")
    again.restore(0)
    assert not again.target("toy").is_applied and len(again.shelf) == 0
    assert asked(again, row) == (2, 2)
    assert again.target("toy").is_applied and again.target("toy").fallback is not None


def test_a_champion_that_fails_on_a_call_is_answered_for_by_the_previous_good_one(routes, lake, frozen, row):
    plain = "select 12 as hour, 0 as zero from request"
    routes.apply(Route("toy", 2, 2, frozen(2), 1, frozen(1, sql=plain)), lake)
    given = answer(routes.target("toy"), [{**row, "distance": BROKEN_VIEW}], NOW)
    assert given.version == 1
    assert given.fallback.startswith("version 2 failed: ValuesError:") and "a broken view" in given.fallback
    assert routes.target("toy").failures == 1
    assert answer(routes.target("toy"), [row], NOW).fallback is None


def test_when_no_version_can_answer_both_reasons_are_given(routes, lake, frozen, row):
    routes.apply(Route("toy", 2, 2, frozen(2), 1, frozen(1)), lake)
    with pytest.raises(ModelFailedError, match=r"version 2 failed: .*version 1 failed: "):
        answer(routes.target("toy"), [{**row, "distance": DOUBLED_ROW}], NOW)
    assert routes.target("toy").failures == 1


def test_wrong_rows_are_the_callers_fault_and_no_fallback_is_asked(routes, lake, frozen, row):
    routes.apply(Route("toy", 2, 2, frozen(2), 1, frozen(1)), lake)
    with pytest.raises(RequestErrors):
        answer(routes.target("toy"), [{**row, "carrier": 1}], NOW)
    assert routes.target("toy").failures == 0


def test_a_corrupt_local_copy_is_fetched_anew(routes, lake, frozen, row, tmp_path):
    route = Route("toy", 2, 2, frozen(2), 1, frozen(1))
    routes.apply(route, lake)
    damage(tmp_path / "gateway" / "bundles" / route.bundle)
    again = Routes(tmp_path / "gateway")
    again.restore()
    assert asked(again, row) == (1, 1)
    assert "version 2 cannot be loaded" in answer(again.target("toy"), [row], NOW).fallback
    again.apply(route, lake)
    assert asked(again, row) == (2, 2)
    assert again.target("toy").fault is None


def test_a_corrupt_local_copy_stays_until_the_lake_has_a_good_one(routes, lake, frozen, row, tmp_path):
    route = Route("toy", 1, 1, frozen(1))
    routes.apply(route, lake)
    damage(tmp_path / "gateway" / "bundles" / route.bundle)
    again = Routes(tmp_path / "gateway")
    again.restore()
    with pytest.raises(ModelFailedError, match="version 1 cannot be loaded"):
        answer(again.target("toy"), [row], NOW)
    with pytest.raises(EvergreenError, match="version 1 cannot be loaded"):
        again.apply(route, Lake(tmp_path / "another"))
    assert (tmp_path / "gateway" / "bundles" / route.bundle / "bundle.json").exists()
    again.apply(route, lake)
    assert asked(again, row) == (1, 1)


def test_a_promotion_that_cannot_be_loaded_leaves_the_old_champion(routes, lake, frozen, row):
    routes.apply(Route("toy", 1, 1, frozen(1)), lake)
    with pytest.raises(EvergreenError, match="version 2 cannot be loaded"):
        routes.apply(Route("toy", 2, 2, "0" * 64, 1, frozen(1)), lake)
    assert asked(routes, row) == (1, 1)
    assert routes.target("toy").route.seq == 1


def test_a_fallback_that_cannot_be_loaded_keeps_no_champion_from_serving(routes, lake, frozen, row):
    with pytest.raises(EvergreenError, match="version 1 cannot be loaded"):
        routes.apply(Route("toy", 2, 2, frozen(2), 1, "0" * 64), lake)
    assert asked(routes, row) == (2, 2)


def test_an_unreadable_routes_file_serves_nothing_and_starts(routes, lake, frozen, row, tmp_path):
    (tmp_path / "gateway" / "routes.json").write_text('[{"model"')
    routes.restore()
    assert routes.target("toy") is None
    routes.apply(Route("toy", 1, 1, frozen(1)), lake)
    assert json.loads((tmp_path / "gateway" / "routes.json").read_text())[0]["version"] == 1


def test_a_disk_that_takes_no_routes_file_keeps_no_rollback_from_serving(routes, lake, frozen, row, tmp_path):
    routes.apply(Route("toy", 1, 1, frozen(1)), lake)
    (tmp_path / "gateway" / "routes.json").unlink()
    (tmp_path / "gateway" / "routes.json").mkdir()  # cannot be replaced by a file
    routes.apply(Route("toy", 2, 2, frozen(2), 1, frozen(1)), lake)
    assert asked(routes, row) == (2, 2)
    assert routes.unsaved is not None
    (tmp_path / "gateway" / "routes.json").rmdir()
    routes.save()
    assert routes.unsaved is None
    assert json.loads((tmp_path / "gateway" / "routes.json").read_text())[0]["seq"] == 2


def test_old_bundles_go_and_those_in_use_stay(routes, lake, frozen, tmp_path):
    digest = frozen(1)
    for number in range(KEPT_BUNDLES + 5):
        (tmp_path / "gateway" / "bundles" / f"old{number}").mkdir()
    (tmp_path / "gateway" / "bundles" / ".fetch-left").mkdir()
    os.utime(tmp_path / "gateway" / "bundles" / ".fetch-left", (0, 0))
    (tmp_path / "gateway" / "bundles" / ".fetch-now").mkdir()  # another worker's
    routes.restore()
    routes.apply(Route("toy", 1, 1, digest), lake)
    left = {path.name for path in (tmp_path / "gateway" / "bundles").iterdir()}
    assert digest in left and ".fetch-now" in left and len(left) == 2 + KEPT_BUNDLES
