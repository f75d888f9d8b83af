"""Which rows are a person's: in tables, quarantine, logs and files of steps; what can be told, and what cannot."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import UserError
from evergreen.lake.entity import EntityKey
from evergreen.lake.erasure import Doomed

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake
    from evergreen.store.definitions import Definition
    from evergreen.store.store import Store

LOGS = ("predictions", "feedback", "scores")
_SET_ASIDE = frozenset({"reason", "rule", "row", "stage"})
"""Columns by which staged rows of a quarantine are told."""


class Scope(NamedTuple):
    """Where a key is looked for.

    Attributes:
        tables: Tables of row versions of whose entity the key's columns are part, of all definitions.
        identifying: Those of datasets among them: their rows' identities are the key's, wherever they stand.
        quarantines: Quarantine table -> what each of the key's columns may be called in its rows.
        models: Models whose logs are looked through.
        whole: Whether that is all that the key may mean: no dataset was named.
        elsewhere: Other tables that have the columns, each with why nothing of it goes.
    """

    key: EntityKey
    tables: Sequence[str]
    identifying: Sequence[str]
    quarantines: Mapping[str, Mapping[str, Collection[str]]]
    models: Sequence[str]
    whole: bool
    elsewhere: Mapping[str, str]

    @property
    def names(self) -> dict[str, set[str]]:
        """What each of the key's columns may be called in any quarantine."""
        found: dict[str, set[str]] = {column: {column} for column in self.key.columns}
        for names in self.quarantines.values():
            for column, each in names.items():
                found[column] |= set(each)
        return found


def scope_of(lake: Lake, store: Store, key: EntityKey, datasets: Sequence[str] = ()) -> Scope:
    """Where a key is to be looked for.

    Args:
        datasets: Only these, views that read them, and models that were trained on either; all by default.

    Raises:
        UserError: When no dataset is called so, or none has such an entity.
    """
    from evergreen.store.definitions import Definitions

    known, there = Definitions(store).all(), set(lake.tables())
    names = {each.resource for each in known if each.document["kind"] == "dataset"}
    if unknown := [name for name in datasets if name not in names]:
        remedy = f"There are {', '.join(sorted(names))}." if names else "Nothing was published yet."
        raise UserError("evergreen erase --dataset", "must name datasets", value=unknown, remedy=remedy)
    fit = [each for each in known if set(key.columns) <= set(each.document["entity"])]
    own, entities = [each for each in fit if _is_meant(each, datasets)], {each.table for each in fit}
    if not own:
        told = sorted({", ".join(each.document["entity"]) for each in known if each.document["entity"]})
        remedy = f"These are entities: {'; '.join(told)}." if told else "No dataset or view has an entity yet."
        rule = "must name columns of the entity of a dataset or a view"
        raise UserError("evergreen erase", rule, value=list(key.columns), remedy=remedy)
    tables = sorted({each.table for each in own} & there)
    return Scope(
        key,
        tables,
        sorted({each.table for each in own if each.document["kind"] == "dataset"} & there),
        _quarantines(own, known, key, there),
        _models(store, there, {each.table for each in own}, whole=not datasets),
        not datasets,
        {
            name: "was not named" if name in entities else "not in its entity"
            for name in sorted(there - set(tables))
            if _has_columns(lake, name, key)
        },
    )


def _is_meant(definition: Definition, datasets: Sequence[str]) -> bool:
    meant = {definition.resource, *definition.document.get("reads", {})}
    return not datasets or bool(meant & set(datasets))


def _quarantines(
    own: Sequence[Definition], known: Sequence[Definition], key: EntityKey, there: Set[str]
) -> dict[str, dict[str, set[str]]]:
    """What sources call the key's columns, as far as ``select`` tells."""
    from evergreen.lake.sqltree import sources_of

    found: dict[str, dict[str, set[str]]] = {}
    for name in {each.resource for each in own if each.document["kind"] == "dataset"}:
        names = found.setdefault(f"quarantine/{name}", {column: {column} for column in key.columns})
        for select in {each.document["select"] for each in known if each.resource == name} - {None}:
            for column in key.columns:
                names[column] |= sources_of(select, column)
    return {table: names for table, names in sorted(found.items()) if table in there}


