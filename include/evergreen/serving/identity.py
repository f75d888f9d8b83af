"""The lake's ``_row_id`` for a few rows of Python values, without the cost of a query.

Must stay equal to :func:`evergreen.lake.rows.digest`; a test compares the two over all types.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

Key = str | int | float | bool | date | datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def row_id(key: Mapping[str, Key | None]) -> str | None:
    """Digest of a row's identity.

    Args:
        key: Values by column, in the dataset's own types; instants are aware.

    Returns:
        32 hexadecimal digits, or ``None`` when a value is missing: such a row is in no dataset.
    """
    names = sorted(key)
    texts = []
    for name in names:
        value = key[name]
        if value is None:
            return None
        texts.append(_text(value))
    line = "".join(f"{len(name)}:{name}," for name in names) + ";".join(texts)
    return hashlib.sha256(line.encode()).hexdigest()[:32]


def _text(value: Key) -> str:
    if isinstance(value, str):
        return f"{len(value.encode())}:{value}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str((value - _EPOCH) // _MICROSECOND)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return str(struct.unpack("<q", struct.pack("<d", value + 0.0))[0])  # -0.0 + 0.0 is 0.0
    return str(value)
