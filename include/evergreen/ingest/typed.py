"""Raw rows become typed rows: by the types that are declared, or by such as lose nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evergreen.ingest.agree import Look, agree, bring
from evergreen.ingest.cast import Cast, Misfit, cast
from evergreen.ingest.infer import Inference
from evergreen.ingest.load import ROW, Batch, Raw
from evergreen.ingest.normalise import plain
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.dataset import Dataset

Fault = tuple[str, str]
"""The short name of a broken rule, and the reason in words."""


class Wider(Exception):
    """Columns that nobody declared turned out to hold what only a text can: all rows must be read as that again."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        super().__init__(", ".join(sorted(self.names)))


@dataclass(frozen=True)
class Kinds:
    """Types of columns that nobody declared.

    Attributes:
        texts: Of columns that are text in all files; ``None`` of one without a value.
        others: Of columns that the files have types of; ``None`` of one without a value.
    """

    texts: Mapping[str, DType | None] = field(default_factory=dict)
    others: Mapping[str, pa.DataType | None] = field(default_factory=dict)


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


def find_kinds(
    portions: Iterable[Raw], timezone: str, published: Mapping[str, DType], as_text: frozenset[str] = frozenset()
) -> Kinds:
    """The types of columns that nobody declared, from all of their rows.

    Texts get types that they all fit; typed columns keep theirs, brought together over the files.

    Args:
        portions: All of what the files hold.
        timezone: Of wall-clock times.
        published: Types of the published table's columns.
        as_text: Columns that are text whatever they look like.

    Raises:
        DataError: Files have types that do not go together.
    """
    inference, looks, typed_ones = Inference(published), dict[str, list[Look]](), set[str]()
    for raw in portions:
        texts = [name for name in raw.columns if all(name in batch.texts for batch in raw.batches)]
        for batch in raw.batches if texts else ():
            inference.add(batch.table.select(texts), batch.nulls)
        for name in raw.columns:
            if name not in texts:
                typed_ones.add(name)
            for batch in raw.batches:
                column = batch.table[name]
                look = Look.at(batch.file, column, plain(column, name, timezone).values, timezone)
                looks.setdefault(name, []).append(look)
    found = {name: kind for name, kind in inference.found.items() if name not in typed_ones}
    widened: dict[str, DType | None] = dict.fromkeys(as_text & set(found), "string")
    return Kinds(found | widened, {name: agree(looks[name], name) for name in looks if name in typed_ones})


def typed(raw: Raw, dataset: Dataset, kinds: Kinds) -> Typed:
    """Gives raw rows their types.

    Args:
        raw: Rows of the files.
        dataset: Declares the types, or none; and the time zone.
        kinds: Of all rows of the files, for columns that nobody declared.

    Raises:
        Wider: A column that nobody declared has values that are not of its type.
    """
    import pyarrow as pa

    if dataset.columns is not None:
        types = dict(dataset.columns)
        done = [cast(each.table, types, dataset.timezone, each.nulls) for each in raw.batches]
    else:
        done = [_undeclared(each, dataset.timezone, kinds) for each in raw.batches]
    names = raw.columns
    tables = [
        pa.table({name: each.columns[name] for name in names} | {ROW: batch.table[ROW]})
        for batch, each in zip(raw.batches, done, strict=True)
    ]
    return Typed(pa.concat_tables(tables), *_placed(done, [each.num_rows for each in tables]))


def _undeclared(batch: Batch, timezone: str, kinds: Kinds) -> Cast:
    import pyarrow as pa

    given = {name: kind for name, kind in kinds.texts.items() if kind}
    done = cast(batch.table, given, timezone, batch.nulls)
    if unfit := {each.column for each in done.misfits if not each.nowhere}:
        raise Wider(unfit)
    for name, kind in kinds.texts.items():
        if kind is None:
            done.columns[name] = pa.nulls(batch.table.num_rows)
    for name, target in kinds.others.items():
        column = batch.table[name]
        part = plain(column, name, timezone)
        done.columns[name] = bring(column, part.values, target, timezone)
        done.misfits += [Misfit(index, name, reason, nowhere=True) for index, _, reason in part.faults]
        if part.later is not None:
            done.later[name] = part.later
    return done


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
