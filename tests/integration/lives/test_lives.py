"""Random lives find store and lake equal to the slow program of the rules.

``make test`` lives few, always the same ones. ``make test-long`` lives hundreds of others: it prints the seed that they
come from, and shrinks a life that fails to the shortest one that does. Such a life, as it is printed, can be added to
EXAMPLES below.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import declared
import hypothesis
import pytest
from acts import KEYS, Build, Ingest, Lay, Life, Line, Lose, Mend, Promote, RollBack, Tidy, Train
from comparing import Comparison
from real import Real
from strategies import lives

from evergreen.ingest import csvfile, read
from evergreen.steps import building, readings

FIRST, SECOND, THIRD, FOURTH = KEYS
MANY = int(os.environ.get("EVERGREEN_LIVES", "0"))
SEED = int(os.environ.get("EVERGREEN_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

TILL = {
    FIRST: [Line(hour=10)],
    SECOND: [Line(hour=10, sold="20"), Line(back=1, sold="11")],
    THIRD: [Line(hour=10, sold="3"), Line(back=1, hour=10, sold="22")],
}
STORES = {FIRST: [Line(sold="7"), Line("c", sold="30")], THIRD: [Line(sold="10"), Line("b", sold="20")]}
SOME = {"till": TILL, "stores": STORES}
READY = (Ingest("till", FIRST), Ingest("stores", FIRST), Build("recent"), Build("share"))
WITHDRAW = (Lay("till", FIRST), Ingest("till", FIRST))


def backfill(*keys: str) -> Life:
    """Files of a public report, loaded in some order."""
    tills, stores = (Ingest("till", key) for key in keys), (Ingest("stores", key) for key in keys if key in STORES)
    return Life((*tills, *stores, Build("share")), SOME)


EXAMPLES = {
    "a backfill forwards": backfill(*KEYS),
    "a backfill backwards": backfill(*reversed(KEYS)),
    "a repaired file lacks a row that a later key sent again unchanged": Life(
        (Ingest("till", FIRST), Ingest("till", THIRD), Build("recent"), *WITHDRAW, Build("recent")),
        {"till": {FIRST: [Line()], THIRD: [Line(back=2)]}},
    ),
    "a row is withdrawn, put back and withdrawn again": Life(
        (Ingest("till", FIRST), *WITHDRAW, Lay("till", FIRST, (Line(),)), Ingest("till", FIRST), *WITHDRAW),
        {"till": {FIRST: [Line()]}},
    ),
    "a late row is withdrawn where an earlier key said otherwise": Life(
        (Ingest("till", FIRST), Ingest("till", SECOND), Lay("till", SECOND), Ingest("till", SECOND)),
        {"till": {FIRST: [Line()], SECOND: [Line(back=1, sold="2")]}},
    ),
    "an older key says otherwise than a later one that repeated the oldest": Life(
        (Ingest("till", FIRST), Ingest("till", THIRD), Ingest("till", SECOND)),
        {"till": {FIRST: [Line()], SECOND: [Line(back=1, sold="5")], THIRD: [Line(back=2)]}},
    ),
    "a snapshot comes between two equal ones": Life(
        (Ingest("stores", FIRST), Ingest("stores", THIRD), Ingest("stores", SECOND)),
        {"stores": {FIRST: [Line()], SECOND: [Line("b")], THIRD: [Line()]}},
    ),
    "files are merged and old ones go between late, repaired and withdrawn rows": Life(
        (
            Ingest("till", FIRST), Ingest("till", SECOND), Tidy(), Build("recent"), Ingest("till", THIRD), Tidy(),
            Lay("till", FIRST, (Line(hour=10, sold="8"),)), Ingest("till", FIRST), Tidy(), Build("recent"),
            Lay("till", FIRST), Ingest("till", FIRST), Build("recent"), Tidy(), Ingest("till", FIRST), Build("recent"),
        ),
        {"till": {FIRST: [Line(hour=10)], SECOND: [Line(back=1, sold="2")], THIRD: [Line(back=2), Line(back=1)]}},
    ),
    "a live version's tables are merged": Life(
        (
            *READY, Train(), Promote(), Tidy(), Mend("till", "select", "tenfold"), Ingest("till", SECOND), Tidy(),
            Build("recent"), Build("share"), Train(), Promote(), Ingest("till", THIRD), Build("recent"), Tidy(),
            RollBack(), Ingest("till", FIRST), Build("recent"), Tidy(),
        ),
        SOME,
    ),
    "a snapshot lost all but its header": Life((Ingest("stores", FIRST), Ingest("stores", SECOND)), SOME),
    "a new expectation refuses rows of a key that is ingested again": Life(
        (Ingest("till", SECOND), Mend("till", "most", 5), Ingest("till", SECOND), Ingest("till", SECOND)), SOME
    ),
    "the source knew of a row after the end, and dates another back": Life(
        (
            Ingest("notes", FIRST), Ingest("notes", SECOND), Build("tally"),
            Lay("notes", FIRST, (Line(knows=2, sold="3"),)), Ingest("notes", FIRST), Build("tally"),
        ),
        {"notes": {FIRST: [Line(knows=40)], SECOND: [Line(back=1, knows=1), Line(knows=16)]}},
    ),
    "the first file holds all of history": Life(
        (Ingest("till", FIRST), Build("recent")), {"till": {FIRST: [Line(back=days) for days in range(6)]}}
    ),
    "a view is edited after two keys": Life(
        (
            Ingest("till", FIRST), Ingest("till", SECOND), Build("recent"),
            Mend("recent", "transform", "recent, tenfold"), Ingest("till", THIRD), Build("recent"),
            Mend("recent", "transform", "recent, commented"), Build("recent"),
        ),
        SOME,
    ),
    "a zone is mended and mended back": Life(
        (
            Ingest("till", FIRST), Ingest("till", SECOND), Mend("till", "zone", "Europe/Berlin"),
            Ingest("till", SECOND), Ingest("till", THIRD), Mend("till", "zone", "UTC"), Ingest("till", THIRD),
        ),
        SOME,
    ),
    "a file that was repaired is read again under a new definition": Life(
        (
            Ingest("till", FIRST), Ingest("till", SECOND), Lay("till", FIRST, (Line(hour=10, sold="8"), Line(hour=11))),
            Mend("till", "select", "tenfold"), Ingest("till", SECOND), Ingest("till", FIRST),
        ),
        SOME,
    ),
    "history is lost, and its owner says to rebuild": Life(
        (
            Ingest("till", FIRST), Ingest("till", SECOND), Lose("till", FIRST), Mend("till", "select", "tenfold"),
            Ingest("till", SECOND), Mend("till", "on_change", "rebuild"), Ingest("till", SECOND), Build("recent"),
        ),
        SOME,
    ),
    "history is lost, and its owner says to go on": Life(
        (
            Ingest("till", FIRST), Build("recent"), Lose("till", FIRST), Mend("till", "select", "tenfold"),
            Mend("till", "on_change", "continue"), Ingest("till", SECOND), Build("recent"),
        ),
        SOME,
    ),
    "a column is gained": Life(
        (
            Ingest("till", FIRST), Mend("till", "columns", (*declared.TILL.columns, declared.GAINED)),
            Ingest("till", FIRST), Ingest("till", SECOND), Build("recent"),
        ),
        {"till": {FIRST: [Line(extra="4")], SECOND: [Line(extra="4"), Line(back=1)]}},
    ),
    "a live version's definitions are kept up until it is retired": Life(
        (
            *READY, Train(), Promote(), Mend("till", "select", "tenfold"), Ingest("till", SECOND), Build("recent"),
            Build("share"), Train(), Promote(), Ingest("till", THIRD), Build("recent"), RollBack(),
            Ingest("till", FIRST), Build("recent"),
        ),
        SOME,
    ),
}  # fmt: skip


def live(life: Life, store_url: str) -> None:
    with tempfile.TemporaryDirectory(prefix="evergreen-life-") as folder:
        Comparison(life, Real(Path(folder), store_url, life), thorough=MANY > 0).live()


@contextmanager
def small_portions() -> Iterator[None]:
    """Files, staged rows and inputs of views are gone through a few rows at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvfile, "BLOCK", 40)
        patch.setattr(read, "PORTION", 100)
        patch.setattr(readings, "WINDOW_ROWS", 2)
        patch.setattr(building, "AT_ONCE", 3)
        yield


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_life_worked_out_by_hand(name: str, postgres_url: str) -> None:
    with small_portions() if list(EXAMPLES).index(name) % 2 else nullcontext():
        live(EXAMPLES[name], postgres_url)


def test_random_lives(postgres_url: str) -> None:
    count, phases = (MANY, set(hypothesis.Phase)) if MANY else (6, {hypothesis.Phase.generate})
    settings = hypothesis.settings(
        max_examples=count, phases=phases, derandomize=not MANY, database=None, deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip

    @settings
    @hypothesis.given(life=lives(), small=hypothesis.strategies.booleans())
    def any_life(life: Life, small: bool) -> None:
        with small_portions() if small else nullcontext():
            live(life, postgres_url)

    if MANY:
        print(f"\n{MANY} lives, EVERGREEN_SEED={SEED}")
        hypothesis.seed(SEED)(any_life)()
    else:
        any_life()
