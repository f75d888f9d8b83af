"""Which tables live versions of models go on reading, beside those of today's definitions."""

from __future__ import annotations

from collections.abc import Callable

from evergreen.spec.loading import Workspace
from evergreen.store import history
from evergreen.store.definitions import Definitions
from evergreen.store.ledger import Ledger
from evergreen.store.store import Store
from evergreen.store.trainings import Training, Trainings


def live_versions(store: Store, model: str, references: tuple[str | int, ...] = ()) -> list[int]:
    """Versions of a model that are judged, watched or may serve: champion, last good one, references."""
    entries = Ledger(store).entries(model)
    first = history.first(entries)
    named = [first.version if first and each == "first" else each for each in references]
    found = [entry.version for entry in (history.champion(entries), history.last_good(entries)) if entry is not None]
    return list(dict.fromkeys(version for version in [*found, *named] if isinstance(version, int)))


def live_tables(store: Store, resource: str, declared: Callable[[Training], Workspace]) -> dict[str, str]:
    """Tables of a dataset or a view that live versions read: table -> digest of the workspace that defines it.

    Empty where the resource has one table only, which is looked at first: most have.

    Args:
        declared: What a training's frozen workspace declares of its model.
    """
    definitions = Definitions(store)
    own = {each.table: each.workspace for each in reversed(definitions.of(resource))}
    if len(own) < 2:
        return {}
    ledger, trainings = Ledger(store), Trainings(store)
    live: dict[str, str] = {}
    for model in ledger.models():
        champion = ledger.champion(model)
        training = (
            None if champion is None or champion.version is None else trainings.by_version(model, champion.version)
        )
        if training is None:
            continue
        references = declared(training).models[model].monitoring.reference_versions
        for version in live_versions(store, model, references):
            found = trainings.by_version(model, version)
            for table in () if found is None else _read_by(definitions, found):
                if table in own:
                    live[table] = own[table]
    return live


def _read_by(definitions: Definitions, training: Training) -> list[str]:
    """Tables that a training's version reads, and those that its views are built from."""
    tables = list(training.inputs.get("tables", {}))
    for table in list(tables):
        definition = definitions.of_table(table)
        if definition is not None:
            tables += definition.document.get("reads", {}).values()
    return tables
