"""Whether a source that names its files by key holds a key before a certain one."""

from __future__ import annotations

import re
from datetime import datetime

from evergreen.errors import NotReady
from evergreen.ingest.files import Skipped, locate
from evergreen.spec.dataset import Dataset
from evergreen.spec.timing import parse_key

_KEY = "{as_of}"


def is_keyed(dataset: Dataset) -> bool:
    """Whether each key has files of its own."""
    return _KEY in dataset.source.path


def has_earlier(dataset: Dataset, *, before: datetime, landing: str) -> bool:
    """Whether files of an earlier key lie below the landing root; ``False`` for a source without keys."""
    if not is_keyed(dataset):
        return False
    source = dataset.source.model_copy(update={"path": dataset.source.path.replace(_KEY, "*"), "when_missing": "skip"})
    try:
        found = locate(dataset.model_copy(update={"source": source}), as_of="any", landing=landing)
    except (Skipped, NotReady):
        return False
    pattern = _pattern(dataset.source.path)
    keys = {match["key"] for each in found if (match := pattern.match(each.name)) is not None}
    return any((moment := _instant(key, dataset.timezone)) is not None and moment < before for key in keys)


def is_there(dataset: Dataset, *, as_of: str, landing: str) -> bool:
    """Whether the source has files for a key."""
    source = dataset.source.model_copy(update={"when_missing": "skip"})
    try:
        return bool(locate(dataset.model_copy(update={"source": source}), as_of=as_of, landing=landing))
    except Skipped:
        return False


def _pattern(path: str) -> re.Pattern[str]:
    """Finds the key in the name of a file, or of a file in a folder, that a path with wildcards matches."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\{as_of\})", path)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern, seen = "", False
    for part in parts:
        if part == _KEY:
            pattern += "(?P=key)" if seen else "(?P<key>[0-9A-Za-z:+.-]+?)"
            seen = True
        else:
            pattern += wild.get(part, re.escape(part))
    return re.compile(rf"{pattern}(?:/.*)?$")


def _instant(key: str, timezone: str) -> datetime | None:
    try:
        return parse_key(key, timezone)
    except ValueError:
        return None
