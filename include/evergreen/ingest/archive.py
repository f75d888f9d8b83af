"""Unpacks what a file holds: itself, a gzip stream, or the members of a zip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from evergreen.errors import DataError

_TRUNCATED = "Deliver the whole file again; nothing of it was published."


def unpack(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The parts of a file, each with a name for messages (``year.zip!january.csv``).

    Raises:
        DataError: The archive is truncated, damaged, encrypted or empty.
    """
    if not content:
        raise DataError(name, "must not be empty, but has 0 bytes", remedy="Deliver the file again.")
    if name.lower().endswith(".gz"):
        yield name, _gunzip(name, content)
    elif name.lower().endswith(".zip"):
        yield from _unzip(name, content)
    else:
        yield name, content


def _gunzip(name: str, content: bytes) -> bytes:
    import gzip
    import zlib

    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(name, f"is truncated or damaged ({error})", remedy=_TRUNCATED) from None


def _unzip(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    import io
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [each for each in sorted(archive.namelist()) if _is_data(each)]
            if not members:
                raise DataError(name, "must hold at least one CSV file", remedy="Deliver the archive again.")
            for member in members:
                yield f"{name}!{member}", archive.read(member)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(name, f"is truncated or damaged ({error})", remedy=_TRUNCATED) from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown compression
        raise DataError(
            name, f"cannot be unpacked ({error})", remedy="Pack it without a password, as deflate."
        ) from None


def _is_data(member: str) -> bool:
    parts = PurePosixPath(member).parts
    return not member.endswith("/") and not any(part.startswith((".", "_")) for part in parts)
