"""A migrated store per module, and a model of its own per test."""

from __future__ import annotations

import uuid

import pytest

from evergreen.store.store import Store


@pytest.fixture(scope="module")
def store(postgres_url: str) -> Store:
    store = Store(postgres_url)
    store.migrate()
    return store


@pytest.fixture
def model() -> str:
    return f"m_{uuid.uuid4().hex[:12]}"
