"""Reads a CSV text, block by block, into columns of strings, and says exactly where it is broken."""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import FileSource

BLOCK = 16 * 2**20
"""Bytes of a file that are read at once; a record that is longer makes a longer block."""
_END = "\0end"


@dataclass(frozen=True)
class Malformed:
    """A record with too many or too few fields; ``record`` counts from 0 within its block."""

    record: int
    fields: int
    text: str


class Lines(NamedTuple):
    """At which lines of a text (from 1) records start: one after the other from ``first`` on, or as ``starts`` says."""

    first: int
    starts: Any

    def of(self, records: Any) -> Any:
        """Lines of records, by their numbers from 0: one, or numpy."""
        return self.first + records if self.starts is None else self.starts[records]


@dataclass(frozen=True)
class Sheet:
    """Whole records of a CSV text that follow each other.

    Attributes:
        table: The well-formed records; columns of strings, the bare texts of the fields.
        records: Of each row of ``table``, its number among the block's records, from 0.
        malformed: The other records.
        width: How many columns the header names.
        lines: Where its records start in the whole text.
    """

    table: pa.Table
    records: Any
    malformed: list[Malformed]
    width: int
    lines: Lines

    @property
    def count(self) -> int:
        """All records, well-formed or not."""
        return int(self.table.num_rows) + len(self.malformed)

    def line_of(self, record: int) -> int:
        """The line (from 1) at which a record starts."""
        return int(self.lines.of(record))


class _Block:
    """Whole records of a text, in UTF-8, and at which lines of the block they start (``None``: at each)."""

    def __init__(self, data: bytes, starts: list[int] | None) -> None:
        self.data, self.starts = data, starts

    @property
    def line_count(self) -> int:
        """Lines, also those within quotes."""
        return self.data.count(b"\n") + self.data.count(b"\r") - self.data.count(b"\r\n")


def parse(
    name: str, stream: IO[bytes], source: FileSource, wanted: Sequence[str] | None, block: int | None = None
) -> Iterator[Sheet]:
    """Reads a CSV text.

    Args:
        name: Of the file, for messages.
        stream: Its bytes, unpacked.
        source: Declares delimiter and encoding.
        wanted: The columns to keep; ``None`` keeps all.
        block: Bytes to read at once; :data:`BLOCK` by default.

    Yields:
        At least one sheet, in the order of the text.

    Raises:
        DataError: Nothing can be read safely: wrong encoding, truncated, doubled or missing columns, no header.
    """
    header: list[str] | None = None
    line, rows, widths, broken = 1, 0, set[int](), 0
    for part in _blocks(name, _decoded(name, stream, source.encoding, block or BLOCK), source.delimiter):
        is_first = header is None
        if header is None:
            header = _header(name, part.data.decode(), source.delimiter, wanted)
        sheet = _sheet(name, part, source, header, wanted, line=line, is_first=is_first)
        _refuse_cut_end(name, part.data, sheet)
        line += part.line_count
        rows, broken = rows + sheet.table.num_rows, broken + len(sheet.malformed)
        widths |= {each.fields for each in sheet.malformed}
        yield sheet
    if not rows and broken > 1 and len(widths) == 1:
        raise DataError(
            name, f"must have as many fields in each row as its header names ({len(header or ())})", value=widths.pop(),
            remedy="Correct the header, or set source.delimiter.",
        )  # fmt: skip


def _decoded(name: str, stream: IO[bytes], encoding: str, size: int) -> Iterator[str]:
    """The text, without its byte order mark, as it comes in."""
    head = stream.read(max(size, 4))
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # refuses an encoding of no text
        decoder = codecs.getincrementaldecoder(_with_order(encoding, head))()
    except LookupError:
        raise DataError(
            "source.encoding", "must be an encoding that Python knows", value=encoding, remedy="Write utf-8 or latin-1."
        ) from None
    read = lines = told = 0
    told_any = False
    while True:
        content, head = head if not read else stream.read(size), b""
        if not content and not read:
            raise DataError(name, "must not be empty, but has 0 bytes", remedy="Deliver the file again.")
        kept = decoder.getstate()[0]
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            raise _undecodable(name, error, encoding, read - len(kept), lines) from None
        if "\0" in text:
            raise DataError(
                f"{name}:{told + text.count(chr(10), 0, text.index(chr(0))) + 1}", "must be text, but holds NUL bytes",
                remedy="The file is damaged or in another encoding (source.encoding: utf-16?); deliver it again.",
            )  # fmt: skip
        if text:
            yield text if told_any else text.removeprefix("\ufeff")
            told_any = True
        if not content:
            return
        read, lines, told = read + len(content), lines + content.count(b"\n"), told + text.count("\n")


