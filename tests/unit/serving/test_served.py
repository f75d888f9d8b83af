import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from evergreen.errors import DataError
from evergreen.features.request import RequestErrors
from evergreen.lake.rows import with_system_columns
from evergreen.serving.served import FEW_ROWS, Served

NOW = datetime(2013, 2, 3, 12, tzinfo=UTC)


@pytest.fixture
def served(bundle_of):
    return Served.load(bundle_of(1))


def test_few_rows_and_many_get_the_same_predictions(served, row):
    rows = [{**row, "distance": i / 50, "carrier": "AA" if i % 3 else None} for i in range(FEW_ROWS + 1)]
    many = served.predict(served.frame(rows, NOW))
    alone = [served.predict(served.frame([each], NOW))[0] for each in rows]
    np.testing.assert_array_equal(many, alone)


def test_classes_come_with_their_probabilities(bundle_of, row):
    served = Served.load(bundle_of(1, task="multiclass"))
    [shares] = served.predict(served.frame([row], NOW))
    assert list(shares) == ["early", "late", "on_time"]
    assert sum(shares.values()) == pytest.approx(1)


def test_a_row_is_found_again_in_the_label_dataset(served, row):
    user = pa.table({
        "carrier": ["UA"], "flight": pa.array([7], pa.int64()),
        "at": pa.array([datetime(2013, 2, 3, 17, 30, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    stored = with_system_columns(user, identity=user.column_names, event_time="at", known_at=user["at"], as_of="k")
    rows = [row, {**row, "event_time": "2013-02-03T12:30:00-05:00"}, {**row, "event_time": "2013-02-03 17:30"}]
    told = served.about(rows, served.frame(rows, NOW))
    assert [each.row_id for each in told] == stored["_row_id"].to_pylist() * 3
    assert [each.event_time for each in told] == stored["_event_time"].to_pylist() * 3


def test_a_row_of_which_the_time_was_assumed_or_a_key_is_null_has_no_identity(served, row):
    timeless = {name: value for name, value in row.items() if name != "event_time"}
    rows = [timeless, {**row, "event_time": None}, {**row, "flight": None}]
    assert [each.row_id for each in served.about(rows, served.frame(rows, NOW))] == [None] * 3


def test_a_prediction_that_is_no_number_is_a_failure(served, row):
    class Broken:
        def predict(self, X):
            return np.where(np.arange(len(X)) == 0, np.nan, 1.0)

    from dataclasses import replace

    broken = replace(served, bundle=replace(served.bundle, estimator=Broken()))
    with pytest.raises(DataError, match="must give a finite prediction"):
        broken.predict(broken.frame([row, row], NOW))


def test_wrong_rows_are_named(served, row):
    with pytest.raises(RequestErrors) as caught:
        served.frame([row, {**row, "distance": float("nan"), "seat": 1}], NOW)
    assert [error.place for error in caught.value.errors] == ["rows[1].seat", "rows[1].distance"]


def test_a_bundle_that_predicts_otherwise_than_at_training_is_not_served(bundle_of):
    import hashlib

    folder = bundle_of(1)
    document = json.loads((folder / "bundle.json").read_text())
    document["golden"]["predictions"][0] += 1
    (folder / "bundle.json").write_text(json.dumps(document))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["bundle.json"] = hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="must predict its golden rows as at training"):
        Served.load(folder)
