"""The other tables: every write may be repeated, the first one that decides stands."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import func, select, text

from evergreen.errors import Superseded, TransientError, UserError
from evergreen.store.consumed import Consumed
from evergreen.store.decisions import Decisions
from evergreen.store.gateways import Applied, Gateway, Gateways
from evergreen.store.intervals import Intervals
from evergreen.store.ledger import Ledger
from evergreen.store.periods import Periods
from evergreen.store.pins import Pins
from evergreen.store.requests import Requests
from evergreen.store.resources import Seen
from evergreen.store.rollouts import Rollouts
from evergreen.store.row_counts import RowCounts
from evergreen.store.store import Store
from evergreen.store.trainings import Training, Trainings

MARCH, APRIL = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC)


def test_a_decision_is_recorded_once_per_key(store: Store, model: str) -> None:
    decisions = Decisions(store)
    figures = {"roc_auc": 0.7, "of_nan": float("nan")}
    first = decisions.record(
        "gate", model, "2013-03-01", MARCH, verdict="refuse", figures=figures, reasons=["too low"], key=f"{model}-1",
        version=3,
    )  # fmt: skip
    again = decisions.record("gate", model, "2013-03-01", MARCH, verdict="accept", key=f"{model}-1")
    assert again == first
    assert first.figures == {"roc_auc": 0.7, "of_nan": None}
    decisions.record("drift", model, "2013-04-01", APRIL, verdict="no", key=f"{model}-2", historic=True)
    assert [decision.kind for decision in decisions.of(model)] == ["gate", "drift"]
    assert decisions.latest(model, "gate") == decisions.latest(model, "gate", version=3) == first
    assert decisions.latest(model, "gate", as_of="2013-04-01") is None
    assert decisions.by_key(f"{model}-2").historic


def test_a_training_is_started_finished_and_adopts_once(store: Store, model: str) -> None:
    trainings = Trainings(store)
    started = _start(store, model, f"t-{model}")
    assert _start(store, model, f"t-{model}", seed=8) == started
    first = trainings.finish(started.training_id, run_id="r1", trained_through=MARCH, training_set="sets/a", bundle="b")
    assert (
        trainings.finish(started.training_id, run_id="r2", trained_through=APRIL, training_set="sets/b", bundle="c")
        == first
    )
    assert (first.run_id, first.training_set, first.trained_through) == ("r1", "sets/a", MARCH)
    assert [trainings.adopt(started.training_id) for _ in range(2)] == [1, 1]
    assert trainings.by_version(model, 1).training_id == started.training_id
    assert trainings.by_version(model, 2) is None
    assert trainings.of(model) == [trainings.get(started.training_id)]


def test_parallel_adoptions_number_each_training_once_without_gaps(store: Store, model: str) -> None:
    for number in range(6):
        _start(store, model, f"t{number}-{model}")
    ids = [f"t{number % 6}-{model}" for number in range(24)]
    with ThreadPoolExecutor(24) as pool:
        adopted = dict(zip(ids, pool.map(Trainings(store).adopt, ids), strict=True))
    assert sorted(adopted.values()) == [1, 2, 3, 4, 5, 6]
    assert adopted == {each.training_id: each.adopted_version for each in Trainings(store).of(model)}


def test_versions_are_counted_by_model_and_never_given_again(store: Store, model: str) -> None:
    for name in (model, f"{model}_other"):
        _start(store, name, f"t-{name}")
        assert Trainings(store).adopt(f"t-{name}") == 1
    Ledger(store).append(model, 0, version=7, action="promote", actor="a", reason="r", as_of="x", as_of_time=MARCH)
    _start(store, model, f"u-{model}")
    assert Trainings(store).adopt(f"u-{model}") == 8, "a number that has served stays its own"


def test_mlflows_number_is_only_noted(store: Store, model: str) -> None:
    trainings = Trainings(store)
    for name in ("a", "b"):
        _start(store, model, f"{name}-{model}")
        trainings.adopt(f"{name}-{model}")
    for number in (3, 1, None, 1):
        trainings.note_mlflow_version(f"a-{model}", number)
        assert trainings.get(f"a-{model}").mlflow_version == number
    trainings.note_mlflow_version(f"b-{model}", 1)  # MLflow began to count anew
    assert [(each.adopted_version, each.mlflow_version) for each in trainings.of(model)] == [(1, 1), (2, 1)]


def test_a_training_that_never_started_neither_finishes_nor_adopts(store: Store) -> None:
    with pytest.raises(UserError, match="must have been started, got 'nobody'"):
        Trainings(store).adopt("nobody")
    with pytest.raises(UserError, match="must have been started"):
        Trainings(store).finish("nobody", run_id="r", trained_through=MARCH, training_set="s", bundle="b")


def test_a_training_counts_as_requested_after_its_newest_request(store: Store, model: str) -> None:
    first = Requests(store).open(model, "2013-03-01", MARCH, "drift", "r", "a")
    Ledger(store).append(model, 0, version=1, action="promote", actor="a", reason="r", as_of="x", as_of_time=MARCH)
    second = Requests(store).open(model, "2013-03-01", MARCH, "manual", "r", "b")
    assert _start(store, model, f"a-{model}", request_ids=[first.id]).requested_seq == 0
    assert _start(store, model, f"b-{model}", request_ids=[first.id, second.id]).requested_seq == 1
    assert _start(store, model, f"a-{model}", request_ids=[second.id]).requested_seq == 0
    assert _start(store, model, f"c-{model}").requested_seq == 0


def test_a_rollout_begins_goes_on_and_ends_once(store: Store, model: str) -> None:
    rollouts = Rollouts(store)
    rollout = rollouts.begin(model, 3, 7, "run-1")
    assert rollouts.begin(model, 5, 7, "run-1") == rollout
    assert rollouts.running(model) == [rollout]
    assert rollouts.advance(rollout.id, expected_step=0, shares={"7": 0.1}).step == 1
    assert rollouts.advance(rollout.id, expected_step=0, shares={"7": 0.1}).step == 1
    rollouts.advance(rollout.id, expected_step=1, shares={"7": 1.0})
    with pytest.raises(Superseded, match="is running at step 2"):
        rollouts.advance(rollout.id, expected_step=0, shares={})
    assert rollouts.end(rollout.id, "superseded", "rolled back").state == "superseded"
    assert rollouts.end(rollout.id, "done").note == "rolled back"
    assert rollouts.running(model) == []
    with pytest.raises(Superseded, match="is superseded at step 2"):
        rollouts.advance(rollout.id, expected_step=2, shares={})


def test_gateways_that_beat_are_live_until_they_leave_whatever_they_serve(store: Store, model: str) -> None:
    gateways, first, second = Gateways(store), f"a-{model}", f"b-{model}"

    def live(within: float = 60) -> list[Gateway]:
        return [each for each in gateways.live(model, within) if each.instance in (first, second)]

    assert gateways.beat(second) and not gateways.beat(second)
    assert [(each.instance, each.applied_seq, each.fault) for each in live()] == [(second, 0, "")]
    assert gateways.report(first, "http://127.0.0.1:1", {model: Applied(1), f"x{model}": Applied(7)})
    assert not gateways.report(first, "http://127.0.0.1:2", {model: Applied(2, 3, "seq 3: it is broken")})
    assert [(each.instance, each.applied_seq, each.fault_seq, each.fault) for each in live()] == [
        (first, 2, 3, "seq 3: it is broken"), (second, 0, 0, ""),
    ]  # fmt: skip
    assert live()[0].url == "http://127.0.0.1:2"
    assert live(-1) == []
    gateways.remove(first)
    assert [each.instance for each in live()] == [second]
    assert gateways.beat(first), "what it served went with it, and must be told again"
    assert [each.applied_seq for each in live()] == [0, 0]


def test_a_gateway_that_left_without_a_goodbye_is_forgotten_after_a_day(store: Store, model: str) -> None:
    gateways, lost = Gateways(store), f"lost-{model}"
    gateways.report(lost, "", {model: Applied(1)})
    with store.transaction() as connection:
        connection.execute(
            text("update gateways set seen_at = seen_at - interval '25 hours' where instance = :lost"), {"lost": lost}
        )
    gateways.beat(f"new-{model}")
    with store.transaction() as connection:
        for table in ("gateways", "gateway_models"):
            found = connection.execute(text(f"select count(*) from {table} where instance = :lost"), {"lost": lost})
            assert found.scalar() == 0


def test_a_store_that_keeps_connections_opens_no_more_and_survives_their_end(postgres_url: str, model: str) -> None:
    from sqlalchemy import event

    kept = Store(postgres_url, connections=2)
    opened: list[object] = []
    event.listen(kept._engine, "connect", lambda connection, _: opened.append(connection))
    for _ in range(20):
        assert Ledger(kept).seq(model) == 0
    assert len(opened) == 1
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: Ledger(kept).seq(model), range(40))) == [0] * 40
    assert len(opened) <= 2
    with Store(postgres_url).transaction() as connection:
        connection.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    assert Ledger(kept).seq(model) == 0
    kept.close()


def test_ledgers_and_trainings_of_many_models_are_read_in_one_look(store: Store, model: str) -> None:
    ledger, names = Ledger(store), [f"{model}_{number}" for number in range(5)]
    for number, name in enumerate(names):
        for version in range(1, number + 1):
            ledger.append(name, version - 1, version=version, action="promote", actor="a", reason="r",
                          as_of="2013-03-01", as_of_time=MARCH)  # fmt: skip
    ledger.append(names[4], 4, version=None, action="release", actor="a", reason="r", as_of="2013-03-01",
                  as_of_time=MARCH)  # fmt: skip
    servers = {name: seq for name, seq in ledger.servers().items() if name in names}
    assert servers == {names[1]: 1, names[2]: 2, names[3]: 3, names[4]: 4}, "a release serves nothing"
    assert next(iter(ledger.servers())) == names[4], "the newest promotion comes first"
    found = ledger.entries_of(names)
    assert found == {name: ledger.entries(name) for name in names}
    _start(store, names[1], f"t-{model}")
    number = Trainings(store).adopt(f"t-{model}")
    adopted = Trainings(store).by_versions([(names[1], number), (names[1], number + 1), (names[2], 1)])
    assert list(adopted) == [(names[1], number)] and adopted[names[1], number].training_id == f"t-{model}"
    assert Trainings(store).by_versions([]) == {}


def test_what_was_consumed_is_known(store: Store, model: str) -> None:
    consumed = Consumed(store)
    assert consumed.watermark(model, "flights") is None
    assert [consumed.mark(model, "flights", version) for version in ("3", "12", "3")] == [True, True, False]
    assert consumed.watermark(model, "flights") == "12"
    assert consumed.consumed(model, "flights") == {"3", "12"}
    assert consumed.consumed(model, "weather") == set()


def test_pins_are_kept_per_holder(store: Store, model: str) -> None:
    pins, table = Pins(store), f"datasets/{model}"
    for version, holder in [(2, "x"), (2, "y"), (3, "x"), (2, "x")]:
        pins.pin(table, version, f"{holder}-{model}")
    assert pins.of(f"x-{model}") == [(table, 2), (table, 3)]
    assert pins.pinned(table) == {2, 3}


def figure(role: str, value: float | None, n_labelled: int = 8) -> dict[str, Any]:
    return {"role": role, "version": 1, "metric": "roc_auc", "value": value, "n_rows": 9, "n_labelled": n_labelled}


def known(periods: Periods, model: str) -> list[tuple[str, str, float | None]]:
    return [(period.as_of, period.role, period.value) for period in periods.of(model)]


def test_a_periods_figures_are_replaced_as_a_whole(store: Store, model: str) -> None:
    periods = Periods(store)
    for as_of, moment in (("2013-04-01", APRIL), ("2013-03-01", MARCH)):
        periods.open(model, as_of, moment - timedelta(days=28), moment)

    def judge(as_of: str, *rows: dict[str, Any]) -> bool:
        return periods.judge(model, as_of, rows, judged_time=APRIL, read_at=periods.now(), settled=False)

    assert judge("2013-04-01", figure("champion", 0.7))
    assert judge("2013-03-01", figure("champion", 0.5), figure("reference", float("nan")))
    with ThreadPoolExecutor(5) as pool:
        assert any(pool.map(lambda _: judge("2013-04-01", figure("champion", 0.8)), range(5)))
    assert known(periods, model) == [
        ("2013-03-01", "champion", 0.5), ("2013-03-01", "reference", None), ("2013-04-01", "champion", 0.8),
    ]  # fmt: skip
    assert judge("2013-03-01")
    assert known(periods, model) == [("2013-04-01", "champion", 0.8)]


def test_a_judgement_that_knows_less_never_replaces_one_that_knows_more(store: Store, model: str) -> None:
    periods, later = Periods(store), MARCH + timedelta(days=5)
    periods.open(model, "2013-03-01", MARCH - timedelta(days=28), MARCH)
    early, late = periods.now(), periods.now()

    def judge(value: float, by: datetime, read_at: datetime) -> bool:
        row = figure("champion", value)
        return periods.judge(model, "2013-03-01", [row], judged_time=by, read_at=read_at, settled=by == later)

    assert judge(0.5, MARCH, late)
    assert judge(0.6, later, early), "labels known by a later instant, though read earlier"
    assert not judge(0.7, MARCH, late), "a backfill, or a process that hung"
    assert judge(0.8, later, late), "the same instant, read again after a repair"
    assert not judge(0.9, later, early), "a process that hung while the file was repaired"
    assert known(periods, model) == [("2013-03-01", "champion", 0.8)]
    assert [period.as_of for period in periods.in_state(model, "settled")] == ["2013-03-01"]


def test_a_period_waits_until_it_is_watched_and_is_open_until_it_is_settled(store: Store, model: str) -> None:
    periods, start = Periods(store), MARCH - timedelta(days=28)
    for note in ("waits for a, b", "waits for b"):
        periods.wait(model, "2013-03-01", start, MARCH, note)
    (waiting,) = periods.in_state(model, "waiting")
    assert (waiting.note, waiting.start_time, waiting.as_of_time) == ("waits for b", start, MARCH)
    periods.open(model, "2013-03-01", start, MARCH)
    periods.wait(model, "2013-03-01", start, MARCH, "waits for c")
    assert periods.in_state(model, "waiting") == []
    (opened,) = periods.in_state(model, "open")
    assert (opened.note, opened.judged_time) == ("", None)
    periods.judge(model, "2013-03-01", [], judged_time=MARCH, read_at=periods.now(), settled=True)
    assert periods.in_state(model, "open") == []


def test_a_champions_figures_are_those_of_its_reign(store: Store, model: str) -> None:
    periods = Periods(store)
    for day in range(4):
        as_of, moment = f"2013-03-0{day + 1}", MARCH + timedelta(days=day)
        periods.open(model, as_of, moment - timedelta(days=1), moment)
        rows = [{**figure("champion", day / 10), "version": 1 + day % 2}, figure("first", 0.0)]
        periods.judge(model, as_of, rows, judged_time=moment, read_at=periods.now(), settled=False)
    found = periods.of_champion(model, 2, after=MARCH, until=MARCH + timedelta(days=3))
    assert [(row.as_of, row.value) for row in found] == [("2013-03-02", 0.1), ("2013-03-04", 0.3)]
    assert periods.of_champion(model, 2, after=MARCH + timedelta(days=1), until=MARCH + timedelta(days=2)) == []


def test_an_interval_that_was_published_stays_so_whatever_is_skipped_later(store: Store, model: str) -> None:
    intervals = Intervals(store)
    assert intervals.at([model], MARCH) == {}
    intervals.skipped(model, "2013-03-01", MARCH, "no file")
    noted = intervals.at([model, "another"], MARCH)
    assert {name: (each.state, each.reason) for name, each in noted.items()} == {model: ("skipped", "no file")}
    intervals.published(model, "2013-03-01", MARCH)
    assert (intervals.at([model], MARCH)[model].state, intervals.at([model], MARCH)[model].reason) == ("published", "")
    intervals.skipped(model, "2013-03-01T00:00", MARCH, "gone")
    assert (intervals.at([model], MARCH)[model].state, intervals.at([model], MARCH)[model].reason) == (
        "published", "gone",
    )  # fmt: skip
    assert intervals.at([model], APRIL) == {}


def test_row_counts_add_up_and_the_newest_stands(store: Store, model: str) -> None:
    counts = RowCounts(store)
    assert counts.earliest_as_of_time(model) is None
    for step_key, good in [("a", 5), ("a", 5), ("b", 6)]:
        counts.put(
            model, "2013-04-01", APRIL, step_key=step_key, rows_read=good + 3, good=good, quarantined=2, superseded=1
        )
    counts.put(model, "2013-03-01", MARCH, step_key="c", rows_read=0, good=0, quarantined=0, superseded=0)
    assert [(count.as_of, count.good) for count in counts.of(model)] == [("2013-03-01", 0), ("2013-04-01", 6)]
    assert counts.earliest_as_of_time(model) == MARCH
    with pytest.raises(ValueError, match=r"got \(rows_read=9, good=5, quarantined=2, superseded=1\)"):
        counts.put(model, "2013-05-01", APRIL, step_key="d", rows_read=9, good=5, quarantined=2, superseded=1)


def test_the_newest_as_of_only_goes_forward(store: Store, model: str) -> None:
    seen = Seen(store)
    assert seen.newest_as_of(model) is None
    for as_of, moment in [("2013-03-01", MARCH), ("2013-04-01", APRIL), ("2013-03-01", MARCH)]:
        seen.note_as_of(model, as_of, moment)
    assert seen.newest(model) == ("2013-04-01", APRIL)


def test_a_naive_instant_is_refused(store: Store, model: str) -> None:
    with pytest.raises(Exception, match="must carry a time zone"):
        Seen(store).note_as_of(model, "2013-03-01", datetime(2013, 3, 1))


def test_instants_come_back_in_utc(store: Store, model: str) -> None:
    local = MARCH.astimezone(timezone(timedelta(hours=-5)))
    Seen(store).note_as_of(model, "2013-03-01", local)
    assert Seen(store).newest(model)[1].tzinfo is UTC


def test_a_store_that_was_used_before_a_fork_works_after_it(store: Store, model: str) -> None:
    Consumed(store).mark(model, "x", "parent")
    pid = os.fork()
    if pid == 0:
        try:
            Consumed(store).mark(model, "x", "child")
            os._exit(0)
        except BaseException:
            os._exit(1)
    Consumed(store).mark(model, "x", "parent again")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Consumed(store).consumed(model, "x") == {"parent", "child", "parent again"}


def test_a_store_keeps_no_connection_open(store: Store, postgres_url: str) -> None:
    Seen(store).newest_as_of("x")
    with Store(postgres_url).transaction() as connection:
        query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        assert connection.exec_driver_sql(query).scalar() == 0


def test_a_statement_that_takes_too_long_and_a_lock_that_does_not_come_are_transient(postgres_url: str) -> None:
    hasty = Store(postgres_url, statement_timeout_seconds=0.2, lock_timeout_seconds=0.1)
    with pytest.raises(TransientError, match="statement timeout"), hasty.transaction() as connection:
        connection.execute(select(func.pg_sleep(5)))
    with Store(postgres_url).transaction() as holder:
        holder.execute(select(func.pg_advisory_xact_lock(42)))
        with pytest.raises(TransientError, match="lock timeout"), hasty.transaction() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(42)))


def _start(store: Store, model: str, training_id: str, *, seed: int = 7, request_ids: tuple | list = ()) -> Training:
    return Trainings(store).start(
        training_id, model, "2013-03-01", MARCH, spec_digest="s", workspace="w", inputs={"datasets/flights": 3},
        seed=seed, causes=["drift"], request_ids=request_ids,
    )  # fmt: skip
