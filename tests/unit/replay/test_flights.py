"""Each file holds only what was known at its end, and nothing is lost between two of them."""

import csv
from pathlib import Path

import pytest

from evergreen.replay.flights import PLANTED_KEY, Flights


@pytest.fixture(scope="module")
def flights() -> Flights:
    return Flights()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def key(row: dict[str, str]) -> tuple[str, ...]:
    return row["carrier"], row["flight"], row["origin"], row["time_hour"], row["minute"]


def test_a_flight_in_the_air_comes_again_with_its_outcome(flights, tmp_path):
    flights.lay("2013-02-01", tmp_path)
    flights.lay("2013-02-16", tmp_path)
    first = {key(row): row for row in rows(tmp_path / "flights" / "2013-02-01.csv")}
    second = {key(row): row for row in rows(tmp_path / "flights" / "2013-02-16.csv")}
    again = first.keys() & second.keys()
    assert len(again) >= 18
    assert all(first[each]["arr_delay"] == "NA" for each in again)
    landed = [each for each in again if second[each]["arr_delay"] != "NA"]
    assert landed
    unknown = {each for each, row in first.items() if row["arr_delay"] == "NA"}
    assert all(second[each]["arr_delay"] == "NA" for each in again - set(landed))
    assert again <= unknown


def test_keys_close_the_year_half_month_by_half_month(flights):
    assert len(flights.keys) == 24
    assert (flights.keys[0], flights.keys[1], flights.keys[-1]) == ("2013-01-16", "2013-02-01", "2014-01-01")


def test_the_register_of_planes_comes_once_and_first(flights, tmp_path):
    assert flights.lay("2013-01-16", tmp_path)[0] == ("planes", "2013-01-01")
    assert "planes" not in dict(flights.lay("2013-02-01", tmp_path))


def test_planted_rows_are_told(flights, tmp_path):
    flights.lay(PLANTED_KEY, tmp_path)
    assert flights.planted is not None
    assert flights.planted.rows == 5
    damaged = rows(tmp_path / flights.planted.file)
    assert sum(row["origin"] == "XXX" or row["arr_delay"] == "eleven" for row in damaged) == 2
