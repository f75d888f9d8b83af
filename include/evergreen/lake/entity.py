"""One entity key, such as ``rider=4711``: which rows are its own, in tables, in JSON, in text.

A value comes as text and is read in the type of the column that it is looked for in: 7 finds the number 7 and the text
"7", never the text "007".
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

from evergreen.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN = re.compile(r"[A-Za-z0-9_.@:+-]+")
LEAST_LETTERS = 4
"""A shorter value stands by chance in any text."""


@dataclass(frozen=True)
class EntityKey:
    """Columns and the value of each, in the order of their names."""

    values: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, given: Iterable[str]) -> EntityKey:
        """Reads ``COLUMN=VALUE`` texts.

        Raises:
            UserError: For a text of another form, an empty value, a column that is named twice, or none at all.
        """
        found: dict[str, str] = {}
        for text in given:
            column, is_pair, value = text.partition("=")
            if not is_pair or not column.strip() or not value.strip():
                raise UserError("entity key", "must be COLUMN=VALUE", value=text, remedy="Write rider=4711.")
            if column.strip() in found:
                raise UserError("entity key", "must name each column once", value=column.strip())
            found[column.strip()] = value.strip()
        if not found:
            raise UserError("entity key", "must be given", remedy="Write rider=4711.")
        return cls(tuple(sorted(found.items())))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column for column, _ in self.values)

    def digest(self, salt: bytes) -> str:
        """What the key is recorded by: who has not the salt cannot try values."""
        text = json.dumps(self.values, ensure_ascii=False, separators=(",", ":"))
        return hmac.new(salt, text.encode(), "sha256").hexdigest()

    def mask(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows of a table that has all of the columns are the key's."""
        import pyarrow.compute as pc

        return reduce(pc.and_, (_equal(rows.column(column), value) for column, value in self.values))

    def is_said(self, row: Mapping[str, Any], names: Mapping[str, Collection[str]]) -> bool | None:
        """Whether a row of JSON is the key's; ``None`` where it does not say so by any name.

        Args:
            names: Of each column, what it may be called, itself among them; whatever their case.
        """
        fields = {str(name).lower(): value for name, value in row.items()}
        is_told = True
        for column, value in self.values:
            said = [fields[name.lower()] for name in names.get(column, (column,)) if name.lower() in fields]
            if said and not any(is_same(each, value) for each in said):
                return False
            is_told = is_told and bool(said)
        return True if is_told else None

    def may_be_in(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """Which texts of JSON are worth a look, as far as that can be told without reading them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pa.chunked_array([pa.repeat(pa.scalar(True), len(texts))])
        for _, value in self.values:
            is_whole = value.isdecimal() and not value.startswith("0")
            if is_whole or (_PLAIN.fullmatch(value) and _number(value) != _number(value)):  # else it has many spellings
                found = pc.and_(found, pc.fill_null(pc.match_substring(texts, value), False))
        return found

    def is_in(self, text: str) -> bool:
        """Whether a text holds every value as a word."""
        return all(_word(value).search(text) for _, value in self.values)

    @property
    def stands_out(self) -> bool:
        """Whether a text that holds every value does so for its sake, and not by chance."""
        return any(len(value) >= LEAST_LETTERS for _, value in self.values)

    def is_named(self, text: str) -> bool:
        """Whether a text that may be about anything names the key, as far as its value stands out."""
        return self.stands_out and self.is_in(text)


def is_same(said: Any, value: str) -> bool:
    """Whether a field of JSON, a source's own text perhaps, says a value."""
    if said is None or isinstance(said, Mapping | list):
        return False
    if isinstance(said, bool):
        return str(said).lower() == value.lower()
    if isinstance(said, int | float):
        return float(said) == _number(value)
    return str(said).strip() == value


def _equal(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = _typed(value, column.type)
    if wanted is None:
        return pa.chunked_array([pa.repeat(pa.scalar(False), len(column))])
    return pc.fill_null(pc.equal(column, wanted), False)


def _typed(value: str, kind: pa.DataType) -> pa.Scalar | None:
    """The value in a column's type; ``None`` where it has none, so that no row can be the key's."""
    import pyarrow as pa

    try:
        read = _read(value, kind)
        return None if read is None else pa.scalar(read, kind)
    except (ValueError, OverflowError):  # pyarrow's own errors are ValueErrors
        return None


def _read(value: str, kind: pa.DataType) -> Any:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_string(kind) or is_.is_large_string(kind):
        return value
    if is_.is_boolean(kind):
        return {"true": True, "false": False}.get(value.lower())
    if is_.is_integer(kind):
        number = _number(value)
        return int(value) if value.lstrip("+-").isdecimal() else int(number) if number == int(number) else None
    if is_.is_floating(kind):
        return float(value)
    if is_.is_date(kind):
        return date.fromisoformat(value)
    return datetime.fromisoformat(value) if is_.is_timestamp(kind) else None


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


def _word(value: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
