from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from evergreen.errors import DataError
from evergreen.lake import trainingsets
from evergreen.lake.lake import Lake
from evergreen.spec.model import Drift
from evergreen.steps import pages, staging
from evergreen_airflow import reports
from evergreen_airflow.reports import app

PAGE = b"<html><script>1</script></html>"
PATH = "reports/bike_demand/2013-02-01T06:00/drift-0a1b.html"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("EVERGREEN_LAKE", str(tmp_path / "lake"))
    (tmp_path / "secret.html").write_text("secret")
    lake = Lake(str(tmp_path / "lake"))
    lake.blobs.put_if_absent(PATH, PAGE)
    lake.blobs.put_if_absent("trainingsets/x.html", b"not a report")
    return lake


@pytest.fixture
def client() -> Iterator[TestClient]:
    app.dependency_overrides[get_user] = lambda: SimpleNamespace(get_name=lambda: "ann")
    yield TestClient(app)
    app.dependency_overrides.clear()


def test_a_report_is_shown_in_a_sandbox_and_kept_nowhere(lake: Lake, client: TestClient) -> None:
    answer = client.get(f"/{PATH}")
    assert (answer.status_code, answer.content) == (200, PAGE)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'; ")
    assert "allow-same-origin" not in policy and "connect-src 'none'" in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_nobody_reads_without_logging_in(lake: Lake) -> None:
    anonymous = TestClient(app)
    for path in (f"/{PATH}", "/reports/none.html", "/reports/../secret.html"):
        assert anonymous.get(path).status_code in (401, 404)
    assert anonymous.get(f"/{PATH}").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "reports/none.html",
        "reports/%2e%2e/trainingsets/x.html",
        "reports/..%2ftrainingsets%2fx.html",
        "reports/%2e%2e/%2e%2e/secret.html",
        "reports/%2fetc%2fpasswd.html",
        "reports//etc/hosts.html",
        "reports/a%00.html",
        "reports/a%5c..%5csecret.html",
        "reports/.hidden.html",
        "reports/bike_demand",
        "reports/",
        "trainingsets/x.html",
        "docs",
        "openapi.json",
    ],
)
def test_nothing_but_reports_is_found(lake: Lake, client: TestClient, path: str) -> None:
    answer = client.get(f"/{path}")
    assert answer.status_code == 404
    assert b"secret" not in answer.content.replace(b"secret.html", b"") and b"not a report" not in answer.content


def noted(lake: Lake) -> str:
    """A page that was not drawn yet."""
    frame = pa.table({"load": [float(n % 7) for n in range(400)]})
    path, name = "reports/late/2024-01-08/drift-ab12.html", staging.put(lake, frame)
    _, sha = trainingsets.put(lake, frame)
    pages.note(lake, path, training_set=sha, columns=["load"], frame=name, spec=Drift())
    return path


def test_a_page_that_was_not_drawn_is_asked_for_and_waited_for(
    lake: Lake, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(reports, "ask_for", lambda name, user: asked.append((name, user)))
    path = noted(lake)
    answer = client.get(f"/{path}")
    assert (answer.status_code, answer.headers["refresh"]) == (202, "2")
    assert "being drawn" in answer.text
    assert asked == [(path, "ann")]
    assert pages.draw(lake, path) == path
    answer = client.get(f"/{path}")
    assert answer.status_code == 200
    assert "load" in answer.text
    assert len(asked) == 1


def test_a_page_that_could_not_be_drawn_links_to_what_the_task_says(
    lake: Lake, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "ask_for", lambda name, user: "/dags/evergreen.page/runs/page__1")
    answer = client.get(f"/{noted(lake)}")
    assert answer.status_code == 502
    assert 'href="/dags/evergreen.page/runs/page__1"' in answer.text
    assert "refresh" not in answer.headers


def test_a_page_whose_rows_have_expired_says_so_and_asks_nobody(
    lake: Lake, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "ask_for", lambda name, user: pytest.fail("asked"))
    path = noted(lake)
    for blob in lake.blobs.entries("staging"):
        assert lake.blobs.remove(blob)
    answer = client.get(f"/{path}")
    assert answer.status_code == 410
    assert "expired" in answer.text
    with pytest.raises(DataError, match="Clear the run's first task"):
        pages.draw(lake, path)


def test_only_noted_pages_are_drawn(lake: Lake) -> None:
    with pytest.raises(DataError, match="must be the path of a drift report's page"):
        pages.draw(lake, "reports/late/2024-01-08/drift-none.html")


def test_other_json_beside_a_page_that_is_none_is_no_recipe(lake: Lake, client: TestClient) -> None:
    lake.blobs.put_if_absent("reports/demo/ab.json", b'{"model": "x"}')
    assert client.get("/reports/demo/ab.html").status_code == 404
