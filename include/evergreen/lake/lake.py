"""The lake: one root, its tables, blobs and manifests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evergreen.lake.blobs import Blobs
from evergreen.lake.manifests import Manifests
from evergreen.lake.roots import Root
from evergreen.lake.tables import Table
from evergreen.lake.upkeep import Upkeep


class Lake:
    """Versioned tables and immutable blobs below one root.

    Costs nothing to make, and holds no connection and no open file until a table is read: it may be made before a fork
    and used after it.

    Args:
        uri: Local folder (made when first written) or an object store's URI.
        storage_options: Access to an object store, named as deltalake names it.
    """

    def __init__(self, uri: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = Root.parse(uri, storage_options)
        self.blobs = Blobs(self.root)
        self.manifests = Manifests(self.blobs)
        self._tables: dict[str, Table] = {}

    @property
    def uri(self) -> str:
        """Absolute path or URI of the root."""
        return self.root.uri

    def table(self, name: str) -> Table:
        """The table of a name such as ``datasets/flights``, always the same object; it need not exist yet."""
        if name not in self._tables:
            self._tables[name] = Table(self.root, name)
        return self._tables[name]

    def upkeep(self, name: str) -> Upkeep:
        """The upkeep of a table."""
        return Upkeep(self.root, name)

    def tables(self) -> list[str]:
        """Names of all tables that exist, in their order."""
        from pyarrow import fs

        filesystem, found, folders = self.root.arrow_filesystem("tables"), [], [""]
        while folders:
            folder = folders.pop()
            inside = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
            below = [each for each in inside if each.type == fs.FileType.Directory]
            if any(each.base_name == "_delta_log" for each in below):
                found.append(folder)
            else:
                folders += [each.path for each in below]
        return sorted(found)
