"""A ledger in memory, extended by the very function that the database's ledger uses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evergreen.registry.candidates import Candidate
from evergreen.registry.judgement import Judged
from evergreen.store import history
from evergreen.store.history import Promotion

START = datetime(2013, 1, 1, tzinfo=UTC)


class Book:
    """Entries of one model; days count from 1 January 2013."""

    def __init__(self) -> None:
        self.entries: list[Promotion] = []

    @property
    def seq(self) -> int:
        return len(self.entries)

    def add(self, action: str, version: int | None = None, *, day: int = 0, **changes: Any) -> Promotion:
        moment = START + timedelta(days=day)
        draft = Promotion(
            "m", 0, version, action, "rita", "why", {}, f"day {day}", moment, at=START, **changes
        )  # fmt: skip
        entry = history.following(self.entries[-1] if self.entries else None, draft)
        if entry.serves:
            self.entries = [
                replace(e, served_to=entry.at, end_cause=action) if e.serves and e.served_to is None else e
                for e in self.entries
            ]
        self.entries.append(entry)
        return entry

    def promote(self, version: int, *, day: int = 0) -> Book:
        self.add("promote", version, day=day)
        return self

    def roll_back(self, version: int, *, day: int = 0, holds: bool = True) -> Book:
        self.add("roll_back", version, day=day, holds=holds)
        return self

    def release(self) -> Book:
        self.add("release")
        return self

    def candidate(
        self, version: int, *, day: int = 0, requested_seq: int = 0, judged_seq: int | None = None, memory: int = 3
    ) -> Candidate:
        """One that was judged at a number of the ledger: at the present one by default."""
        moment, seq = START + timedelta(days=day), self.seq if judged_seq is None else judged_seq
        return Candidate(
            "m", version, f"training-{version}", f"day {day}", moment, requested_seq, judged=Judged(seq, memory)
        )


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture(scope="session")
def new_book() -> type[Book]:
    return Book
