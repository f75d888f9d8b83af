"""Frozen workspaces: the files that a run reads, packed under the digest of their content.

The pack is a tar file with sorted names and no times, owners or modes, so the same files give the same digest anywhere.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.lake.roots import disk_faults, relative

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake


def pack(texts: Mapping[str, bytes]) -> bytes:
    """The deterministic tar file of some files.

    Args:
        texts: Content by relative path with forward slashes.

    Raises:
        UserError: For a path that is absolute or holds ``..``.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(texts):
            member = tarfile.TarInfo(relative(path))
            member.size = len(texts[path])
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(texts[path]))
    return buffer.getvalue()


def digest_of(texts: Mapping[str, bytes]) -> str:
    """The digest that :func:`freeze` would give, without writing anything."""
    return hashlib.sha256(pack(texts)).hexdigest()


def freeze(lake: Lake, texts: Mapping[str, bytes]) -> str:
    """Stores the files as ``workspaces/<digest>.tar`` and returns the digest; idempotent."""
    data = pack(texts)
    digest = hashlib.sha256(data).hexdigest()
    lake.blobs.keep(path_of(digest), data)
    return digest


def path_of(digest: str) -> str:
    """Where a frozen workspace, or a bundle, lies in the lake."""
    return f"workspaces/{relative(digest)}.tar"


def thaw(lake: Lake, digest: str, cache: Path) -> Path:
    """Unpacks a frozen workspace into ``<cache>/<digest>``, once, and returns that folder.

    The folder appears complete or not at all, also when several processes unpack it at once.

    Raises:
        DataError: When the pack is missing, was changed, or holds anything but plain files below its root.
    """
    target = cache / relative(digest)
    if target.is_dir():
        return target
    files = read(lake, digest)
    temporary = cache / f".tmp-{digest[:16]}-{os.getpid()}-{os.urandom(4).hex()}"
    with disk_faults(str(target)):
        try:
            temporary.mkdir(parents=True)
            for name, content in files.items():
                file = temporary / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            try:
                os.rename(temporary, target)
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def read(lake: Lake, digest: str) -> dict[str, bytes]:
    """The files of a frozen workspace by their names.

    Raises:
        DataError: As :func:`thaw`.
    """
    path = path_of(digest)
    data = lake.blobs.get(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise DataError(
            lake.blobs.uri(path), "must have the content that its name promises", remedy="Restore the file."
        )
    return _unpack(data, lake.blobs.uri(path))


def _unpack(data: bytes, place: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                name = member.name
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or name.startswith("/") or ".." in name.split("/") or "\\" in name or not name:
                    raise DataError(place, "must hold only plain files below its root", value=name)
                files[name] = stream.read()
    except tarfile.TarError as error:
        raise DataError(place, f"must be a tar file: {error}") from error
    return files
