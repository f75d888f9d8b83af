"""The slow program itself, against examples worked by hand. No server is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rules
import serving
from acts import KEYS, Build, Ingest, Lay, Life, Line, Lose, Mend, Name, Promote, Release, RollBack, Train
from declared import GAINED, RECENT, TILL
from expected import Expected
from rules import definition_of, interval_of

FIRST, SECOND, THIRD, FOURTH = KEYS
END = {key: interval_of(key, "UTC").end for key in KEYS}


def lived(*acts: Any, **files: dict[str, tuple[Line, ...]]) -> Expected:
    expected = Expected(Life(acts, files))
    for act in acts:
        expected.do(act)
    return expected


def said(expected: Expected, name: str, at: datetime, *, number: int = -1, column: str = "sold") -> dict[str, Any]:
    """By row (``a 01T09`` is shop a's of the first, nine o'clock): value, and since when (``02T00``)."""
    table = expected.tables[expected.definitions(name)[number]]
    return {
        " ".join(_short(part) for part in identity): (dict(known.content).get(column), _short(known.since))
        for identity, known in rules.as_known(table, at).items()
    }


def _short(part: Any) -> str:
    return part.strftime("%dT%H") if isinstance(part, datetime) else str(part)


def own(sold: str = "1", hour: int = 9, shop: str = "a") -> Line:
    return Line(shop=shop, hour=hour, sold=sold)


def late(sold: str, hour: int = 9, back: int = 1, shop: str = "a") -> Line:
    return Line(shop=shop, back=back, hour=hour, sold=sold)


# Readings


def test_a_row_of_its_day_is_known_an_hour_after_the_event_and_at_the_latest_at_the_end() -> None:
    expected = lived(Ingest("till", FIRST), till={FIRST: (own("1", 9), own("2", 23))})
    assert said(expected, "till", END[FIRST]) == {"a 01T09": (1, "01T10"), "a 01T23": (2, "02T00")}
    assert said(expected, "till", END[FIRST] - timedelta(hours=1)) == {"a 01T09": (1, "01T10")}
    assert said(expected, "till", END[FIRST] - timedelta(hours=15)) == {}


def test_every_line_is_good_or_refused_or_superseded() -> None:
    lines = (own("1"), own("2"), own("x", 10), own("9", 11), late("1", back=3), late("1", back=-1), own("", 12))
    expected = lived(Mend("till", "most", 5), Ingest("till", SECOND), till={SECOND: lines})
    reading = expected.counts["till"][SECOND]
    assert (reading.lines, len(reading.good), reading.superseded) == (7, 2, 1)
    assert [rule for rule, _ in reading.refused] == [
        "columns.sold", "event_time.too_late", "event_time.after_interval", "expect_column_values_to_be_between",
    ]  # fmt: skip
    assert said(expected, "till", END[SECOND]) == {"a 02T09": (2, "02T10"), "a 02T12": (None, "02T13")}


def test_the_double_that_is_refused_by_an_expectation_brings_the_other_not_back() -> None:
    expected = lived(Mend("till", "most", 5), Ingest("till", FIRST), till={FIRST: (own("1"), own("9"))})
    assert said(expected, "till", END[FIRST]) == {}
    assert expected.counts["till"][FIRST].superseded == 1


def test_a_first_load_takes_old_rows_at_their_own_times_and_any_other_key_sets_them_aside() -> None:
    old = {FIRST: (late("1", back=5),), SECOND: (late("2", back=5),)}
    expected = lived(Ingest("till", SECOND), Ingest("till", FIRST), till=old)
    assert said(expected, "till", END[FOURTH]) == {"a 25T09": (1, "25T10")}
    alone = lived(Lose("till", FIRST), Ingest("till", SECOND), till=old)
    assert said(alone, "till", END[FOURTH]) == {"a 26T09": (2, "26T10")}


def test_a_key_that_is_no_first_load_any_more_withdraws_its_old_rows() -> None:
    old = {SECOND: (late("2", back=5),)}
    expected = lived(Lose("till", FIRST), Ingest("till", SECOND), Lay("till", FIRST), Ingest("till", SECOND), till=old)
    assert said(expected, "till", END[SECOND]) == {}
    assert said(expected, "till", END[FIRST]) == {"a 26T09": (2, "26T10")}


# Rows of several readings


def test_a_repaired_row_counts_from_the_end_of_its_key() -> None:
    expected = lived(
        Ingest("till", FIRST), Lay("till", FIRST, (own("2"),)), Ingest("till", FIRST), till={FIRST: (own("1"),)}
    )
    assert said(expected, "till", END[FIRST] - timedelta(hours=1)) == {"a 01T09": (1, "01T10")}
    assert said(expected, "till", END[FIRST]) == {"a 01T09": (2, "02T00")}


def test_a_row_that_a_repaired_file_lacks_is_gone_from_the_end_on() -> None:
    expected = lived(Ingest("till", FIRST), Lay("till", FIRST), Ingest("till", FIRST), till={FIRST: (own("1"),)})
    assert said(expected, "till", END[FIRST] - timedelta(hours=1)) == {"a 01T09": (1, "01T10")}
    assert said(expected, "till", END[FIRST]) == {}


def test_a_row_that_was_withdrawn_and_put_back_says_without_a_break_what_it_said() -> None:
    back = Lay("till", FIRST, (own("1"),))
    gone = (Lay("till", FIRST), Ingest("till", FIRST))
    expected = lived(Ingest("till", FIRST), *gone, back, Ingest("till", FIRST), till={FIRST: (own("1"),)})
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (1, "01T10")}
    for act in gone:
        expected.do(act)
    assert said(expected, "till", END[SECOND]) == {}


def test_a_late_row_is_known_at_the_end_and_sent_again_unchanged_adds_nothing() -> None:
    files = {FIRST: (own("1", 10),), SECOND: (late("1", 9), late("1", 10)), THIRD: (late("1", 9, back=2),)}
    expected = lived(*(Ingest("till", key) for key in KEYS), till=files)
    assert said(expected, "till", END[FOURTH]) == {"a 01T09": (1, "03T00"), "a 01T10": (1, "01T11")}


def test_a_withdrawn_late_row_says_again_what_the_keys_before_said() -> None:
    files = {FIRST: (own("1"),), SECOND: (late("2"),)}
    expected = lived(*(Ingest("till", key) for key in (FIRST, SECOND)), till=files)
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (2, "03T00")}
    for act in (Lay("till", SECOND), Ingest("till", SECOND)):
        expected.do(act)
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (1, "01T10")}


def test_what_a_withdrawn_row_says_again_follows_a_later_repair_of_the_key_before() -> None:
    files = {FIRST: (own("1"),), SECOND: (late("2"),)}
    expected = lived(Ingest("till", SECOND), Lay("till", SECOND), Ingest("till", SECOND), till=files)
    assert said(expected, "till", END[SECOND]) == {}
    expected.do(Ingest("till", FIRST))
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (1, "01T10")}
    for act in (Lay("till", FIRST, (own("3"),)), Ingest("till", FIRST)):
        expected.do(act)
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (3, "02T00")}


def test_a_row_that_is_withdrawn_and_was_sent_again_by_a_later_key_is_gone_in_between() -> None:
    files = {FIRST: (own("1"),), THIRD: (late("1", back=2),)}
    acts = (Ingest("till", FIRST), Ingest("till", THIRD), Lay("till", FIRST), Ingest("till", FIRST))
    expected = lived(*acts, till=files)
    assert said(expected, "till", END[FIRST]) == {}
    assert said(expected, "till", END[SECOND]) == {}
    assert said(expected, "till", END[THIRD]) == {"a 01T09": (1, "04T00")}


def test_an_old_key_that_says_otherwise_changes_nothing_from_the_later_one_on() -> None:
    """The later key said nothing new when it came; what it said must be said again."""
    files = {FIRST: (own("1"),), THIRD: (late("1", back=2),), SECOND: (late("5"),)}
    expected = lived(Ingest("till", FIRST), Ingest("till", THIRD), Ingest("till", SECOND), till=files)
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (5, "03T00")}
    assert said(expected, "till", END[THIRD]) == {"a 01T09": (1, "04T00")}


def test_a_new_expectation_withdraws_rows_when_their_key_is_ingested_again() -> None:
    files = {FIRST: (own("1"), own("9", 10)), SECOND: (own("9"),)}
    acts = (Ingest("till", FIRST), Ingest("till", SECOND), Mend("till", "most", 5), Ingest("till", FIRST))
    expected = lived(*acts, till=files)
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (1, "01T10"), "a 02T09": (9, "02T10")}
    assert len(expected.definitions("till")) == 1


TILL_FILES = {
    FIRST: (own("1", 10),),
    SECOND: (own("20", 10), late("11", 9)),
    THIRD: (own("3", 10), late("22", 10)),
}
STORE_FILES = {FIRST: (own("7"), own("30", shop="c")), THIRD: (own("10"), own("20", shop="b"))}


@pytest.mark.parametrize("keys", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 1, 2, 0, 1, 2), (2, 0, 2, 1)])
def test_the_order_of_keys_changes_nothing(keys: tuple[int, ...]) -> None:
    """A public report's rows: forwards, backwards, and twice."""
    expected = lived(*(Ingest("till", KEYS[each]) for each in keys), till=TILL_FILES)
    assert said(expected, "till", END[FOURTH]) == {
        "a 01T09": (11, "03T00"), "a 01T10": (1, "01T11"), "a 02T10": (22, "04T00"), "a 03T10": (3, "03T11"),
    }  # fmt: skip
    assert said(expected, "till", END[SECOND]) == {
        "a 01T09": (11, "03T00"), "a 01T10": (1, "01T11"), "a 02T10": (20, "02T11"),
    }  # fmt: skip


