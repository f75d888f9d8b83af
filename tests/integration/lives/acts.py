"""A life: files that lie there, and acts in order, each small enough to be written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from declared import DATASETS
from rules import File

KEYS = ("2024-03-02", "2024-03-03", "2024-03-04", "2024-03-05")
"""The days of every life, by the key that ends each."""


@dataclass(frozen=True)
class Line:
    """A line of a source's file, relative to its key.

    Attributes:
        back: Days before the key's day (0: of that day, -1: of the next).
        sold: As it stands there; "" for no value.
        knows: Hours from the event until the source knew of it (of ``notes`` only).
    """

    shop: str = "a"
    back: int = 0
    hour: int = 9
    sold: str = "1"
    extra: str = ""
    knows: int = 0


@dataclass(frozen=True)
class Lay:
    """A file is laid for a key, in the place of the one that lies there."""

    dataset: str
    key: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Lose:
    """The source no longer has a key's file."""

    dataset: str
    key: str


@dataclass(frozen=True)
class Mend:
    """A key of a resource's YAML is changed."""

    resource: str
    field: str
    value: Any


@dataclass(frozen=True)
class Ingest:
    """A key of a dataset is ingested."""

    dataset: str
    key: str


@dataclass(frozen=True)
class Build:
    """A view is built, woken under the newest key."""

    view: str


@dataclass(frozen=True)
class Train:
    """A version is trained with what is declared at that moment, and the gate accepts it."""


@dataclass(frozen=True)
class Promote:
    """The machine promotes a version, counted from the newest (0)."""

    back: int = 0


@dataclass(frozen=True)
class Name:
    """A person promotes a version, counted from the newest (0)."""

    back: int = 0


@dataclass(frozen=True)
class RollBack:
    """A person rolls back to the last good version."""


@dataclass(frozen=True)
class Release:
    """A person lifts the hold."""


@dataclass(frozen=True)
class Tidy:
    """Housekeeping, with nothing kept that nothing refers to: whatever is merged or deleted, no rule knows of it."""


Act = Lay | Lose | Mend | Ingest | Build | Train | Promote | Name | RollBack | Release | Tidy


@dataclass(frozen=True)
class Life:
    """Acts in order; at the beginning, a file lies there for every key of every dataset.

    Attributes:
        files: Lines of the first files, by dataset, then by key; empty where not named.
        references: ``monitoring.reference_versions`` of the model.
    """

    acts: tuple[Act, ...]
    files: Mapping[str, Mapping[str, Sequence[Line]]] = field(default_factory=dict)
    references: tuple[str, ...] = ()

    def laid(self) -> list[Lay]:
        """The first files."""
        return [Lay(name, key, tuple(self.files.get(name, {}).get(key, ()))) for name in DATASETS for key in KEYS]


COLUMNS = {
    "till": ("moment", "shop", "sold", "extra"),
    "stores": ("shop", "sold", "extra"),
    "notes": ("moment", "shop", "sold", "extra", "knows"),
}


def file_of(lay: Lay) -> File:
    """The lines as the file of their key has them, times by the wall clock."""
    day = datetime.fromisoformat(lay.key) - timedelta(days=1)
    found = []
    for line in lay.lines:
        moment = day - timedelta(days=line.back) + timedelta(hours=line.hour)
        values = {
            "moment": moment.isoformat(),
            "shop": line.shop,
            "sold": line.sold,
            "extra": line.extra,
            "knows": (moment + timedelta(hours=line.knows)).isoformat(),
        }
        found.append({name: values[name] for name in COLUMNS[lay.dataset]})
    return tuple(found)
