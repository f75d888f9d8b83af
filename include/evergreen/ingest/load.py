"""All files of a run as one table of raw rows, each with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, TransientError
from evergreen.ingest import csvfile, parquetfile
from evergreen.ingest.archive import unpack
from evergreen.ingest.files import SourceFile, read_bytes
from evergreen.ingest.quarantine import Reject

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

ROW = "__row"
"""Number of a raw row among all records of all files of the run, from 0."""


@dataclass(frozen=True)
class Part:
    """A file, or a member of an archive: which row numbers are its own and where its lines start."""

    name: str
    first: int
    count: int
    sheet: csvfile.Sheet | None


@dataclass(frozen=True)
class Raw:
    """What the files hold.

    Attributes:
        table: The well-formed rows with ``__row``; CSV columns are strings.
        malformed: Row number and reject of each record with too many or too few fields.
        parts: The files in reading order.
    """

    table: pa.Table
    malformed: list[tuple[int, Reject]]
    parts: list[Part]

    @property
    def count(self) -> int:
        """All records of all files."""
        return sum(part.count for part in self.parts)

    def place_of(self, row: int) -> tuple[str, int | None]:
        """File and line (``None`` in Parquet) of a row number."""
        part = next(each for each in reversed(self.parts) if each.first <= row)
        return part.name, None if part.sheet is None else part.sheet.line_of(row - part.first)

    def places(self, numbers: Any, rows: int) -> tuple[pa.Array, pa.Array]:
        """Files and lines of many row numbers (``None``: rows without trace) as Arrow columns."""
        import numpy as np
        import pyarrow as pa

        if numbers is None:
            return pa.array([self.summary] * rows, type=pa.string()), pa.nulls(rows, pa.int64())
        if not self.parts:
            return pa.nulls(rows, pa.string()), pa.nulls(rows, pa.int64())
        firsts = np.array([part.first for part in self.parts])
        of = np.searchsorted(firsts, numbers, side="right") - 1
        lines = np.zeros(rows, dtype="int64")
        for index, part in enumerate(self.parts):
            mask = of == index
            if part.sheet is not None:
                records = numbers[mask] - part.first
                starts = part.sheet.lines
                lines[mask] = records + 2 if starts is None else np.asarray(starts, dtype="int64")[records + 1]
        names = pa.DictionaryArray.from_arrays(pa.array(of, type=pa.int32()), [part.name for part in self.parts])
        return names.cast(pa.string()), pa.array(lines, mask=lines == 0)

    @property
    def summary(self) -> str:
        """The file's name, or how many there are and the first one's."""
        names = [part.name for part in self.parts]
        return names[0] if len(names) == 1 else f"{len(names)} files: {names[0]}, …"


def load(dataset: Dataset, fs: Any, files: Sequence[SourceFile]) -> Raw:
    """Reads all files of a run.

    Raises:
        DataError: A file cannot be read safely, or the files do not have the same columns.
        TransientError: A file changed meanwhile.
    """
    import pyarrow as pa

    wanted = None if dataset.columns is None else tuple(dataset.columns)
    tables: list[pa.Table] = []
    malformed: list[tuple[int, Reject]] = []
    parts: list[Part] = []
    position = 0
    for file in files:
        own = None if wanted is None else [column for column in wanted if column not in file.partitions]
        for name, content in unpack(file.name, read_bytes(fs, file)):
            if file.format == "csv":
                sheet = csvfile.parse(name, content, dataset.source, own)
                table, records, count = (sheet.table, sheet.records + position, sheet.count)
                part = Part(name, position, count, sheet)
                malformed += [(position + each.record, _reject(each, sheet, name)) for each in sheet.malformed]
            else:
                table = _decode_dictionaries(parquetfile.parse(name, content, own))
                records, count = (range(position, position + table.num_rows), table.num_rows)
                part = Part(name, position, count, None)
            table = _with_partitions(table, file, wanted)
            tables.append(table.append_column(ROW, pa.array(records, type=pa.int64())))
            parts.append(part)
            position += count
    return Raw(_concatenate(parts, tables), malformed, parts)


def confirm_unchanged(before: Sequence[SourceFile], after: Sequence[SourceFile]) -> None:
    """Raises a TransientError if files changed between two looks."""
    changed = {(each.name, each.size, each.modified) for each in before} ^ {
        (each.name, each.size, each.modified) for each in after
    }
    if changed:
        raise TransientError(f"{min(changed)[0]} changed while the run read it")


def _reject(each: csvfile.Malformed, sheet: csvfile.Sheet, name: str) -> Reject:
    reason = f"row must have {sheet.width} fields, got {each.fields}"
    row = json.dumps({"_raw": each.text}, ensure_ascii=False)
    return Reject(reason, "fields", row, name, sheet.line_of(each.record))


def _with_partitions(table: pa.Table, file: SourceFile, wanted: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa

    for column, value in file.partitions.items():
        if (wanted is None or column in wanted) and column not in table.column_names:
            table = table.append_column(column, pa.array([value] * table.num_rows, type=pa.string()))
    return table


def _decode_dictionaries(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _concatenate(parts: list[Part], tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    first = tables[0].column_names
    for part, table in zip(parts, tables, strict=True):
        if set(table.column_names) != set(first):
            differing = sorted(set(table.column_names) ^ set(first))
            raise DataError(
                part.name, f"must have the same columns as {parts[0].name}; only one of them has", value=differing,
                remedy="Declare the needed ones under columns, or deliver files of one shape.",
            )  # fmt: skip
    try:
        return pa.concat_tables([table.select(first) for table in tables], promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            parts[0].name, f"and the other files must have the same types ({error})",
            remedy="Declare the types under columns.",
        ) from None  # fmt: skip
