"""Lives a life twice, by the rules and on Evergreen, and compares what stands after each act and at the end."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import acts
import rules
import serving
from declared import DATASETS, VIEWS, Dataset
from expected import Expected
from real import MODEL, Real
from rules import Definition, Identity, Known, Table

NOW = datetime(2024, 4, 1, tzinfo=rules.UTC)
"""Later than all that any life knows."""


class Comparison:
    """Both sides of one life.

    Args:
        life: To be lived.
        real: Where nothing has happened yet.
        thorough: Whether tables are read at every instant at which the rules say that something turns, and every
            ingestion and build is repeated at once; else at the ends of keys, and the last ones are.
    """

    def __init__(self, life: acts.Life, real: Real, *, thorough: bool) -> None:
        self.life, self.expected, self.real, self.thorough = life, Expected(life), real, thorough
        self.recorded: dict[tuple[str, int], str] = {}

    def live(self) -> None:
        """Raises AssertionError where the sides differ, or where what must always hold does not."""
        last = {type(act): number for number, act in enumerate(self.life.acts)}
        for number, act in enumerate(self.life.acts):
            try:
                self._do(act, repeated=self.thorough or last[type(act)] == number)
            except AssertionError as error:
                raise AssertionError(f"act {number}, {act}: {error}") from error
        for name in (*DATASETS, *VIEWS):
            for definition, table in self._paired(name):
                self._same(
                    name, definition, table, instants(definition, self.expected.tables[definition], self.thorough)
                )
        for (table, version), content in self.recorded.items():
            assert self.real.content_at(table, version) == content, f"version {version} of {table} has changed"

    def _do(self, act: acts.Act, *, repeated: bool) -> None:
        before = self.real.versions()
        wanted, done = self.expected.do(act), self.real.do(act)
        assert done == wanted, "was done, and must not be" if done else f"was not done: {self.real.refusal}"
        after = self.real.versions()
        self._record(before, after)
        name = act.dataset if isinstance(act, acts.Ingest) else act.view if isinstance(act, acts.Build) else None
        changed = {table for table in after if after[table] != before.get(table)}
        strange = {table for table in changed if name is None or table.split("/")[1].split(".")[0] != name}
        assert not strange, f"changed {strange}"
        if name is not None:
            self._same_now(name)
        if name is not None and repeated:
            assert self.real.do(act) == wanted, "was another thing when it was repeated"
            assert self.real.versions() == after, "changed something when it was repeated"
        if isinstance(act, acts.Promote | acts.Name | acts.RollBack | acts.Release):
            self._servers()

    def _record(self, before: dict[str, int], after: dict[str, int]) -> None:
        for table, version in after.items():
            if version != before.get(table):
                self.recorded[table, version] = self.real.content_at(table, version)

    def _paired(self, name: str) -> list[tuple[Definition, str]]:
        definitions, tables = self.expected.definitions(name), self.real.tables(name)
        assert len(definitions) == len(tables), f"{name} has {len(definitions)} definitions, and the tables {tables}"
        return list(zip(definitions, tables, strict=True))

    def _same_now(self, name: str) -> None:
        for definition, table in self._paired(name):
            self._same(name, definition, table, [NOW])
        if name in DATASETS:
            self._counts(name)

    def _same(self, name: str, definition: Definition, table: str, moments: list[datetime]) -> None:
        for at in moments:
            real, wanted = self.real.as_known(name, table, at), rules.as_known(self.expected.tables[definition], at)
            assert real == wanted, f"{table} as known at {at:%d %H:%M}: {_differences(real, wanted)}"

    def _counts(self, name: str) -> None:
        readings = self.expected.counts[name]
        counts = {
            key: (reading.lines, len(reading.good), len(reading.refused), reading.superseded)
            for key, reading in readings.items()
        }
        assert self.real.counts(name) == counts, f"counts of {name}"
        for key, reading in readings.items():
            missing = Counter(rule for rule, _ in reading.refused) - self.real.quarantined(name, key)
            assert not missing, f"{name} {key}: {missing} are in no quarantine"

    def _servers(self) -> None:
        ledger, status = self.expected.ledger, self.real.status()
        assert (status.champion and status.champion.version) == serving.champion(ledger)
        assert (status.previous and status.previous.version) == serving.last_good(ledger)
        assert (status.hold and status.hold.seq) == serving.hold(ledger)
        assert status.rolled_back == serving.bad(ledger)
        assert self.real.ledger.verify_chain(MODEL) == []


def _differences(real: dict[Identity, Known], wanted: dict[Identity, Known]) -> str:
    """Row by row what stands there and what must."""
    found = [each for each in {**real, **wanted} if real.get(each) != wanted.get(each)]
    return "; ".join(f"{_shown(real.get(each))} must be {_shown(wanted.get(each))}" for each in found)


def _shown(known: Known | None) -> str:
    if known is None:
        return "no row"
    values = (f"{value:%d %H:%M}" if isinstance(value, datetime) else str(value) for _, value in known.content)
    return f"({' '.join(values)}, known since {known.since:%d %H:%M})"


def instants(definition: Definition, table: Table, thorough: bool) -> list[datetime]:
    """Every key's end, the moment before it, and now; if thorough, also every turn of a row and each day's middle."""
    resource = definition.resource
    zone = resource.zone if isinstance(resource, Dataset) else definition.reads[0].resource.zone
    ends = {rules.interval_of(key, zone).end for key in acts.KEYS}
    if thorough:
        ends |= {end - timedelta(hours=12) for end in ends}
        ends |= {turn for each in rules.identities(table) for turn in rules.turns(rules.statements(table, each))}
    return sorted({*ends, *(end - timedelta(microseconds=1) for end in ends), NOW})
