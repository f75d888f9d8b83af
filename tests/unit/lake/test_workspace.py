"""Frozen workspaces."""

from __future__ import annotations

import hashlib
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evergreen.errors import DataError, UserError
from evergreen.lake.lake import Lake
from evergreen.lake.workspace import digest_of, freeze, thaw

TEXTS = {"models/late.yaml": b"task: binary\n", "features/age.sql": b"select 1", "features/été.py": b"x = 1\n"}


def test_same_files_same_digest_in_any_order(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    digest = freeze(lake, TEXTS)
    assert freeze(lake, dict(reversed(TEXTS.items()))) == digest == digest_of(TEXTS)
    assert lake.blobs.list("workspaces") == [f"workspaces/{digest}.tar"]
    assert digest_of({**TEXTS, "features/age.sql": b"select 2"}) != digest


def test_thaw_gives_back_what_was_frozen(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    digest = freeze(lake, TEXTS)
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: thaw(lake, digest, tmp_path / "cache"), range(16)))
    assert folders == {tmp_path / "cache" / digest}
    found = {
        file.relative_to(tmp_path / "cache" / digest).as_posix(): file.read_bytes()
        for file in (tmp_path / "cache" / digest).rglob("*")
        if file.is_file()
    }
    assert found == TEXTS
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [digest]


@pytest.mark.parametrize("path", ["../evil", "/evil", "a/../../evil"])
def test_escaping_paths_are_not_frozen(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match="must not leave"):
        freeze(Lake(tmp_path), {path: b"x"})


@pytest.mark.parametrize(
    ("name", "kind"), [("../evil", tarfile.REGTYPE), ("/evil", tarfile.REGTYPE), ("a", tarfile.SYMTYPE)]
)
def test_escaping_members_are_not_thawed(tmp_path: Path, name: str, kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc"
        tar.addfile(member, io.BytesIO(b""))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    lake = Lake(tmp_path / "lake")
    lake.blobs.put_if_absent(f"workspaces/{digest}.tar", buffer.getvalue())
    with pytest.raises(DataError, match="plain files below its root"):
        thaw(lake, digest, tmp_path / "cache")
    assert not (tmp_path / "cache" / digest).exists()
    assert not (tmp_path / "evil").exists()


def test_changed_pack_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    digest = "0" * 64
    lake.blobs.put_if_absent(f"workspaces/{digest}.tar", b"something else")
    with pytest.raises(DataError, match="content that its name promises"):
        thaw(lake, digest, tmp_path / "cache")
