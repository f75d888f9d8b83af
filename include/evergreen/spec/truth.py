"""What a text or a number means as a truth value: one reading for files, requests and whatever else people write."""

from __future__ import annotations

import re

_WORDS = {
    "true": True, "t": True, "yes": True, "y": True, "on": True,
    "false": False, "f": False, "no": False, "n": False, "off": False,
}  # fmt: skip
_NUMBER = re.compile(r"([01])(\.0*)?")  # pandas writes 1.0 where a column of 0 and 1 has gaps

MEANT = "true, false (as yes/no, y/n, t/f, on/off or 1/0 too)"
"""What may be written, for messages."""


def read_bool(value: object) -> bool | None:
    """The truth value that is meant, whatever the case of its letters; ``None`` where none is.

    Args:
        value: A truth value, a number or a text.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    if not isinstance(value, str):
        return None
    word = value.strip().lower()
    number = _NUMBER.fullmatch(word)
    return _WORDS.get(word) if number is None else number[1] == "1"
