"""Airflow for tests that need no server: a home of its own, nothing of the installation's configuration."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Before the first import of airflow, which reads its home then.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="evergreen-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project() -> Path:
    """Root of the clone."""
    return PROJECT


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bikes workspace that the environment names as this installation's."""
    folder = tmp_path / "workspace"
    shutil.copytree(PROJECT / "include/examples/bikes", folder)
    monkeypatch.setenv("EVERGREEN_WORKSPACE", str(folder))
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EVERGREEN_LAKE", str(tmp_path / "lake"))
    monkeypatch.delenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", raising=False)
    return folder
