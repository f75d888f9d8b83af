"""Raw rows become typed rows: by the types that are declared, or by such as lose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.ingest.agree import agree
from evergreen.ingest.cast import Cast, Misfit, cast
from evergreen.ingest.infer import infer
from evergreen.ingest.load import ROW, Batch, Raw
from evergreen.ingest.normalise import is_empty, is_whole, plain
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

Fault = tuple[str, str]
"""The short name of a broken rule, and the reason in words."""


@dataclass
class Typed:
    """Raw rows in their types.

    Attributes:
        rows: The columns and ``__row``, in reading order; a value that could not be read is null.
        faults: By index of a row, what of it could not be read.
        later: By column of wall-clock times some of which occur twice: see ``zone.Instants.later``.
    """

    rows: pa.Table
    faults: dict[int, list[Fault]]
    later: dict[str, Any]


def typed(raw: Raw, dataset: Dataset, published: Mapping[str, DType]) -> Typed:
    """Gives raw rows their types.

    Args:
        raw: What the files hold.
        dataset: Declares the types, or none; and the time zone.
        published: Types of the published table's columns, for columns that nobody declared.

    Raises:
        DataError: Files have undeclared types that do not go together.
    """
    import pyarrow as pa

    if dataset.columns is not None:
        types = dict(dataset.columns)
        done = [cast(each.table, types, dataset.timezone, each.nulls) for each in raw.batches]
    else:
        done = _undeclared(raw, dataset.timezone, published if dataset.select is None else {})
    names = raw.columns
    tables = [
        pa.table({name: each.columns[name] for name in names} | {ROW: batch.table[ROW]})
        for batch, each in zip(raw.batches, done, strict=True)
    ]
    return Typed(pa.concat_tables(tables), *_placed(done, [each.num_rows for each in tables]))


def _undeclared(raw: Raw, timezone: str, published: Mapping[str, DType]) -> list[Cast]:
    """Texts get types that they all fit; typed columns keep theirs, brought together over the files."""
    import pyarrow as pa

    texts = [name for name in raw.columns if all(name in batch.texts for batch in raw.batches)]
    joined = pa.concat_tables([batch.table.select(texts) for batch in raw.batches]) if texts else pa.table({})
    nulls = raw.batches[0].nulls
    found: dict[str, DType | None] = dict(infer(joined, nulls, published)) if texts else {}
    while True:
        done = [_cast_texts(batch, found, timezone) for batch in raw.batches]
        unfit = {each.column for part in done for each in part.misfits if not each.nowhere}
        if not unfit:
            break
        found |= dict.fromkeys(unfit, "string")
    for name in raw.columns:
        if name not in texts:
            _bring_together(done, name, raw.batches, timezone)
    return done


def _cast_texts(batch: Batch, found: Mapping[str, DType | None], timezone: str) -> Cast:
    import pyarrow as pa

    done = cast(batch.table, {name: kind for name, kind in found.items() if kind}, timezone, batch.nulls)
    for name, kind in found.items():
        if kind is None:
            done.columns[name] = pa.nulls(batch.table.num_rows)
    return done


def _bring_together(done: Sequence[Cast], name: str, batches: Sequence[Batch], timezone: str) -> None:
    parts = [plain(batch.table[name], name, timezone) for batch in batches]
    files = [(batch.file, part.values) for batch, part in zip(batches, parts, strict=True)]
    whole = all(is_whole(batch.table[name].type) or is_empty(batch.table[name]) for batch in batches)
    for into, part, values in zip(done, parts, agree(files, name, timezone, whole=whole), strict=True):
        into.columns[name] = values
        into.misfits += [Misfit(index, name, reason, nowhere=True) for index, _, reason in part.faults]
        if part.later is not None:
            into.later[name] = part.later


def _placed(done: Sequence[Cast], counts: Sequence[int]) -> tuple[dict[int, list[Fault]], dict[str, Any]]:
    """Faults and repeated times of all batches, by the index of the row among all of them."""
    import numpy as np

    faults: dict[int, list[Fault]] = {}
    later: dict[str, Any] = {}
    start = 0
    for each, count in zip(done, counts, strict=True):
        for misfit in each.misfits:
            faults.setdefault(start + misfit.index, []).append((f"columns.{misfit.column}", misfit.reason))
        for name, ticks in each.later.items():
            later.setdefault(name, np.zeros(sum(counts), dtype="int64"))[start : start + count] = ticks
        start += count
    return dict(sorted(faults.items())), later
