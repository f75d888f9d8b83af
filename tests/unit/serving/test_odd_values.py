"""Whose mistake an error is: a caller's odd values are refused by place and rule, and no version is blamed for them."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from evergreen.serving.app import create_app
from evergreen.serving.journal import Journal
from evergreen.serving.keys import Keys
from evergreen.serving.routes import Route, Routes

PATH = "/models/toy/invocations"
PYTHON = """
def hours(request):
    return request.assign(hour=request["event_time"].dt.hour, zero=0)[["hour", "zero"]]
"""
RATIO = """
select extract(hour from event_time) as hour,
  case when flight = 0 then 1 % flight when carrier = 'odd' then carrier::int else 0 end as zero
from request
"""
PICKY = """
def picky(request):
    for carrier, flight in zip(request["carrier"], request["flight"]):
        if carrier == "odd":
            raise ValueError("no such carrier")
        if carrier == "bug":
            raise TypeError("no such code")
        if flight == 0:
            raise ZeroDivisionError
    return request.assign(hour=12, zero=0)[["hour", "zero"]]
"""


@pytest.fixture
def serving(tmp_path, lake, frozen):
    """Serves one version, or two, made with these on-demand views; gives a client and what is served."""
    clients = []

    def serve(*bundles: dict[str, Any]):
        digests = [frozen(2 - number, **how) for number, how in enumerate(bundles)]
        routes = Routes(tmp_path / "gateway")
        before = (1, digests[1]) if len(digests) > 1 else (None, None)
        routes.apply(Route("toy", 3, 2, digests[0], *before), lake)
        journals = {kind: Journal(tmp_path / "log" / kind) for kind in ("predictions", "feedback")}
        app = create_app(routes=routes, keys=Keys(routes.folder, "key"), **journals)
        client = TestClient(app, headers={"Authorization": "Bearer key"}, raise_server_exceptions=False)
        clients.append(client.__enter__())
        return client

    yield serve
    for client in clients:
        client.__exit__(None, None, None)


def send(client, text: str | bytes, content_type: str | None = "application/json"):
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return client.post(PATH, content=body, headers=headers)


def refused(client, answer, place: str) -> dict[str, str]:
    """The first error of a 422, after checking that nobody is blamed for it."""
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_rows"
    first = error["errors"][0]
    assert first["place"] == place
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["models"]["toy"]["champion_failures"] == 0
    return first


def rows_of(row, **changed) -> str:
    return json.dumps({"rows": [row, {**row, **changed}]})


@pytest.fixture(params=["sql", "python"])
def client(request, serving):
    how = {} if request.param == "sql" else {"python": PYTHON}
    return serving(how, how)


@pytest.mark.parametrize("text", ["\ud83d", "a\udc00b", "\udfff"])
def test_text_that_is_no_unicode_is_refused_escaped_or_raw(client, row, text):
    for body in (rows_of(row, carrier=text), rows_of(row, carrier="#").replace("#", text)):
        first = refused(client, send(client, body), "rows[1].carrier")
        assert first["rule"] == "must be a string of whole characters (a lone surrogate is none) or null"


def test_a_column_that_is_no_unicode_is_refused_in_an_answer_that_can_be_read(client, row):
    answer = send(client, rows_of(row, **{"x\ud83d": 1}))
    assert answer.status_code == 422 and answer.json()["error"]["errors"][0]["place"].startswith("rows[1]")
    assert client.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize(
    "text", ["", "a\0b", "\0", "é" * 10_000, "\u202e\ufeff\uffff", "🙂", "NaN", "null", "' or 1=1 --"]
)
def test_any_other_text_is_answered(client, row, text):
    answer = send(client, rows_of(row, carrier=text))
    assert answer.status_code == 200 and answer.json()["version"] == 2 and "fallback" not in answer.json()


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-02:00",
        "0001-01-01T01:00:00Z",  # two hours before it, when it is asked, there is no calendar
        "2013-02-03T25:00:00Z",
        "2013-02-30T00:00:00Z",
        "2013-02-03T17:30:00+99:00",
        "2013-02-03T17:30:00Zjunk",
        "2013-02-03T17:30:00 pm",
        "2013-02-03T17:30:00 EST",
        "2013-02-03T17:30:00.1234567890Z",
        "2013-02-03\ud83d17:30:00",
        "2013-02-03x17:30:00",
        "2013-02-03T17",
        "20130203T173000",
        "2013-W05-7",
        "13-02-03T17:30:00",
        "02/03/2013",
        " 2013-02-03T17:30:00Z",
        "２０１３-02-03T17:30:00Z",
        "epoch",
        "now",
        "",
        1359912600,
        1359912600.5,
        True,
        [],
        {"at": "2013-02-03T17:30:00Z"},
    ],
)
def test_an_event_time_is_read_in_full_or_refused(client, row, moment):
    first = refused(client, send(client, rows_of(row, event_time=moment)), "rows[1].event_time")
    assert first["rule"].startswith("must ")


@pytest.mark.parametrize(
    "moment",
    [
        "2013-02-03T17:30:00Z",
        "2013-02-03 17:30",
        "2013-02-03T17:30:00.123456789+05:30",
        "2013-02-03T17:30:00,5-0500",
        "2013-02-03t17:30z",
        "2013-02-03T17:30:00 +01",
        "2013-02-03",
        "1700-01-01T00:00:00Z",
        "2262-04-10T00:00:00Z",
        None,
    ],
)
def test_other_spellings_of_an_instant_are_answered(client, row, moment):
    answer = send(client, rows_of(row, event_time=moment))
    assert answer.status_code == 200 and answer.json()["version"] == 2 and "fallback" not in answer.json(), answer.text


@pytest.mark.parametrize("moment", ["1600-01-01T00:00:00Z", "2500-01-01T00:00:00Z", "1677-09-21T00:00:00Z"])
def test_an_event_time_that_pandas_cannot_hold_is_refused_where_a_view_is_python(serving, row, moment):
    first = refused(
        serving({"python": PYTHON}),
        send(serving({"python": PYTHON}), rows_of(row, event_time=moment)),
        "rows[1].event_time",
    )
    assert first["rule"] == "must lie from 1677-09-22 to 2262-04-10, as Python features can take no other instant"
    assert send(serving({}), rows_of(row, event_time=moment)).json()["version"] == 2


@pytest.mark.parametrize(
    "value", ["9223372036854775808", "1e19", "-9223372036854775809", "9" * 400, "1.5", "true", '"7"', "[7]"]
)
def test_what_is_no_whole_number_of_64_bits_is_refused(client, row, value):
    body = rows_of(row, flight=-777).replace("-777", value)
    refused(client, send(client, body), "rows[1].flight")


@pytest.mark.parametrize("value", ["1e400", "-1e999", "NaN", "Infinity", "-Infinity", "9" * 400, "true", '"0.5"', "{}"])
def test_what_is_no_finite_number_is_refused(client, row, value):
    body = rows_of(row, distance=-777).replace("-777", value)
    first = refused(client, send(client, body), "rows[1].distance")
    assert first["rule"] == "must be a finite number or null"


@pytest.mark.parametrize("value", ["1e308", "-1.7976931348623157e308", "5e-324", "-0.0", "9007199254740993"])
def test_extreme_numbers_are_answered(client, row, value):
    answer = send(client, rows_of(row, distance=-777).replace("-777", value))
    assert answer.status_code == 200 and answer.json()["version"] == 2


@pytest.mark.parametrize("value", ["9223372036854775807", "-9223372036854775808", "7.0", "7e0"])
def test_extreme_whole_numbers_are_answered(client, row, value):
    answer = send(client, rows_of(row, flight=-777).replace("-777", value))
    assert answer.status_code == 200 and answer.json()["version"] == 2


def test_a_number_of_more_digits_than_python_reads_is_refused(client, row):
    body = rows_of(row, flight=-777).replace("-777", "9" * 5000)
    assert "JSON" in refused(client, send(client, body), "body")["rule"]


def test_a_key_that_comes_twice_is_refused(client, row):
    text = json.dumps({"rows": [row]})
    for twice in (
        text.replace('"flight": 7', '"flight": 7, "flight": 8'),
        text.replace('"rows"', '"rows": [], "rows"'),
    ):
        first = refused(client, send(client, twice), "body")
        assert first["rule"] == "must name each key of an object once"


@pytest.mark.parametrize("depth", [10, 300, 900, 990, 2_000, 200_000])
def test_values_nested_to_any_depth_are_refused(client, row, depth):
    for value in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        for body in (rows_of(row, distance=-777).replace("-777", value), f'{{"rows": {value}}}', value):
            answer = send(client, body)
            assert answer.status_code == 422, answer.text
            assert answer.json()["error"]["type"] == "invalid_rows"
    assert client.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize("body", [b"\xff", b'{"rows": [\xff]}', b'{"rows": [{"carrier": "\xe9"}]}', b"\0", b"nul"])
def test_bytes_that_are_no_json_are_refused(client, body):
    first = refused(client, send(client, body), "body")
    assert "application/json" in first["remedy"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "text/csv; charset=utf-8", "junk", ""])
def test_another_content_type_is_refused_and_told(client, row, content_type):
    answer = send(client, rows_of(row), content_type)
    assert answer.status_code == 422, answer.text
    assert "Content-Type: application/json" in answer.json()["error"]["errors"][0]["remedy"]
    assert "content type" in answer.json()["error"]["errors"][0]["rule"]


def test_a_length_that_is_no_number_is_refused(client):
    answer = client.post(PATH, content=b"{}", headers={"Content-Length": "many", "Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "bad_request"


@pytest.mark.parametrize(("changed", "says"), [({"flight": 0}, "zero"), ({"carrier": "odd"}, "error")])
@pytest.mark.parametrize("how", [{"sql": RATIO}, {"python": PICKY}])
def test_a_row_from_whose_values_no_version_can_compute_is_refused_by_its_number(serving, row, how, changed, says):
    """Each version has answered other rows, and each fails on this one for its values: it is the row that is wrong."""
    client = serving(how, how)
    assert send(client, json.dumps({"rows": [row] * 3})).json()["version"] == 2
    body = json.dumps({"rows": [row] * 40 + [{**row, **changed}] + [row] * 9})
    first = refused(client, send(client, body), "rows[40]")
    assert "features/" in first["rule"] and says in first["rule"].lower() + first.get("value", "").lower()
    assert client.get("/health").json()["models"]["toy"]["refused_calls"] == 1


def test_a_row_that_only_the_champion_cannot_compute_is_the_champions_failure(serving, row):
    client = serving({"python": PICKY}, {})
    assert send(client, json.dumps({"rows": [row]})).json()["version"] == 2
    answer = send(client, rows_of(row, carrier="odd")).json()
    assert answer["version"] == 1 and "no such carrier" in answer["fallback"]
    health = client.get("/health").json()
    assert health["models"]["toy"]["champion_failures"] == 1 and health["status"] == "degraded"


def test_code_that_fails_otherwise_than_by_values_is_the_versions_failure(serving, row):
    client = serving({"python": PICKY}, {"python": PICKY})
    assert send(client, json.dumps({"rows": [row]})).json()["version"] == 2
    answer = send(client, rows_of(row, carrier="bug"))
    assert answer.status_code == 503 and answer.json()["error"]["type"] == "model_failed"
    assert client.get("/health").json()["models"]["toy"]["champion_failures"] == 1


def test_a_version_that_never_answered_is_to_blame_whatever_it_says(serving, row):
    never = "def never(request):\n    raise ValueError('always')\n"
    client = serving({"python": never})
    answer = send(client, json.dumps({"rows": [row]}))
    assert answer.status_code == 503
    assert client.get("/health").json()["models"]["toy"]["champion_failures"] == 1


def test_a_fault_of_the_gateways_own_blames_no_version(serving, row, monkeypatch):
    client = serving({})
    monkeypatch.setattr("evergreen.features.request._checked", lambda *_: 1 / 0)
    answer = send(client, json.dumps({"rows": [row]}))
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "internal"
    assert client.get("/health").json()["models"]["toy"]["champion_failures"] == 0
