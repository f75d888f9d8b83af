"""What follows from a ledger: who serves, who is bad, who holds, whether it was tampered with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evergreen.store import history


def test_an_empty_ledger_has_no_champion(book) -> None:
    assert history.champion([]) is None
    assert history.last_good([]) is None
    assert history.first([]) is None
    assert history.hold([]) is None
    assert not history.is_historic([], datetime(1999, 1, 1, tzinfo=UTC))


def test_the_champion_is_the_last_that_changed_the_server(book) -> None:
    book.promote(1).promote(2).roll_back(1).release()
    assert history.champion(book.entries).version == 1
    assert history.first(book.entries).seq == 1


def test_the_champion_of_a_moment_is_the_last_entry_not_after_it_on_the_data_clock(book) -> None:
    book.promote(1, day=31).promote(2, day=46).roll_back(1, day=46).promote(3, day=60)
    found = [history.champion_at(book.entries, _day(day)) for day in (30, 31, 45, 46, 59, 60)]
    assert [entry and (entry.seq, entry.version) for entry in found] == [
        None, (1, 1), (1, 1), (3, 1), (3, 1), (4, 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("acts", "bad", "last_good", "recent"),
    [
        ("p1 p2 p3", set(), 2, [3, 2, 1]),
        ("p1 p2 p3 r2", {3}, 1, [2, 1]),
        ("p1 p2 p3 r2 r1", {3, 2}, None, [1]),
        ("p1 p2 p3 r2 r1 p4", {3, 2}, 1, [4, 1]),
        ("p1 p2 p3 r2 p3", set(), 2, [3, 2, 1]),
        ("p1 p2 r1 p3 p4", {2}, 3, [4, 3, 1]),
        ("p1 p2 r1 r2", {1}, None, [2]),
        ("p1 p2 r1 l p3", {2}, 1, [3, 1]),
    ],
)
def test_a_version_that_was_rolled_back_is_not_good_until_it_serves_again(
    book, acts: str, bad: set[int], last_good: int | None, recent: list[int]
) -> None:
    _play(book, acts)
    found = history.last_good(book.entries)
    assert history.rolled_back_versions(book.entries) == bad
    assert (found and found.version) == last_good
    assert history.recent_champions(book.entries, 3) == recent


@pytest.mark.parametrize(
    ("acts", "held_since"),
    [("p1 p2", None), ("p1 p2 r1", 3), ("p1 p2 r1 p2", 3), ("p1 p2 r1 l", None), ("p1 p2 r1 l r2", 5)],
)
def test_a_hold_lasts_from_the_rollback_to_the_release(book, acts: str, held_since: int | None) -> None:
    _play(book, acts)
    hold = history.hold(book.entries)
    assert (hold and hold.seq) == held_since


def test_an_automatic_rollback_holds_nothing(book) -> None:
    book.promote(1).promote(2).roll_back(1, holds=False)
    assert history.hold(book.entries) is None
    assert history.rolled_back_versions(book.entries) == {2}


def test_work_older_than_the_champion_is_historic(book) -> None:
    book.promote(1, day=10)
    assert history.is_historic(book.entries, _day(9))
    assert not history.is_historic(book.entries, _day(10))


def test_an_untouched_chain_verifies(book) -> None:
    _play(book, "p1 p2 r1 l p3")
    assert history.verify_chain(book.entries) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 9), ("reason", "because"), ("evidence", {"auc": 1.0}), ("actor", "eve"), ("holds", True), ("key", "k"),
     ("at", datetime(2020, 1, 1, tzinfo=UTC)), ("as_of_time", datetime(2020, 1, 1, tzinfo=UTC))],
)  # fmt: skip
def test_a_changed_entry_is_found(book, field: str, value: object) -> None:
    _play(book, "p1 p2 p3")
    book.entries[1] = replace(book.entries[1], **{field: value})
    assert any("seq 2: row_hash" in problem for problem in history.verify_chain(book.entries))


def test_a_missing_or_rehashed_entry_is_found(book) -> None:
    _play(book, "p1 p2 p3")
    assert history.verify_chain(book.entries[1:]) != []
    forged = replace(book.entries[1], reason="because")
    book.entries[1] = replace(forged, row_hash=forged.expected_hash())
    assert "m seq 3: prev_hash is not the row_hash of the entry before" in history.verify_chain(book.entries)


def test_two_servers_at_once_are_found(book) -> None:
    _play(book, "p1 p2")
    book.entries[0] = replace(book.entries[0], served_to=None, end_cause=None)
    assert history.verify_chain(book.entries) == [
        "serving are seq [1, 2], must be the last entry that changed the server"
    ]


def test_the_clock_of_the_ledger_never_runs_back(book) -> None:
    book.promote(1)
    late = replace(book.entries[0], at=book.entries[0].at + timedelta(hours=1))
    assert history.following(late, book.entries[0]).at == late.at


def _day(day: int) -> datetime:
    return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(days=day)


def _play(book, acts: str) -> None:
    for act in acts.split():
        if act == "l":
            book.release()
        elif act[0] == "p":
            book.promote(int(act[1:]))
        else:
            book.roll_back(int(act[1:]))