@pytest.mark.parametrize("keys", [(0, 2), (2, 0), (2, 0, 2)])
def test_a_snapshot_says_of_all_others_that_they_are_gone_in_whatever_order(keys: tuple[int, ...]) -> None:
    expected = lived(*(Ingest("stores", KEYS[each]) for each in keys), stores=STORE_FILES)
    assert said(expected, "stores", END[FIRST]) == {"a": (7, "02T00"), "c": (30, "02T00")}
    assert said(expected, "stores", END[SECOND]) == {"a": (7, "02T00"), "c": (30, "02T00")}
    assert said(expected, "stores", END[THIRD]) == {"a": (10, "04T00"), "b": (20, "04T00")}


def test_a_snapshot_between_two_equal_ones_breaks_what_they_say() -> None:
    files = {FIRST: (own("7"),), SECOND: (own("8"),), THIRD: (own("7"),)}
    expected = lived(Ingest("stores", FIRST), Ingest("stores", THIRD), stores=files)
    assert said(expected, "stores", END[THIRD]) == {"a": (7, "02T00")}
    expected.do(Ingest("stores", SECOND))
    assert said(expected, "stores", END[SECOND]) == {"a": (8, "03T00")}
    assert said(expected, "stores", END[THIRD]) == {"a": (7, "04T00")}


