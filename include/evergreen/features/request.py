"""The frame of a request: what a caller sent, in the columns that a model was trained with.

Works from a :class:`Signature` and on-demand views alone, so that a gateway can answer with nothing else at hand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import EvergreenError, UserError
from evergreen.features import transforms
from evergreen.features.columns import arrow_type
from evergreen.features.on_demand import OnDemand
from evergreen.features.signature import EVENT_TIME, Signature
from evergreen.spec.base import DType
from evergreen.spec.truth import MEANT, read_bool

if TYPE_CHECKING:
    import pyarrow as pa


_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?) ?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Span(NamedTuple):
    """Instants that can be taken, both ends included."""

    first: datetime
    last: datetime
    rule: str


CALENDAR = Span(
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "must lie, in UTC and when the prediction is asked, from year 0001 to 9999",
)
PANDAS = Span(
    datetime(1677, 9, 22, tzinfo=UTC),
    datetime(2262, 4, 10, 23, 59, 59, 999_999, tzinfo=UTC),
    "must lie from 1677-09-22 to 2262-04-10, as Python features can take no other instant",
)
"""What fits 64 bits of nanoseconds around 1970, in which pandas counts."""


class RequestErrors(UserError):
    """All that is wrong with the rows of a request, collected before raising."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        self.errors = list(errors)
        lines = "\n".join(str(error) for error in self.errors[:20])
        more = f"\n… and {len(self.errors) - 20} more" if len(self.errors) > 20 else ""
        EvergreenError.__init__(self, f"{len(self.errors)} error(s) in the request:\n{lines}{more}")
        first = self.errors[0]
        self.place, self.rule, self.value, self.remedy = first.place, first.rule, first.value, first.remedy

    def __reduce__(self) -> tuple[object, ...]:
        return RequestErrors, (self.errors,)


def request_frame(
    sig: Signature,
    rows: Sequence[Mapping[str, Any]],
    on_demand: Sequence[OnDemand] = (),
    *,
    now: datetime | None = None,
) -> pa.Table:
    """Brings rows of JSON into a model's columns: :func:`read_rows`, then :func:`computed`.

    Raises:
        RequestErrors: Naming row and field of all that is missing, unknown, or of the wrong type.
        DataError: When an on-demand view fails on the rows.
    """
    return computed(sig, read_rows(sig, rows, on_demand, now=now), on_demand)


