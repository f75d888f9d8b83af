"""The ledger in PostgreSQL: one winner per seq, one champion, an untouched chain, repeatable writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from evergreen.errors import Superseded
from evergreen.store import history
from evergreen.store.history import Promotion
from evergreen.store.ledger import Ledger, Pulse
from evergreen.store.schema import promotions
from evergreen.store.store import Store

FEBRUARY = datetime(2013, 2, 1, 5, tzinfo=UTC)


def test_an_entry_reads_back_as_it_was_returned(store: Store, model: str) -> None:
    evidence = {"auc": 0.1 + 0.2, "big": 1e22, "nan": float("nan"), "rows": 10**18, "at": FEBRUARY, "ä": ["ß", None]}
    local = FEBRUARY.astimezone(timezone(timedelta(hours=-5)))
    entry = _append(store, model, 0, 1, as_of_time=local, evidence=evidence)
    assert Ledger(store).entries(model) == [entry]
    assert entry.evidence["nan"] is None
    assert Ledger(store).verify_chain(model) == []


def test_the_next_server_ends_the_service_of_the_one_before(store: Store, model: str) -> None:
    _append(store, model, 0, 1)
    _append(store, model, 1, 2)
    _append(store, model, 2, 1, action="roll_back", holds=True)
    release = _append(store, model, 3, None, action="release")
    entries = Ledger(store).entries(model)
    assert [entry.end_cause for entry in entries] == ["promote", "roll_back", None, None]
    assert [entry.served_to for entry in entries] == [entries[1].at, entries[2].at, None, None]
    assert release.served_from is None
    assert Ledger(store).champion(model) == entries[2]
    assert Ledger(store).rolled_back_versions(model) == {2}
    assert Ledger(store).hold(model) is None
    assert Ledger(store).verify_chain(model) == []


def test_the_champion_by_the_data_clock_is_the_last_by_seq(store: Store, model: str) -> None:
    for seq, (version, days) in enumerate([(1, 0), (2, 15), (1, 15)]):
        _append(store, model, seq, version, as_of_time=FEBRUARY + timedelta(days=days))
    ledger = Ledger(store)
    for days in (-1, 0, 14, 15, 99):
        moment = FEBRUARY + timedelta(days=days)
        assert ledger.champion_at(model, moment) == history.champion_at(ledger.entries(model), moment)
    assert ledger.is_historic(model, FEBRUARY + timedelta(days=14))
    assert not ledger.is_historic(model, FEBRUARY + timedelta(days=15))


def test_every_change_of_who_serves_makes_the_pulse_larger_and_nothing_else_moves_it(store: Store, model: str) -> None:
    ledger, other = Ledger(store), f"x{model}"
    acts = [(model, 1, "promote"), (other, 1, "promote"), (model, 2, "promote"), (model, 1, "roll_back"),
            (model, None, "release"), (other, 2, "promote"), (model, 3, "promote")]  # fmt: skip
    for name, version, action in acts:
        before = ledger.pulse()
        assert before == Pulse.of(ledger.servers())
        _append(store, name, ledger.seq(name), version, action=action)
        after = ledger.pulse()
        assert after == Pulse.of(ledger.servers())
        assert after == before if version is None else after.seqs > before.seqs


def test_an_entry_that_commits_late_moves_the_pulse_when_it_commits(store: Store, model: str) -> None:
    ledger, late = Ledger(store), f"x{model}"
    made = history.following(
        None, Promotion(late, 0, 1, "promote", "test", "r", {}, "2013-02-01", FEBRUARY, at=datetime.now(UTC))
    )
    with store.transaction() as connection:
        row = {column.name: getattr(made, column.name) for column in promotions.columns}
        connection.execute(insert(promotions), row)
        for seq in range(3):  # later by number and by clock, and committed
            _append(store, model, seq, seq + 1)
        before = ledger.pulse()
        assert late not in ledger.servers()
    assert ledger.pulse() == Pulse(before.models + 1, before.seqs + 1)


@pytest.mark.parametrize("expected_seq", [0, 2])
def test_a_plan_against_another_seq_is_void(store: Store, model: str, expected_seq: int) -> None:
    _append(store, model, 0, 1)
    with pytest.raises(Superseded, match=rf"{model} was expected at seq {expected_seq}, but seq 1 stands \(promote"):
        _append(store, model, expected_seq, 2)
    assert Ledger(store).champion(model).version == 1


def test_a_repeated_append_with_a_key_returns_what_stands(store: Store, model: str) -> None:
    first = _append(store, model, 0, 1, key="a")
    _append(store, model, 1, 2, key="b")
    assert _append(store, model, 0, 1, key="a").row_hash == first.row_hash
    assert Ledger(store).seq(model) == 2
    assert Ledger(store).by_key(model, "a").seq == 1


def test_one_of_twenty_parallel_promotions_wins(store: Store, model: str) -> None:
    _append(store, model, 0, 100)

    def promote(version: int) -> Promotion | None:
        try:
            return _append(store, model, 1, version)
        except Superseded:
            return None

    with ThreadPoolExecutor(20) as pool:
        winners = [entry for entry in pool.map(promote, range(1, 21)) if entry is not None]
    entries = Ledger(store).entries(model)
    assert len(winners) == 1
    assert entries[1:] == winners
    assert [entry.end_cause for entry in entries] == ["promote", None]
    assert Ledger(store).verify_chain(model) == []


def test_twenty_parallel_tries_of_one_promotion_store_it_once(store: Store, model: str) -> None:
    _append(store, model, 0, 100)
    with ThreadPoolExecutor(20) as pool:
        entries = list(pool.map(lambda _: _append(store, model, 1, 2, key="mine"), range(20)))
    assert {entry.row_hash for entry in entries} == {entries[0].row_hash}
    assert Ledger(store).seq(model) == 2


def test_the_first_promotion_of_a_model_has_one_winner_too(store: Store, model: str) -> None:
    def promote(version: int) -> bool:
        try:
            return _append(store, model, 0, version) is not None
        except Superseded:
            return False

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(promote, range(1, 11))) == 1


def test_the_database_itself_refuses_a_second_champion(store: Store, model: str) -> None:
    entry = _append(store, model, 0, 1)
    second = replace(entry, seq=2, version=2)
    row = {column.name: getattr(second, column.name) for column in promotions.columns}
    with pytest.raises(IntegrityError, match="uq_promotions_serving"), store.transaction() as connection:
        connection.execute(insert(promotions).values(row))


def test_a_row_changed_behind_our_back_is_found(store: Store, model: str) -> None:
    _append(store, model, 0, 1)
    _append(store, model, 1, 2)
    with store.transaction() as connection:
        connection.execute(update(promotions).where(promotions.c.model == model).values(actor="eve"))
    assert len(Ledger(store).verify_chain(model)) == 2


def test_models_do_not_see_each_other(store: Store, model: str) -> None:
    _append(store, model, 0, 1, key="same")
    _append(store, f"{model}_2", 0, 7, key="same")
    assert Ledger(store).champion(model).version == 1
    assert {model, f"{model}_2"} <= set(Ledger(store).models())


def test_at_is_the_databases_clock(store: Store, model: str) -> None:
    with store.transaction() as connection:
        before = connection.execute(select(func.clock_timestamp())).scalar_one()
    assert _append(store, model, 0, 1).at > before


def _append(store: Store, model: str, seq: int, version: int | None, **changes: object) -> Promotion:
    fields = {
        "version": version, "action": "promote", "actor": "rita", "reason": "why", "as_of": "2013-02-01",
        "as_of_time": FEBRUARY, **changes,
    }  # fmt: skip
    return Ledger(store).append(model, seq, **fields)
