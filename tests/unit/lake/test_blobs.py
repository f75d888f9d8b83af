"""Blobs, manifests, runs: written once, completely, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evergreen.errors import DataError, UserError
from evergreen.lake.blobs import Blobs
from evergreen.lake.lake import Lake
from evergreen.lake.roots import Root, segment
from evergreen.lake.runs import open_run


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """Both kinds of root pass the same contract: a local folder and fsspec's conditional create."""
    return Lake(tmp_path / "a lake" if request.param == "local" else f"memory://{tmp_path}/lake")


def test_first_blob_stays(lake: Lake) -> None:
    assert lake.blobs.put_if_absent("a/b.txt", b"one")
    assert not lake.blobs.put_if_absent("a/b.txt", b"two")
    assert lake.blobs.get("a/b.txt") == b"one"
    assert lake.blobs.exists("a/b.txt")
    assert not lake.blobs.exists("a/c.txt")


def test_missing_blob_is_named(lake: Lake) -> None:
    with pytest.raises(DataError, match=r"nothing\.txt must exist"):
        lake.blobs.get("nothing.txt")


def test_content_is_stored_once_under_its_digest(lake: Lake) -> None:
    first = lake.blobs.put_content("reports", b"<html>", ".html")
    assert lake.blobs.put_content("reports", b"<html>", ".html") == first
    assert lake.blobs.list("reports") == [first]
    assert lake.blobs.list("nowhere") == []


def test_staged_output_appears_only_when_complete(lake: Lake) -> None:
    with pytest.raises(ValueError, match="broken"), lake.blobs.open_output("staging/x.bin") as stream:
        stream.write(b"half")
        raise ValueError("broken")
    assert lake.blobs.list("staging") == []
    with lake.blobs.open_output("staging/x.bin") as stream:
        stream.write(b"whole")
    assert lake.blobs.get("staging/x.bin") == b"whole"


def test_local_copy(lake: Lake, tmp_path: Path) -> None:
    path = lake.blobs.put_content("reports", b"<html>", ".html")
    copy = lake.blobs.local_copy(path, tmp_path / "copies")
    assert copy.read_bytes() == b"<html>"
    assert lake.blobs.local_copy(path, tmp_path / "copies") == copy


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\\b"])
def test_paths_cannot_leave_the_lake(lake: Lake, path: str) -> None:
    with pytest.raises(UserError, match="must not leave the lake"):
        lake.blobs.put_if_absent(path, b"x")


def test_first_manifest_stays_and_is_returned(lake: Lake) -> None:
    assert lake.manifests.get("ingest", "k") is None
    assert lake.manifests.put_if_absent("ingest", "k", {"rows": 1}) == {"rows": 1}
    assert lake.manifests.put_if_absent("ingest", "k", {"rows": 2}) == {"rows": 1}
    assert lake.manifests.get("ingest", "k") == {"rows": 1}


def test_run_is_opened_once(lake: Lake) -> None:
    run_id = "manual__2013-01-16T00:00:00+00:00/é"
    assert open_run(lake, "flights.ingest", run_id, lambda: {"as_of": "2013-01-16"}) == {"as_of": "2013-01-16"}
    assert open_run(lake, "flights.ingest", run_id, lambda: {"as_of": "later"}) == {"as_of": "2013-01-16"}
    assert open_run(lake, "flights.ingest", run_id.replace("+", ":"), lambda: {"as_of": "b"}) == {"as_of": "b"}


def test_one_of_many_writers_wins(tmp_path: Path) -> None:
    blobs = Lake(tmp_path).blobs
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: blobs.put_if_absent("x", b"%d" % n * 1000), range(40)))
    assert won.count(True) == 1
    assert blobs.get("x") == b"%d" % won.index(True) * 1000
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_segments_are_short_safe_and_distinct() -> None:
    texts = ["a", "A b", "../x", ".", "..", "", "a/b", "a%2Fb", "x" * 1000, "x" * 999 + "y"]
    made = [segment(text) for text in texts]
    assert len(set(made)) == len(texts)
    assert all("/" not in each and not each.startswith(".") and 0 < len(each) <= 150 for each in made)


@pytest.mark.parametrize("name", ["a[b", "a%41", "a\\b", "a|b"])
def test_folder_that_the_table_library_misreads_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="must not contain"):
        Lake(tmp_path / name)


def test_roots_are_read() -> None:
    assert Root.parse("file:///data/my%20lake").local == Path("/data/my lake")
    remote = Root.parse("s3://bucket/lake/", {"AWS_SECRET_ACCESS_KEY": "hidden"})
    assert remote.join("tables/x") == "s3://bucket/lake/tables/x"
    assert remote.local is None
    assert "hidden" not in repr(remote)


def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: both stop a write in its middle."""
    limit = 64 * 1024
    code = f"""
        import resource
        import pyarrow as pa
        from evergreen.errors import TransientError
        from evergreen.lake.lake import Lake
        lake = Lake({str(tmp_path)!r})
        lake.table("t").append_once(pa.table({{"a": [1]}}), "before")
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
        import os
        blob = lambda: lake.blobs.put_if_absent("big/x", os.urandom({limit * 4}))
        def staged():
            with lake.blobs.open_output("big/y") as stream:
                stream.write(os.urandom({limit * 4}))
        rows = pa.table({{"a": [int.from_bytes(os.urandom(7), "big") for _ in range(50_000)]}})
        table = lambda: lake.table("t").append_once(rows, "big")
        for action in (blob, staged, table):
            try:
                action()
            except TransientError as error:
                assert "no space left" in str(error), error
                assert {str(tmp_path)!r} in str(error), error
            else:
                raise SystemExit("was not refused")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert lake.blobs.list("big") == []
        assert lake.table("t").read().num_rows == 1
        assert lake.table("t").append_once(rows, "big")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_blob_that_was_stored_again_since_it_was_listed_stays(tmp_path: Path) -> None:
    blobs = Lake(tmp_path).blobs
    path = blobs.put_content("staging", b"x", ".bin")
    os.utime(tmp_path / path, (0, 0))
    [listed] = blobs.entries("staging")
    assert blobs.put_content("staging", b"x", ".bin") == path
    assert not blobs.remove(listed)
    assert blobs.get(path) == b"x"
    [listed] = blobs.entries("staging")
    assert blobs.remove(listed)
    assert not blobs.remove(listed)
    assert not blobs.renew(path)


def test_a_document_that_expires_while_it_is_stored_is_stored_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = Lake(tmp_path).manifests
    manifests.put_if_absent("step", "key", {"first": 1})
    read, expired = Blobs.get, []

    def gone_at_first(self: Blobs, path: str) -> bytes:
        if not expired:
            expired.append(path)
            (tmp_path / path).unlink()
        return read(self, path)

    monkeypatch.setattr(Blobs, "get", gone_at_first)
    assert manifests.put_if_absent("step", "key", {"second": 2}) == {"second": 2}
