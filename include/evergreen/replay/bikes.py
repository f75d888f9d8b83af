"""Washington's hourly bicycle rentals of 2011 and 2012, laid out month by month."""

from __future__ import annotations

from pathlib import Path

from evergreen.errors import UserError
from evergreen.replay.example import Example

COLUMNS = {"dteday", "hr", "holiday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed", "cnt"}


class Bikes(Example):
    """How many bicycles will be rented in an hour?

    Args:
        csv: The data set's ``hour.csv``.
        months: How many months to replay, from January 2011.
    """

    name = "bikes"
    model = "bike_demand"
    datasets = ("rides",)
    first_training = "2011-03-01"
    requests_per_period = 100

    def __init__(self, csv: Path, *, months: int = 24) -> None:
        if not csv.is_file():
            raise UserError("demo bikes: CSV", "must be the file hour.csv of the bike-sharing data set", value=str(csv))
        lines = csv.read_text(encoding="utf-8").splitlines(keepends=True)
        self._header = lines[0]
        names = [name.strip() for name in self._header.split(",")]
        missing = sorted(COLUMNS - set(names))
        if missing:
            raise UserError(f"demo bikes: {csv}", f"must have the columns {', '.join(missing)}", value=names)
        day = names.index("dteday")
        self._rows: dict[str, list[str]] = {}
        for line in lines[1:]:
            self._rows.setdefault(line.split(",")[day][:7], []).append(line)
        self.keys = [_next_month(month) for month in sorted(self._rows)][:months]

    def lay(self, key: str, landing: Path) -> list[tuple[str, str]]:
        """Writes the month that the key closes."""
        month = next(month for month in self._rows if _next_month(month) == key)
        target = landing / "bikes" / f"{key}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self._header + "".join(self._rows[month]), encoding="utf-8")
        return [("rides", key)]


def _next_month(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02d}-01"
