"""The files of a run as raw rows, each with its place; a portion at a time, whatever their size."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import DataError, NotReady, TransientError
from evergreen.ingest import csvfile, parquetfile
from evergreen.ingest.archive import unpack
from evergreen.ingest.files import Skipped, SourceFile, file_system, fingerprint_of, locate, opened
from evergreen.ingest.normalise import narrow_decimals
from evergreen.ingest.quarantine import Reject, rows_as_json
from evergreen.lake.ahead import ahead

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

log = logging.getLogger(__name__)

ROW = "__row"
"""Number of a raw row among all records of all files of the run, from 0."""
PORTION = 32 * 2**20
"""Bytes, as Arrow holds them, of raw rows that are gone through at once."""
PARQUET_ROWS = 1 << 16
"""Rows of a Parquet file that are read at once."""


@dataclass(frozen=True)
class Part:
    """Records of one file, or of one member of an archive, that follow each other.

    Attributes:
        name: Of the file.
        file: Its number among the run's files.
        first: Number of the first record among all of the run.
        count: How many there are.
        sheet: Knows their lines; ``None`` where there are none.
    """

    name: str
    file: int
    first: int
    count: int
    sheet: csvfile.Lines | None


class Places:
    """Where rows stand, by their numbers."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add(self, part: Part) -> None:
        """The records that come next."""
        self._parts.append(part)

    @property
    def count(self) -> int:
        """All records so far."""
        return sum(part.count for part in self._parts)

    @property
    def summary(self) -> str:
        """The file's name, or how many there are and the first one's."""
        names = {part.file: part.name for part in self._parts}
        return names[0] if len(names) == 1 else f"{len(names)} files: {names[0]}, …"

    def files_of(self, numbers: Any) -> Any:
        """Of each row number the number of its file, as numpy."""
        import numpy as np

        return np.array([part.file for part in self._parts])[self._parts_of(numbers)]

    def place_of(self, row: int) -> tuple[str, int | None]:
        """File and line (``None`` in Parquet) of a row number."""
        part = next(each for each in reversed(self._parts) if each.first <= row)
        return part.name, None if part.sheet is None else int(part.sheet.of(row - part.first))

    def columns(self, numbers: Any, rows: int) -> tuple[pa.Array, pa.Array]:
        """Files and lines of many row numbers (``None``: rows without trace) as Arrow columns."""
        import numpy as np
        import pyarrow as pa

        if numbers is None:
            return pa.array([self.summary] * rows, type=pa.string()), pa.nulls(rows, pa.int64())
        if not self._parts:
            return pa.nulls(rows, pa.string()), pa.nulls(rows, pa.int64())
        of = self._parts_of(numbers)
        lines = np.zeros(rows, dtype="int64")
        for index in np.unique(of).tolist():
            part, mask = self._parts[index], of == index
            if part.sheet is not None:
                lines[mask] = part.sheet.of(numbers[mask] - part.first)
        names = pa.DictionaryArray.from_arrays(pa.array(of, type=pa.int32()), [part.name for part in self._parts])
        return names.cast(pa.string()), pa.array(lines, mask=lines == 0)

    def _parts_of(self, numbers: Any) -> Any:
        import numpy as np

        return np.searchsorted(np.array([part.first for part in self._parts]), numbers, side="right") - 1


@dataclass(frozen=True)
class Batch:
    """Rows of consecutive files of one shape.

    Attributes:
        file: Name of the first file.
        table: The well-formed rows with ``__row``; CSV fields are their bare texts, never null.
        texts: Columns of which the files know nothing but a text: CSV fields, names of folders.
        nulls: Texts that mean no value, of each CSV field.
    """

    file: str
    table: pa.Table
    texts: tuple[str, ...]
    nulls: Mapping[str, tuple[str, ...]]

    def as_json(self, asked: Any) -> dict[int, str]:
        """Of its rows those with some numbers (numpy, each once), as JSON of what the files say."""
        import numpy as np

        own = self.table[ROW].to_numpy()
        here = np.flatnonzero(np.isin(own, asked, assume_unique=True))
        texts = rows_as_json(self.table.drop_columns([ROW]), here.tolist())
        return dict(zip(own[here].tolist(), texts, strict=True))


