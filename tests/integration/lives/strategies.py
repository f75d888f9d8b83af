"""Random lives: few shops, hours and amounts, so that rows meet again; edits of what lies there, not only new files."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from acts import KEYS, Act, Build, Ingest, Lay, Life, Line, Lose, Mend, Name, Promote, Release, RollBack, Tidy, Train
from declared import DATASETS, GAINED, NOTES, STORES, TILL, VIEWS
from hypothesis import strategies as st

SHOPS, HOURS = ("a", "b"), (9, 18, 23)
AMOUNTS = ("1", "2", "9", "", "x")
"""Of these an expectation refuses 9, and x is no number."""

MENDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "till": {
        "select": ("tenfold", "plain", "an hour later"),
        "zone": ("Europe/Berlin", "UTC"),
        "delay": (timedelta(hours=1), timedelta(hours=30), None),
        "late_window": (timedelta(days=2), timedelta(days=1)),
        "most": (5, None),
        "columns": ((*TILL.columns, GAINED),),
    },
    "stores": {"select": ("tenfold beds", "plain"), "most": (5, None), "columns": ((*STORES.columns, GAINED),)},
    "notes": {"zone": ("Europe/Berlin", "UTC"), "most": (5, None), "columns": ((*NOTES.columns, GAINED),)},
    "recent": {
        "transform": ("recent, tenfold", "recent, commented", "recent", "recent and count"),
        "lookback": (timedelta(days=1), timedelta(days=2)),
        "delay": (timedelta(hours=2), timedelta(0)),
    },
    "tally": {"lookback": (timedelta(days=1), timedelta(days=2))},
    "share": {"delay": (timedelta(hours=2), timedelta(0))},
}


def lines(dataset: str) -> st.SearchStrategy[Line]:
    if dataset == "stores":
        return st.builds(
            Line, shop=st.sampled_from(SHOPS), sold=st.sampled_from(AMOUNTS), extra=st.sampled_from(["", "4"])
        )
    return st.builds(
        Line,
        shop=st.sampled_from(SHOPS),
        back=st.sampled_from([0, 0, 1, 1, 2, 3, -1]),
        hour=st.sampled_from(HOURS),
        sold=st.sampled_from(AMOUNTS),
        extra=st.sampled_from(["", "4"]),
        knows=st.sampled_from([0, 2, 16, 40]) if dataset == "notes" else st.just(0),
    )


@st.composite
def lives(draw: st.DrawFn, longest: int = 14) -> Life:
    """A life; its model has versions in half of them, files are lost in a quarter of them."""
    files = {name: {key: draw(st.lists(lines(name), max_size=3)) for key in KEYS} for name in DATASETS}
    laid = {(name, key): tuple(lines_) for name, keys in files.items() for key, lines_ in keys.items()}
    serves, loses = draw(st.booleans()), draw(st.integers(0, 3)) == 3
    mends = [(name, field) for name, fields in MENDS.items() for field in fields if not (loses and field == "zone")]
    kinds = (
        ["ingest"] * 6
        + ["tidy"] * 2
        + ["build"] * 3
        + ["lay"] * 4
        + ["mend"] * 2
        + ["serve"] * (4 * serves)
        + ["lose"] * loses
    )
    found: list[Act] = []
    for _ in range(draw(st.integers(1, longest))):
        found += _acts(draw, draw(st.sampled_from(kinds)), laid, mends)
    references = draw(st.sampled_from([(), ("first",)])) if serves else ()
    return Life(tuple(found), files, references)


def _acts(
    draw: st.DrawFn, kind: str, laid: dict[tuple[str, str], tuple[Line, ...]], mends: list[tuple[str, str]]
) -> list[Act]:
    dataset, key = draw(st.sampled_from(["till", "till", "stores", "notes"])), draw(st.sampled_from(KEYS))
    match kind:
        case "ingest":
            return [Ingest(dataset, key)]
        case "build":
            return [Build(draw(st.sampled_from(list(VIEWS))))]
        case "lay":
            laid[dataset, key] = _edited(draw, dataset, laid.get((dataset, key), ()))
            lay = Lay(dataset, key, laid[dataset, key])
            return [lay, Ingest(dataset, key)] if draw(st.booleans()) else [lay]
        case "mend":
            resource, field = draw(st.sampled_from(mends))
            return [Mend(resource, field, draw(st.sampled_from(MENDS[resource][field])))]
        case "tidy":
            return [Tidy()]
        case "lose":
            word = draw(st.sampled_from([None, "rebuild", "continue"]))
            return [Lose(dataset, key), Mend(dataset, "on_change", word)]
        case _:
            act: Act = draw(
                st.sampled_from([Train(), Promote(), Promote(), Promote(1), Name(1), RollBack(), Release()])
            )
            return [act, Promote()] if act == Train() else [act]


def _edited(draw: st.DrawFn, dataset: str, before: tuple[Line, ...]) -> tuple[Line, ...]:
    """A file as its owner repairs it: a row more, one less, one changed, one twice; or another file."""
    how = draw(st.sampled_from(["more", "less", "changed", "twice", "other"]))
    if how == "more" or not before:
        return (*before, draw(lines(dataset)))
    if how == "other":
        return tuple(draw(st.lists(lines(dataset), max_size=3)))
    place = draw(st.integers(0, len(before) - 1))
    line = before[place]
    if how == "less":
        return before[:place] + before[place + 1 :]
    changed = Line(line.shop, line.back, line.hour, draw(st.sampled_from(AMOUNTS)), line.extra, line.knows)
    return (*before, changed) if how == "twice" else (*before[:place], changed, *before[place + 1 :])
