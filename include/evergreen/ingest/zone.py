"""Local wall-clock times to UTC, with both changes of daylight saving time said out loud."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pyarrow as pa

_QUARTER = 900 * 1_000_000  # microseconds; offsets change on quarters of an hour only
_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = datetime(1, 1, 2), datetime(9999, 12, 30)


def to_utc(local: pa.Array, timezone: str) -> tuple[pa.Array, Any]:
    """Reads wall-clock times in a time zone.

    A time that occurs twice (clocks go back) is taken as its first occurrence. A time that never occurs (clocks go
    forward) is read by the offset before the change and flagged.

    Args:
        local: ``timestamp[us]`` without a zone; may hold nulls.
        timezone: IANA name.

    Returns:
        ``timestamp[us, tz=UTC]``, and a boolean numpy mask of the times that do not exist (or lie outside years 1 to
        9999, and are null in the result).
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    zone = ZoneInfo(timezone)
    missing = np.asarray(pc.is_null(local).to_numpy(zero_copy_only=False), dtype=bool)
    ticks = pc.fill_null(local.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    outside = (ticks < _ticks(_FIRST)) | (ticks > _ticks(_LAST))
    ticks = np.where(outside, 0, ticks)
    quarters, where = np.unique(ticks // _QUARTER, return_inverse=True)
    offsets = np.empty(len(quarters), dtype="int64")
    gaps = np.zeros(len(quarters), dtype=bool)
    for index, quarter in enumerate(quarters.tolist()):
        wall = _EPOCH + timedelta(microseconds=quarter * _QUARTER)
        aware = wall.replace(tzinfo=zone)
        offset = aware.utcoffset() or timedelta(0)
        offsets[index] = offset // timedelta(microseconds=1)
        gaps[index] = aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall
    instants = ticks - offsets[where] if len(ticks) else ticks
    flagged = (gaps[where] | outside) & ~missing if len(ticks) else outside
    utc = pa.array(instants, mask=missing | outside, type=pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return utc, flagged


def _ticks(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
