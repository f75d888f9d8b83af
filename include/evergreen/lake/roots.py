"""Where a lake stands, and how each library is told so; what a full disk looks like in all of them.

A local folder is the tested root. An object store's URI goes the same way: ``storage_options`` are named as deltalake
names them (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …) and are translated here for pyarrow and fsspec.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from evergreen.errors import TransientError, UserError

# deltalake 1.6 panics at [ ] ^ | in a local path, and takes %41 and \ for something else (tried one by one).
_REFUSED = set("%[]^|\\")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXT = re.compile(r"no space left|disk quota exceeded|file too large|os error (28|122|27)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Root:
    """The place of a lake.

    Attributes:
        uri: Absolute local path, or ``scheme://bucket/prefix`` without a slash at its end.
        local: The same as a folder, or None for an object store.
        options: Access to an object store, named as deltalake names it (secrets: never shown).
    """

    uri: str
    local: Path | None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, uri: str | Path, options: Mapping[str, str] | None = None) -> Root:
        """Reads a path, a ``file://`` URI or an object store's URI.

        Raises:
            UserError: For a local path with a character that deltalake cannot take.
        """
        text = str(uri)
        scheme = urlsplit(text).scheme if "://" in text else ""
        if scheme not in ("", "file"):
            return cls(text.rstrip("/"), None, dict(options or {}))
        path = Path(unquote(urlsplit(text).path) if scheme else text).expanduser().absolute()
        if refused := sorted(_REFUSED & set(str(path))):
            remedy = "Choose another folder: the table library misreads such paths."
            raise UserError(f"lake {path}", f"must not contain {' '.join(refused)}", remedy=remedy)
        return cls(str(path), path)

    def join(self, path: str) -> str:
        """The URI of something below the root."""
        return f"{self.uri}/{path}"

    def arrow_filesystem(self, path: str) -> Any:
        """The pyarrow file system whose root is the folder ``path`` of the lake."""
        from pyarrow import fs

        if self.local is not None:
            return fs.SubTreeFileSystem(str(self.local / path), fs.LocalFileSystem())
        address = urlsplit(self.join(path))
        if address.scheme in ("s3", "s3a"):
            names = {"AWS_ACCESS_KEY_ID": "access_key", "AWS_SECRET_ACCESS_KEY": "secret_key"}
            names |= {"AWS_SESSION_TOKEN": "session_token", "AWS_REGION": "region"}
            given = {names[key]: value for key, value in self.options.items() if key in names}
            if endpoint := self.options.get("AWS_ENDPOINT_URL"):
                given["scheme"], _, given["endpoint_override"] = endpoint.partition("://")
            return fs.SubTreeFileSystem(f"{address.netloc}{address.path}", fs.S3FileSystem(**given))
        filesystem, base = self.fsspec_filesystem()
        return fs.SubTreeFileSystem(f"{base}/{path}", fs.PyFileSystem(fs.FSSpecHandler(filesystem)))

    def fsspec_filesystem(self) -> tuple[Any, str]:
        """The fsspec file system of an object store, and the root's path in it.

        Raises:
            UserError: When the package that speaks this protocol is not installed.
        """
        import fsspec

        given: dict[str, Any] = {}
        if self.uri.startswith(("s3://", "s3a://")):
            names = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
            given = {names[key]: value for key, value in self.options.items() if key in names}
            client = {"AWS_ENDPOINT_URL": "endpoint_url", "AWS_REGION": "region_name"}
            given["client_kwargs"] = {client[key]: value for key, value in self.options.items() if key in client}
        try:
            filesystem, base = fsspec.url_to_fs(self.uri, **given)
        except (ImportError, ValueError) as error:
            remedy = "Install the package it names, or use a local folder."
            raise UserError(
                f"lake {self.uri}", f"must be a place that fsspec can open: {error}", remedy=remedy
            ) from error
        return filesystem, str(base).rstrip("/")


def segment(text: str) -> str:
    """One safe, unique path segment for any text (run ids hold ``:`` and ``+``); long ones end in a digest."""
    import hashlib

    safe = quote(text, safe="")
    if safe.startswith("."):
        safe = "%2E" + safe[1:]
    if not safe:
        return "%00"
    return safe if len(safe) <= 150 else f"{safe[:100]}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def relative(path: str) -> str:
    """Checks that a path stays below the root it will be joined to.

    Raises:
        UserError: For an absolute path, ``..``, a backslash or nothing at all.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or "\0" in path or any(part == ".." for part in parts):
        raise UserError("path", "must be relative and must not leave the lake", value=path)
    return "/".join(parts)


def is_full(error: BaseException) -> bool:
    """Tells whether a fault of any library means that there is no space left."""
    return (isinstance(error, OSError) and error.errno in _FULL) or bool(_FULL_TEXT.search(str(error)))


@contextmanager
def disk_faults(path: str) -> Iterator[None]:
    """Turns faults of the disk or store below ``path`` into our own errors.

    Raises:
        TransientError: No space left, or a fault that another try may not meet.
        UserError: The place refuses to be written or read.
    """
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(path, f"must be readable and writable: {error.strerror}") from error
    except OSError as error:
        if is_full(error):
            raise disk_full(path) from error
        if error.errno == errno.EROFS:
            raise UserError(path, "must be writable: the file system is read-only") from error
        raise TransientError(f"{path} could not be read or written: {error}") from error


def disk_full(path: str) -> TransientError:
    """The one message for a full disk."""
    return TransientError(f"{path} could not be written: no space left. Free some; nothing half-written is visible.")
