"""Columns that nobody declared, from file to table: an empty one decides nothing, a changed one is told."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from drill_world import INGEST, World

from evergreen.errors import DataError

KEYS = ("2024-03-02", "2024-03-03", "2024-03-04")


class Bids:
    """A daily dataset of which only the event time is said."""

    def __init__(self, world: World, **changes: Any) -> None:
        bare = {"columns": None, "expectations": [], "availability_delay": None, "late_window": "0d"}
        self.world = world
        self.name = world.dataset(schedule={"cron": "0 0 * * *"}, max_quarantined=1, **{**bare, **changes})

    def ingest(self, key: str, *values: str, head: str = "moment,price") -> dict[str, Any]:
        day = int(key[-2:]) - 1
        rows = [f"2024-03-{day:02}T{10 + n}:00:00,{value}" for n, value in enumerate(values)]
        self.world.lay(self.name, key, "\n".join([head, *rows]) + "\n")
        done = self.world.open(self.name, "ingest", key).steps(*INGEST)
        return dict(done["publish"].output)

    def version(self) -> int:
        version: int = self.world.lake.table(f"datasets/{self.name}").version()
        return version

    def prices(self) -> tuple[str | None, list[Any]]:
        table = self.world.lake.table(f"datasets/{self.name}").read()
        if "price" not in table.column_names:
            return None, [None] * table.num_rows
        return str(table.schema.field("price").type), table["price"].to_pylist()


@pytest.fixture
def bids(bare_world: World) -> Bids:
    return Bids(bare_world)


def test_a_column_that_is_empty_first_gets_its_type_later(bids: Bids) -> None:
    bids.ingest(KEYS[0], "", "")
    assert bids.prices() == (None, [None, None])
    bids.ingest(KEYS[1], "5")
    bids.ingest(KEYS[2], "7")
    assert bids.prices() == ("int64", [None, None, 5, 7])


@pytest.mark.parametrize(("value", "kind"), [("5", "int64"), ("5.5", "double"), ("x", "string"), ("true", "bool")])
def test_a_column_that_is_empty_later_fits_whatever_it_was(bids: Bids, value: str, kind: str) -> None:
    bids.ingest(KEYS[0], value)
    bids.ingest(KEYS[1], "", "NA")
    assert bids.prices()[0] == kind
    assert bids.prices()[1][1:] == [None, None]


def test_reading_an_empty_column_again_after_it_got_a_type_changes_nothing(bids: Bids) -> None:
    bids.ingest(KEYS[0], "", "")
    bids.ingest(KEYS[1], "5")
    version = bids.version()
    bids.ingest(KEYS[0], "", "")
    assert (bids.version(), bids.prices()) == (version, ("int64", [None, None, 5]))


def test_an_expectation_on_an_empty_column_holds(bare_world: World) -> None:
    between = {"expect": "column_values_to_be_between", "column": "price", "args": {"max_value": 5}}
    bids = Bids(bare_world, expectations=[between])
    bids.ingest(KEYS[0], "")
    bids.ingest(KEYS[1], "5", "6")
    assert bids.prices() == ("int64", [None, 5])


def test_a_later_file_that_fits_the_tables_type_is_read_in_it(bids: Bids) -> None:
    bids.ingest(KEYS[0], "5.5")
    bids.ingest(KEYS[1], "6", "7")
    assert bids.prices() == ("double", [5.5, 6.0, 7.0])
    version = bids.version()
    bids.ingest(KEYS[1], "6", "7")
    assert bids.version() == version


def test_a_later_file_of_another_type_says_what_to_declare(bids: Bids) -> None:
    bids.ingest(KEYS[0], "5")
    with pytest.raises(DataError, match=r"column price must be int as in the table, got 'cheap'.*2024-03-03.csv:3.*"
                                        r"Declare `price: string` under columns.*or `price: int`"):  # fmt: skip
        bids.ingest(KEYS[1], "6", "cheap")
    assert bids.prices() == ("int64", [5])
    bids.world.dataset(
        bids.name, schedule={"cron": "0 0 * * *"}, max_quarantined=1, expectations=[],
        columns={"moment": "timestamp", "price": "int"},
    )  # fmt: skip
    assert bids.ingest(KEYS[1], "6", "cheap")["quarantined"] == 1


def test_ids_of_twenty_digits_and_odd_names_reach_the_table(bare_world: World) -> None:
    odd = Bids(bare_world, entity=["bar code"])
    ids = ("18446744073709551001", "18446744073709551002", "18446744073709551003")
    rows = "\n".join(f"2024-03-01T10:00:00,{each},{n}" for n, each in enumerate(ids))
    bare_world.lay(odd.name, KEYS[0], f'moment,bar code,"a,b (°C)"\n{rows}\n')
    bare_world.ingest(odd.name, KEYS[0])
    table = bare_world.lake.table(f"datasets/{odd.name}").read()
    assert sorted(table["bar code"].to_pylist()) == list(ids)
    assert table.schema.field("a,b (°C)").type == pa.int64()


def test_no_hidden_column_reaches_the_table(bids: Bids) -> None:
    bids.ingest(KEYS[0], "5")
    names = bids.world.lake.table(f"datasets/{bids.name}").read().column_names
    assert [name for name in names if name.startswith("__")] == []


def test_a_row_that_an_expectation_refuses_keeps_the_texts_of_its_file(bare_world: World) -> None:
    rule = {"expect": "column_values_to_not_be_null", "column": "price"}
    bids = Bids(bare_world, expectations=[rule], select="select moment, price from source where true")
    bids.ingest(KEYS[0], "007", "NA")
    [row] = bare_world.lake.table(f"quarantine/{bids.name}").read().to_pylist()
    assert json.loads(row["row"]) == {"moment": "2024-03-01T11:00:00", "price": "NA"}


def test_a_file_that_changed_before_its_rows_were_refused_leaves_them_as_they_were_read(bare_world: World) -> None:
    rule = {"expect": "column_values_to_not_be_null", "column": "price"}
    bids = Bids(bare_world, expectations=[rule])
    run = bare_world.open(bids.name, "ingest", KEYS[1])
    bare_world.lay(bids.name, KEYS[1], "moment,price\n2024-03-02T10:00:00,NA\n2024-03-02T11:00:00,8\n")
    run.step("read")
    bare_world.lay(bids.name, KEYS[1], "moment,price\n2024-03-02T10:00:00,gone\n")
    run.steps("validate", "publish")
    [row] = bare_world.lake.table(f"quarantine/{bids.name}").read().to_pylist()
    assert json.loads(row["row"])["price"] is None
