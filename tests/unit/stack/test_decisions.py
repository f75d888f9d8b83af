"""The pure parts of the stack: ports, sockets, environments, restarts, reports."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from evergreen.errors import UserError
from evergreen.stack import disk, environment, health, instances, ports, report, restart, sockets
from evergreen.stack.instance import Config, Instance, Part, State
from evergreen.stack.passwords import load_or_generate
from evergreen.stack.phase import is_over, phase_of

PORTS = {"airflow": 1001, "mlflow": 1002, "gateway": 1003}


def test_restarts_wait_longer_with_every_recent_death_and_never_end() -> None:
    deaths = [float(second) for second in range(10)]
    waits = [restart.delay(deaths[:count], now=10.0) for count in range(1, 9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert restart.delay([0.0] * 100_000, now=10.0) == 30.0
    assert [restart.recent(deaths, now) for now in (10.0, 604.0, 10_000.0)] == [10, 5, 0]


@pytest.mark.parametrize(
    ("states", "troubles", "before", "phase"),
    [
        (("healthy", "done"), [], "starting", "healthy"),
        (("healthy", "starting"), [], "starting", "starting"),
        (("healthy", "backing off"), [], "healthy", "healthy"),
        (("healthy", "healthy"), ["the disk is full"], "healthy", "degraded"),
        (("healthy", "starting"), [], "degraded", "starting"),
        ((), [], "starting", "healthy"),
    ],
)
def test_a_phase_follows_from_parts_and_troubles(
    states: tuple[str, ...], troubles: list[str], before: str, phase: str
) -> None:
    parts = {str(number): Part(state) for number, state in enumerate(states)}
    assert phase_of(parts, troubles, before) == phase


def test_a_trouble_is_over_when_its_part_has_been_well_for_a_while() -> None:
    assert is_over(Part("done"), 0.0, settled_seconds=20)
    assert not is_over(Part("healthy", started=100.0), 119.0, settled_seconds=20)
    assert is_over(Part("healthy", started=100.0), 120.0, settled_seconds=20)
    assert not is_over(Part("starting", started=100.0), 1000.0, settled_seconds=20)


def test_the_gateway_waits_for_nothing_and_nothing_waits_for_it(tmp_path: Path) -> None:
    from evergreen.stack import components

    secrets, _ = load_or_generate(tmp_path / "passwords.json")
    instance = Instance(tmp_path)
    instance.make()
    config = Config(project="/p", workspace="/w")
    gateway = components.gateway(instance, config, secrets, PORTS, "postgresql://", {})
    assert (gateway.name, gateway.after, gateway.once) == ("gateway", (), False)
    urls = {name: f"postgresql+psycopg2://{name}:x@/{name}?host=/s" for name in ("airflow", "mlflow", "evergreen")}
    rest = components.plan(instance, config, secrets, PORTS, urls, {}, frozenset())
    assert "gateway" not in {each.name for each in rest} | {name for each in rest for name in each.after}
    assert "migrate-evergreen" in {each.name for each in rest}


def test_a_state_is_written_though_the_disk_takes_no_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    instance = Instance(tmp_path / "instance")
    instance.make()
    long = State(phase="healthy", mark="m" * 500, ports=PORTS)
    instance.write_state(long)
    monkeypatch.setattr("tempfile.mkstemp", full)
    instance.write_state(State(phase="degraded", mark="m", error="no room"))
    found = instance.read_state()
    assert found is not None and (found.phase, found.error, found.ports) == ("degraded", "no room", {})


def test_deaths_of_long_ago_do_not_count() -> None:
    assert restart.delay([0.0] * 20 + [10_000.0], now=10_000.0) == 0.5


def test_ports_differ_and_come_back() -> None:
    first = ports.choose({}, {})
    assert len(set(first.values())) == 3
    assert ports.choose({}, first) == first


def test_a_port_taken_since_the_last_start_is_replaced() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        taken = other.getsockname()[1]
        assert ports.choose({}, {"airflow": taken})["airflow"] != taken


def test_a_taken_port_that_was_wished_for_is_said_clearly() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        taken = str(other.getsockname()[1])
        with pytest.raises(UserError, match=f"EVERGREEN_MLFLOW_PORT must be a free port, but {taken} is taken"):
            ports.choose({"EVERGREEN_MLFLOW_PORT": taken}, {})


@pytest.mark.parametrize("wish", ["http", "0", "70000", "-1"])
def test_a_wish_that_is_no_port_is_refused(wish: str) -> None:
    with pytest.raises(UserError, match="must be a port from 1 to 65535"):
        ports.choose({"EVERGREEN_AIRFLOW_PORT": wish}, {})


def test_sockets_stand_beside_the_state_where_they_fit() -> None:
    assert sockets.choose(Path("/var/lib/x"), {}, os.geteuid()) == Path("/var/lib/x/socket")


@pytest.mark.parametrize("part", ["d" * 120, "with space", "comma,", "ünïcode"])
def test_sockets_of_long_or_special_paths_stand_in_a_short_private_folder(tmp_path: Path, part: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:  # tmp_path itself is too long
        chosen = sockets.choose(tmp_path / part, {"XDG_RUNTIME_DIR": runtime}, os.geteuid())
        assert sockets.fits(chosen)
        assert chosen.parent == Path(runtime, "evergreen")
        assert stat.S_IMODE(chosen.parent.stat().st_mode) == 0o700
        assert chosen != sockets.choose(tmp_path / f"{part}2", {"XDG_RUNTIME_DIR": runtime}, os.geteuid())


def test_a_private_folder_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UserError, match="must be a folder of the user"):
        sockets.make_private(tmp_path / "link")


def test_settings_of_other_installations_do_not_leak_in() -> None:
    shell = {"AIRFLOW_HOME": "/a", "AIRFLOW__CORE__X": "b", "PGHOST": "c", "PYTHONPATH": "d", "MLFLOW_PORT": "e"}
    env = environment.base({**shell, "LANG": "C", "NO_PROXY": "example.org"})
    assert not shell.keys() & env.keys()
    assert env["LANG"] == "C"
    assert env["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_every_airflow_setting_is_one_that_airflow_knows(tmp_path: Path) -> None:
    configuration = pytest.importorskip("airflow.configuration")
    secrets, _ = load_or_generate(tmp_path / "passwords.json")
    env = environment.airflow(Instance(tmp_path), Config(project="/p", workspace="/w"), secrets, PORTS, "db")
    known = configuration.retrieve_configuration_description(include_providers=False)
    for name in env:
        if name.startswith("AIRFLOW__"):
            section, key = name.removeprefix("AIRFLOW__").lower().split("__")
            assert key in known[section]["options"], name


def test_extra_variables_win_over_computed_ones(tmp_path: Path) -> None:
    secrets, _ = load_or_generate(tmp_path / "passwords.json")
    extra = {"EVERGREEN_LANDING": "/other", "AIRFLOW__CORE__PARALLELISM": "3"}
    config = Config(project="/p", workspace="/w", gateway=False, extra_env=extra)
    env = environment.library(Instance(tmp_path), config, secrets, PORTS, "postgresql://")
    assert env["EVERGREEN_LANDING"] == "/other"
    assert "EVERGREEN_GATEWAY_URL" not in env
    env = environment.airflow(Instance(tmp_path), config, secrets, PORTS, "postgresql://")
    assert env["AIRFLOW__CORE__PARALLELISM"] == "3"


def test_passwords_are_generated_once_kept_private_and_never_shown(tmp_path: Path) -> None:
    first, new = load_or_generate(tmp_path / "passwords.json")
    second, newer = load_or_generate(tmp_path / "passwords.json")
    assert (new, newer) == (True, False)
    assert first == second
    assert first.airflow not in repr(first)
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600


def test_one_holder_has_the_instance(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "instance")
    assert not instance.is_running()
    instance.make()
    held = instance.lock()
    assert instance.is_running()
    with pytest.raises(UserError, match="runs already"):
        instance.lock()
    os.close(held)
    assert not instance.is_running()


def test_configuration_and_state_survive(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "instance")
    instance.make()
    assert instance.read_config() is None
    assert instance.read_state() is None
    config = Config(project="/p", workspace="/w", calendar_from="2100-01-01", extra_env={"A": "b"})
    state = State(phase="healthy", mark="m", ports=PORTS, parts={"postgres": Part("healthy", 7, 1.5, 2, "died")})
    instance.write_config(config)
    instance.write_state(state)
    assert instance.read_config() == config
    assert instance.read_state() == state


def test_the_instance_used_last_is_the_next_one(tmp_path: Path) -> None:
    assert instances.resolve(None, tmp_path) == tmp_path / "default"
    (tmp_path / "demo" / "flights").mkdir(parents=True)
    instances.remember(tmp_path / "demo" / "flights", tmp_path)
    assert instances.resolve(None, tmp_path) == tmp_path / "demo" / "flights"
    assert instances.resolve("other", tmp_path) == tmp_path / "other"
    instances.remember(Path("/somewhere/else"), tmp_path)
    assert instances.resolve(None, tmp_path) == tmp_path / "demo" / "flights"
    (tmp_path / "demo" / "flights").rmdir()
    assert instances.resolve(None, tmp_path) == tmp_path / "default"


def test_a_disk_without_room_is_said_clearly(tmp_path: Path) -> None:
    disk.require_room(tmp_path, least_free_mb=1)
    with pytest.raises(UserError, match="must have 1000000000 MB free"):
        disk.require_room(tmp_path, least_free_mb=10**9)


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("FATAL: could not write: No space left on device", "disk is full"),
        ("[Errno 98] Address already in use", "port was taken"),
        ("all is well", ""),
    ],
)
def test_common_causes_are_read_from_logs(log: str, cause: str) -> None:
    assert cause in disk.explain(log)


def test_a_heartbeat_of_the_start_before_is_no_health() -> None:
    entry = {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-01-01T00:00:10+00:00"}}
    second = 1767225610.0  # 2026-01-01T00:00:10Z
    assert health.is_well(entry, "scheduler", since=second - 1)
    assert not health.is_well(entry, "scheduler", since=second + 1)
    assert not health.is_well({}, "scheduler", since=0)


def test_the_table_has_a_line_per_component() -> None:
    state = State("degraded", "m", parts={"postgres": Part("healthy", 7), "gateway": Part("waiting", note="broken")})
    lines = report.table(state, {"postgres": 48.4}).splitlines()
    assert lines[1].split() == ["postgres", "healthy", "7", "48"]
    assert lines[2].split() == ["gateway", "waiting", "broken"]
