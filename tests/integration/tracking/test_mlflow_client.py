"""Against a real MLflow server."""

import errno
import json
import pickle
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from evergreen.errors import DataError, TransientError
from evergreen.spec.model import Model
from evergreen.tracking.mlflow_client import Tracking
from evergreen.tracking.mlflow_errors import translated
from evergreen.tracking.record import DataInput, TrainingRecord
from evergreen.training import bundle
from evergreen.training.fit import fit
from evergreen.training.record import flavor_of

AS_OF = datetime(2013, 3, 1, tzinfo=UTC)
TRAINERS = {
    "lightgbm": {"kind": "lightgbm", "rounds": 20},
    "sklearn": {
        "kind": "sklearn",
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "params": {"n_estimators": 5},
    },
}


def frame_of(n=400):
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    times = pa.array(
        [AS_OF - timedelta(days=60) + timedelta(hours=3.5 * i) for i in range(n)], pa.timestamp("us", "UTC")
    )
    return pa.table({
        "_row_id": [str(i) for i in range(n)], "_event_time": times, "_prediction_time": times,
        "_label": pa.array(x + rng.normal(size=n) > 0), "_label_known_at": times,
        "x": x, "kind": pa.array(np.array(["a", "b"])[rng.integers(0, 2, n)]),
    })  # fmt: skip


@pytest.fixture(scope="module")
def trained_by(tmp_path_factory):
    """Library -> fitted model, its frame and its bundle."""
    frame = frame_of()
    made = {}
    for library, section in TRAINERS.items():
        model = Model.model_validate({
            "name": f"toy_{library}", "task": "binary", "label": {"dataset": "toys", "column": "y"},
            "request": ["x", "kind"], "trainer": section,
        })  # fmt: skip
        fitted = fit(model, frame, ["x", "kind"], as_of_time=AS_OF)
        folder = tmp_path_factory.mktemp("bundle") / "bundle"
        bundle.save(folder, fitted, model=model.name, training_id="template", golden=frame)
        made[library] = (fitted, frame, folder)
    return made


@pytest.fixture(params=list(TRAINERS))
def trained(request, trained_by):
    """A fitted model of each library in turn."""
    return trained_by[request.param]


def record_of(trained, test_name: str) -> TrainingRecord:
    fitted, frame, folder = trained
    return TrainingRecord(
        training_id=re.sub(r"\W+", "-", test_name),
        model=f"toy_{fitted.library}",
        as_of="2013-03-01",
        params=fitted.params,
        metrics={"roc_auc": 0.75, "nothing": None, "endless": float("inf")},
        tags={"cause": "drift", "seed": fitted.seed, "threads": fitted.threads},
        bundle=folder,
        flavor=flavor_of(fitted, frame),
        curves=fitted.curves,
        inputs=[DataInput("training set", "ab" * 32, "trainingsets/abab.parquet", rows=400)],
    )


@pytest.fixture
def record_of_each(trained, request) -> TrainingRecord:
    return record_of(trained, request.node.name)


@pytest.fixture
def record(trained_by, request) -> TrainingRecord:
    return record_of(trained_by["lightgbm"], request.node.name)


@pytest.fixture
def tracking(mlflow_uri) -> Tracking:
    return Tracking(mlflow_uri)


@pytest.fixture
def client(mlflow_uri):
    from mlflow import MlflowClient

    return MlflowClient(mlflow_uri, mlflow_uri)


def test_a_run_holds_what_reproduces_it(tracking, client, record_of_each, trained):
    run_id = tracking.log_training(record_of_each)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["seed" if "seed" in run.data.params else "random_state"] == "7"
    assert run.data.metrics["roc_auc"] == 0.75 and "nothing" not in run.data.metrics
    assert tracking.run_tags(run_id) == {
        "training_id": record_of_each.training_id, "as_of": "2013-03-01", "cause": "drift", "seed": "7", "threads": "2",
    }  # fmt: skip
    for name, values in trained[0].curves.items():
        history = client.get_metric_history(run_id, name)
        assert [metric.value for metric in sorted(history, key=lambda m: m.step)] == pytest.approx(values)
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("training set", ("ab" * 32)[:36])
    assert json.loads(dataset.source)["uri"] == "trainingsets/abab.parquet"
    assert {file.path for file in client.list_artifacts(run_id)} == {"bundle"}


