"""JSON documents (evidence, figures, inputs): made plain before they are stored, hashed or compared."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """The same document in JSON's own types, so that what is stored reads back equal.

    NaN and infinities, which JSON lacks, become ``None``; times become ISO text; numpy scalars become Python's.

    Raises:
        TypeError: For a value that has no place in a small document (a table, an object).
    """
    if value is None or isinstance(value, bool | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Set):
        return sorted((plain(each) for each in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(each) for each in value]
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return plain(value.item())
    raise TypeError(f"a document holds JSON values, got {type(value).__name__}")


def dumps(value: Any) -> str:
    """JSON text of a document, as it is stored."""
    return json.dumps(plain(value), allow_nan=False)


def canonical(value: Any) -> str:
    """JSON text that equal documents share: sorted keys, no blanks; what hashes are taken of."""
    return json.dumps(plain(value), allow_nan=False, sort_keys=True, separators=(",", ":"))
