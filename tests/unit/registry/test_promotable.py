"""The verdict on a candidate, rule by rule."""

from __future__ import annotations

from dataclasses import replace

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


def test_a_verdict_that_was_made_before_another_promotion_does_not_stand(book) -> None:
    book.promote(1)
    third = book.candidate(3, judged_seq=1)
    book.promote(2)
    verdict = promotable(third, book.entries, base_seq=2)
    assert verdict.codes == {"stale_verdict"}
    assert str(verdict) == (
        "Version 3 of m was judged at seq 1 against versions [1], but by now [1, 2] count: it is judged again."
    )
    assert promotable(book.candidate(3), book.entries, base_seq=2).ok


def test_the_first_champion_makes_the_verdict_on_another_first_candidate_stale(book) -> None:
    second = book.candidate(2)
    assert promotable(second, [], base_seq=0).ok
    assert promotable(second, book.promote(1).entries, base_seq=1).codes == {"stale_verdict"}


def test_a_verdict_against_a_champion_that_was_rolled_back_since_is_made_again(book) -> None:
    book.promote(1).promote(2)
    third = book.candidate(3, requested_seq=9)
    assert promotable(third, book.roll_back(1).entries, base_seq=3).codes == {"stale_verdict"}


def test_a_verdict_stands_when_the_same_champions_count_as_then(book) -> None:
    book.promote(1)
    third = book.candidate(3, requested_seq=9)
    book.promote(2).roll_back(1).release()
    assert promotable(third, book.entries, base_seq=4).ok, "version 2 came and went: version 1 is all there is to beat"


def test_a_release_and_a_champion_beyond_the_memory_change_nothing(book) -> None:
    book.promote(1).promote(2).promote(3).promote(4).roll_back(3).release()
    fifth = book.candidate(5, requested_seq=9, judged_seq=5, memory=2)
    assert promotable(fifth, book.entries, base_seq=6).ok
    assert {2, 3} == set(fifth.judged.rivals(book.entries))


def test_a_verdict_that_does_not_say_what_it_was_made_on_does_not_stand(book) -> None:
    unknown = replace(book.candidate(1), judged=None)
    assert promotable(unknown, [], base_seq=0).codes == {"stale_verdict"}


def test_a_newer_candidate_goes_first_though_it_must_be_judged_again(book) -> None:
    newer = book.candidate(3)
    book.promote(1)
    assert promotable(book.candidate(2), book.entries, base_seq=1, waiting=[newer]).codes == {"newer_candidate_waits"}
