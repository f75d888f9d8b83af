"""Which table belongs to which definition of a dataset or a view; written when a definition is first used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from evergreen.store.documents import canonical
from evergreen.store.schema import definitions
from evergreen.store.store import Store


@dataclass(frozen=True)
class Definition:
    """One definition of a resource.

    Attributes:
        digest: Of ``document``, all that makes the table.
        table: The lake's table that belongs to it; several definitions share one where nothing parts them.
        workspace: Digest of the frozen files that brought it in: what it is computed by for as long as it lives.
        as_of: The key under which it was first used.
        seam: Where a table goes on under another definition by the owner's wish (``on_change: continue``): the
            definition before it and the key from which on it counts; else ``None``.
        lost: Keys of the history that the source no longer had when the table was built.
        approximate: Keys whose rows may have been known later than the table says.
    """

    id: int
    resource: str
    digest: str
    table: str
    document: Mapping[str, Any]
    workspace: str
    as_of: str
    as_of_time: datetime
    seam: Mapping[str, Any] | None
    lost: Sequence[str]
    approximate: Sequence[str]
    at: datetime


def digest_of(document: Mapping[str, Any]) -> str:
    """Hex SHA-256 of a definition."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


class Definitions:
    """The definitions of all resources.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, resource: str, digest: str) -> Definition | None:
        """A definition that was used before."""
        return next((each for each in self.of(resource) if each.digest == digest), None)

    def of(self, resource: str) -> list[Definition]:
        """The definitions of a resource in the order of their first use."""
        query = select(definitions).where(definitions.c.resource == resource).order_by(definitions.c.id)
        with self._store.transaction() as connection:
            return [Definition(**row._mapping) for row in connection.execute(query)]

    def all(self) -> list[Definition]:
        """The definitions of all resources in the order of their first use."""
        with self._store.transaction() as connection:
            return [Definition(**row._mapping) for row in connection.execute(select(definitions).order_by("id"))]

    def of_table(self, table: str) -> Definition | None:
        """The newest definition that a table belongs to."""
        query = select(definitions).where(definitions.c.table == table).order_by(definitions.c.id.desc()).limit(1)
        with self._store.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else Definition(**row._mapping)

    def add(
        self,
        resource: str,
        document: Mapping[str, Any],
        *,
        folder: str,
        workspace: str,
        as_of: str,
        as_of_time: datetime,
        table: str | None = None,
        seam: Mapping[str, Any] | None = None,
    ) -> Definition:
        """Notes a definition, or returns it as it stands.

        The first definition of a resource has the table ``folder/resource``, later ones have their digest's first
        twelve digits behind it, unless ``table`` names the one that they share.
        """
        digest = digest_of(document)
        with self._store.transaction() as connection:
            # Two runs that see a resource for the first time must not both take its plain name.
            lock = func.pg_advisory_xact_lock(func.hashtext("definition"), func.hashtext(resource))
            connection.execute(select(lock))
            taken = set(connection.scalars(select(definitions.c.table).where(definitions.c.resource == resource)))
            plain = f"{folder}/{resource}"
            row = {
                "resource": resource, "digest": digest, "document": document, "workspace": workspace, "as_of": as_of,
                "as_of_time": as_of_time, "seam": seam, "lost": [], "approximate": [],
                "table": table or (f"{plain}.{digest[:12]}" if plain in taken else plain),
            }  # fmt: skip
            connection.execute(insert(definitions).values(row).on_conflict_do_nothing())
            mine = select(definitions).where(definitions.c.resource == resource, definitions.c.digest == digest)
            return Definition(**connection.execute(mine).one()._mapping)

    def share(self, resource: str, digest: str, *, table: str, seam: Mapping[str, Any]) -> None:
        """Lets a definition go on in another one's table, and notes the seam."""
        mine = (definitions.c.resource == resource, definitions.c.digest == digest)
        with self._store.transaction() as connection:
            connection.execute(update(definitions).where(*mine).values(table=table, seam=seam))

    def note_history(self, resource: str, digest: str, *, lost: Sequence[str], approximate: Sequence[str]) -> None:
        """Says what of a table's history the source no longer had, and what of it is only roughly dated."""
        mine = (definitions.c.resource == resource, definitions.c.digest == digest)
        with self._store.transaction() as connection:
            connection.execute(update(definitions).where(*mine).values(lost=list(lost), approximate=list(approximate)))