# What the source dates itself


def noted(sold: str, knows: int, back: int = 0) -> Line:
    return Line(back=back, sold=sold, knows=knows)


def test_the_source_s_own_time_stands_before_and_after_the_end() -> None:
    expected = lived(Ingest("notes", FIRST), notes={FIRST: (noted("1", 2), Line(hour=10, sold="2", knows=30))})
    assert said(expected, "notes", END[FIRST]) == {"a 01T09": (1, "01T11")}
    assert said(expected, "notes", END[SECOND]) == {"a 01T09": (1, "01T11"), "a 01T10": (2, "02T16")}


def test_a_row_that_the_source_dates_back_is_seen_from_then_on_until_what_it_knew_later() -> None:
    files = {FIRST: (noted("1", 10),), SECOND: (noted("2", 5, back=1),)}
    for keys in ((FIRST, SECOND), (SECOND, FIRST)):
        expected = lived(*(Ingest("notes", key) for key in keys), notes=files)
        assert said(expected, "notes", END[FIRST] - timedelta(hours=8)) == {"a 01T09": (2, "01T14")}
        assert said(expected, "notes", END[SECOND]) == {"a 01T09": (1, "01T19")}


def test_of_two_rows_of_one_instant_the_later_key_s_counts() -> None:
    files = {FIRST: (noted("1", 5),), SECOND: (noted("2", 5, back=1),)}
    for keys in ((FIRST, SECOND), (SECOND, FIRST)):
        expected = lived(*(Ingest("notes", key) for key in keys), notes=files)
        assert said(expected, "notes", END[FOURTH]) == {"a 01T09": (2, "01T14")}


