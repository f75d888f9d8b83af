"""Local wall-clock times to UTC and back, with both changes of daylight saving time said out loud."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pyarrow as pa

_QUARTER = 900 * 1_000_000  # microseconds; offsets change on quarters of an hour only
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = (datetime.min - _EPOCH) // _MICROSECOND, (datetime.max - _EPOCH) // _MICROSECOND
_DAY = 86_400 * 1_000_000


class Instants(NamedTuple):
    """Wall-clock times as instants.

    Attributes:
        utc: ``timestamp[us, tz=UTC]``; a time that occurs twice as its first occurrence.
        nowhere: Mask of the times that do not exist: the clocks go forward, or beyond years 1 to 9999 (then null).
        later: Microseconds from the first occurrence to the second; 0 of times that occur once.
    """

    utc: pa.Array
    nowhere: Any
    later: Any


def to_utc(local: pa.Array, timezone: str) -> Instants:
    """Reads wall-clock times in a time zone.

    A time that never occurs (clocks go forward) is read by the offset before the change and flagged.

    Args:
        local: ``timestamp[us]`` without a zone; may hold nulls.
        timezone: IANA name.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    zone = ZoneInfo(timezone)
    missing = np.asarray(pc.is_null(local).to_numpy(zero_copy_only=False), dtype=bool)
    ticks = pc.fill_null(local.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    outside = is_outside(ticks)
    ticks = np.where(outside, 0, ticks)
    quarters, where = np.unique(ticks // _QUARTER, return_inverse=True)
    offsets = np.zeros(len(quarters), dtype="int64")
    second = np.zeros(len(quarters), dtype="int64")
    for index, quarter in enumerate(quarters.tolist()):
        wall = (_EPOCH + timedelta(microseconds=quarter * _QUARTER)).replace(tzinfo=zone)
        offsets[index], second[index] = _offset(wall), _offset(wall.replace(fold=1))
    first, last = offsets[where], second[where]
    outside |= is_outside(ticks - first)
    utc = pa.array(ticks - first, mask=missing | outside, type=pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    later = np.where(missing | outside, 0, np.maximum(first - last, 0))
    return Instants(utc, (outside | (first < last)) & ~missing, later)


def to_local(ticks: Any, timezone: str) -> Any:
    """Wall-clock times of instants, both in microseconds since 1970 as numpy int64, within years 1 to 9999."""
    import numpy as np

    zone = ZoneInfo(timezone)
    # A day from either end of the calendar the local time could lie beyond it; offsets do not change there.
    quarters, where = np.unique(np.clip(ticks, _FIRST + _DAY, _LAST - _DAY) // _QUARTER, return_inverse=True)
    offsets = np.zeros(len(quarters), dtype="int64")
    for index, quarter in enumerate(quarters.tolist()):
        moment = (_EPOCH + timedelta(microseconds=quarter * _QUARTER)).replace(tzinfo=UTC)
        offsets[index] = _offset(moment.astimezone(zone))
    return ticks + offsets[where]


def is_outside(ticks: Any, per_second: int = 1_000_000) -> Any:
    """Mask of the times, in ticks since 1970, that lie beyond years 1 to 9999."""
    share = 1_000_000 // per_second
    return (ticks < -(-_FIRST // share)) | (ticks > _LAST // share)


def _offset(moment: datetime) -> int:
    return (moment.utcoffset() or timedelta(0)) // _MICROSECOND
