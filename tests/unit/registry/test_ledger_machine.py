"""Any sequence of promotions, rollbacks and releases keeps what must always hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evergreen.errors import UserError
from evergreen.registry.candidates import Candidate
from evergreen.registry.judgement import Judged
from evergreen.registry.rollback import target
from evergreen.registry.verdict import promotable
from evergreen.store import history

START = datetime(2013, 1, 1, tzinfo=UTC)


def test_any_sequence_of_acts_keeps_the_ledger_sound(new_book) -> None:
    class Life(RuleBasedStateMachine):
        """Trainings are requested, candidates try to be promoted (in time or as zombies), people act."""

        def __init__(self) -> None:
            super().__init__()
            self.book = new_book()
            self.candidates: list[Candidate] = []
            self.bad: set[int] = set()
            self.day = 0
            self.held_at: int | None = None
            self.beaten: dict[int, set[int]] = {}

        @rule(days=st.integers(-3, 5), delay=st.integers(0, 3))
        def train(self, days: int, delay: int) -> None:
            self.day = max(0, self.day + days)
            requested = max(0, self.book.seq - delay)
            version = len(self.candidates) + 1
            self.candidates.append(self.book.candidate(version, day=self.day, requested_seq=requested, memory=2))
            self.beaten[version] = set(history.recent_champions(self.book.entries, 2))

        @precondition(lambda self: self.candidates)
        @rule(data=st.data())
        def judge_again(self, data: st.DataObject) -> None:
            candidate = data.draw(st.sampled_from(self.candidates))
            self.candidates[candidate.version - 1] = replace(candidate, judged=Judged(self.book.seq, 2))
            self.beaten[candidate.version] = set(history.recent_champions(self.book.entries, 2))

        @precondition(lambda self: self.candidates)
        @rule(data=st.data(), stale=st.integers(0, 2))
        def deploy(self, data: st.DataObject, stale: int) -> None:
            candidate = data.draw(st.sampled_from(self.candidates))
            base_seq = max(0, self.book.seq - stale)
            server = history.champion(self.book.entries)
            if not promotable(candidate, self.book.entries, base_seq=base_seq, waiting=self.candidates).ok:
                return
            assert base_seq == self.book.seq, "a stale plan was carried out"
            assert candidate.version not in self.bad, "a rolled-back version came back by itself"
            assert server is None or candidate.as_of_time >= server.as_of_time, "historic work was promoted"
            assert self.held_at is None or candidate.requested_seq >= self.held_at, "a held candidate was promoted"
            rivals, memory = history.recent_champions(self.book.entries, 99)[:2], candidate.judged.memory
            assert memory == 2
            assert self.beaten[candidate.version] == set(rivals), "it was never judged against one that counts"
            self.book.promote(candidate.version, day=(candidate.as_of_time - START) // timedelta(days=1))

        @rule(data=st.data(), holds=st.booleans())
        def roll_back(self, data: st.DataObject, holds: bool) -> None:
            named = data.draw(st.none() | st.integers(1, 6))
            server = history.champion(self.book.entries)
            try:
                version = target(self.book.entries, "m", named)
            except UserError:
                return
            assert server is not None
            assert version != server.version
            assert named is not None or version not in self.bad, "rolled back to a bad version"
            self.book.roll_back(version, day=(server.as_of_time - START) // timedelta(days=1), holds=holds)
            self.bad = (self.bad | {server.version}) - {version}
            self.held_at = self.book.seq if holds else self.held_at

        @precondition(lambda self: self.candidates)
        @rule(data=st.data())
        def name(self, data: st.DataObject) -> None:
            version = data.draw(st.sampled_from(self.candidates)).version
            server = history.champion(self.book.entries)
            if server is not None and server.version != version:
                self.book.promote(version, day=(server.as_of_time - START) // timedelta(days=1))
                self.bad.discard(version)

        @rule()
        def release(self) -> None:
            if history.hold(self.book.entries) is not None:
                self.book.release()
                self.held_at = None

        @invariant()
        def exactly_one_serves_once_one_did(self) -> None:
            serving = [entry for entry in self.book.entries if entry.serves and entry.served_to is None]
            assert len(serving) == (1 if any(entry.serves for entry in self.book.entries) else 0)

        @invariant()
        def the_good_are_never_bad(self) -> None:
            entries = self.book.entries
            assert history.rolled_back_versions(entries) == self.bad
            assert self.bad.isdisjoint(history.recent_champions(entries, 99))
            good, server = history.last_good(entries), history.champion(entries)
            assert good is None or good.version not in self.bad | {server.version}

        @invariant()
        def the_hold_is_the_last_one_not_released(self) -> None:
            hold = history.hold(self.book.entries)
            assert (hold and hold.seq) == self.held_at

        @invariant()
        def the_chain_verifies(self) -> None:
            assert history.verify_chain(self.book.entries) == []

        @invariant()
        def the_data_clock_of_servers_runs_on(self) -> None:
            times = [entry.as_of_time for entry in self.book.entries if entry.serves]
            assert times == sorted(times)

    Life.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
    Life.TestCase().runTest()
