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

_REPORT_PATH = re.compile(r"\breports/[\w=+.:/-]+\.html\b")
_DIGEST = re.compile(r"[0-9a-f]{32,}")
_WORDS = {True: "yes", False: "no", None: "none"}


def account(result: StepResult) -> list[str]:
    """A step's result for people, line by line; what only other steps read (staged tables, digests) is left out."""
    output = dict(result.output)
    lines = [] if result.skip is None else [f"Nothing to do: {part}" for part in sentences(result.skip)[:1]]
    reasons = [] if result.skip is None else sentences(result.skip)[1:]
    for name in ("verdict", "drift"):
        if name in output and not isinstance(output[name], Mapping):
            lines.append(f"{name.capitalize()}: {_word(output.pop(name))}")
    reasons += [*output.pop("reasons", ()), *filter(None, [output.pop("reason", None)])]
    lines += [f"- {reason}" for reason in reasons]
    lines += _figures(output)
    lines += [f"{LINKS[kind].name}: {LINKS[kind].address(to)}" for kind, to in result.links.items() if kind in LINKS]
    return [each for line in lines for each in _wrapped(addressed(line))]


def sentences(message: str) -> list[str]:
    """A message of several reasons, which the library parts by semicolons, as its parts."""
    return [part.strip() for part in re.split(r";\s|\n", message) if part.strip()]


def addressed(text: str) -> str:
    """The text with each report's path in the lake written as the address that shows it."""
    return _REPORT_PATH.sub(lambda found: REPORT.address(found[0]), text)


def _figures(output: Mapping[str, Any]) -> Iterator[str]:
    plain = {name: value for name, value in output.items() if _is_figure(value)}
    if plain:
        yield _said(plain)
    for name, value in output.items():
        if isinstance(value, Mapping):
            kept = {key: each for key, each in value.items() if _is_figure(each)}
            if kept:
                yield f"{_name(name)}: {_said(kept)}"
            for entries in (each for each in value.values() if isinstance(each, list)):
                yield from (f"- {_said(entry)}" for entry in entries if isinstance(entry, Mapping))


def _is_figure(value: object) -> bool:
    if isinstance(value, str):
        return "/" not in value and _DIGEST.fullmatch(value) is None
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, bool | int | float | str) for each in value)
    return value is None or isinstance(value, bool | int | float)


def _said(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{_name(name)} {_word(value)}" for name, value in figures.items() if _is_figure(value))


def _name(name: str) -> str:
    return name.replace("_", " ")


def _word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, list):
        return " ".join(map(_word, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
