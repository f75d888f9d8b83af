from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from evergreen.lake.lake import Lake
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
    app.dependency_overrides[get_user] = lambda: "ann"
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
