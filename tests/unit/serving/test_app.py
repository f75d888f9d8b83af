"""The interface, without store: every answer and every refusal."""

import json
from dataclasses import replace
from datetime import datetime

import pytest
from fastapi.testclient import TestClient

from evergreen.serving import app as gateway
from evergreen.serving.app import create_app
from evergreen.serving.journal import Journal
from evergreen.serving.keys import Keys
from evergreen.serving.routes import Route, Routes
from evergreen.serving.shipping import ship

PATH = "/models/toy/invocations"


@pytest.fixture
def journals(tmp_path):
    return {kind: Journal(tmp_path / "log" / kind) for kind in ("predictions", "feedback")}


@pytest.fixture
def routes(tmp_path, lake, frozen):
    routes = Routes(tmp_path / "gateway")
    routes.apply(Route("toy", 3, 2, frozen(2), 1, frozen(1, sql="select 12 as hour, 0 as zero from request")), lake)
    return routes


@pytest.fixture
def client(routes, journals):
    app = create_app(routes=routes, keys=Keys(routes.folder, "key"), **journals)
    with TestClient(app, headers={"Authorization": "Bearer key"}, raise_server_exceptions=False) as client:
        yield client


def error_of(answer, status, kind):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == kind
    return error


def logged(lake, journals, kind="predictions"):
    journals[kind].close_due(everything=True)
    ship(journals[kind], kind, lake)
    return lake.table(f"{kind}/toy").read().to_pylist()


def test_rows_are_predicted_and_logged_before_the_answer(client, row, lake, journals):
    answer = client.post(PATH, json={"rows": [row, {**row, "flight": None}]}).json()
    assert (answer["model"], answer["version"]) == ("toy", 2)
    assert "fallback" not in answer and "logged" not in answer
    assert [round(each["prediction"] / 100) for each in answer["predictions"]] == [2, 2]
    lines = logged(lake, journals)
    assert [line["request_id"] for line in lines] == [each["request_id"] for each in answer["predictions"]]
    assert [json.loads(line["prediction"]) for line in lines] == [each["prediction"] for each in answer["predictions"]]
    assert [(line["version"], line["seq"], line["fallback"]) for line in lines] == [(2, 3, None)] * 2
    assert json.loads(lines[0]["row"]) == row
    assert len(lines[0]["row_id"]) == 32 and lines[1]["row_id"] is None


def test_labels_are_taken_by_request_id(client, row, lake, journals):
    told = client.post(PATH, json={"rows": [row]}).json()["predictions"][0]["request_id"]
    for labels in ([1], [2.5, -3]):
        sent = [{"request_id": told, "label": label} for label in labels]
        answer = client.post("/models/toy/feedback", json={"labels": sent})
        assert (answer.status_code, answer.json()) == (202, {"accepted": len(labels)})
    lines = logged(lake, journals, "feedback")
    assert [json.loads(line["label"]) for line in lines] == [1, 2.5, -3]
    assert sorted({line["sequence"] for line in lines}) == [line["sequence"] for line in lines]
    moments = [line["received_at"] for line in lines]
    assert moments == sorted(moments) and datetime.fromisoformat(moments[0]).tzinfo is not None


def test_an_answer_of_the_fallback_says_so_and_is_logged_as_its_own(client, row, lake, journals):
    answer = client.post(PATH, json={"rows": [{**row, "distance": -666}]}).json()
    assert answer["version"] == 1 and "version 2 failed" in answer["fallback"]
    assert [(line["version"], line["fallback"]) for line in logged(lake, journals)] == [(1, answer["fallback"])]
    health = client.get("/health").json()
    assert health["status"] == "degraded" and "failed on 1 call(s)" in health["concerns"][0]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer no"}, {"Authorization": "Basic key"}, {"Authorization": "key"}, {"X-API-Key": "k"}],
)
def test_who_has_no_key_is_told_how_to_send_one(client, row, headers):
    client.headers.pop("Authorization")
    for path in (PATH, "/models/other/invocations", "/models/toy/feedback", "/openapi.json", "/nothing"):
        error = error_of(client.post(path, content=b"not json", headers=headers), 401, "unauthorized")
        assert "X-API-Key" in error["message"]
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("headers", [{"X-API-Key": "key"}, {"Authorization": "bearer  key"}])
def test_a_key_may_come_in_either_header(client, row, headers):
    client.headers.pop("Authorization")
    assert client.post(PATH, json={"rows": [row]}, headers=headers).status_code == 200


