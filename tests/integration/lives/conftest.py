"""One database for all lives, and the way to the modules that stand beside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "steps")]


@pytest.fixture(autouse=True)
def everything_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping has nothing to do in lives of a few rows, unless a few files are many."""
    from evergreen.lake import upkeep

    monkeypatch.setattr(upkeep, "FILES", 2)
    monkeypatch.setattr(upkeep, "LOG_ENTRIES", 0)
