"""Finds the files of a source below the landing root, and fingerprints them."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from evergreen.errors import DataError, EvergreenError, NotReady, TransientError

if TYPE_CHECKING:
    from evergreen.spec.dataset import Dataset, FileSource

log = logging.getLogger(__name__)

WHOLE_HASH_LIMIT = 64 * 2**20
"""Larger files are fingerprinted by size, modification time, head and tail."""
_ENDINGS = {".csv": "csv", ".csv.gz": "csv", ".csv.zip": "csv", ".zip": "csv", ".parquet": "parquet"}
_WILDCARD = re.compile(r"[*?]")


class Skipped(EvergreenError):
    """The source is not there and its ``when_missing`` is ``skip``: the run ends skipped, nothing is wrong."""


@dataclass(frozen=True)
class SourceFile:
    """One file as it was found.

    Attributes:
        name: Path relative to the landing root.
        path: Path in the file system.
        format: ``csv`` or ``parquet``.
        size: Bytes.
        modified: What the file system says of the last change, as text; may be empty.
        partitions: Hive partition columns (``year=2013``) of the folders on the way.
    """

    name: str
    path: str
    format: str
    size: int
    modified: str
    partitions: dict[str, str | None]


def locate(dataset: Dataset, *, as_of: str, landing: str) -> list[SourceFile]:
    """The files that a run reads, sorted by name.

    Hidden files (``.part``, ``_SUCCESS``) are passed over. A wildcard that matches a folder takes all files in it.

    Raises:
        NotReady: None is there and the source's ``when_missing`` is ``wait``.
        Skipped: None is there and it is ``skip``.
        DataError: None is there and it is ``fail``; or a file's format cannot be told.
    """
    source = dataset.source
    if not re.fullmatch(r"[0-9A-Za-z:+.-]+", as_of) or ".." in as_of:
        raise DataError("as_of", "must be an ISO date or date-time", value=as_of)
    wanted = str(PurePosixPath(source.path.replace("{as_of}", as_of)))
    fs, root = _open_root(landing)
    found = [
        _describe(source, fs, root, path, info, wanted)
        for path, info in _candidates(fs, root, wanted).items()
        if _is_visible(_relative(path, root), wanted)
    ]
    files = sorted((each for each in found if each is not None), key=lambda each: each.name)
    if not files:
        _raise_missing(dataset, wanted)
    formats = {each.format for each in files}
    if len(formats) > 1:
        raise DataError(
            f"dataset {dataset.name} source.path", "must match files of one format", value=sorted(formats),
            remedy="Narrow the path or set source.format.",
        )  # fmt: skip
    return files


def fingerprint(dataset: Dataset, *, as_of: str, landing: str) -> str:
    """A digest of names and contents of the files that a run reads, whatever their order.

    Raises:
        NotReady, Skipped, DataError: As :func:`locate`.
    """
    fs, _ = _open_root(landing)
    return fingerprint_of(fs, locate(dataset, as_of=as_of, landing=landing))


def fingerprint_of(fs: Any, files: list[SourceFile]) -> str:
    """The digest of files that were already located."""
    total = hashlib.sha256()
    for name, digest in sorted((each.name, _digest(fs, each)) for each in files):
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


@contextmanager
def opened(fs: Any, file: SourceFile) -> Iterator[IO[bytes]]:
    """The content of a file, as a stream that can seek.

    Raises:
        TransientError: The file system did not answer, or the file vanished or changed size while it was read.
        DataError: It may not be read.
    """
    with _readable(file):
        stream = fs.open(file.path, "rb")
    with stream:
        yield cast("IO[bytes]", _Watched(file, stream))


class _Watched(io.RawIOBase):
    """A stream whose faults are told as ours, and which ends where the file ended when it was found."""

    def __init__(self, file: SourceFile, stream: IO[bytes]) -> None:
        self._file, self._stream = file, stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with _readable(self._file):
            content = self._stream.read(size)
            at = self._stream.tell()
        if (size and not content and at != self._file.size) or at > self._file.size:
            raise TransientError(
                f"{self._file.name} changed while it was read ({self._file.size} bytes, then {at} or more)"
            )
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)  # zipfile tries whether it can

    def tell(self) -> int:
        return self._stream.tell()


def file_system(landing: str) -> Any:
    """The fsspec file system of the landing root."""
    return _open_root(landing)[0]


def _open_root(landing: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    fs, root = url_to_fs(str(landing))
    return fs, root.rstrip("/")


def _candidates(fs: Any, root: str, wanted: str) -> dict[str, dict[str, Any]]:
    """All files below the last folder without a wildcard, or the one file that is named."""
    fixed: list[str] = []
    for part in PurePosixPath(wanted).parts:
        if _WILDCARD.search(part):
            break
        fixed.append(part)
    top = "/".join([root, *fixed])
    fs.invalidate_cache()
    try:
        if fs.isfile(top):
            return {top: fs.info(top)}
        return dict(fs.find(top, detail=True))
    except FileNotFoundError:
        return {}


def _describe(
    source: FileSource, fs: Any, root: str, path: str, info: dict[str, Any], wanted: str
) -> SourceFile | None:
    name = _relative(path, root)
    if not _matches(name, wanted):
        return None
    kind = source.format or _format_of(name)
    if kind is None:
        if name == wanted:
            raise DataError(name, f"must end in one of {', '.join(_ENDINGS)}", remedy="Rename it or set source.format.")
        log.warning("Passed over %s: its ending tells no format", name)
        return None
    modified = str(info.get("mtime") or info.get("LastModified") or info.get("ETag") or "")
    partitions = {} if name == wanted else _partitions(name)
    return SourceFile(name, path, kind, int(info.get("size") or 0), modified, partitions)


def _matches(name: str, wanted: str) -> bool:
    """Whether a file, or a folder on the way to it, matches the pattern."""
    from fsspec.utils import glob_translate

    if wanted == ".":
        return True
    pattern = glob_translate(wanted.replace("[", "[[]"))
    expression = re.compile(pattern)
    parts = name.split("/")
    return any(expression.match("/".join(parts[:count])) for count in range(len(parts), 0, -1))


def _is_visible(name: str, wanted: str) -> bool:
    named = set(PurePosixPath(wanted).parts)
    parts = [part for part in name.split("/") if part not in named]
    return not any(part.startswith((".", "_")) and "=" not in part for part in parts)


def _format_of(name: str) -> str | None:
    lowered = name.lower()
    return next((kind for ending, kind in _ENDINGS.items() if lowered.endswith(ending)), None)


def _partitions(name: str) -> dict[str, str | None]:
    from urllib.parse import unquote

    pairs = (part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)
    return {key: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for key, value in pairs if key}


def _relative(path: str, root: str) -> str:
    return path[len(root) :].lstrip("/") if path.startswith(root) else path


def _raise_missing(dataset: Dataset, wanted: str) -> None:
    place = f"dataset {dataset.name} source.path"
    policy = dataset.source.when_missing
    if policy == "wait":
        raise NotReady(f"{place}: no file matches {wanted!r} below the landing root yet")
    if policy == "skip":
        raise Skipped(f"{place}: no file matches {wanted!r} below the landing root, and when_missing is skip")
    raise DataError(
        place, "must match at least one file below the landing root", value=wanted,
        remedy="Lay the file there, or set source.when_missing to wait or skip.",
    )  # fmt: skip


def _digest(fs: Any, file: SourceFile) -> str:
    digest = hashlib.sha256()
    with _readable(file), fs.open(file.path, "rb") as stream:
        if file.size > WHOLE_HASH_LIMIT:
            digest.update(f"{file.size} {file.modified}\n".encode())
            digest.update(stream.read(2**20))
            stream.seek(-(2**20), 2)
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _readable(file: SourceFile) -> Iterator[None]:
    """Turns what a file system may raise into our errors."""
    try:
        yield
    except PermissionError:
        raise DataError(file.name, "must be readable", remedy="Grant the read permission.") from None
    except FileNotFoundError:
        raise TransientError(f"{file.name} vanished while it was read") from None
    except OSError as error:
        raise TransientError(f"{file.name} could not be read: {error}") from error
