"""Where a rollback goes, and what is said when there is nowhere to go."""

from __future__ import annotations

import pytest

from evergreen.errors import UserError
from evergreen.registry.aliases import aliases
from evergreen.registry.promotion import not_before_champion
from evergreen.registry.rollback import target


def test_goes_to_the_last_good_version(book) -> None:
    book.promote(1).promote(2).promote(3)
    assert target(book.entries, "m") == 2
    assert target(book.roll_back(2).entries, "m") == 1


def test_goes_to_a_bad_version_only_by_name(book) -> None:
    book.promote(1).promote(2).roll_back(1)
    assert target(book.entries, "m", 2) == 2
    with pytest.raises(UserError, match=r"needs a good version.*have served: \[2\]. Rolled back were \[2\]"):
        target(book.entries, "m")


@pytest.mark.parametrize(
    ("acts", "to_version", "message"),
    [
        ([], None, "nothing serves yet"),
        ([1], None, "Only version 1 has ever served"),
        ([1, 2], 2, r"must not be the one that serves already, got 2. Versions that have served: \[1\]"),
        ([1, 2], 7, r'must be one that has served, got 7.*Use the action "promote"'),
    ],
)
def test_says_what_there_is_when_it_cannot(book, acts: list[int], to_version: int | None, message: str) -> None:
    for version in acts:
        book.promote(version)
    with pytest.raises(UserError, match=message):
        target(book.entries, "m", to_version)


def test_a_persons_act_is_never_before_the_champion_on_the_data_clock(book) -> None:
    early, late = book.candidate(0, day=1), book.candidate(0, day=90)
    book.promote(1, day=31)
    assert not_before_champion(book.entries, early.as_of, early.as_of_time)[0] == "day 31"
    assert not_before_champion(book.entries, late.as_of, late.as_of_time)[0] == "day 90"


def test_aliases_follow_the_ledger(book) -> None:
    assert aliases([]) == {"champion": None, "previous": None, "challenger": None}
    book.promote(1).promote(2).promote(3).roll_back(2)
    assert aliases(book.entries, book.candidate(4)) == {"champion": 2, "previous": 1, "challenger": 4}