@pytest.mark.parametrize(("knows", "gone"), [(5, END[FIRST]), (40, END[FIRST] + timedelta(hours=25))])
def test_a_withdrawal_is_dated_by_the_end_or_by_the_row_s_own_time_if_that_is_later(knows: int, gone: datetime) -> None:
    acts = (Ingest("notes", FIRST), Lay("notes", FIRST), Ingest("notes", FIRST))
    expected = lived(*acts, notes={FIRST: (noted("1", knows),)})
    assert said(expected, "notes", gone) == {}
    before = {"a 01T09": (1, "01T14")} if knows == 5 else {}
    assert said(expected, "notes", gone - timedelta(microseconds=1)) == before


def test_a_repair_that_dates_a_row_back_leaves_the_old_row_until_the_end() -> None:
    acts = (Ingest("notes", FIRST), Lay("notes", FIRST, (noted("2", 5),)), Ingest("notes", FIRST))
    expected = lived(*acts, notes={FIRST: (noted("1", 10),)})
    assert said(expected, "notes", END[FIRST] - timedelta(hours=8)) == {"a 01T09": (2, "01T14")}
    assert said(expected, "notes", END[FIRST] - timedelta(hours=1)) == {"a 01T09": (1, "01T19")}
    assert said(expected, "notes", END[FIRST]) == {"a 01T09": (2, "02T00")}


# Definitions


def test_what_changes_a_definition_and_what_does_not() -> None:
    from dataclasses import replace

    same: list[dict[str, Any]] = [
        {"most": 5}, {"late_window": timedelta(1)}, {"on_change": "rebuild"}, {"columns": (*TILL.columns, GAINED)},
    ]  # fmt: skip
    other: list[dict[str, Any]] = [
        {"zone": "Europe/Berlin"}, {"select": "tenfold"}, {"delay": None}, {"entity": ()}, {"known_at": "moment"},
    ]  # fmt: skip
    assert all(definition_of(replace(TILL, **each)) == definition_of(TILL) for each in same)
    assert all(definition_of(replace(TILL, **each)) != definition_of(TILL) for each in other)
    till = definition_of(TILL)
    view = definition_of(RECENT, till)
    assert definition_of(replace(RECENT, transform="recent, commented"), till) == view
    for each in ({"transform": "recent, tenfold"}, {"transform": "recent and count"}, {"lookback": timedelta(1)}):
        assert definition_of(replace(RECENT, **each), till) != view
    assert definition_of(RECENT, definition_of(replace(TILL, zone="Europe/Berlin"))) != view


def test_a_changed_definition_is_another_table_over_the_whole_history() -> None:
    files = {FIRST: (own("1"),), SECOND: (own("2"),), THIRD: (own("3"),)}
    acts = (Ingest("till", FIRST), Ingest("till", SECOND), Mend("till", "select", "tenfold"), Ingest("till", THIRD))
    expected = lived(*acts, till=files)
    new = {"a 01T09": (10, "01T10"), "a 02T09": (20, "02T10"), "a 03T09": (30, "03T10")}
    assert said(expected, "till", END[THIRD]) == new
    assert said(expected, "till", END[THIRD], number=0) == {"a 01T09": (1, "01T10"), "a 02T09": (2, "02T10")}
    for act in (Mend("till", "select", "plain"), Ingest("till", THIRD)):
        expected.do(act)
    assert len(expected.definitions("till")) == 2
    old = {"a 01T09": (1, "01T10"), "a 02T09": (2, "02T10"), "a 03T09": (3, "03T10")}
    assert said(expected, "till", END[THIRD], number=0) == old


def test_a_mended_zone_is_another_table_with_keys_of_its_own() -> None:
    acts = (Ingest("till", FIRST), Mend("till", "zone", "Europe/Berlin"), Ingest("till", FIRST))
    expected = lived(*acts, till={FIRST: (own("1", 9), own("2", 23))})
    assert said(expected, "till", END[FIRST]) == {"a 01T08": (1, "01T09"), "a 01T22": (2, "01T23")}


