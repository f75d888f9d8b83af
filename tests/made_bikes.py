"""Two years of hourly rentals that nobody rode: the shape of the real ones, for clones without the data set.

Demand grows two and a half times, has a season and a daily profile by kind of day, and falls with bad weather; every
hour has its own noise, and some hours are missing, as in the real file. The same on every machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

HEADER = (
    "instant,dteday,season,yr,mnth,hr,holiday,weekday,workingday,weathersit,temp,atemp,hum,windspeed,casual,"
    "registered,cnt"
)
HOLIDAYS = {"01-17", "02-21", "05-30", "07-04", "09-05", "10-10", "11-24", "12-26"}
FIRST, LAST = datetime(2011, 1, 1), datetime(2013, 1, 1)


def write(path: Path) -> Path:
    """Writes the file and returns its path."""
    path.write_text("\n".join([HEADER, *_lines()]) + "\n", encoding="utf-8")
    return path


def _lines() -> Iterator[str]:
    dice = random.Random(2011)
    now, number, weather = FIRST, 0, 1
    while now < LAST:
        if now.hour % 6 == 0:
            weather = dice.choices([1, 2, 3], [0.66, 0.26, 0.08])[0]
        if dice.random() > 0.009:
            number += 1
            yield _line(number, now, weather, dice)
        now += timedelta(hours=1)


def _line(number: int, now: datetime, weather: int, dice: random.Random) -> str:
    day = (now - FIRST).days
    year = math.cos(2 * math.pi * (day - 196) / 365.25)
    holiday = int(now.strftime("%m-%d") in HOLIDAYS)
    working = int(now.weekday() < 5 and not holiday)
    temp = min(
        max(0.5 + 0.27 * year + 0.05 * math.sin(2 * math.pi * (now.hour - 9) / 24) + dice.gauss(0, 0.04), 0.02), 1
    )
    wind, hum = (
        min(abs(dice.gauss(0.19, 0.1)), 0.85),
        min(max(0.62 + 0.1 * (weather - 1) + dice.gauss(0, 0.12), 0.1), 1),
    )
    level = 92 * (1 + 1.5 * day / 730) * (1 + 0.45 * year)
    mean = level * _of_hour(now.hour, working) * (1, 0.87, 0.5)[weather - 1] * (0.75 + 0.5 * temp)
    count = max(1, round(mean * math.exp(dice.gauss(0, 0.22))))
    casual = round(count * (0.12 if working else 0.32))
    season = (now.month % 12) // 3 + 1
    calendar = f"{season},{now.year - 2011},{now.month},{now.hour},{holiday},{(now.weekday() + 1) % 7},{working}"
    sky = f"{weather},{temp:.2f},{0.95 * temp:.4f},{hum:.2f},{wind:.4f}"
    return f"{number},{now:%Y-%m-%d},{calendar},{sky},{casual},{count - casual},{count}"


def _of_hour(hour: int, working: int) -> float:
    """Share of a mean hour: two peaks on working days, one broad noon on others."""
    if working:
        return (
            0.12
            + 2.0 * math.exp(-((hour - 8) ** 2) / 2.2)
            + 2.5 * math.exp(-((hour - 17.5) ** 2) / 5)
            + (0.75 if 6 < hour < 22 else 0.0)
        )
    return 0.25 + 2.0 * math.exp(-((hour - 14) ** 2) / 24)
