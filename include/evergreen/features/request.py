"""The frame of a request: what a caller sent, in the columns that a model was trained with.

Works from a :class:`Signature` and on-demand views alone, so that a gateway can answer with nothing else at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError, UserError
from evergreen.features.columns import arrow_type
from evergreen.features.on_demand import OnDemand
from evergreen.features.signature import EVENT_TIME, Signature
from evergreen.spec.base import DType
from evergreen.spec.truth import MEANT, read_bool

if TYPE_CHECKING:
    import pyarrow as pa


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
    """Brings rows of JSON into a model's columns.

    Args:
        sig: The model's signature.
        rows: Each holds every request column (null is a value), may hold outputs of materialized views that were
            looked up, and ``event_time`` (ISO 8601, UTC if it names no zone): what is asked about.
        on_demand: The model's on-demand views, in any order.
        now: When the prediction is asked; the event time of a row without one is this plus the prediction lead.

    Returns:
        A row per row, in order: ``_event_time``, ``_prediction_time``, request columns, outputs of the views (null
        where nothing was looked up).

    Raises:
        RequestErrors: Naming row and field of all that is missing, unknown, or of the wrong type.
        DataError: When an on-demand view fails on the rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values, events = _checked(sig, rows, now)
    instant = arrow_type("timestamp")
    types = {**sig.request, **sig.looked_up}
    event = pa.chunked_array([pa.array(events, instant)])
    asked = pc.subtract(event, pa.scalar(sig.prediction_lead, pa.duration("us")))
    sent = {name: pa.chunked_array([pa.array(values[name], arrow_type(dtype))]) for name, dtype in types.items()}
    fields = {"_event_time": event, "_prediction_time": asked, **sent}
    frame = pa.table(fields)
    if on_demand:
        from evergreen.features.frame import request_table

        request = request_table(frame, tuple(sig.request))
        for view in on_demand:
            made = view.compute(request)
            fields.update(zip(made.column_names, made.columns, strict=True))
    missing = [name for name in sig.types if name not in fields]
    if missing:
        raise UserError("on-demand views", "must give all computed columns of the model", value=missing)
    return pa.table({name: fields[name] for name in ("_event_time", "_prediction_time", *sig.types)})


def _checked(
    sig: Signature, rows: Sequence[Mapping[str, Any]], now: datetime | None
) -> tuple[dict[str, list[Any]], list[datetime]]:
    """Values by column, and the event time of each row."""
    types = {**sig.request, **sig.looked_up}
    values: dict[str, list[Any]] = {name: [] for name in types}
    events: list[datetime] = []
    errors: list[UserError] = []
    for number, row in enumerate(rows):
        place = f"rows[{number}]"
        if not isinstance(row, Mapping):
            errors.append(UserError(place, "must be an object of columns", value=row))
            continue
        for name in row:
            if name not in types and name != EVENT_TIME:
                remedy = f"Send {', '.join(sig.request)} and event_time."
                errors.append(UserError(f"{place}.{name}", "is no column of the request", remedy=remedy))
        for name, dtype in types.items():
            if name not in row and name in sig.request:
                errors.append(UserError(f"{place}.{name}", "must be sent; null says that it is not known"))
            try:
                values[name].append(_read(row.get(name), dtype))
            except ValueError as error:
                errors.append(UserError(f"{place}.{name}", str(error), value=row[name]))
        try:
            events.append(_event(sig, row, now))
        except ValueError as error:
            errors.append(UserError(f"{place}.{EVENT_TIME}", str(error), value=row.get(EVENT_TIME)))
    if errors:
        raise RequestErrors(errors)
    return values, events


def _event(sig: Signature, row: Mapping[str, Any], now: datetime | None) -> datetime:
    if row.get(EVENT_TIME) is not None:
        return _instant(row[EVENT_TIME])
    if now is None:
        raise ValueError("must be sent: the instant that is asked about, such as 2013-02-01T17:30:00Z")
    return now + sig.prediction_lead


def _read(value: Any, dtype: DType) -> Any:
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
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("must be a finite number or null")
    return float(value)


def _bool(value: Any) -> bool:
    meant = read_bool(value)
    if meant is None:
        raise ValueError(f"must be {MEANT} or null")
    return meant


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string or null")
    return value


def _instant(value: Any) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("must be an instant such as 2013-02-01T17:30:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _date(value: Any) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("must be a date such as 2013-02-01 or null") from None


_READERS: dict[DType, Callable[[Any], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "string": _string,
    "timestamp": _instant,
    "date": _date,
}