def test_a_file_repaired_since_it_was_first_read_makes_nothing_known_in_the_past() -> None:
    files = {FIRST: (own("1"), own("5", 10)), SECOND: (own("2"),)}
    repaired = Lay("till", FIRST, (own("7"), own("5", 10), own("6", 11)))
    acts = (Ingest("till", FIRST), Ingest("till", SECOND), repaired, Mend("till", "select", "tenfold"))
    expected = lived(*acts, Ingest("till", SECOND), till=files)
    assert said(expected, "till", END[SECOND] - timedelta(hours=1)) == {
        "a 01T10": (50, "01T11"), "a 02T09": (20, "02T10"),
    }  # fmt: skip
    assert said(expected, "till", END[SECOND]) == {
        "a 01T09": (70, "03T00"), "a 01T10": (50, "01T11"), "a 01T11": (60, "03T00"), "a 02T09": (20, "02T10"),
    }  # fmt: skip


def test_a_definition_whose_history_is_lost_begins_by_its_owner_s_word_only() -> None:
    files = {FIRST: (own("1"),), SECOND: (own("2"),)}
    acts = (Ingest("till", FIRST), Ingest("till", SECOND), Lose("till", FIRST), Mend("till", "select", "tenfold"))
    expected = lived(*acts, till=files)
    assert not expected.do(Ingest("till", SECOND))
    assert len(expected.definitions("till")) == 1
    expected.do(Mend("till", "on_change", "rebuild"))
    assert expected.do(Ingest("till", SECOND))
    assert said(expected, "till", END[FOURTH]) == {"a 02T09": (20, "02T10")}


def test_a_definition_that_goes_on_in_the_old_table_leaves_a_seam() -> None:
    files = {FIRST: (own("1"),), SECOND: (own("2"),)}
    acts = (Ingest("till", FIRST), Build("recent"), Lose("till", FIRST), Mend("till", "select", "tenfold"))
    expected = lived(*acts, Mend("till", "on_change", "continue"), Ingest("till", SECOND), Build("recent"), till=files)
    assert said(expected, "till", END[SECOND]) == {"a 01T09": (1, "01T10"), "a 02T09": (20, "02T10")}
    assert [len(expected.definitions(name)) for name in ("till", "recent")] == [1, 1]


# Builds


def test_a_view_s_row_is_known_after_its_delay_and_a_changed_one_at_the_end_of_its_key() -> None:
    files = {FIRST: (own("1", 9), own("3", 18)), SECOND: (late("5", 12),)}
    expected = lived(Ingest("till", FIRST), Build("recent"), till=files)
    assert said(expected, "recent", END[FIRST], column="recent") == {
        "a 01T09": (1.0, "01T11"),
        "a 01T18": (2.0, "01T20"),
    }
    for act in (Ingest("till", SECOND), Build("recent")):
        expected.do(act)
    # The late row is not known at the first key's end, and the second key's rows begin after it.
    assert said(expected, "recent", END[SECOND], column="recent") == {
        "a 01T09": (1.0, "01T11"), "a 01T18": (2.0, "01T20"),
    }  # fmt: skip


def test_a_repaired_key_makes_its_own_and_the_next_key_of_a_view_stale() -> None:
    files = {FIRST: (own("1"),), SECOND: (own("3"),)}
    acts = (Ingest("till", FIRST), Ingest("till", SECOND), Build("recent"), Lay("till", FIRST, (own("5"),)))
    expected = lived(*acts, Ingest("till", FIRST), till=files)
    assert said(expected, "recent", END[SECOND], column="recent") == {
        "a 01T09": (1.0, "01T11"),
        "a 02T09": (2.0, "02T11"),
    }
    expected.do(Build("recent"))
    assert said(expected, "recent", END[SECOND], column="recent") == {
        "a 01T09": (5.0, "02T00"),
        "a 02T09": (4.0, "03T00"),
    }
    assert said(expected, "recent", END[SECOND] - timedelta(hours=1), column="recent")["a 02T09"] == (2.0, "02T11")


