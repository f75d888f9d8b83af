"""Unpacks what a file holds: itself, a gzip stream, or the members of a zip."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any, cast

from evergreen.errors import DataError

_TRUNCATED = "Deliver the whole file again; nothing of it was published."


def unpack(name: str, stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """The parts of a file, each with a name for messages (``year.zip!january.csv``) and a stream of its own.

    A stream is read before the next part is asked for; what is wrong with the archive may show only then.

    Raises:
        DataError: The archive is truncated, damaged, encrypted or empty.
    """
    import gzip

    if name.lower().endswith(".gz"):
        yield name, _unpacked(name, gzip.GzipFile(fileobj=stream))
    elif name.lower().endswith(".zip"):
        yield from _unzip(name, stream)
    else:
        yield name, stream


class _Unpacked(io.RawIOBase):
    """A stream whose faults are told as ours."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name, self._stream = name, stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with _told(self._name):
            content: bytes = self._stream.read(size)
        return content


def _unpacked(name: str, stream: Any) -> IO[bytes]:
    return cast("IO[bytes]", _Unpacked(name, stream))


def _unzip(name: str, stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    import zipfile

    with _told(name):
        archive = zipfile.ZipFile(stream)
    with archive:
        members = [each for each in sorted(archive.namelist()) if _is_data(each)]
        if not members:
            raise DataError(name, "must hold at least one CSV file", remedy="Deliver the archive again.")
        for member in members:
            with _told(name):
                opened = archive.open(member)
            with opened:
                yield f"{name}!{member}", _unpacked(name, opened)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turns what the standard library says of a bad archive into our errors."""
    import gzip
    import zipfile
    import zlib

    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DataError(name, f"is truncated or damaged ({error})", remedy=_TRUNCATED) from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown compression
        raise DataError(
            name, f"cannot be unpacked ({error})", remedy="Pack it without a password, as deflate."
        ) from None


def _is_data(member: str) -> bool:
    parts = PurePosixPath(member).parts
    return not member.endswith("/") and not any(part.startswith((".", "_")) for part in parts)
