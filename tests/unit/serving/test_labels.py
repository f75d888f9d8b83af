"""Feedback: in the type of the model's label, or refused by place and rule; the newest can be told from the older."""

import json
from itertools import product

import pytest
from fastapi.testclient import TestClient

from evergreen.serving.app import create_app
from evergreen.serving.journal import Journal
from evergreen.serving.keys import Keys
from evergreen.serving.labels import LabelType
from evergreen.serving.routes import Route, Routes
from evergreen.serving.sequence import Sequence
from evergreen.serving.shipping import ship

REFUSED = ValueError
TRUE_OR_ONE, FALSE_OR_ZERO = (True, 1, 1.0), (False, 0, 0.0, -0.0)


@pytest.mark.parametrize(("dtype", "one"), [("bool", True), ("int", 1), ("float", 1.0)])
def test_true_and_one_mean_the_same_of_a_binary_task(dtype, one):
    label = LabelType("binary", dtype)
    for sent, wanted in [*product(TRUE_OR_ONE, [one]), *product(FALSE_OR_ZERO, [type(one)(0)])]:
        read = label.read(sent)
        assert read == wanted and type(read) is type(one)


@pytest.mark.parametrize("dtype", ["bool", "int", "float"])
@pytest.mark.parametrize(
    "sent", [2, -1, 0.5, float("nan"), float("inf"), 10**400, "maybe", "", None, [], [1], {}, "1\0"]
)
def test_what_is_neither_is_refused_of_a_binary_task(dtype, sent):
    with pytest.raises(ValueError, match="must be"):
        LabelType("binary", dtype).read(sent)


@pytest.mark.parametrize(
    ("dtype", "sent", "read"),
    [
        ("float", 3, 3.0), ("float", -2.5, -2.5), ("float", 10**400, REFUSED), ("float", float("nan"), REFUSED),
        ("float", True, REFUSED), ("float", "3", REFUSED), ("float", None, REFUSED), ("float", [3], REFUSED),
        ("int", 3, 3), ("int", 3.0, 3), ("int", 3.5, REFUSED), ("int", 2**63, REFUSED), ("int", False, REFUSED),
    ],
)  # fmt: skip
def test_a_regressions_label_is_a_finite_number_of_its_type(dtype, sent, read):
    label = LabelType("regression", dtype)
    if read is REFUSED:
        with pytest.raises(ValueError, match="must be"):
            label.read(sent)
    else:
        assert label.read(sent) == read and type(label.read(sent)) is type(read)


@pytest.mark.parametrize(
    ("dtype", "sent", "read"),
    [
        ("string", "late", "late"), ("string", "never seen", "never seen"), ("string", 1, REFUSED),
        ("string", True, REFUSED), ("string", "\ud83d", REFUSED), ("string", None, REFUSED),
        ("int", 2, 2), ("int", 2.0, 2), ("int", "2", REFUSED), ("int", True, REFUSED),
    ],
)  # fmt: skip
def test_a_class_is_of_the_type_of_the_classes(dtype, sent, read):
    label = LabelType("multiclass", dtype)
    if read is REFUSED:
        with pytest.raises(ValueError, match="must be"):
            label.read(sent)
    else:
        assert label.read(sent) == read


@pytest.mark.parametrize(
    ("task", "classes", "dtype"),
    [
        ("binary", [0, 1], "int"), ("regression", [], "float"), ("multiclass", ["a", "b"], "string"),
        ("multiclass", [1, 2, 3], "int"), ("multiclass", [], "float"),
    ],
)  # fmt: skip
def test_a_bundle_that_does_not_say_its_labels_type_tells_it_by_its_task(task, classes, dtype):
    assert LabelType.of({"task": task, "classes": classes, "facts": {}}) == LabelType(task, dtype)
    told = {"task": task, "classes": classes, "facts": {"label": {"column": "y", "type": "bool"}}}
    assert LabelType.of(told).dtype == "bool"


def test_sequence_numbers_grow_though_the_clock_stands_still_or_goes_back(monkeypatch):
    sequence, ticks = Sequence(), iter([100, 100, 50, 200])
    monkeypatch.setattr("time.time_ns", lambda: next(ticks))
    assert [sequence.next() for _ in range(4)] == [100, 101, 102, 200]


@pytest.fixture
def client(tmp_path, lake, frozen):
    routes = Routes(tmp_path / "gateway")
    routes.apply(Route("toy", 1, 1, frozen(1, task="multiclass", label="string")), lake)
    journals = {kind: Journal(tmp_path / "log" / kind) for kind in ("predictions", "feedback")}
    app = create_app(routes=routes, keys=Keys(routes.folder, "key"), **journals)
    with TestClient(app, headers={"Authorization": "Bearer key"}, raise_server_exceptions=False) as client:
        client.journals, client.routes = journals, routes
        yield client


def told(client, *labels):
    sent = [{"request_id": "0" * 32 + "-0", "label": label} for label in labels]
    return client.post("/models/toy/feedback", json={"labels": sent})


def stored(client, lake):
    client.journals["feedback"].close_due(everything=True)
    ship(client.journals["feedback"], "feedback", lake)
    table = lake.table("feedback/toy")
    return table.read().to_pylist() if table.exists() else []


def test_one_wrong_label_is_named_and_nothing_of_its_call_is_stored(client, lake):
    answer = told(client, "late", 1, "early", None)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["type"] == "invalid_labels" and error["count"] == 2
    assert error["errors"] == [
        {"place": "labels[1].label", "rule": "must be a string or null", "value": "1"},
        {"place": "labels[3].label", "rule": "must be sent"},
    ]
    assert stored(client, lake) == []


def test_a_correction_is_newer_than_what_it_corrects_also_within_a_call(client, lake):
    assert told(client, "early", "late").status_code == 202
    assert told(client, "on_time").status_code == 202
    lines = sorted(stored(client, lake), key=lambda line: line["sequence"])
    assert [json.loads(line["label"]) for line in lines] == ["early", "late", "on_time"]
    assert len({line["sequence"] for line in lines}) == 3
    assert [line["received_at"] for line in lines] == sorted(line["received_at"] for line in lines)


def test_labels_go_into_a_table_that_an_older_gateway_began(client, lake):
    import pyarrow as pa

    old = pa.table({"request_id": ["a-0"], "at": ["2013-02-01T00:00:00+00:00"], "label": ['"late"']})
    lake.table("feedback/toy").append_once(old, "old")
    assert told(client, "early").status_code == 202
    lines = {line["request_id"]: line for line in stored(client, lake)}
    assert lines["a-0"]["sequence"] is None and lines["0" * 32 + "-0"]["sequence"] > 0


def test_labels_of_a_model_of_which_nothing_can_be_loaded_are_asked_for_again(client, lake, tmp_path):
    for path in (tmp_path / "gateway" / "bundles").rglob("model.txt"):
        path.write_text("rotten")
    routes = Routes(tmp_path / "gateway")
    routes.restore()
    client.routes._targets = routes._targets
    answer = told(client, "late")
    assert answer.status_code == 503 and "send them again" in answer.json()["error"]["message"]
