"""How times are written: a text is read in full, by its meaning, or it is no time at all.

A date has a year of four digits, then month and day. A time of day, to the microsecond, may follow, and behind that
``Z``, ``UTC``, ``GMT`` or an offset. Whatever else stands there (``pm``, the name of a zone, a digit too many) makes
the whole text no time, rather than another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from evergreen.ingest.zone import is_outside

if TYPE_CHECKING:
    import pyarrow as pa

_DAY = r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{0,6}0*)?)?"
_OFFSET = r"(?:[zZ]|[uU][tT][cC]|[gG][mM][tT]|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)"
_TIMESTAMP = rf"\s*{_DAY}(?:[T ]{_CLOCK}\s*{_OFFSET}?)?\s*"
_DATE = rf"\s*{_DAY}\s*"
_MIDNIGHT = rf"\s*{_DAY}(?:[T ]00:00(?::00(?:\.0*)?)?)?\s*"
_FIRST_DAY = "DATE '0001-01-01'"


class Times(NamedTuple):
    """Texts as times: wall-clock ones (``timestamp[us]``) and those with an offset, in UTC; null where none is."""

    local: pa.Array
    instants: pa.Array


def local_sql(value: str) -> str:
    """SQL of the date and time that a text names, without its offset; null where it is no time."""
    local = f"TRY_CAST(regexp_extract({value}, '{_DAY}(?:[T ]{_CLOCK})?') AS TIMESTAMP)"
    return f"CASE WHEN regexp_full_match({value}, '{_TIMESTAMP}') AND {local} >= {_FIRST_DAY} THEN {local} END"


def offset_sql(value: str) -> str:
    """SQL of the offset that ends a text; empty where there is none."""
    return rf"regexp_extract({value}, ':[0-9.]+\s*({_OFFSET})\s*$', 1)"


def date_sql(value: str, *, midnight: bool) -> str:
    """SQL of the date that a text names (``midnight``: even with a time of day that is midnight); else null."""
    day = f"TRY_CAST(regexp_extract({value}, '{_DAY}') AS DATE)"
    pattern = _MIDNIGHT if midnight else _DATE
    return f"CASE WHEN regexp_full_match({value}, '{pattern}') AND {day} >= {_FIRST_DAY} THEN {day} END"


def read_times(text: pa.ChunkedArray) -> Times:
    """Reads texts as times."""
    import pyarrow as pa

    from evergreen.lake.duck import query

    found = query(
        f"SELECT {local_sql('t')} AS local, {offset_sql('t')} AS off FROM texts", {"texts": pa.table({"t": text})}, {}
    )
    return with_offsets(found["local"], found["off"])


def with_offsets(local: pa.ChunkedArray, offsets: pa.ChunkedArray) -> Times:
    """Parts times by whether they carry an offset, and takes it off.

    Args:
        local: What :func:`local_sql` gave.
        offsets: What :func:`offset_sql` gave.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ticks = pc.fill_null(_one(local.cast(pa.timestamp("us"))).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    missing = _one(local).is_null().to_numpy(zero_copy_only=False)
    texts = pc.unique(offsets)
    codes = np.asarray(pc.fill_null(pc.index_in(_one(offsets), value_set=texts), 0))
    read = [_minutes(text) for text in texts.to_pylist()]
    bare = np.array([minutes is None for minutes in read], dtype=bool)[codes] if read else np.zeros(0, dtype=bool)
    shift = np.array([minutes or 0 for minutes in read], dtype="int64")[codes] if read else np.zeros(0, dtype="int64")
    instants = ticks - shift * 60_000_000
    outside = is_outside(instants)
    return Times(
        pa.array(ticks, mask=missing | ~bare, type=pa.int64()).cast(pa.timestamp("us")),
        pa.array(instants, mask=missing | bare | outside, type=pa.int64()).cast(pa.timestamp("us", tz="UTC")),
    )


def _minutes(offset: str | None) -> int | None:
    """Minutes by which an offset is ahead of UTC; ``None`` for no offset at all."""
    if not offset:
        return None
    numbers = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", offset)
    if numbers is None:
        return 0
    minutes = int(numbers[2]) * 60 + int(numbers[3] or 0)
    return -minutes if numbers[1] == "-" else minutes


def _one(value: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return pa.concat_arrays(value.chunks) if value.num_chunks else pa.array([], type=value.type)
