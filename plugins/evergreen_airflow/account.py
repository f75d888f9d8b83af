"""What a task's log says of its step: the verdict, its reasons one a line, the figures, and addresses to open."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from evergreen.steps.contract import StepResult
from evergreen_airflow.links import LINKS, REPORT

WIDTH = 110
"""Characters of a line: a longer one scrolls sideways in Airflow's pages."""

_REPORT_PATH = re.compile(r"(?<![\w/])reports/[\w=+.:/-]+\.html\b")
_DIGEST = re.compile(r"[0-9a-f]{32,}")
_PARTS = re.compile(r";\s|\n")
_WORDS = {True: "yes", False: "no", None: "none"}
_VERDICTS = ("verdict", "drift")
_REASONS = ("reasons", "reason")


def account(result: StepResult) -> list[str]:
    """A step's result for people, line by line; what only other steps read (staged tables, digests) is left out."""
    lines: list[str] = []
    if result.skip is not None:
        first, *others = _PARTS.split(addressed(result.skip))
        lines += [f"Nothing to do: {first}", *(f"* {line}" for line in others)]
    lines += [f"{name.capitalize()}: {_word(each)}" for name, each in result.output.items() if _is_verdict(name, each)]
    lines += [f"* {addressed(reason)}" for name in _REASONS for reason in _listed(result.output.get(name))]
    lines += _figures(result.output)
    links = [f"{LINKS[kind].name}: {LINKS[kind].address(to)}" for kind, to in result.links.items() if kind in LINKS]
    return [part for line in lines for part in _wrapped(line)] + links


def paragraphs(message: str) -> list[str]:
    """A message as lines: the library parts its reasons by semicolons; paths of reports become addresses."""
    parts = [part for each in _PARTS.split(addressed(message)) for part in _wrapped(each.strip())]
    return parts or [message]


def report_in(message: str) -> str | None:
    """The lake's path of the report that a message names, if it names one."""
    found = _REPORT_PATH.search(message)
    return None if found is None else found[0]


def addressed(text: str) -> str:
    """The text with each report's path in the lake written as the address that shows it."""
    return _REPORT_PATH.sub(lambda found: REPORT.address(found[0]), text)


def _figures(output: Mapping[str, Any]) -> Iterator[str]:
    """Plain figures in one line; those of a group in a line with its name (yes and no first), its entries below."""
    plain = {name: value for name, value in output.items() if name not in _REASONS and not _is_verdict(name, value)}
    if said := _said(plain):
        yield said
    for name, group in output.items():
        if isinstance(group, Mapping):
            if said := _said(dict(sorted(group.items(), key=lambda item: not isinstance(item[1], bool)))):
                yield f"{_plain_name(name).capitalize()}: {said}"
            entries = [entry for each in group.values() if isinstance(each, list) for entry in each]
            yield from (f"* {_said(entry)}" for entry in entries if isinstance(entry, Mapping))


def _said(figures: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in figures.items() if _is_figure(value)}
    return ", ".join(f"{_plain_name(name)} {_word(value)}" for name, value in kept.items())


def _is_verdict(name: str, value: object) -> bool:
    return name in _VERDICTS and not isinstance(value, Mapping)


def _is_figure(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, bool | int | float | str) for each in value)
    if isinstance(value, str):
        return bool(value) and "/" not in value and _DIGEST.fullmatch(value) is None
    return value is None or isinstance(value, bool | int | float)


def _listed(reasons: object) -> list[str]:
    if isinstance(reasons, list):
        return [str(reason) for reason in reasons]
    return [reasons] if isinstance(reasons, str) and reasons else []


def _word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, list):
        return " ".join(map(_word, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain_name(name: str) -> str:
    return name.replace("_", " ")


def _wrapped(line: str) -> list[str]:
    """Lines that need no scrolling; an address is never parted from its beginning or within."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
