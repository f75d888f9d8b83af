"""How much of a model's labelled rows: a stretch of time, a number of rows, or a share of all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler, PlainSerializer, PlainValidator
from pydantic_core import CoreSchema

from evergreen.spec.timing import format_duration, parse_duration

_ROWS = re.compile(r"^\s*([0-9]{1,12})\s*rows?\s*$")
_PERCENT = re.compile(r"^\s*([0-9]{1,3}(?:\.[0-9]+)?)\s*%\s*$")


@dataclass(frozen=True)
class Rows:
    """A number of labelled rows, written ``500 rows``.

    Attributes:
        count: At least 1.
    """

    count: int


@dataclass(frozen=True)
class Portion:
    """A share of the labelled rows, written ``20%``.

    Attributes:
        share: Above 0 and below 1.
    """

    share: float


def parse_amount(value: object) -> timedelta | Rows | Portion:
    """Reads ``14d`` (as :func:`~evergreen.spec.timing.parse_duration`), ``500 rows`` or ``20%``.

    Raises:
        ValueError: For anything else, saying what is allowed.
    """
    if isinstance(value, Portion):
        return value
    match = _PERCENT.match(value) if isinstance(value, str) else None
    if match is not None:
        if not 0 < float(match[1]) < 100:
            raise ValueError("must be a share above 0% and below 100%")
        return Portion(float(match[1]) / 100)
    return _time_or_rows(
        value, "must be a duration such as 14d, a number of rows such as 500 rows, or a share such as 20%"
    )


def parse_history(value: object) -> timedelta | Rows:
    """Reads ``28d`` or ``5000 rows``.

    Raises:
        ValueError: For anything else, saying what is allowed.
    """
    return _time_or_rows(value, "must be a duration such as 28d, or a number of labelled rows such as 5000 rows")


def format_amount(value: timedelta | Rows | Portion) -> str:
    """The inverse of :func:`parse_amount`."""
    if isinstance(value, Rows):
        return f"{value.count} row{'' if value.count == 1 else 's'}"
    if isinstance(value, Portion):
        return f"{value.share * 100:.10f}".rstrip("0").rstrip(".") + "%"
    return format_duration(value)


def _time_or_rows(value: object, rule: str) -> timedelta | Rows:
    if isinstance(value, Rows):
        return value
    match = _ROWS.match(value) if isinstance(value, str) else None
    if match is not None:
        if int(match[1]) < 1:
            raise ValueError("must be at least 1 row")
        return Rows(int(match[1]))
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(rule if "such as" in str(error) else str(error)) from None


@dataclass(frozen=True)
class _Schema:
    pattern: str
    examples: tuple[str, ...]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern, "examples": list(self.examples)}


Amount = Annotated[
    timedelta | Rows | Portion,
    PlainValidator(parse_amount),
    PlainSerializer(format_amount, return_type=str),
    _Schema(r"^\d+(\.\d+)?([smhdw]|%)$|^\d+ rows?$", ("14d", "500 rows", "20%")),
]
History = Annotated[
    timedelta | Rows,
    PlainValidator(parse_history),
    PlainSerializer(format_amount, return_type=str),
    _Schema(r"^\d+(\.\d+)?[smhdw]$|^\d+ rows?$", ("28d", "5000 rows")),
]
