"""Immutable blobs: a path is written once and completely, or it does not exist.

On a local disk a blob is written beside its place, synced, and hard-linked to its name, which fails when the name is
taken. On an object store the conditional create of fsspec (``pipe_file(mode="create")``) does the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from evergreen.errors import DataError
from evergreen.faults import point as fault_point
from evergreen.lake.roots import Root, disk_faults, relative

TEMPORARY = ".tmp-"
"""How names of half-written files begin."""


class Blob(NamedTuple):
    """A blob as its folder lists it.

    Attributes:
        modified: When it was written, or last stored again with the same content.
    """

    path: str
    size_bytes: int
    modified: datetime


class Blobs:
    """Blobs of one lake by path relative to its root.

    Does not replace what stands under a path (only :meth:`open_output` may write one again).
    """

    def __init__(self, root: Root) -> None:
        self._root = root

    def uri(self, path: str) -> str:
        """Absolute path or URI of a blob."""
        return self._root.join(relative(path))

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Writes a blob unless there is one; of several writers at once exactly one gets True.

        Raises:
            TransientError: The disk is full or the store does not answer; nothing is visible then.
        """
        if self._root.local is None:
            return self._create_remote(path, data)
        target = self._local(path)
        if target.exists():
            return False
        with disk_faults(str(target)):
            with _temporary(target) as (temporary, stream):
                stream.write(data)
                _sync(stream)
                if not _link(temporary, target):
                    return False
            _sync_folder(target.parent)
        return True

    def put_content(self, prefix: str, data: bytes, suffix: str = "", *, point: str | None = None) -> str:
        """Stores bytes under ``<prefix>/<sha256><suffix>`` and returns that path; the same bytes are stored once.

        Args:
            prefix: Folder below the root.
            data: The content.
            suffix: File extension with its dot.
            point: Prefix of the kill points around the write (``staging``).
        """
        path = f"{relative(prefix)}/{hashlib.sha256(data).hexdigest()}{suffix}"
        _drill(point, "before")
        self.keep(path, data)
        _drill(point, "after")
        return path

    def put_written(
        self, prefix: str, write: Callable[[Any], object], suffix: str = "", *, point: str | None = None
    ) -> str:
        """Stores what a function writes, like :meth:`put_content`, without holding it in memory.

        Args:
            prefix: Folder below the root.
            write: Writes into the stream that it is given, and does not seek in it.
            suffix: File extension with its dot.
            point: Prefix of the kill points around the write.
        """
        with self._scratch(relative(prefix)) as (temporary, stream):
            hashing = _Hashing(stream)
            write(hashing)
            path = f"{relative(prefix)}/{hashing.digest.hexdigest()}{suffix}"
            _drill(point, "before")
            _sync(stream)
            if self._root.local is None:
                self.keep(path, temporary.read_bytes())
            else:
                target = self._local(path)
                with disk_faults(str(target)):
                    while not _link(temporary, target) and not self._renew(path, b""):
                        pass  # it expired between the two
                    _sync_folder(target.parent)
        _drill(point, "after")
        return path

    @contextmanager
    def _scratch(self, folder: str) -> Iterator[tuple[Path, Any]]:
        """A temporary file, on the lake's own disk where that is local."""
        if self._root.local is None:
            import tempfile

            with tempfile.NamedTemporaryFile() as stream:
                yield Path(stream.name), stream
            return
        target = self._root.local / folder / "written"
        with disk_faults(str(target.parent)), _temporary(target) as (temporary, stream):
            yield temporary, stream

    def keep(self, path: str, data: bytes) -> None:
        """Writes a blob, or makes the one that holds the same content already young again."""
        while not self.put_if_absent(path, data) and not self._renew(path, data):
            pass  # it expired between the two

    def get(self, path: str) -> bytes:
        """The content of a blob.

        Raises:
            DataError: When there is none.
        """
        try:
            if self._root.local is not None:
                with disk_faults(self.uri(path)):
                    return self._local(path).read_bytes()
            filesystem, base = self._root.fsspec_filesystem()
            return bytes(filesystem.cat_file(f"{base}/{relative(path)}"))
        except FileNotFoundError as error:
            raise DataError(self.uri(path), "must exist in the lake") from error

    @contextmanager
    def open_input(self, path: str) -> Iterator[Any]:
        """Opens a blob for reading.

        Raises:
            DataError: When there is none.
        """
        try:
            if self._root.local is not None:
                with disk_faults(self.uri(path)):
                    opened: Any = self._local(path).open("rb")
            else:
                opened = io.BytesIO(self.get(path))
        except FileNotFoundError as error:
            raise DataError(self.uri(path), "must exist in the lake") from error
        with opened:
            yield opened

    def exists(self, path: str) -> bool:
        """Tells whether the blob is there (then it is complete)."""
        if self._root.local is not None:
            return self._local(path).is_file()
        filesystem, base = self._root.fsspec_filesystem()
        return bool(filesystem.isfile(f"{base}/{relative(path)}"))

    def list(self, prefix: str) -> list[str]:
        """Paths of all blobs below a folder, sorted; none if there is no such folder."""
        folder = relative(prefix)
        if self._root.local is not None:
            base = self._root.local
            files = ((base / folder).rglob("*")) if (base / folder).is_dir() else iter(())
            names = [each.relative_to(base).as_posix() for each in files if each.is_file()]
        else:
            filesystem, root = self._root.fsspec_filesystem()
            names = [str(each)[len(root) + 1 :] for each in filesystem.find(f"{root}/{folder}")]
        return sorted(name for name in names if not name.rsplit("/", 1)[-1].startswith(TEMPORARY))

    def entries(self, prefix: str) -> Iterator[Blob]:
        """All files below a folder, in no certain order, those too that a writer left half-written when it was killed.

        What goes while this looks is left out.
        """
        folder = relative(prefix)
        if self._root.local is not None:
            for place, _, names in os.walk(self._root.local / folder):
                for name in names:
                    file = Path(place, name)
                    with contextlib.suppress(FileNotFoundError):
                        size, modified = file.stat().st_size, _modified(file)
                        yield Blob(file.relative_to(self._root.local).as_posix(), size, modified)
            return
        filesystem, root = self._root.fsspec_filesystem()
        for name, told in filesystem.find(f"{root}/{folder}", detail=True).items():
            yield Blob(str(name)[len(root) + 1 :], int(told["size"]), filesystem.modified(name))

    def remove(self, blob: Blob) -> bool:
        """Deletes a blob that nobody stored again since it was listed; False when somebody did, or it is gone.

        On a local disk it is moved aside first and looked at again, so that who stores the same content at this moment
        either finds it renewed or stores it anew.
        """
        if self._root.local is None:
            filesystem, root = self._root.fsspec_filesystem()
            name = f"{root}/{relative(blob.path)}"
            with disk_faults(self.uri(blob.path)):
                try:
                    if filesystem.modified(name) != blob.modified:
                        return False
                    filesystem.rm_file(name)
                except FileNotFoundError:
                    return False
            return True
        target = self._local(blob.path)
        aside = target.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        with disk_faults(str(target)):
            try:
                if _modified(target) != blob.modified:
                    return False
                target.rename(aside)
                if _modified(aside) != blob.modified:
                    aside.rename(target)
                    return False
            except FileNotFoundError:
                return False  # another one's housekeeping was quicker
            fault_point("blob.remove:aside")
            aside.unlink(missing_ok=True)
        return True

    def erase(self, path: str) -> bool:
        """Deletes a blob that must not be kept, whoever made it young meanwhile; False when there is none."""
        with disk_faults(self.uri(path)):
            try:
                if self._root.local is not None:
                    self._local(path).unlink()
                else:
                    filesystem, base = self._root.fsspec_filesystem()
                    filesystem.rm_file(f"{base}/{relative(path)}")
            except FileNotFoundError:
                return False
        return True

    def renew(self, path: str) -> bool:
        """Makes a blob young, as if it had been stored just now, so that it does not expire; False when it is gone."""
        if self._root.local is not None:
            return self._renew(path, b"")
        return self.exists(path) and self._renew(path, self.get(path))

    def _renew(self, path: str, data: bytes) -> bool:
        """Makes a stored blob young again; False when it is gone."""
        if self._root.local is not None:
            with disk_faults(self.uri(path)):
                try:
                    os.utime(self._local(path))
                except FileNotFoundError:
                    return False
            return True
        filesystem, base = self._root.fsspec_filesystem()
        with disk_faults(self.uri(path)):
            filesystem.pipe_file(f"{base}/{relative(path)}", data)
        return True

    def local_copy(self, path: str, folder: Path) -> Path:
        """Copies a blob into a folder under its own name, completely or not at all; an existing copy is kept."""
        target = folder / path.rsplit("/", 1)[-1]
        if not target.exists():
            data = self.get(path)
            with disk_faults(str(target)), _temporary(target) as (temporary, stream):
                stream.write(data)
                _sync(stream)
                os.replace(temporary, target)
        return target

    @contextmanager
    def open_output(self, path: str) -> Iterator[IO[bytes]]:
        """Opens a staged file for writing; it appears under ``path`` when the block ends well, complete."""
        if self._root.local is not None:
            target = self._local(path)
            with disk_faults(str(target)), _temporary(target) as (temporary, stream):
                yield stream
                _sync(stream)
                os.replace(temporary, target)
            return
        import tempfile

        filesystem, base = self._root.fsspec_filesystem()
        with disk_faults(self.uri(path)), tempfile.NamedTemporaryFile() as stream:
            yield stream
            stream.flush()
            filesystem.put_file(stream.name, f"{base}/{relative(path)}")

    def _local(self, path: str) -> Path:
        if self._root.local is None:
            raise TypeError("not a local lake")
        return self._root.local / relative(path)

    def _create_remote(self, path: str, data: bytes) -> bool:
        filesystem, base = self._root.fsspec_filesystem()
        with disk_faults(self.uri(path)):
            try:
                filesystem.pipe_file(f"{base}/{relative(path)}", data, mode="create")
            except FileExistsError:
                return False
        return True


class _Hashing(io.RawIOBase):
    """A stream that knows the digest of what was written to it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.digest = stream, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._stream.write(data)


def _modified(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _link(temporary: Path, target: Path) -> bool:
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    return True


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, Any]]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
    try:
        with open(temporary, "xb") as stream:
            yield temporary, stream
    finally:
        temporary.unlink(missing_ok=True)


def _sync(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drill(point: str | None, side: str) -> None:
    if point is not None:
        fault_point(f"{point}:{side}")
