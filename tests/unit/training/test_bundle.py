import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from evergreen.errors import DataError
from evergreen.training import bundle
from evergreen.training.encode import json_value
from evergreen.training.fit import fit


@pytest.fixture
def saved(frame_of, model_of, as_of, features, tmp_path):
    frame = frame_of()
    fitted = fit(model_of(), frame, features, as_of_time=as_of)
    folder = tmp_path / "bundle"
    bundle.save(
        folder, fitted, model="toy", training_id="t1", golden=frame.take(fitted.parts.test),
        request={"carrier": "string"}, on_demand=[{"name": "v", "transform": "v.py:make"}],
        files={"features/v.py": b"def make(): ...\n"}, facts={"as_of": "2013-03-01"},
    )  # fmt: skip
    return folder, frame, fitted


def test_a_bundle_brings_back_what_serving_needs(saved):
    folder, _, fitted = saved
    loaded = bundle.load(folder)
    assert (loaded.model, loaded.task, loaded.features) == ("toy", "binary", fitted.encoder.names)
    assert loaded.trained_through == fitted.trained_through
    assert loaded.labels == fitted.labels
    assert loaded.document["request"] == {"carrier": "string"}
    assert (loaded.workspace / "features" / "v.py").read_bytes() == b"def make(): ...\n"
    assert len(loaded.document["golden"]["rows"]) == 20
    assert loaded.golden_difference() == 0


def test_rows_of_json_predict_as_the_table_does(saved):
    folder, frame, _ = saved
    loaded = bundle.load(folder)
    rows = [{k: json_value(v) for k, v in row.items()} for row in frame.slice(0, 50).to_pylist()]
    rows = json.loads(json.dumps(rows))
    np.testing.assert_array_equal(loaded.predict_rows(rows), loaded.predict(frame.slice(0, 50)))


def test_threads_get_the_same_answers_as_one(saved):
    folder, frame, _ = saved
    loaded = bundle.load(folder)
    rows = frame.slice(0, 200).to_pylist()
    alone = [float(loaded.predict_rows([row])[0]) for row in rows]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda row: float(loaded.predict_rows([row])[0]), rows * 3))
    assert together == alone * 3


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / "model" / "model.txt").write_text("tree"), "model/model.txt has changed"),
        (lambda f: (f / "bundle.json").write_text("{}"), "bundle.json has changed"),
        (lambda f: (f / "model" / "model.txt").unlink(), "these differ: model/model.txt"),
        (lambda f: (f / "workspace" / "extra.py").write_text("x"), "these differ: workspace/extra.py"),
        (lambda f: (f / "manifest.json").write_text("{"), "must have a readable manifest.json"),
        (lambda f: (f / "manifest.json").unlink(), "must have a readable manifest.json"),
    ],
)
def test_a_damaged_bundle_is_refused(saved, harm, words):
    folder, _, _ = saved
    harm(folder)
    with pytest.raises(DataError, match=words):
        bundle.load(folder)


def test_a_model_that_answers_otherwise_differs_from_its_golden_rows(saved):
    folder, _, _ = saved
    document = json.loads((folder / "bundle.json").read_text())
    document["golden"]["predictions"][3] += 0.01
    loaded = bundle.load(folder)
    changed = bundle.Loaded(folder, document, loaded.encoder, loaded.estimator, loaded.digest)
    assert changed.golden_difference() == pytest.approx(0.01)


def test_a_path_that_leaves_the_workspace_is_refused(frame_of, model_of, as_of, features, tmp_path):
    frame = frame_of()
    fitted = fit(model_of(), frame, features, as_of_time=as_of)
    for path in ("../x.py", "/etc/x.py", ""):
        with pytest.raises(DataError, match="must be a path inside the workspace"):
            bundle.save(
                tmp_path / f"b{len(path)}", fitted, model="toy", training_id="t", golden=frame, files={path: b""}
            )


def test_no_pickle_is_loaded_under_the_name_of_skops(frame_of, model_of, as_of, features, tmp_path):
    """A skops file that holds a type which is not on the list, with a manifest that fits it."""
    import hashlib
    from fractions import Fraction

    import skops.io

    frame = frame_of()
    model = model_of(trainer={"kind": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"})
    fitted = fit(model, frame, features, as_of_time=as_of)
    folder = tmp_path / "bundle"
    bundle.save(folder, fitted, model="toy", training_id="t", golden=frame)
    fitted.estimator.native.harm = Fraction(1, 2)
    content = skops.io.dumps(fitted.estimator.native)
    (folder / "model" / "model.skops").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model/model.skops"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"must hold only types on the allow list, got \['fractions.Fraction'\]"):
        bundle.load(folder)


def test_importing_the_packages_loads_no_heavy_library():
    code = (
        "import sys, evergreen.training.bundle, evergreen.evaluation.compare, evergreen.tracking.mlflow_client;"
        "heavy = {'pandas','pyarrow','numpy','lightgbm','sklearn','mlflow','skops'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