def test_logging_twice_gives_one_run(tracking, client, record):
    assert tracking.log_training(record) == tracking.log_training(record)
    experiment = client.get_experiment_by_name(record.model).experiment_id
    found = client.search_runs([experiment], f"tags.`evergreen.training_id` = '{record.training_id}'")
    assert len(found) == 1


def test_a_run_that_was_left_half_written_is_closed_and_written_anew(tracking, client, record):
    tracking.log_training(replace(record, training_id=record.training_id + "-other"))
    experiment = client.get_experiment_by_name(record.model).experiment_id
    stale = client.create_run(experiment, tags={"evergreen.training_id": record.training_id}).info.run_id
    run_id = tracking.log_training(record)
    assert run_id != stale
    assert client.get_run(stale).info.status == "KILLED"


def test_registering_twice_gives_one_version(tracking, client, record):
    run_id = tracking.log_training(record)
    version = tracking.register(record.model, run_id, record.training_id, tags={"cause": "drift"})
    assert tracking.register(record.model, run_id, record.training_id) == version
    assert tracking.versions_of_training(record.model, record.training_id) == [version]
    assert client.get_model_version(record.model, str(version)).tags["evergreen.cause"] == "drift"
    client.set_model_version_tag(record.model, str(version), "evergreen.cause", "somebody's hand")
    assert tracking.register(record.model, run_id, record.training_id, tags={"cause": "drift", "version": 4}) == version
    tags = client.get_model_version(record.model, str(version)).tags
    assert (tags["evergreen.cause"], tags["evergreen.version"]) == ("drift", "4")
    assert tracking.run_of_version(record.model, version) == run_id


def test_versions_are_found_by_training_among_strays(tracking, record):
    run_id = tracking.log_training(record)
    with ThreadPoolExecutor(4) as pool:
        registered = set(pool.map(lambda _: tracking.register(record.model, run_id, record.training_id), range(4)))
    assert registered <= set(tracking.versions_of_training(record.model, record.training_id))
    assert tracking.versions_of_training(record.model, "another") == []
    assert tracking.versions_of_training("never_registered", "another") == []


def test_the_bundle_comes_back_whole_and_predicts_the_same(tracking, record_of_each, trained, tmp_path):
    fitted, frame, _ = trained
    run_id = tracking.log_training(record_of_each)
    version = tracking.register(record_of_each.model, run_id, record_of_each.training_id)
    folder = tracking.download_bundle(record_of_each.model, version, tmp_path / "cache" / "toy" / str(version))
    loaded = bundle.load(folder)
    assert loaded.golden_difference() < 1e-12
    np.testing.assert_allclose(loaded.predict(frame), fitted.predict(frame), rtol=1e-12)
    assert [path.name for path in folder.parent.iterdir()] == [str(version)]
    (folder / "marker").touch()
    assert tracking.download_bundle(record_of_each.model, version, folder) == folder
    assert (folder / "marker").exists()


def test_many_downloads_of_one_version_leave_one_folder(tracking, record, tmp_path):
    run_id = tracking.log_training(record)
    folder = tmp_path / "cache" / "1"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: tracking.download_bundle_of_run(run_id, folder), range(4)))
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
    bundle.load(folder)


def test_people_load_the_registered_model_with_mlflow_alone(tracking, mlflow_uri, record_of_each, trained):
    import mlflow

    run_id = tracking.log_training(record_of_each)
    version = tracking.register(record_of_each.model, run_id, record_of_each.training_id)
    tracking.heal_aliases(record_of_each.model, {"champion": version})
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(mlflow_uri)
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{record_of_each.model}@champion")
    finally:
        mlflow.set_tracking_uri(before)
    assert loaded.metadata.signature.inputs.input_names() == ["x", "kind"]
    example = loaded.input_example
    assert list(example.columns) == ["x", "kind"]
    predicted = np.asarray(loaded.predict(example))
    predicted = predicted[:, 1] if predicted.ndim == 2 else predicted
    np.testing.assert_allclose(predicted, record_of_each.flavor.predicted[:5], rtol=1e-9)


