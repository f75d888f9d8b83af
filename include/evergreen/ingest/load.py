"""All files of a run as one table of raw rows, each with its place."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, NotReady, TransientError
from evergreen.ingest import csvfile, parquetfile
from evergreen.ingest.archive import unpack
from evergreen.ingest.files import Skipped, SourceFile, file_system, fingerprint_of, locate, read_bytes
from evergreen.ingest.normalise import narrow_decimals
from evergreen.ingest.quarantine import Reject, rows_as_json

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Raw:
    """What the files hold.

    Attributes:
        batches: The well-formed rows in reading order; at least one.
        malformed: Row number and reject of each record with too many or too few fields.
        parts: The files in reading order.
    """

    batches: list[Batch]
    malformed: list[tuple[int, Reject]]
    parts: list[Part]

    @property
    def count(self) -> int:
        """All records of all files."""
        return sum(part.count for part in self.parts)

    @property
    def columns(self) -> list[str]:
        """The files' columns, without ``__row``."""
        return [name for name in self.batches[0].table.column_names if name != ROW]

    def as_json(self, numbers: Any) -> list[str]:
        """Some well-formed rows, by their numbers, as JSON of what the files say."""
        import numpy as np

        asked, back = np.unique(np.asarray(numbers, dtype="int64"), return_inverse=True)
        texts: list[str] = []
        for batch in self.batches:
            own = batch.table[ROW].to_numpy()
            here = np.flatnonzero(np.isin(own, asked, assume_unique=True))
            texts += rows_as_json(batch.table.drop_columns([ROW]), here.tolist())
        return [texts[at] for at in back.tolist()]

    def parts_of(self, numbers: Any) -> Any:
        """Of each row number the index of its part, as numpy."""
        import numpy as np

        return np.searchsorted(np.array([part.first for part in self.parts]), numbers, side="right") - 1

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
        of = self.parts_of(numbers)
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
    batches: list[Batch] = []
    malformed: list[tuple[int, Reject]] = []
    parts: list[Part] = []
    position = 0
    for file in files:
        own = None if wanted is None else [column for column in wanted if column not in file.partitions]
        for name, content in unpack(file.name, read_bytes(fs, file)):
            if file.format == "csv":
                sheet = csvfile.parse(name, content, dataset.source, own)
                table, records, count = (sheet.table, sheet.records + position, sheet.count)
                nulls = dict.fromkeys(table.column_names, dataset.source.null_values)
                parts.append(Part(name, position, count, sheet))
                malformed += [(position + each.record, _reject(each, sheet, name)) for each in sheet.malformed]
            else:
                table = _readable(parquetfile.parse(name, content, own), name)
                records, count, nulls = (range(position, position + table.num_rows), table.num_rows, {})
                parts.append(Part(name, position, count, None))
            folders = [each for each in file.partitions if _is_wanted(each, table, wanted)]
            for each in folders:
                value = [file.partitions[each]] * table.num_rows
                table = table.append_column(each, pa.array(value, type=pa.string()))
            table = table.append_column(ROW, pa.array(records, type=pa.int64()))
            batches.append(Batch(name, table, (*nulls, *folders), nulls))
            position += count
    return Raw(_joined(parts, batches), malformed, parts)


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
            return load(dataset, fs, files).as_json(numbers)
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


def _reject(each: csvfile.Malformed, sheet: csvfile.Sheet, name: str) -> Reject:
    reason = f"row must have {sheet.width} fields, got {each.fields}"
    row = json.dumps({"_raw": each.text}, ensure_ascii=False)
    return Reject(reason, "fields", row, name, sheet.line_of(each.record))


def _is_wanted(folder: str, table: pa.Table, wanted: Sequence[str] | None) -> bool:
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


def _joined(parts: Sequence[Part], batches: Sequence[Batch]) -> list[Batch]:
    """Batches of one shape that follow each other as one; all with the columns of the first, in its order."""
    import pyarrow as pa

    order = batches[0].table.column_names
    for part, batch in zip(parts, batches, strict=True):
        if differing := sorted(set(batch.table.column_names) ^ set(order)):
            raise DataError(
                part.name, f"must have the same columns as {parts[0].name}; only one of them has", value=differing,
                remedy="Declare the needed ones under columns, or deliver files of one shape.",
            )  # fmt: skip
    joined = []
    for _, group in groupby(batches, key=lambda batch: _shape(batch, order)):
        alike = list(group)
        table = pa.concat_tables([batch.table.select(order) for batch in alike])
        joined.append(Batch(alike[0].file, table, alike[0].texts, alike[0].nulls))
    return joined


def _shape(batch: Batch, order: Sequence[str]) -> tuple[pa.Schema, frozenset[str]]:
    return batch.table.select(order).schema.remove_metadata(), frozenset(batch.texts)
