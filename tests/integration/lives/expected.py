"""What a life must lead to, by the rules: the same acts, carried out on the slow program."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatchmethod
from typing import Any

import acts
import rules
import serving
from declared import DATASETS, VIEWS, Dataset, View
from rules import Definition, Reading, Source, Table, definition_of

FEATURES = ("recent", "share")
LABELS = "till"


class Expected:
    """Sources, tables and ledger of one life.

    Attributes:
        tables: Every definition that was brought in, in that order, and its table.
        specs: What the team declared last of each definition.
        homes: Definitions that go on in another one's table.
        today: Of each resource the definition that was used last.
        counts: By dataset and key, what the last ingestion made of the file.
    """

    def __init__(self, life: acts.Life) -> None:
        self.references = life.references
        self.declared: dict[str, Dataset | View] = {**DATASETS, **VIEWS}
        self.sources = {name: Source() for name in DATASETS}
        self.tables: dict[Definition, Table] = {}
        self.specs: dict[Definition, Any] = {}
        self.homes: dict[Definition, Definition] = {}
        self.today: dict[str, Definition] = {}
        self.counts: dict[str, dict[str, Reading]] = {name: {} for name in DATASETS}
        self.ledger = serving.Ledger()
        for lay in life.laid():
            self.do(lay)

    @singledispatchmethod
    def do(self, act: Any) -> bool:
        """Carries an act out; tells whether anything was done."""
        raise TypeError(f"unknown act {act}")

    @do.register
    def _lay(self, act: acts.Lay) -> bool:
        self.sources[act.dataset].files[act.key] = acts.file_of(act)
        return True

    @do.register
    def _lose(self, act: acts.Lose) -> bool:
        return self.sources[act.dataset].files.pop(act.key, None) is not None

    @do.register
    def _mend(self, act: acts.Mend) -> bool:
        self.declared[act.resource] = replace(self.declared[act.resource], **{act.field: act.value})
        return True

    @do.register
    def _tidy(self, act: acts.Tidy) -> bool:
        return True

    # Rules 1, 10, 11, 12

    @do.register
    def _ingest(self, act: acts.Ingest) -> bool:
        source, dataset = self.sources[act.dataset], self.dataset(act.dataset)
        current = self.home(definition_of(dataset))
        if act.key not in source.files:
            return False
        if not set(rules.lacking(self.table(current), source)) <= set(source.files):
            if dataset.on_change is None:
                return False
            if dataset.on_change == "continue":
                current = self._continue(current)
        newest = max([*source.ingested(), act.key])
        self.specs[current] = dataset
        for definition in self.kept_up(act.dataset, current):
            table, spec = self.tables.setdefault(definition, rules.table_of(dataset)), self.specs[definition]
            made = rules.read_history(table, spec, source, newest, self._others(definition))
            made[act.key] = rules.ingest(table, spec, source, act.key)
            if definition == current:
                self.counts[act.dataset] |= made
        source.first_read.setdefault(act.key, source.files[act.key])
        return True

    def _continue(self, definition: Definition) -> Definition:
        """Rule 11: a seam. The definition goes on in the table that was the resource's own until now."""
        before = self.today[definition.resource.name]
        self.homes[definition] = before
        return before

    def _others(self, definition: Definition) -> list[rules.Former]:
        names = self.definitions(definition.resource.name)
        return [rules.Former(self.specs[each], self.tables[each]) for each in names if each != definition]

    # Rules 12, 13, 14

    @do.register
    def _build(self, act: acts.Build) -> bool:
        current = self.view_definition(act.view)
        if not all(each in self.tables for each in current.reads):
            return False
        self.specs[current] = self.declared[act.view]
        for definition in self.kept_up(act.view, current):
            view = self.specs[definition]
            inputs = {each.resource.name: (self.specs[each], self.tables[each]) for each in definition.reads}
            rules.build(self.tables.setdefault(definition, rules.table_of(view)), view, inputs)
        return True

    # Who serves

    @do.register
    def _train(self, act: acts.Train) -> bool:
        views = [self.view_definition(name) for name in FEATURES]
        label = self.home(definition_of(self.dataset(LABELS)))
        if not all(each in self.tables for each in [label, *views]):
            return False
        used = {label, *views, *(each for view in views for each in view.reads)}
        number = len(self.ledger.versions) + 1
        as_of = self.sources[LABELS].ingested()[-1]
        self.ledger.versions.append(serving.Version(number, as_of, len(self.ledger.entries), frozenset(used)))
        return True

    @do.register
    def _promote(self, act: acts.Promote) -> bool:
        version = self.version(act.back)
        if version is None or not serving.may_promote(self.ledger, version):
            return False
        return self._enter("promote", version.number, version.as_of)

    @do.register
    def _name(self, act: acts.Name) -> bool:
        version = self.version(act.back)
        if version is None or version.number == serving.champion(self.ledger):
            return False
        return self._enter("promote", version.number)

    @do.register
    def _roll_back(self, act: acts.RollBack) -> bool:
        good = serving.last_good(self.ledger)
        return good is not None and self._enter("roll_back", good)

    @do.register
    def _release(self, act: acts.Release) -> bool:
        return serving.hold(self.ledger) is not None and self._enter("release", None)

    def _enter(self, action: Any, version: int | None, as_of: str = "") -> bool:
        as_of = as_of or max(self.sources[LABELS].ingested()[-1], serving.champion_as_of(self.ledger))
        self.ledger.entries.append(serving.Entry(action, version, as_of))
        return True

    # What stands

    def dataset(self, name: str) -> Dataset:
        found = self.declared[name]
        assert isinstance(found, Dataset)
        return found

    def view_definition(self, name: str) -> Definition:
        """The definition of a view as it is declared today."""
        view = self.declared[name]
        assert isinstance(view, View)
        return definition_of(view, *(self.home(definition_of(self.dataset(each))) for each in view.reads))

    def home(self, definition: Definition) -> Definition:
        """The definition whose table a definition has: itself, or the one before a seam."""
        return self.homes.get(definition, definition)

    def version(self, back: int) -> serving.Version | None:
        versions = self.ledger.versions
        return versions[-1 - back] if back < len(versions) else None

    def table(self, definition: Definition) -> Table:
        """A definition's table; an empty one if it was never brought in."""
        return self.tables.get(definition) or rules.table_of(definition.resource)

    def kept_up(self, name: str, current: Definition) -> list[Definition]:
        """Rule 12: the definitions of a resource that are kept up: today's, and those of live versions."""
        self.today[name] = current
        live = serving.live(self.ledger, self.references)
        used = {each for version in self.ledger.versions if version.number in live for each in version.definitions}
        return [current, *(each for each in self.definitions(name) if each in used - {current})]

    def definitions(self, name: str) -> list[Definition]:
        """The definitions of a resource that were brought in, oldest first."""
        return [each for each in self.tables if each.resource.name == name]