def _models(store: Store, there: Set[str], tables: Set[str], *, whole: bool) -> list[str]:
    """Models whose logs may name the key: all; or those that were trained on one of the tables, or never."""
    from evergreen.store.trainings import Trainings

    logged = {name.partition("/")[2] for name in there if name.partition("/")[0] in LOGS}
    trained = {each.model for each in Trainings(store).all()}
    meant = {each.model for each in Trainings(store).all() if tables & set(each.inputs.get("tables", {}))}
    return sorted(name for name in logged if whole or name in meant or name not in trained)


def _has_columns(lake: Lake, name: str, key: EntityKey) -> bool:
    folder = name.partition("/")[0]
    return folder in ("datasets", "features") and set(key.columns) <= set(lake.table(name).schema().names)


def by_columns(key: EntityKey) -> Doomed:
    """Rows of tables that have the key's columns."""
    return Doomed(key.columns, key.mask)


def by_identity(column: str, values: Set[str]) -> Doomed:
    """Rows that name one of some identities or requests."""
    return Doomed((column,), lambda rows: _is_in(rows[column], values))


def set_aside(key: EntityKey, names: Mapping[str, Collection[str]]) -> Doomed:
    """Rows of a quarantine; one that says the key by no name that is known is told by its text."""

    def is_own(text: str) -> bool:
        said = _said(key, text, names)
        return key.is_in(text) if said is None else said

    return Doomed(("row",), lambda rows: _tell(key, rows["row"], is_own))


def answered(key: EntityKey, row_ids: Set[str]) -> Doomed:
    """Lines of a prediction log: about one of the identities, or sent with the key's columns."""

    def mask(rows: pa.Table) -> Any:
        import pyarrow.compute as pc

        sent = _tell(key, rows["row"], lambda text: _said(key, text, {}) is True)
        return pc.or_(sent, _is_in(rows["row_id"], row_ids))

    return Doomed(("row_id", "row"), mask)


def staged(key: EntityKey, row_ids: Set[str], names: Mapping[str, Collection[str]], columns: Sequence[str]) -> Doomed:
    """Rows of a file that a step left, or of a training set, by whatever its columns tell."""
    import pyarrow.compute as pc

    if set(columns) >= _SET_ASIDE:
        return set_aside(key, names)
    has_key, has_id = set(key.columns) <= set(columns), "_row_id" in columns
    if has_key and has_id:
        needed = tuple(dict.fromkeys((*key.columns, "_row_id")))
        return Doomed(needed, lambda rows: pc.or_(key.mask(rows), _is_in(rows["_row_id"], row_ids)))
    return by_identity("_row_id", row_ids) if has_id else by_columns(key)


def untold(lake: Lake, scope: Scope) -> dict[str, int]:
    """Quarantine table -> rows that say the key by no name that is known, and stay."""
    found = {}
    for table, names in scope.quarantines.items():
        texts = lake.table(table).read(["row"])["row"].to_pylist()
        silent = [text for text in texts if _said(scope.key, text, names) is None and not scope.key.is_in(text)]
        if silent:
            found[table] = len(silent)
    return found


def _said(key: EntityKey, text: str, names: Mapping[str, Collection[str]]) -> bool | None:
    try:
        row = json.loads(text)
    except ValueError:
        return None
    return key.is_said(row, names) if isinstance(row, dict) else None


def _tell(key: EntityKey, texts: pa.ChunkedArray, is_own: Any) -> pa.ChunkedArray:
    """Asks of each text that may name the key."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    found = np.zeros(len(texts), dtype=bool)
    asked = np.flatnonzero(key.may_be_in(texts).to_numpy())
    for at, text in zip(asked.tolist(), texts.take(pa.array(asked)).to_pylist(), strict=True):
        found[at] = text is not None and is_own(text)
    return pc.fill_null(pa.chunked_array([pa.array(found)]), False)


def _is_in(column: pa.ChunkedArray, values: Set[str]) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(column, value_set=pa.array(sorted(values), column.type))
