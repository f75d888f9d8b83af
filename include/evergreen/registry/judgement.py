"""What a gate verdict was made on, and whether it still stands: a verdict is bound to the ledger's number.

A candidate is judged against the champions that the ledger names at a number. As the ledger goes on, the verdict stands
as long as these are still the ones that it must be judged against: a release or a hold changes nothing about them, a
promotion or a rollback of one of them does. What does not stand is made again, as a decision of its own; the verdict of
the highest number counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evergreen.store import history
from evergreen.store.decisions import Decision
from evergreen.store.history import Promotion


@dataclass(frozen=True)
class Judged:
    """What a verdict was made on.

    Attributes:
        seq: Number of the ledger's newest entry then; 0 when it was empty.
        memory: How many distinct champions the candidate had to be judged against, at most.
    """

    seq: int
    memory: int

    @staticmethod
    def read(decision: Decision) -> Judged | None:
        """What a gate decision says; ``None`` when it does not, as those of earlier releases."""
        memory = decision.figures.get("memory")
        if decision.ledger_seq is None or not isinstance(memory, int):
            return None
        return Judged(decision.ledger_seq, memory)

    def rivals(self, entries: Sequence[Promotion]) -> list[int]:
        """The champions that it was made against, newest first."""
        return history.recent_champions([entry for entry in entries if entry.seq <= self.seq], self.memory)

    def stands(self, entries: Sequence[Promotion]) -> bool:
        """Whether the candidate would be judged against the very same champions on these entries."""
        return set(self.rivals(entries)) == set(history.recent_champions(entries, self.memory))
