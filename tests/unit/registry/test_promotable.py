"""The verdict on a candidate, rule by rule."""

from __future__ import annotations

from evergreen.registry.verdict import promotable


def test_the_first_candidate_may_be_promoted(book) -> None:
    assert promotable(book.candidate(1), [], base_seq=0).ok


def test_a_newer_candidate_than_the_champion_may_be_promoted(book) -> None:
    book.promote(1, day=10)
    assert promotable(book.candidate(2, day=10), book.entries, base_seq=1).ok
    assert promotable(book.candidate(2, day=20), book.entries, base_seq=1).ok


def test_one_older_than_the_champion_is_historic(book) -> None:
    book.promote(2, day=10)
    verdict = promotable(book.candidate(3, day=9), book.entries, base_seq=1)
    assert verdict.codes == {"historic"}
    assert "as of day 9, is older than the champion, as of day 10" in str(verdict)


def test_a_decision_since_the_rollout_began_supersedes_it(book) -> None:
    book.promote(1).promote(2)
    verdict = promotable(book.candidate(3), book.entries, base_seq=1)
    assert verdict.codes == {"superseded"}
    assert "seq 2 stands (promote by rita: why)" in str(verdict)


def test_a_rollback_while_it_waits_supersedes_and_holds_it(book) -> None:
    book.promote(1).promote(2).roll_back(1)
    assert promotable(book.candidate(3, requested_seq=2), book.entries, base_seq=2).codes == {"superseded", "held"}


def test_a_rolled_back_version_never_returns_by_itself(book) -> None:
    book.promote(1).promote(2).roll_back(1).release()
    assert promotable(book.candidate(2, requested_seq=9), book.entries, base_seq=4).codes == {"rolled_back"}


def test_a_version_that_served_is_not_promoted_again(book) -> None:
    book.promote(1).promote(2)
    assert promotable(book.candidate(1), book.entries, base_seq=2).codes == {"served_before"}


def test_a_hold_binds_what_was_requested_before_it_only(book) -> None:
    book.promote(1).promote(2).roll_back(1)
    before, after = (book.candidate(3, requested_seq=seq) for seq in (2, 3))
    assert promotable(before, book.entries, base_seq=3).codes == {"held"}
    assert promotable(after, book.entries, base_seq=3).ok


def test_a_release_frees_what_the_hold_kept_back(book) -> None:
    book.promote(1).promote(2).roll_back(1).release()
    assert promotable(book.candidate(3, requested_seq=2), book.entries, base_seq=4).ok


def test_a_promotion_by_a_person_leaves_the_hold(book) -> None:
    book.promote(1).promote(2).roll_back(1).promote(2)
    assert promotable(book.candidate(3, requested_seq=2), book.entries, base_seq=4).codes == {"held"}


def test_a_newer_candidate_goes_first(book) -> None:
    verdict = promotable(book.candidate(1), [], base_seq=0, waiting=[book.candidate(2), book.candidate(1)])
    assert verdict.codes == {"newer_candidate_waits"}
    assert promotable(book.candidate(2), [], base_seq=0, waiting=[book.candidate(2), book.candidate(1)]).ok


def test_a_later_version_of_older_data_is_not_newer(book) -> None:
    assert promotable(book.candidate(1, day=5), [], base_seq=0, waiting=[book.candidate(2, day=4)]).ok


def test_a_newer_candidate_that_is_held_itself_stops_nobody(book) -> None:
    book.promote(1).promote(2).roll_back(1)
    held = book.candidate(4, requested_seq=2)
    assert promotable(book.candidate(3, requested_seq=3), book.entries, base_seq=3, waiting=[held]).ok
