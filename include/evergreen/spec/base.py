"""What all three kinds of resource share."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
"""Resource names: they become file names, tables, DAG ids and URLs."""

SYSTEM_COLUMNS = frozenset({"_row_id", "_row_hash", "_event_time", "_known_at", "_deleted", "_as_of", "_commit"})
"""The lake's own columns beside a table's (``evergreen.lake.columns.SYSTEM``, as a set)."""

Kind = Literal["dataset", "feature_view", "model"]
DType = Literal["int", "float", "string", "bool", "timestamp", "date"]


class At(ValueError):
    """A broken rule between the fields of one object, and the field to change.

    Args:
        field: Path of the field, from the object that is validated.
        rule: What must hold.
    """

    def __init__(self, field: tuple[str | int, ...], rule: str, value: object = None, remedy: str = "") -> None:
        super().__init__(rule)
        self.field, self.value, self.remedy = field, value, remedy


class Frozen(BaseModel):
    """A config object: immutable, refusing unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Resource(Frozen):
    """A file of the workspace. ``name`` is the file's stem and never written in the file."""

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    owner: str = ""


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("must be an IANA time zone such as UTC or America/New_York") from None
    return value


def _column(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", value):
        raise ValueError("must be a column name: a letter, then letters, digits or _")
    return value


def _source_column(value: str) -> str:
    if not value or value != value.strip():
        raise ValueError("must be a column name: text without a blank before or behind")
    if value.startswith("__") or value in SYSTEM_COLUMNS:
        raise ValueError(
            f"must not begin with __ and be none of {', '.join(sorted(SYSTEM_COLUMNS))}, which are reserved"
        )
    return value


TimeZone = Annotated[str, AfterValidator(_timezone)]
Column = Annotated[str, AfterValidator(_column)]
SourceColumn = Annotated[str, AfterValidator(_source_column)]
"""A column as a source names it: with dots, blanks and whatever else may stand in a header."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
