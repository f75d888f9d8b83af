"""Reads one CSV text into columns of strings, and says exactly where it is broken."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import FileSource

_BLOCK = 64 * 2**20
_END = "\0end"


@dataclass(frozen=True)
class Malformed:
    """A record with too many or too few fields; ``record`` counts from 0 after the header."""

    record: int
    fields: int
    text: str


@dataclass(frozen=True)
class Sheet:
    """One CSV text.

    Attributes:
        table: The well-formed records; columns of strings, the bare texts of the fields.
        records: Of each row of ``table``, its number among all records, from 0 after the header.
        malformed: The other records.
        width: How many columns the header names.
        lines: Line at which each record starts, header included; ``None`` when a record is a line.
    """

    table: pa.Table
    records: Any
    malformed: list[Malformed]
    width: int
    lines: list[int] | None

    @property
    def count(self) -> int:
        """All records, well-formed or not."""
        return int(self.table.num_rows) + len(self.malformed)

    def line_of(self, record: int) -> int:
        """The line (from 1) at which a record starts."""
        return record + 2 if self.lines is None else self.lines[record + 1]


def parse(name: str, content: bytes, source: FileSource, wanted: Sequence[str] | None) -> Sheet:
    """Reads a CSV text.

    Args:
        name: Of the file, for messages.
        content: Its bytes, unpacked.
        source: Declares delimiter and encoding.
        wanted: The columns to keep; ``None`` keeps all.

    Raises:
        DataError: Nothing can be read safely: wrong encoding, truncated, doubled or missing columns, no header.
    """
    if not content:
        raise DataError(name, "must not be empty, but has 0 bytes", remedy="Deliver the file again.")
    text = _decode(name, content, source.encoding)
    lines = _start_lines(name, text, source.delimiter)
    header = _header(name, text, source.delimiter, wanted)
    data = text.encode() if source.encoding.lower().replace("_", "-") not in ("utf-8", "utf8") else content
    del text
    table, malformed = _read_columns(name, data.removeprefix(b"\xef\xbb\xbf"), source, header, wanted)
    sheet = Sheet(table, _numbers_without(malformed, table.num_rows), malformed, len(header), lines)
    _refuse_cut_end(name, data, sheet)
    _refuse_misfit_header(name, sheet)
    return sheet


def _decode(name: str, content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if error.end >= len(content) and "end of data" in error.reason:
            raise _truncated(name, content.count(b"\n") + 1, "in the middle of a character") from None
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}:{line} byte {error.start}", f"must be {encoding} text",
            value=content[error.start : error.start + 8],
            remedy="Set source.encoding to the file's own (often latin-1 or cp1252), or deliver it as UTF-8.",
        ) from None  # fmt: skip
    except LookupError:
        raise DataError(
            "source.encoding", "must be an encoding that Python knows", value=encoding, remedy="Write utf-8 or latin-1."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{name}:{line}", "must be text, but holds NUL bytes",
            remedy="The file is damaged or in another encoding (source.encoding: utf-16?); deliver it again.",
        )  # fmt: skip
    return text.removeprefix("\ufeff")


def _header(name: str, text: str, delimiter: str, wanted: Sequence[str] | None) -> list[str]:
    first = next((row for row in _Records(text, delimiter) if row), [])
    header = [] if first == [_END] else [column.strip() for column in first]
    if not any(header):
        raise DataError(name, "must begin with a header line", remedy="Deliver the file with its column names.")
    doubled = sorted({column for column in header if column and header.count(column) > 1})
    if doubled:
        raise DataError(f"{name}:1", "must name every column once", value=doubled, remedy="Rename the doubled columns.")
    if wanted is None and "" in header:
        raise DataError(
            f"{name}:1", f"must name every column, but column {header.index('') + 1} has no name",
            remedy="Name it, or declare the needed ones under columns.",
        )  # fmt: skip
    refuse_missing(f"{name}:1", header, wanted or ())
    return header


def refuse_missing(place: str, present: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises a DataError that names the missing columns and what looks like them."""
    missing = [column for column in wanted if column not in present]
    if not missing:
        return
    near = {each: get_close_matches(each, present, n=1) for each in missing}
    hints = [f"{each} (is it {match[0]!r}?)" if match else each for each, match in near.items()]
    raise DataError(
        place, f"must have column(s) {', '.join(hints)}", value=list(present),
        remedy="Deliver the file with them, or correct columns in the dataset.",
    )  # fmt: skip