def test_an_unknown_model_names_the_known_ones(client, row):
    error = error_of(client.post("/models/other/invocations", json={"rows": [row]}), 404, "unknown_model")
    assert error["models"] == ["toy"]
    error_of(client.post("/models/..%2F..%2Fetc/feedback", json={}), 404, "not_found")


def test_every_wrong_field_is_named_with_rule_value_and_remedy(client, row):
    rows = [row, {**row, "carrier": 5, "seat": 1}, {"carrier": "UA"}]
    error = error_of(client.post(PATH, json={"rows": rows}), 422, "invalid_rows")
    assert error["count"] == 4
    assert [each["place"] for each in error["errors"]] == [
        "rows[1].seat", "rows[1].carrier", "rows[2].distance", "rows[2].flight",
    ]  # fmt: skip
    assert error["errors"][1] == {"place": "rows[1].carrier", "rule": "must be a string or null", "value": "5"}
    assert error["errors"][0]["remedy"] == "Send carrier, distance, flight and event_time."


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused_and_never_answered(client, row, text):
    body = json.dumps({"rows": [{**row, "distance": 0.25}]}).replace("0.25", text)
    answer = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    error = error_of(answer, 422, "invalid_rows")
    assert error["errors"][0]["rule"] == "must be a finite number or null"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{", "body"),
        (b"", "body"),
        (b"[]", "body"),
        (b"{}", "rows"),
        (b'{"rows": []}', "rows"),
        (b'{"rows": {}}', "rows"),
        (b'{"rows": [1]}', "rows[0]"),
        (b'{"rows": [{}], "more": 1}', "more"),
        (b"\xff\xfe", "body"),
    ],
)
def test_a_body_of_another_form_gets_the_same_form_of_error(client, body, place):
    answer = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    error = error_of(answer, 422, "invalid_rows")
    assert error["errors"][0]["place"] == place
    assert '"rows"' in error["errors"][0]["remedy"]


def test_deeply_nested_json_is_refused(client):
    body = b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["type"] in ("bad_request", "invalid_rows")


def test_too_many_rows_and_too_large_a_body_are_refused(client, monkeypatch):
    error = error_of(client.post(PATH, json={"rows": [{}] * 10_001}), 413, "too_many_rows")
    assert "10000" in error["message"]
    large = b" " * (gateway.MAX_BYTES + 1)
    error_of(client.post(PATH, content=large), 413, "body_too_large")
    pieces = (large[i : i + (1 << 20)] for i in range(0, len(large), 1 << 20))  # without a content length
    error_of(client.post(PATH, content=pieces, headers={"Content-Type": "application/json"}), 413, "body_too_large")


def test_labels_of_another_form_are_refused(client):
    good = "0" * 32 + "-0"
    for label, place in [
        ({"request_id": "x", "label": 1}, "labels[0].request_id"),
        ({"request_id": good}, "labels[0].label"),
        ({"request_id": good, "label": 1, "more": 1}, "labels[0].more"),
    ]:
        error = error_of(client.post("/models/toy/feedback", json={"labels": [label]}), 422, "invalid_labels")
        assert error["errors"][0]["place"] == place
    body = b'{"labels": [{"request_id": "%s", "label": NaN}]}' % good.encode()
    headers = {"Content-Type": "application/json"}
    error_of(client.post("/models/toy/feedback", content=body, headers=headers), 422, "invalid_labels")


def test_other_paths_and_methods_get_the_same_form_of_error(client):
    error_of(client.get("/nothing"), 404, "not_found")
    error_of(client.get(PATH), 405, "method_not_allowed")


def test_a_model_that_cannot_answer_is_said_to(client, routes, row):
    target = routes.target("toy")
    target.route = replace(target.route, fallback_version=None, fallback_bundle=None)
    error = error_of(client.post(PATH, json={"rows": [{**row, "distance": -667}]}), 503, "model_failed")
    assert "version 2 failed" in error["reason"] and "no previous good version" in error["reason"]
