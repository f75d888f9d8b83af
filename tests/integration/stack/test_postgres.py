"""The embedded PostgreSQL: who gets in, and what survives."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from evergreen.errors import UserError
from evergreen.stack import sockets
from evergreen.stack.postgres import EmbeddedPostgres


def test_owner_of_the_database_can_write(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("create table t (n int)"))
        connection.execute(sa.text("insert into t values (7)"))
    with engine.connect() as connection:
        assert connection.execute(sa.text("select n from t")).scalar() == 7


def test_a_wrong_password_is_refused(postgres_server: EmbeddedPostgres, postgres_url: str) -> None:
    name = sa.make_url(postgres_url).username
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(host=str(postgres_server.socket_folder), user=name, dbname=name, password="wrong")


def test_passwords_are_kept_as_scram(postgres_server: EmbeddedPostgres, postgres_url: str) -> None:
    connection = postgres_server.connect()
    with connection.cursor() as cursor:
        cursor.execute("select rolpassword from pg_authid where rolcanlogin")
        assert all(password.startswith("SCRAM-SHA-256$") for (password,) in cursor.fetchall())
    connection.close()


def test_one_database_is_closed_to_the_owner_of_another(postgres_server: EmbeddedPostgres, postgres_url: str) -> None:
    other = postgres_server.create_database("stranger", "secret")
    name = sa.make_url(postgres_url).username
    with pytest.raises(sa.exc.OperationalError, match="permission denied for database"):
        sa.create_engine(sa.make_url(other).set(database=name)).connect()
    postgres_server.drop_database("stranger")


def test_it_listens_on_no_port_and_its_socket_is_private(postgres_server: EmbeddedPostgres) -> None:
    assert postgres_server.process is not None
    # Asked of the server itself: in a plain container root may not look into another user's process.
    with sa.create_engine(postgres_server.create_database("asked"), poolclass=sa.pool.NullPool).connect() as connection:
        assert connection.execute(sa.text("show listen_addresses")).scalar() == ""
        assert connection.execute(sa.text("select inet_server_addr()")).scalar() is None
    postgres_server.drop_database("asked")
    assert stat.S_IMODE(postgres_server.socket_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((postgres_server.folder / "superuser").stat().st_mode) == 0o600


def test_it_comes_back_after_a_kill_even_if_its_pid_file_names_a_stranger(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "server", durable=False)
    server.start()
    assert server.process is not None
    try:
        url = server.create_database("kept", "secret")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        note = server.data / "postmaster.pid"
        lines = note.read_text().split("\n")
        note.write_text("\n".join([str(os.getpid()), *lines[1:]]))
        server.start()
        with sa.create_engine(url, poolclass=sa.pool.NullPool).connect() as connection:
            assert connection.execute(sa.text("select 1")).scalar() == 1
    finally:
        server.stop()
        server.remove()
    assert not server.folder.exists() and not server.place.exists()


@pytest.mark.parametrize("damage", ["PG_VERSION", "data"])
def test_data_that_was_made_is_never_made_anew_by_itself(tmp_path: Path, damage: str) -> None:
    server = EmbeddedPostgres(tmp_path / "server", durable=False)
    server.start()
    server.stop()
    hidden = server.data / "PG_VERSION" if damage == "PG_VERSION" else server.data
    hidden.rename(tmp_path / "hidden")
    try:
        with pytest.raises(UserError, match="must have a file PG_VERSION, but it is damaged or gone"):
            server.start()
        (tmp_path / "hidden").rename(hidden)
        server.start()
    finally:
        server.stop()
        server.remove()


def test_deep_folders_with_spaces_get_a_short_socket_path(tmp_path: Path) -> None:
    deep = tmp_path / "a folder, with spaces" / ("deep" * 30) / "server"
    server = EmbeddedPostgres(deep, durable=False)
    server.start()
    try:
        assert sockets.fits(server.socket_folder)
        server.connect().close()
    finally:
        server.stop()
        server.remove()