@dataclass(frozen=True)
class Raw:
    """Rows of the files that follow each other.

    Attributes:
        batches: The well-formed rows in reading order; at least one.
        malformed: Row number and reject of each record with too many or too few fields.
        is_all: Whether the run has no others.
        places: Where they stand.
    """

    batches: list[Batch]
    malformed: list[tuple[int, Reject]]
    is_all: bool
    places: Places

    @property
    def columns(self) -> list[str]:
        """The files' columns, without ``__row``."""
        return [name for name in self.batches[0].table.column_names if name != ROW]

    def as_json(self, numbers: Any) -> list[str]:
        """Some of its well-formed rows, by their numbers, as JSON of what the files say."""
        return _as_json(self.batches, numbers)


class _Piece(NamedTuple):
    """What is read at once of one file."""

    part: Part
    batch: Batch
    malformed: list[tuple[int, Reject]]


class Landed:
    """The files of a run.

    Attributes:
        places: Where the rows stand that :meth:`portions` handed out.
    """

    def __init__(self, dataset: Dataset, fs: Any, files: Sequence[SourceFile]) -> None:
        self._dataset, self._fs, self._files = dataset, fs, files
        self._only: Raw | None = None
        self.places = Places()

    def portions(self, most: int | None = PORTION) -> Iterator[Raw]:
        """The rows in reading order, at least one portion.

        Args:
            most: Bytes of a portion, about; ``None`` for all at once.

        Raises:
            DataError: A file cannot be read safely, or the files do not have the same columns.
            TransientError: A file changed meanwhile.
        """
        if self._only is not None:
            yield self._only
            return
        self.places = Places()
        pieces: list[_Piece] = []
        size, is_all = 0, True
        with ahead(self._pieces()) as coming:
            for piece in coming:
                own = piece.batch.table.nbytes
                if pieces and most is not None and size + own > most:
                    is_all = False
                    yield self._raw(pieces, is_all=is_all)
                    pieces, size = [], 0
                self.places.add(piece.part)
                pieces.append(piece)
                size += own
        last = self._raw(pieces, is_all=is_all)
        if is_all:
            self._only = last
        yield last

    def as_json(self, numbers: Any) -> list[str]:
        """Some well-formed rows, by their numbers, as JSON of what the files say; reads as far as it must."""
        if self._only is not None:
            return self._only.as_json(numbers)
        return _as_json((piece.batch for piece in self._pieces()), numbers)

    def _raw(self, pieces: Sequence[_Piece], *, is_all: bool) -> Raw:
        """Pieces as a portion; those of one shape that follow each other as one batch."""
        import pyarrow as pa

        joined = []
        for _, group in groupby(pieces, key=lambda piece: _shape(piece.batch)):
            alike = [piece.batch for piece in group]
            table = pa.concat_tables([batch.table for batch in alike])
            joined.append(Batch(alike[0].file, table, alike[0].texts, alike[0].nulls))
        return Raw(joined, [each for piece in pieces for each in piece.malformed], is_all, self.places)

    def _pieces(self) -> Iterator[_Piece]:
        """The rows as they are read, all with the columns of the first, in its order."""
        order: list[str] | None = None
        leader, position, number = "", 0, -1
        for file in self._files:
            if not file.size:
                raise DataError(file.name, "must not be empty, but has 0 bytes", remedy="Deliver the file again.")
            with opened(self._fs, file) as stream:
                for name, content in unpack(file.name, stream):
                    number += 1
                    for table, sheet in self._tables(file, name, content):
                        piece = self._piece(file, Part(name, number, position, 0, None), table, sheet)
                        names = piece.batch.table.column_names
                        if order is None:
                            order, leader = names, name
                        elif differing := sorted(set(names) ^ set(order)):
                            raise DataError(
                                name, f"must have the same columns as {leader}; only one of them has", value=differing,
                                remedy="Declare the needed ones under columns, or deliver files of one shape.",
                            )  # fmt: skip
                        table = piece.batch.table.select(order)
                        yield piece._replace(batch=replace(piece.batch, table=table))
                        position += piece.part.count

    def _tables(
        self, file: SourceFile, name: str, content: IO[bytes]
    ) -> Iterator[tuple[pa.Table, csvfile.Sheet | None]]:
        wanted = self._dataset.columns
        own = None if wanted is None else [column for column in wanted if column not in file.partitions]
        if file.format == "csv":
            for sheet in csvfile.parse(name, content, self._dataset.source, own):
                yield sheet.table, sheet
        else:
            stream = content if content.seekable() else io.BytesIO(content.read())
            for table in parquetfile.parse(name, stream, own, PARQUET_ROWS):
                yield _readable(table, name), None

    def _piece(self, file: SourceFile, part: Part, table: pa.Table, sheet: csvfile.Sheet | None) -> _Piece:
        """Rows with their numbers and what the names of folders say."""
        import numpy as np
        import pyarrow as pa

        numbers, nulls, malformed = np.arange(part.first, part.first + table.num_rows), {}, []
        if sheet is not None:
            numbers = sheet.records + part.first
            nulls = dict.fromkeys(table.column_names, self._dataset.source.null_values)
            malformed = [(part.first + each.record, _reject(each, sheet, part.name)) for each in sheet.malformed]
        wanted = self._dataset.columns
        folders = [each for each in file.partitions if _is_wanted(each, table, wanted)]
        for each in folders:
            table = table.append_column(each, pa.array([file.partitions[each]] * table.num_rows, type=pa.string()))
        table = table.append_column(ROW, pa.array(numbers, type=pa.int64()))
        count = table.num_rows + len(malformed)
        done = replace(part, count=count, sheet=None if sheet is None else sheet.lines)
        return _Piece(done, Batch(part.name, table, (*nulls, *folders), nulls), malformed)


