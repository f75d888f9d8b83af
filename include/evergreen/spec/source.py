"""YAML text to plain values, with the line of every value.

The values are built from the parser's events, by a loop: PyYAML's own composer recurses in C, and a file of a hundred
thousand brackets would end the process that reads it. Plain words mean what YAML 1.2 says: only ``true`` and ``false``
are booleans (so a country ``NO`` stays one), dates stay text, and keys are always text. Anchors, aliases and tags are
refused.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

Field = tuple[str | int, ...]
"""Path of a value within a file: ``("gate", "floors", "roc_auc")``, ``("reads", 0)``."""

MAX_BYTES = 1_000_000
_MAX_DEPTH = 40
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_REMEDIES = (
    ("cannot start any token", "Indent with spaces, not tabs, and put text that begins with @, ` or % in quotes."),
    ("mapping values are not allowed", "Put text that holds a colon followed by a space in quotes."),
    ("did not find expected key", "Compare the indentation of this line with that of the lines above."),
    ("did not find expected ',' or", "Close the bracket that was opened before."),
    ("unexpected end of stream", "Close the quote that was opened before."),
    ("could not find expected ':'", "Write a key as `key: value`."),
)


class Problem(NamedTuple):
    """What is wrong, before it is known in which file.

    Attributes:
        field: Path of the value; empty for the whole file.
        file: Another file than the resource's own, such as its SQL.
        line: Where known without looking the field up.
    """

    field: Field
    rule: str
    value: object = None
    remedy: str = ""
    file: str = ""
    line: int = 0


class Source(NamedTuple):
    """A file's values, the line on which each stands, and what was wrong with the YAML itself."""

    data: Any
    lines: dict[Field, int]
    problems: tuple[Problem, ...] = ()

    def line_of(self, field: Field) -> int:
        """The line of a value, or of the nearest value around it that the file holds."""
        for length in range(len(field), -1, -1):
            line = self.lines.get(field[:length])
            if line is not None:
                return line
        return 1


class _Open:
    """A mapping or list that is being read."""

    __slots__ = ("at", "key", "values")

    def __init__(self, values: dict[str, Any] | list[Any], at: Field) -> None:
        self.values, self.at = values, at
        self.key: str | None = None


def decode(content: bytes) -> tuple[str, Problem | None]:
    """Bytes of a text file as text; a byte that is not UTF-8 is the problem."""
    if len(content) > MAX_BYTES:
        return "", Problem((), f"must be at most {MAX_BYTES:,} bytes", len(content), line=1)
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        bad = content[error.start : error.start + 1]
        return "", Problem((), "must be UTF-8 text", bad, "Save the file with the encoding UTF-8.", line=line)


def parse(text: str) -> Source:
    """Reads one YAML document; never raises, whatever the text holds."""
    lines: dict[Field, int] = {}
    problems: list[Problem] = []
    try:
        data = _build(text, lines, problems)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        rule = "must hold no control characters"
        problems.append(Problem((), rule, chr(error.character), "Delete the character.", line=line))
        data = None
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax(error))
        data = None
    return Source(data, lines, tuple(problems))


class _Stop(yaml.MarkedYAMLError):
    """Something that valid YAML may hold and a spec may not."""

    def __init__(self, rule: str, mark: Any, remedy: str) -> None:
        super().__init__(problem=rule, problem_mark=mark)
        self.remedy = remedy


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else mark.line + 1
    if isinstance(error, _Stop):
        return Problem((), str(error.problem), remedy=error.remedy, line=line)
    said = str(error.problem or error.context or error)
    remedy = next((remedy for part, remedy in _REMEDIES if part in said), "")
    return Problem((), "must be valid YAML", said, remedy, line=line)


def _build(text: str, lines: dict[Field, int], problems: list[Problem]) -> Any:
    stack: list[_Open] = []
    root: Any = None
    at: Field = ()
    documents = 0
    event: Any
    for event in yaml.parse(text, Loader=_LOADER):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            _refuse_extras(event)
            top = stack[-1] if stack else None
            if top is not None and top.key is None and isinstance(top.values, dict):
                _open_key(top, event, lines, problems)
                continue
            value = _plain(event.value) if event.implicit[0] else event.value
            if top is None:
                root = value
                lines.setdefault((), event.start_mark.line + 1)
            else:
                _put(top, value, event, lines)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            _refuse_extras(event)
            if len(stack) >= _MAX_DEPTH:
                raise _Stop(f"must be nested at most {_MAX_DEPTH} deep", event.start_mark, "")
            opened: dict[str, Any] | list[Any] = {} if kind is yaml.MappingStartEvent else []
            if not stack:
                root, at = opened, ()
                lines.setdefault((), event.start_mark.line + 1)
            else:
                if stack[-1].key is None and isinstance(stack[-1].values, dict):
                    raise _Stop("must have plain words as keys", event.start_mark, "")
                at = _put(stack[-1], opened, event, lines)
            stack.append(_Open(opened, at))
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            stack.pop()
        elif kind is yaml.DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise _Stop("must hold one YAML document", event.start_mark, "Put what follows `---` in its own file.")
        elif kind is yaml.AliasEvent:
            raise _Stop(f"must not use the alias *{event.anchor}", event.start_mark, "Write the value out.")
    return root


def _refuse_extras(event: Any) -> None:
    if event.anchor is not None:
        raise _Stop(f"must not use the anchor &{event.anchor}", event.start_mark, "Write the value out where needed.")
    if event.tag is not None and event.tag != "!":
        raise _Stop(f"must not use the tag {event.tag}", event.start_mark, "Leave the tag out.")


def _open_key(top: _Open, event: Any, lines: dict[Field, int], problems: list[Problem]) -> None:
    key, line = event.value, event.start_mark.line + 1
    at = (*top.at, key)
    if key in top.values:
        rule = f"must be given once, and stands on line {lines[at]} too"
        problems.append(Problem(at, rule, remedy="Remove one of the two.", line=line))
    lines[at] = line
    top.key = key


def _put(top: _Open, value: Any, event: Any, lines: dict[Field, int]) -> Field:
    if isinstance(top.values, dict):
        key = str(top.key)
        at: Field = (*top.at, key)
        top.values[key] = value
        top.key = None
        return at
    at = (*top.at, len(top.values))
    lines[at] = event.start_mark.line + 1
    top.values.append(value)
    return at


def _plain(word: str) -> Any:
    if word in _NULLS:
        return None
    if word in _BOOLS:
        return _BOOLS[word]
    if _INT.fullmatch(word):
        return int(word)
    if _FLOAT.fullmatch(word):
        return float(word)
    return word