def _start_lines(name: str, text: str, delimiter: str) -> list[int] | None:
    """Where records start, if they are not simply the lines; refuses a text that ends inside quotes."""
    blank = "\n\n" in text or "\n\r\n" in text or "\r\r" in text or text.startswith(("\n", "\r"))
    if '"' not in text and not blank:
        return None
    starts: list[int] = []
    reader = _Records(text, delimiter)
    last: list[str] = []
    line = 1
    for last in reader:
        if last:
            starts.append(line)
        line = reader.line_num + 1
    if last != [_END]:
        raise _truncated(name, starts[-1] if starts else 1, "inside a quoted field that opens in the record")
    return starts[:-1]


class _Records:
    """Rows of a text by Python's csv module, then a row ``[_END]`` unless the text ends inside quotes."""

    def __init__(self, text: str, delimiter: str) -> None:
        csv.field_size_limit(sys.maxsize)  # an unclosed quote makes one field of the rest of the file
        self._reader = csv.reader(self._lines(text), delimiter=delimiter)

    @staticmethod
    def _lines(text: str) -> Iterator[str]:
        yield from io.StringIO(text, newline="")
        yield _END

    @property
    def line_num(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self._reader)


def _read_columns(
    name: str, data: bytes, source: FileSource, header: list[str], wanted: Sequence[str] | None
) -> tuple[pa.Table, list[Malformed]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    malformed: list[Malformed] = []

    def note(row: Any) -> str:
        malformed.append(Malformed(row.number - 2, row.actual_columns, row.text))
        return "skip"

    labels = [f"c{index}" for index in range(len(header))]
    keep = [index for index, column in enumerate(header) if wanted is None or column in wanted]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            # One thread, since record numbers are told to one thread only. The header is read as a record, to count it.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, column_names=labels, block_size=min(len(data) + 1, _BLOCK)
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=source.delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(labels, pa.string()),
                include_columns=[labels[index] for index in keep],
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(name, f"cannot be read as CSV ({error})", remedy="Deliver the file again.") from None
    return table.slice(1).rename_columns([header[index] for index in keep]), malformed


def _numbers_without(malformed: list[Malformed], rows: int) -> Any:
    import numpy as np

    numbers = np.ones(rows + len(malformed), dtype=bool)
    numbers[[each.record for each in malformed]] = False
    return np.flatnonzero(numbers)


def _refuse_cut_end(name: str, data: bytes, sheet: Sheet) -> None:
    if not sheet.malformed or data.endswith((b"\n", b"\r")):
        return
    last = sheet.malformed[-1]
    if last.record == sheet.count - 1 and last.fields < sheet.width:
        raise _truncated(name, sheet.line_of(last.record), f"after {last.fields} of {sheet.width} fields")


def _refuse_misfit_header(name: str, sheet: Sheet) -> None:
    widths = {each.fields for each in sheet.malformed}
    if sheet.table.num_rows == 0 and len(sheet.malformed) > 1 and len(widths) == 1:
        raise DataError(
            name, f"must have as many fields in each row as its header names ({sheet.width})", value=widths.pop(),
            remedy="Correct the header, or set source.delimiter.",
        )  # fmt: skip


def _truncated(name: str, line: int, where: str) -> DataError:
    return DataError(
        f"{name}:{line}", f"is truncated: it ends {where}",
        remedy="Deliver the whole file again; nothing of it was published.",
    )  # fmt: skip
