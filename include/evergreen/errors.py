"""What can go wrong, drawn once.

EvergreenError
├── UserError         the caller's fault (spec, data, parameters): never retried
│   ├── SpecError     one broken field of one file
│   ├── SpecErrors    all broken fields of all files
│   └── DataError     a source, a file or a table that cannot be used as it is
├── NotReady          what is waited for is not there yet: try again later, nothing is wrong
├── TransientError    a server or a disk that may answer next time: retried
└── Superseded        somebody else decided first; the caller's plan is void
"""

from __future__ import annotations

from collections.abc import Sequence


class EvergreenError(Exception):
    """Base of every error that Evergreen raises on purpose."""


class UserError(EvergreenError):
    """A mistake that only its author can mend, said in one message.

    Args:
        place: Where to look: ``file:line field``, a table, a parameter.
        rule: What must hold.
        value: What was found instead (shown shortened); omitted when ``None``.
        remedy: What to do next.
    """

    def __init__(self, place: str, rule: str, *, value: object = None, remedy: str = "") -> None:
        self.place, self.rule, self.value, self.remedy = place, rule, value, remedy
        got = "" if value is None else f", got {shorten(repr(value))}"
        super().__init__(f"{place} {rule}{got}.{' ' + remedy if remedy else ''}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.place, self.rule, self.value, self.remedy)


class SpecError(UserError):
    """One broken field of one file of the workspace."""


class DataError(UserError):
    """A source, a file or a table that cannot be used as it is."""


class SpecErrors(UserError):
    """All broken fields of all files of the workspace, collected before raising."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        self.errors = list(errors)
        lines = "\n".join(str(error) for error in self.errors)
        EvergreenError.__init__(self, f"{len(self.errors)} error(s) in the workspace:\n{lines}")
        first = self.errors[0]
        self.place, self.rule, self.value, self.remedy = first.place, first.rule, first.value, first.remedy

    def __reduce__(self) -> tuple[object, ...]:
        return SpecErrors, (self.errors,)


class NotReady(EvergreenError):
    """What is waited for is not there yet; nothing is wrong."""


class TransientError(EvergreenError):
    """A fault of the surroundings (server, disk, network) that a retry may not meet again."""


class Superseded(EvergreenError):
    """Somebody else decided first, so the caller's plan is void; nothing was changed."""


def shorten(text: str, limit: int = 200) -> str:
    """Bounds a value for a message to ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _rebuild(kind: type[UserError], place: str, rule: str, value: object, remedy: str) -> UserError:
    return kind(place, rule, value=value, remedy=remedy)