def test_a_first_load_of_several_days_is_built_day_by_day() -> None:
    files = {FIRST: (own("3"), late("1", back=2))}
    expected = lived(Ingest("till", FIRST), Build("recent"), till=files)
    assert said(expected, "recent", END[FIRST], column="recent") == {
        "a 28T09": (1.0, "28T11"),
        "a 01T09": (2.0, "01T11"),
    }


def test_a_transform_s_own_known_time_stands_and_what_it_replaces_counts_until_the_end() -> None:
    files = {FIRST: (noted("1", 2),), SECOND: (Line(hour=10, sold="4", knows=1),)}
    acts = (Ingest("notes", FIRST), Ingest("notes", SECOND), Build("tally"), Lay("notes", SECOND))
    expected = lived(*acts, notes=files)
    assert said(expected, "tally", END[SECOND], column="total") == {"02T00": (1, "01T11"), "03T00": (5, "02T11")}
    for act in (Ingest("notes", SECOND), Build("tally")):
        expected.do(act)
    assert said(expected, "tally", END[SECOND], column="total") == {"02T00": (1, "01T11"), "03T00": (1, "03T00")}
    assert said(expected, "tally", END[SECOND] - timedelta(hours=1), column="total")["03T00"] == (5, "02T11")
    assert said(expected, "tally", END[FIRST], column="total")["03T00"] == (1, "01T11")


def test_a_view_reads_the_snapshot_that_was_known_at_each_key() -> None:
    files = {FIRST: (own("6"),), SECOND: (own("6"),)}
    acts = (Ingest("till", FIRST), Ingest("till", SECOND), Ingest("stores", SECOND), Build("share"))
    expected = lived(*acts, till=files, stores={FIRST: (own("2"),), SECOND: (own("3"),)})
    assert said(expected, "share", END[SECOND], column="share") == {
        "a 01T09": (None, "01T09"),
        "a 02T09": (2.0, "02T09"),
    }
    for act in (Ingest("stores", FIRST), Build("share")):
        expected.do(act)
    assert said(expected, "share", END[SECOND], column="share") == {
        "a 01T09": (3.0, "02T00"),
        "a 02T09": (2.0, "02T09"),
    }


def test_a_live_version_s_definitions_are_kept_up_until_it_is_retired() -> None:
    files = {key: (own("1"),) for key in KEYS}
    acts = (
        Ingest("till", FIRST), Ingest("stores", FIRST), Build("recent"), Build("share"), Train(), Promote(),
        Mend("till", "select", "tenfold"), Ingest("till", SECOND), Build("recent"), Build("share"),
    )  # fmt: skip
    expected = lived(*acts, till=files, stores=files)
    assert [len(said(expected, "till", END[SECOND], number=each)) for each in (0, 1)] == [2, 2]
    assert [len(said(expected, "recent", END[SECOND], number=each, column="recent")) for each in (0, 1)] == [2, 2]
    for act in (Train(), Promote(), Train(), Promote(), Ingest("till", THIRD)):
        expected.do(act)
    assert [len(said(expected, "till", END[THIRD], number=each)) for each in (0, 1)] == [2, 3]


# Who serves


def test_a_rolled_back_version_is_bad_and_the_hold_keeps_older_requests_back() -> None:
    acts = (Train(), Promote(), Train(), Promote(), Train(), RollBack())
    expected = lived(Ingest("till", FIRST), Ingest("stores", FIRST), Build("recent"), Build("share"), *acts)
    assert serving.champion(expected.ledger) == 1
    assert serving.bad(expected.ledger) == {2}
    assert serving.last_good(expected.ledger) is None
    assert serving.live(expected.ledger, ()) == {1}
    assert not expected.do(RollBack())
    assert not expected.do(Promote())
    expected.do(Train())
    assert expected.do(Promote())
    assert serving.hold(expected.ledger) == 3
    assert expected.do(Name(2))
    assert (serving.champion(expected.ledger), serving.last_good(expected.ledger)) == (2, 4)
    assert expected.do(Release())
    assert serving.hold(expected.ledger) is None
    assert serving.live(expected.ledger, ("first",)) == {1, 2, 4}


def test_keys_are_days_in_their_zone() -> None:
    assert interval_of(FIRST, "Europe/Berlin").end == datetime(2024, 3, 1, 23, tzinfo=UTC)