def originals(
    dataset: Dataset, numbers: Sequence[int], *, as_of: str, landing: str, fingerprint: str
) -> list[str] | None:
    """Raw rows of a run, by their numbers, as JSON of what the files say; ``None`` where these are no longer the same.

    Args:
        dataset: The dataset.
        numbers: Of the rows.
        as_of: The run's key.
        landing: Root of the files.
        fingerprint: Of the files that the run read.
    """
    fs = file_system(landing)
    try:
        files = locate(dataset, as_of=as_of, landing=landing)
        if fingerprint_of(fs, files) == fingerprint:
            return Landed(dataset, fs, files).as_json(numbers)
        gone = "its files are no longer what was read"
    except (DataError, NotReady, Skipped, TransientError) as error:
        gone = str(error)
    log.warning("Rows of %s as of %s are set aside as they were validated: %s", dataset.name, as_of, gone)
    return None


def confirm_unchanged(before: Sequence[SourceFile], after: Sequence[SourceFile]) -> None:
    """Raises a TransientError if files changed between two looks."""
    changed = {(each.name, each.size, each.modified) for each in before} ^ {
        (each.name, each.size, each.modified) for each in after
    }
    if changed:
        raise TransientError(f"{min(changed)[0]} changed while the run read it")


def _as_json(batches: Iterable[Batch], numbers: Any) -> list[str]:
    import numpy as np

    asked = np.asarray(numbers, dtype="int64")
    distinct = np.unique(asked)
    texts: dict[int, str] = {}
    for batch in batches if len(distinct) else ():
        texts |= batch.as_json(distinct)
        if len(texts) == len(distinct):
            break
    return [texts[number] for number in asked.tolist()]


def _reject(each: csvfile.Malformed, sheet: csvfile.Sheet, name: str) -> Reject:
    reason = f"row must have {sheet.width} fields, got {each.fields}"
    row = json.dumps({"_raw": each.text}, ensure_ascii=False)
    return Reject(reason, "fields", row, name, sheet.line_of(each.record))


def _is_wanted(folder: str, table: pa.Table, wanted: Collection[str] | None) -> bool:
    return (wanted is None or folder in wanted) and folder not in table.column_names


def _readable(table: pa.Table, name: str) -> pa.Table:
    """The columns of a Parquet file without what DuckDB cannot read or would write otherwise.

    Dictionaries, odd widths of numbers, and texts that an older writer noted as bytes, which DuckDB would escape.

    Raises:
        DataError: When bytes are no text.
    """
    import pyarrow as pa

    columns = {}
    for field in table.schema:
        column, kind = table[field.name], field.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_floating(kind):
            column = column.cast(pa.float64())
        elif pa.types.is_decimal(kind) and not pa.types.is_decimal128(kind):
            column = narrow_decimals(column)
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            try:
                column = column.cast(pa.binary()).cast(pa.string())
            except pa.ArrowInvalid as error:
                raise DataError(
                    f"{name} column {field.name}",
                    f"must hold text in UTF-8, not other bytes: {error}",
                    remedy="Leave it out of columns, or deliver it as text.",
                ) from error
        columns[field.name] = column
    return pa.table(columns)


def _shape(batch: Batch) -> tuple[pa.Schema, frozenset[str]]:
    return batch.table.schema.remove_metadata(), frozenset(batch.texts)