def test_aliases_follow_the_store_and_leave_others_alone(tracking, client, record):
    first = tracking.register(record.model, tracking.log_training(record), record.training_id)
    other = replace(record, training_id=record.training_id + "-2")
    second = tracking.register(record.model, tracking.log_training(other), other.training_id)
    client.set_registered_model_alias(record.model, "of_the_team", str(first))
    wanted = {"champion": second, "previous": first, "challenger": None}
    tracking.heal_aliases(record.model, wanted)
    assert tracking.aliases(record.model) == {"champion": second, "previous": first, "of_the_team": first}
    assert tracking.heal_aliases(record.model, wanted) == {}
    client.set_registered_model_alias(record.model, "champion", str(first))  # somebody's hand
    assert tracking.heal_aliases(record.model, wanted) == {"champion": second}
    assert tracking.heal_aliases(record.model, {"previous": None}) == {"previous": None}
    assert "previous" not in tracking.aliases(record.model)
    assert tracking.aliases("never_registered") == {}


def test_what_the_caller_names_and_mlflow_does_not_have_is_the_callers_mistake(tracking, record, tmp_path):
    with pytest.raises(DataError, match=r"must have version 9999 of toy_lightgbm \(RESOURCE_DOES_NOT_EXIST"):
        tracking.download_bundle(record.model, 9999, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    for asked in (tracking.run_tags, tracking.run_params, lambda run: tracking.register(record.model, run, "t")):
        for run_id in ("a" * 32, "../x"):
            with pytest.raises(DataError, match=f"must have run {run_id}"):
                asked(run_id)


def test_a_run_whose_model_was_deleted_gives_no_version_and_says_so(tracking, client, record):
    run_id = tracking.log_training(record)
    client.delete_logged_model(client.get_run(run_id).outputs.model_outputs[0].model_id)
    with pytest.raises(DataError, match=f"must have run {run_id} and its model"):
        tracking.register(record.model, run_id, record.training_id)
    client.delete_run(run_id)
    with pytest.raises(DataError, match=f"run {run_id} must not be deleted. Restore it there."):
        tracking.register(record.model, run_id, record.training_id)


def test_a_version_with_a_tag_that_somebody_wrote_is_not_taken_for_the_trainings(tracking, client, record):
    run_id = tracking.log_training(record)
    other = client.create_run(client.create_experiment("of the team")).info
    if not client.search_registered_models(f"name = '{record.model}'"):
        client.create_registered_model(record.model)
    forged = client.create_model_version(
        record.model, other.artifact_uri, run_id=other.run_id, tags={"evergreen.training_id": record.training_id}
    )
    version = tracking.register(record.model, run_id, record.training_id)
    assert version != int(forged.version) and tracking.run_of_version(record.model, version) == run_id
    assert tracking.versions_of_training(record.model, record.training_id, run_id=run_id) == [version]


def test_names_and_texts_that_mlflow_would_refuse_are_written_so_that_it_takes_them(tracking, client, record):
    odd = {"a{b": 1, "a,b": 2, "../x": 3, "": 4, "k" * 300: 5, "a b/c:d": 6, "half": "\ud83d", "nul": "a\0b"}
    tags = {"reason": "\ud83d and \0"}
    run_id = tracking.log_training(replace(record, params=odd, metrics={"f1{weighted}": 0.5}, tags=tags))
    told = client.get_run(run_id).data
    assert {told.params["a_b"], told.params["a_b_"]} == {"1", "2"}, "neither hides the other"
    assert (told.params["a b/c:d"], told.params["half"], told.params["nul"]) == (
        "6",
        "?",
        "a\N{REPLACEMENT CHARACTER}b",
    )
    assert len(told.params) == len(odd) and told.metrics["f1_weighted_"] == 0.5
    assert told.tags["evergreen.reason"] == "? and \N{REPLACEMENT CHARACTER}"


ANSWERS = {
    "a login page": (200, "text/html", b"<html>"), "a list": (200, "application/json", b"[]"),
    "another document": (200, "application/json", b'{"registered_model": 3, "model_version": 3, "run": 3}'),
    "a version that is no number": (
        200, "application/json", b'{"registered_model": {"aliases": [{"alias": "champion", "version": "x"}]}}'
    ),
    "no page": (404, "text/html", b"<html>"),
    "no right": (403, "application/json", b'{"error_code":"PERMISSION_DENIED"}'),
    "who are you": (401, "text/html", b"who"), "busy": (503, "text/html", b""), "broken": (500, "text/html", b"oops"),
    "elsewhere": (302, "text/html", b""), "an error nobody knows": (400, "application/json", b'{"error_code":"ODD"}'),
    "a refusal": (400, "application/json", b'{"error_code":"INVALID_PARAMETER_VALUE","message":"no"}'),
    "not there": (404, "application/json", b'{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no"}'),
    "an invalid state": (400, "application/json", b'{"error_code":"INVALID_STATE","message":"no"}'),
}  # fmt: skip


@pytest.fixture
def faulty():
    """A server that gives one answer to everything, and its address."""
    given = {}

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, kind, body = given["answer"]
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield lambda answer: given.update(answer=answer) or f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_faulty_mlflow_is_never_the_teams_mistake(faulty, record, kind, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = Tracking(faulty(ANSWERS[kind]))
    acts = [
        lambda: tracking.log_training(record),
        lambda: tracking.heal_aliases(record.model, {"champion": 1, "previous": None}),
        lambda: tracking.register(record.model, "a" * 32, record.training_id),
    ]
    for act in acts if kind != "not there" else acts[:2]:  # the caller named the run to register
        with pytest.raises(TransientError, match="MLflow") as caught:
            act()
    if kind in ("no right", "who are you"):
        assert "Check EVERGREEN_MLFLOW_URI and the credentials" in str(caught.value)


def test_a_server_that_does_not_answer_is_a_transient_fault(record):
    with pytest.raises(TransientError, match="logging training"):
        Tracking("http://127.0.0.1:9").log_training(record)


def test_a_full_disk_is_not_blamed_on_mlflow():
    with pytest.raises(TransientError, match=r"^This machine, while logging: .*No space left"), translated("logging"):
        raise OSError(errno.ENOSPC, "No space left on device")


class Untrusted(LogisticRegression):
    """A type that skops does not know."""


def test_a_model_that_mlflows_flavor_cannot_hold_is_the_trainers_mistake(tracking, trained_by, request):
    record = record_of(trained_by["sklearn"], request.node.name)
    native = Untrusted().fit(np.arange(8.0).reshape(4, 2), [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"models/toy_sklearn.yaml trainer must give a model that MLflow's flavor can"):
        tracking.log_training(replace(record, flavor=replace(record.flavor, native=native)))


POINTS = ["mlflow.log:before", "mlflow.log:within", "mlflow.log:after", "register:before", "register:after"]
KILLED = """
import os, pickle, sys
import lightgbm, mlflow.lightgbm, pandas  # imported and not used before the fork, as in Airflow's workers
from evergreen.tracking.mlflow_client import Tracking
uri, folder, *points = sys.argv[1:]
for point in points:
    child = os.fork()
    if child == 0:
        os.environ["EVERGREEN_KILL_AT"] = point
        with open(os.path.join(folder, point), "rb") as file:
            record = pickle.load(file)
        tracking = Tracking(uri)
        tracking.register(record.model, tracking.log_training(record), record.training_id)
        os._exit(0)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(scope="module")
def killed(trained_by, mlflow_uri, tmp_path_factory):
    """Point -> the record of a training that was killed there."""
    folder = tmp_path_factory.mktemp("killed")
    records = {point: record_of(trained_by["lightgbm"], f"killed-{point}") for point in POINTS}
    for point, record in records.items():
        (folder / point).write_bytes(pickle.dumps(record))
    command = [sys.executable, "-c", KILLED, mlflow_uri, str(folder), *POINTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * len(POINTS), done.stderr
    return records


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_leaves_one_version_after_the_retry(tracking, client, killed, point):
    record = killed[point]
    run_id = tracking.log_training(record)
    version = tracking.register(record.model, run_id, record.training_id)
    assert tracking.versions_of_training(record.model, record.training_id) == [version]
    experiment = client.get_experiment_by_name(record.model).experiment_id
    found = client.search_runs([experiment], f"tags.`evergreen.training_id` = '{record.training_id}'")
    states = sorted(run.info.status for run in found)
    assert states == (["FINISHED", "KILLED"] if point == "mlflow.log:within" else ["FINISHED"])


def test_nothing_is_written_where_the_process_stands(tracking, record, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tracking.register(record.model, tracking.log_training(record), record.training_id)
    assert list(Path.cwd().iterdir()) == []
