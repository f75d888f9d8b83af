"""Finds the types of columns that are text only because nobody declared them: lossless, or they stay text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from evergreen.ingest import times
from evergreen.ingest.cast import Nulls, value_sql
from evergreen.ingest.exact import are_exact, number_sql, whole_sql
from evergreen.spec.base import DType

if TYPE_CHECKING:
    import pyarrow as pa

_ORDER: tuple[DType, ...] = ("int", "float", "bool", "date", "timestamp")
_SAMPLE_ROWS = 2000
_BOOL = r"\s*(?i:true|false)\s*"


class Inference:
    """The narrowest type that holds every value of each text column without loss.

    A column is tried as what the published table has it, then as int, float, bool, date and timestamp; else it stays
    text. ``yes``, ``0`` and the like mean a truth value only where one is declared.

    Args:
        published: Types of the published table's columns of these names.
    """

    def __init__(self, published: Mapping[str, DType]) -> None:
        self._published = published
        self._left: dict[str, list[DType]] = {}
        self._valued: set[str] = set()

    def add(self, raw: pa.Table, nulls: Nulls) -> None:
        """Looks at the rows that come next.

        Args:
            raw: Text columns.
            nulls: Texts that mean no value.
        """
        for name in raw.column_names:
            self._left.setdefault(name, [*dict.fromkeys([*_known(self._published.get(name)), *_ORDER])])
        asked = {name: self._left[name] for name in raw.column_names}
        sampled = _holds(raw.slice(0, _SAMPLE_ROWS), asked, nulls)
        asked = {name: _those(kinds, sampled[name]) for name, kinds in asked.items()}
        for name, held in _holds(raw, asked, nulls).items():
            if held is None:
                continue
            kinds = _those(asked[name], held)
            if "float" in kinds and "int" not in held and not _is_exact(raw, name, nulls):
                kinds.remove("float")
            self._left[name] = kinds
            self._valued.add(name)

    @property
    def found(self) -> dict[str, DType | None]:
        """A type by column; ``None`` for one without any value, which fits every type and decides none."""
        best: dict[str, DType] = {name: next(iter(kinds), "string") for name, kinds in self._left.items()}
        return {name: kind if name in self._valued else None for name, kind in best.items()}


def _those(kinds: list[DType], held: set[DType] | None) -> list[DType]:
    return kinds if held is None else [kind for kind in kinds if kind in held]


def _known(kind: DType | None) -> Iterable[DType]:
    return () if kind is None else (kind,)


def _holds(raw: pa.Table, asked: Mapping[str, list[DType]], nulls: Nulls) -> dict[str, set[DType] | None]:
    """Which of the types asked for hold all values of each column; ``None`` for a column without values."""
    import pyarrow as pa

    from evergreen.lake.duck import query

    columns, wanted = {}, []
    for index, (name, kinds) in enumerate(asked.items()):
        alias = f"c{index}"
        columns[alias] = raw[name]
        value = value_sql(alias, nulls.get(name))
        wanted.append(f"count({value}) AS {alias}n")
        for kind in kinds:
            wanted.append(f"bool_and({_test(value, kind)}) FILTER ({value} IS NOT NULL) AS {alias}{kind}")
    done = query(f"SELECT {', '.join(wanted)} FROM raw", {"raw": pa.table(columns)}, {}).to_pylist()[0]
    return {
        name: {kind for kind in kinds if done[f"c{index}{kind}"]} if done[f"c{index}n"] else None
        for index, (name, kinds) in enumerate(asked.items())
    }


def _test(value: str, kind: DType) -> str:
    match kind:
        case "int":
            return whole_sql(value)
        case "float":
            return number_sql(value)
        case "bool":
            return f"regexp_full_match({value}, '{_BOOL}')"
        case "date":
            return f"({times.date_sql(value, midnight=False)}) IS NOT NULL"
        case "timestamp":
            return f"({times.local_sql(value)}) IS NOT NULL"
        case "string":
            return "true"


def _is_exact(raw: pa.Table, name: str, nulls: Nulls) -> bool:
    import pyarrow as pa

    from evergreen.lake.duck import query

    sql = f"SELECT {value_sql('c', nulls.get(name))} AS t FROM raw"
    return are_exact(query(sql, {"raw": pa.table({"c": raw[name]})}, {})["t"])