def _with_order(encoding: str, head: bytes) -> str:
    """An encoding of 16 or 32 bits whose text says no byte order has this machine's."""
    name = codecs.lookup(encoding).name
    marks = {"utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)}
    if name not in marks or not head or head.startswith(marks[name]):
        return encoding
    return f"{name}-{'le' if sys.byteorder == 'little' else 'be'}"


def _undecodable(name: str, error: UnicodeDecodeError, encoding: str, before: int, lines: int) -> DataError:
    content = error.object
    if error.end >= len(content) and "end of data" in error.reason:
        return _truncated(name, lines + 1, "in the middle of a character")
    return DataError(
        f"{name}:{lines + content.count(10, 0, error.start) + 1} byte {before + error.start}",
        f"must be {encoding} text", value=content[error.start : error.start + 8],
        remedy="Set source.encoding to the file's own (often latin-1 or cp1252), or deliver it as UTF-8.",
    )  # fmt: skip


def _blocks(name: str, texts: Iterator[str], delimiter: str) -> Iterator[_Block]:
    """Cuts a text between two records; the last block may lack its last newline."""
    pending, line, enough = "", 1, 1
    for text in texts:
        pending += text
        if len(pending) < enough:
            continue
        head, tail = _whole_lines(pending)
        starts, begun = _starts(head, delimiter)
        if begun is not None:
            head, tail, starts = head[:begun], head[begun:] + tail, (starts or [])[:-1]
        if not head.strip("\r\n"):
            enough = 2 * len(pending)  # a record without an end so far is not gone through again for each bit of it
            continue
        block, pending, enough = _Block(head.encode(), starts), tail, 1
        yield block
        line += block.line_count
    starts, begun = _starts(pending, delimiter)
    if begun is not None:
        last = starts[-1] if starts else 1
        raise _truncated(name, line + last - 1, "inside a quoted field that opens in the record")
    if line == 1 or pending.strip("\r\n"):
        yield _Block(pending.encode(), starts)


def _whole_lines(text: str) -> tuple[str, str]:
    """Parts a text behind its last line break; an old Mac's return at the very end may be half of one."""
    at = text.rfind("\n") + 1 or text.rfind("\r", 0, len(text) - 1) + 1
    return text[:at], text[at:]


def _starts(text: str, delimiter: str) -> tuple[list[int] | None, int | None]:
    """Lines (from 1) at which records start, if they are not simply the lines.

    Returns:
        The lines; and, of a text that ends inside quotes, where its last record begins.
    """
    blank = "\n\n" in text or "\n\r" in text or "\r\r" in text or text.startswith(("\n", "\r"))
    if '"' not in text and not blank:
        return None, None
    starts: list[int] = []
    places: list[int] = []
    reader = _Records(text, delimiter)
    last: list[str] = []
    line, place = 1, 0
    for last in reader:
        if last:
            starts.append(line)
            places.append(place)
        line, place = reader.line_num + 1, reader.place
    if last != [_END]:
        return starts, places[-1] if places else 0
    return starts[:-1], None


class _Records:
    """Rows of a text by Python's csv module, then a row ``[_END]`` unless the text ends inside quotes."""

    def __init__(self, text: str, delimiter: str) -> None:
        csv.field_size_limit(sys.maxsize)  # an unclosed quote makes one field of the rest of the file
        self.place = 0
        self._reader = csv.reader(self._lines(text), delimiter=delimiter)

    def _lines(self, text: str) -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            self.place += len(line)
            yield line
        yield _END

    @property
    def line_num(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self._reader)


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


def _sheet(
    name: str,
    block: _Block,
    source: FileSource,
    header: list[str],
    wanted: Sequence[str] | None,
    *,
    line: int,
    is_first: bool,
) -> Sheet:
    import numpy as np

    table, malformed = _read_columns(name, block.data, source, header, wanted, skip=int(is_first))
    starts = None if block.starts is None else np.asarray(block.starts[int(is_first) :], dtype="int64") + (line - 1)
    numbers = np.ones(table.num_rows + len(malformed), dtype=bool)
    numbers[[each.record for each in malformed]] = False
    return Sheet(table, np.flatnonzero(numbers), malformed, len(header), Lines(line + int(is_first), starts))


def _read_columns(
    name: str, data: bytes, source: FileSource, header: list[str], wanted: Sequence[str] | None, *, skip: int
) -> tuple[pa.Table, list[Malformed]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    malformed: list[Malformed] = []

    def note(row: Any) -> str:
        malformed.append(Malformed(row.number - 1 - skip, row.actual_columns, row.text))
        return "skip"

    labels = [f"c{index}" for index in range(len(header))]
    keep = [index for index, column in enumerate(header) if wanted is None or column in wanted]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            # One thread, since record numbers are told to one thread only. The header is read as a record, to count it.
            read_options=arrow_csv.ReadOptions(use_threads=False, column_names=labels, block_size=len(data) + 1),
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
    return table.slice(skip).rename_columns([header[index] for index in keep]), malformed


def _refuse_cut_end(name: str, data: bytes, sheet: Sheet) -> None:
    if not sheet.malformed or data.endswith((b"\n", b"\r")):
        return
    last = sheet.malformed[-1]
    if last.record == sheet.count - 1 and last.fields < sheet.width:
        raise _truncated(name, sheet.line_of(last.record), f"after {last.fields} of {sheet.width} fields")


def _truncated(name: str, line: int, where: str) -> DataError:
    return DataError(
        f"{name}:{line}", f"is truncated: it ends {where}",
        remedy="Deliver the whole file again; nothing of it was published.",
    )  # fmt: skip