def read_rows(
    sig: Signature,
    rows: Sequence[Mapping[str, Any]],
    on_demand: Sequence[OnDemand] = (),
    *,
    now: datetime | None = None,
) -> pa.Table:
    """Reads rows of JSON by the declared types; what it refuses is the sender's mistake and nobody else's.

    Args:
        sig: The model's signature.
        rows: Each holds every request column (null is a value), may hold outputs of materialized views that were
            looked up, and ``event_time`` (ISO 8601, UTC if it names no zone): what is asked about.
        on_demand: The model's on-demand views: Python ones can take fewer instants than the calendar has.
        now: When the prediction is asked; the event time of a row without one is this plus the prediction lead.

    Returns:
        A row per row, in order: ``_event_time``, ``_prediction_time``, request columns, outputs of materialized views
        (null where nothing was looked up).

    Raises:
        RequestErrors: Naming row and field of all that is missing, unknown, or of the wrong type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    span = CALENDAR if all(transforms.is_sql(each.view) for each in on_demand) else PANDAS
    values, events = _checked(sig, rows, now, span)
    event = pa.chunked_array([pa.array(events, arrow_type("timestamp"))])
    asked = pc.subtract(event, pa.scalar(sig.prediction_lead, pa.duration("us")))
    types = {**sig.request, **sig.looked_up}
    sent = {name: pa.chunked_array([pa.array(values[name], arrow_type(dtype))]) for name, dtype in types.items()}
    return pa.table({"_event_time": event, "_prediction_time": asked, **sent})


def computed(sig: Signature, read: pa.Table, on_demand: Sequence[OnDemand] = ()) -> pa.Table:
    """Adds the on-demand views' outputs to what :func:`read_rows` gave; the model's columns, in order.

    Args:
        on_demand: The model's on-demand views, in any order.

    Raises:
        DataError: When a view fails on the rows; a ``ValuesError`` when it does so for their values.
    """
    import pyarrow as pa

    fields = dict(zip(read.column_names, read.columns, strict=True))
    if on_demand:
        from evergreen.features.frame import request_table

        request = request_table(read, tuple(sig.request))
        for view in on_demand:
            made = view.compute(request)
            fields.update(zip(made.column_names, made.columns, strict=True))
    missing = [name for name in sig.types if name not in fields]
    if missing:
        raise UserError("on-demand views", "must give all computed columns of the model", value=missing)
    return pa.table({name: fields[name] for name in ("_event_time", "_prediction_time", *sig.types)})


def _checked(
    sig: Signature, rows: Sequence[Mapping[str, Any]], now: datetime | None, span: Span
) -> tuple[dict[str, list[Any]], list[datetime]]:
    """Values by column, and the event time of each row."""
    types = {**sig.request, **sig.looked_up}
    values: dict[str, list[Any]] = {name: [] for name in types}
    narrow = {name for name, dtype in sig.request.items() if dtype == "timestamp"}
    events: list[datetime] = []
    errors: list[UserError] = []
    for number, row in enumerate(rows):
        place = f"rows[{number}]"
        if not isinstance(row, Mapping):
            errors.append(UserError(place, "must be an object of columns", value=plain(row)))
            continue
        for name in row:
            if name not in types and name != EVENT_TIME:
                remedy = f"Send {', '.join(sig.request)} and event_time."
                errors.append(UserError(f"{place}.{name}", "is no column of the request", remedy=remedy))
        for name, dtype in types.items():
            if name not in row and name in sig.request:
                errors.append(UserError(f"{place}.{name}", "must be sent; null says that it is not known"))
            try:
                value = read_value(row.get(name), dtype)
                if name in narrow and value is not None:
                    _within(value, span)
                values[name].append(value)
            except ValueError as error:
                errors.append(UserError(f"{place}.{name}", str(error), value=plain(row[name])))
        try:
            events.append(_event(sig, row, now, span))
        except ValueError as error:
            errors.append(UserError(f"{place}.{EVENT_TIME}", str(error), value=plain(row.get(EVENT_TIME))))
    if errors:
        raise RequestErrors(errors)
    return values, events


def plain(value: Any) -> Any:
    """A value as a message can show it: what is nested, maybe a thousand deep, is only named."""
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, list | tuple) else value


def _event(sig: Signature, row: Mapping[str, Any], now: datetime | None, span: Span) -> datetime:
    if row.get(EVENT_TIME) is None:
        if now is None:
            raise ValueError("must be sent: the instant that is asked about, such as 2013-02-01T17:30:00Z")
        return now + sig.prediction_lead
    moment = _within(_instant(row[EVENT_TIME]), span)
    if moment - span.first < sig.prediction_lead:
        raise ValueError(span.rule)
    return moment


def _within(moment: datetime, span: Span) -> datetime:
    if not span.first <= moment <= span.last:
        raise ValueError(span.rule)
    return moment


def read_value(value: Any, dtype: DType) -> Any:
    """A JSON value in a declared type; null stays null.

    Raises:
        ValueError: Saying what it must be.
    """
    return None if value is None else _READERS[dtype](value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a whole number or null")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("must be a whole number or null")
    if not -(2**63) <= value < 2**63:
        raise ValueError("must be a whole number of at most 64 bits")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a finite number or null")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be a finite number or null")
    return number


def _bool(value: Any) -> bool:
    meant = read_bool(value)
    if meant is None:
        raise ValueError(f"must be {MEANT} or null")
    return meant


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string or null")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            rule = "must be a string of whole characters (a lone surrogate is none) or null"
            raise ValueError(rule) from None
    return value


def _instant(value: Any) -> datetime:
    """An instant that is read in full or not at all: no rest is dropped, no other calendar or order is guessed."""
    if isinstance(value, datetime):
        moment = value
    else:
        found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError("must be an instant such as 2013-02-01T17:30:00Z")
        day, time, zone = found.groups(default="")
        try:
            moment = datetime.fromisoformat(f"{day}T{time}{zone.upper()}" if time else day)
        except ValueError as error:
            raise ValueError(f"must be an instant such as 2013-02-01T17:30:00Z ({error})") from None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(CALENDAR.rule) from None


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"must be a date such as 2013-02-01 or null ({error})") from None
    raise ValueError("must be a date such as 2013-02-01 or null")


_READERS: dict[DType, Callable[[Any], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "string": _string,
    "timestamp": _instant,
    "date": _date,
}
