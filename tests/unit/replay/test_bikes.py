"""The bikes are laid out month by month; a wrong file is refused with one message."""

import pytest

from evergreen.errors import UserError
from evergreen.replay.bikes import Bikes

HEADER = "instant,dteday,hr,holiday,workingday,weathersit,temp,atemp,hum,windspeed,casual,registered,cnt\n"


def line(day: str, hour: int) -> str:
    return f"1,{day},{hour},0,1,1,0.2,0.2,0.5,0.1,1,2,3\n"


def test_each_file_holds_the_month_that_its_key_closes(tmp_path):
    source = tmp_path / "hour.csv"
    source.write_text(HEADER + line("2011-12-31", 23) + line("2012-01-01", 0) + line("2012-01-01", 1))
    bikes = Bikes(source)
    assert bikes.keys == ["2012-01-01", "2012-02-01"]
    assert bikes.lay("2012-02-01", tmp_path) == [("rides", "2012-02-01")]
    text = (tmp_path / "bikes" / "2012-02-01.csv").read_text()
    assert text == HEADER + line("2012-01-01", 0) + line("2012-01-01", 1)


def test_a_file_without_the_columns_is_refused(tmp_path):
    source = tmp_path / "day.csv"
    source.write_text("instant,dteday,cnt\n1,2011-01-01,3\n")
    with pytest.raises(UserError, match="must have the columns atemp, holiday, hr"):
        Bikes(source)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"must be the file hour\.csv"):
        Bikes(tmp_path / "nothing.csv")
