"""Broken workspaces and, in ``messages.txt``, every message that each of them must give, word by word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from evergreen.features.binding import bound
from evergreen.spec.loading import load

DATASET = """\
source:
  path: sales/{as_of}.csv
schedule:
  cron: "0 0 * * *"
columns:
  at: timestamp
  shop: string
  price: float
  sold: int
event_time: at
entity: [shop]
"""
VIEW = """\
reads: [sales]
entity: [shop]
timestamp: at
transform: trend.sql
outputs:
  trend:
    type: float
    description: Mean of what was sold lately.
"""
SQL = 'select shop, "at", avg(sold) as trend from sales group by all\n'
MODEL = """\
task: regression
label:
  dataset: sales
  column: sold
request: [shop, price]
features: [trend]
"""
VALID: Mapping[str, str] = {
    "datasets/sales.yaml": DATASET,
    "features/trend.yaml": VIEW,
    "features/trend.sql": SQL,
    "models/demand.yaml": MODEL,
}


Files = Mapping[str, str | bytes | None]


def write(root: Path, changed: Files) -> None:
    """Writes the valid workspace with some files changed; ``None`` leaves one out."""
    for relative, content in {**VALID, **changed}.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


CASES: dict[str, Files] = {
    "valid": {},
    "template braces are only text": {
        "models/demand.yaml": MODEL + 'description: "{{ conn.x.password }}"\n',
        "datasets/sales.yaml": DATASET.replace("{as_of}", "{{ conn.x.password }}"),
    },
    "empty file": {"models/demand.yaml": "# nothing yet\n"},
    "no mapping": {"models/demand.yaml": "- task: binary\n"},
    "not YAML": {"models/demand.yaml": MODEL + "owner: who: knows\n"},
    "tab": {"models/demand.yaml": "label:\n\tdataset: sales\n"},
    "two documents": {"models/demand.yaml": MODEL + "---\n" + MODEL},
    "alias": {"models/demand.yaml": MODEL + "exclude: *keys\n"},
    "not UTF-8": {"models/demand.yaml": MODEL.encode() + b"owner: Jos\xe9\n"},
    "control character": {"models/demand.yaml": MODEL + "owner: \x07\n"},
    "key twice": {"models/demand.yaml": MODEL + "task: binary\n"},
    "unknown keys": {
        "models/demand.yaml": MODEL + "retrainning:\n  every: 7d\nsplit:\n  tset: 7d\ntrainer:\n  round: 3\n"
    },
    "wrong types": {
        "models/demand.yaml": MODEL.replace("[trend]", "trend")
        + "gate:\n  memory: many\n  tolerance: 5\nmonitoring:\n  drift: strong\nretraining:\n  every: 7 days\n"
    },
    "not one of the words": {
        "models/demand.yaml": MODEL.replace("regression", "regresion"),
        "datasets/sales.yaml": DATASET.replace("sold: int", "sold: integer"),
    },
    "keys missing": {"models/demand.yaml": "task: binary\nrequest: [shop]\nlabel:\n  dataset: sales\n"},
    "nothing where a value belongs": {"models/demand.yaml": MODEL + "split:\n"},
    "name written": {"models/demand.yaml": "name: demand\n" + MODEL},
    "reference versions of two types": {"models/demand.yaml": MODEL + "monitoring:\n  reference_versions: [frist]\n"},
    "unknown trainer": {"models/demand.yaml": MODEL + "trainer:\n  kind: xgboost\n"},
    "metrics": {
        "models/demand.yaml": MODEL
        + "gate:\n  metric: roc_auc\n  floors:\n    r2: {min: 2, max: 1}\n    mape: {max: 3}\n"
    },
    "floor out of range": {
        "models/demand.yaml": MODEL.replace("regression", "binary") + "gate:\n  floors:\n    roc_auc:\n      min: 85\n"
    },
    "unknown names": {
        "models/demand.yaml": MODEL.replace("[trend]", "[trends]").replace("dataset: sales", "dataset: sale"),
        "features/trend.yaml": VIEW.replace("[sales]", "[orders]"),
    },
    "names checked beside a broken key": {"models/demand.yaml": MODEL.replace("[trend]", "[trends]") + "ownr: me\n"},
    "refers to what is broken": {"features/trend.yaml": VIEW.replace("reads: [sales]\n", "")},
    "one name in two kinds": {"models/sales.yaml": MODEL},
    "columns of the label's dataset": {
        "models/demand.yaml": MODEL.replace("sold", "solds").replace("price]", "prize, at]")
    },
    "columns": {
        "datasets/sales.yaml": DATASET.replace("event_time: at", "event_time: time")
        + "expectations:\n  - expect: column_values_to_not_be_null\n    column: prise\n",
    },
    "label as a feature": {"models/demand.yaml": MODEL.replace("price]", "price, sold]")},
    "entity not in the request": {"models/demand.yaml": MODEL.replace("[shop, price]", "[price]")},
    "outputs collide": {
        "features/trend.yaml": VIEW.replace("  trend:", "  price:"),
        "features/trend.sql": SQL.replace("trend", "price"),
    },
    "nothing left to learn from": {"models/demand.yaml": MODEL + "exclude: [shop, price, trend, trent]\n"},
    "no time left to learn from": {
        "models/demand.yaml": MODEL + "window: 10d\nretraining:\n  min_history: 21d\nsplit:\n  validation: 0\n"
    },
    "no rows left to learn from": {
        "models/demand.yaml": MODEL
        + "split:\n  test: 100 rows\n  validation: 5 rows\nretraining:\n  min_history: 105 rows\n"
    },
    "no share left to learn from": {
        "models/demand.yaml": MODEL.replace("column: sold\n", "column: sold\n  delay: 5d\n")
        + "window: 10d\nsplit:\n  test: 60%\n  validation: 40 %\n"
    },
    "amounts": {
        "models/demand.yaml": MODEL
        + "split:\n  test: 14\n  validation: 100%\n  gap: 3 rows\nretraining:\n  min_history: 20%\n"
        + "max_null: 95\n"
    },
    "no share left and no time": {
        "models/demand.yaml": MODEL
        + "window: 0\nsplit: {test: 20%, validation: 10%}\nretraining: {min_history: 0}\nmax_null_of:\n  tren: 0.5\n"
    },
    "no SQL file": {"features/trend.sql": None},
    "empty SQL file": {"features/trend.sql": "-- later\n"},
    "transform leads out": {"features/trend.yaml": VIEW.replace("trend.sql", "../../etc/trend.sql")},
    "transform is no file name": {"features/trend.yaml": VIEW.replace("trend.sql", "trend")},
    "no such function": {
        "features/trend.yaml": VIEW.replace("trend.sql", "trend.py:compute"),
        "features/trend.py": "def computed(tables): ...\n",
    },
    "not Python": {
        "features/trend.yaml": VIEW.replace("trend.sql", "trend.py:compute"),
        "features/trend.py": "import shared\ndef compute(tables): ...\n",
        "features/shared.py": "x = 1\ndef broken(:\n",
    },
    "on demand and materialized": {"features/trend.yaml": VIEW + "kind: on_demand\n"},
    "output named like a key": {"features/trend.yaml": VIEW.replace("  trend:", "  shop:")},
    "schedules": {
        "datasets/sales.yaml": DATASET.replace('"0 0 * * *"', '"0 0 30 2 *"'),
        "datasets/visits.yaml": DATASET.replace('"0 0 * * *"', "daily"),
        "datasets/hits.yaml": DATASET.replace('"0 0 * * *"', '"0 * * * *"') + "timezone: America/New_York\n",
    },
    "sources": {
        "datasets/sales.yaml": DATASET.replace("sales/{as_of}.csv", "../sales/{asof}.csv"),
        "datasets/visits.yaml": DATASET.replace("{as_of}", "{asof}").replace("path:", "encoding: utf9\n  path:"),
        "datasets/hits.yaml": DATASET + "known_at: price\navailability_delay: 1h\ntimezone: Mars\n",
        "datasets/taps.yaml": DATASET + "known_at: price\navailability_delay: 1h\n",
    },
    "expectations": {
        "datasets/sales.yaml": DATASET
        + "expectations:\n"
        + "  - expect: column_values_to_be_betwen\n    column: price\n"
        + "  - expect: column_values_to_be_between\n    column: price\n    args: {min: 0}\n"
        + "  - expect: column_values_to_be_in_set\n"
        + "  - expect: table_row_count_to_be_between\n    column: price\n    args: {min_value: 3, max_value: 2}\n"
    },
    "an unknown expectation": {
        "datasets/sales.yaml": DATASET + "expectations:\n  - expect: be_nice\n    column: price\n"
    },
    "files that nothing reads": {
        "models/other.yml": MODEL,
        "models/Bad-Name.yaml": MODEL,
        "models/team/other.yaml": MODEL,
        "feature/other.yaml": VIEW,
        "other.yaml": MODEL,
        "models/README.md": "text",
    },
    "an ending that tells no format": {
        "datasets/sales.yaml": DATASET.replace(".csv", ".xlsx"),
        "datasets/taps.yaml": DATASET.replace("{as_of}.csv", "{as_of}.csv.bz2"),
        "datasets/hits.yaml": DATASET.replace("{as_of}.csv", "{as_of}.txt\n  format: csv"),
        "datasets/folder.yaml": DATASET.replace("{as_of}.csv", "v1.2/{as_of}"),
        "datasets/many.yaml": DATASET.replace("{as_of}.csv", "{as_of}/*"),
        "datasets/loud.yaml": DATASET.replace("{as_of}.csv", "{as_of}.CSV"),
    },
    "a transform of another kind": {
        "features/trend.yaml": VIEW.replace("trend.sql", "trend.R"),
        "features/other.yaml": VIEW.replace("trend.sql", "trend.py").replace("  trend:", "  other:"),
    },
    "labels of a type that the task cannot have": {
        "models/demand.yaml": MODEL.replace("sold", "shop").replace("[shop, ", "[").replace("[trend]", "[]"),
        "models/won.yaml": MODEL.replace("regression", "binary")
        .replace("sold", "shop")
        .replace("shop, price", "price")
        .replace("[trend]", "[]"),
        "models/when.yaml": MODEL.replace("regression", "multiclass").replace("sold", "at"),
        "models/which.yaml": MODEL.replace("regression", "multiclass")
        .replace("sold", "shop")
        .replace("shop, price", "price")
        .replace("[trend]", "[]"),
        "models/ever.yaml": MODEL.replace("regression", "binary"),
    },
    "a select that does not bind": {
        "datasets/sales.yaml": DATASET + "select: select at, shop, sold from source\n",
        "datasets/taps.yaml": DATASET + 'select: |\n  select "at", shop,\n    amount as sold\n  from source\n',
        "datasets/hits.yaml": DATASET + 'select: select "at", shop, sold * shop as sold from source\n',
        "datasets/laps.yaml": DATASET + 'select: select "at", shop from sources\n',
        "datasets/maps.yaml": DATASET + 'select: select "at", shop, $end as sold from source\n',
        "datasets/gaps.yaml": DATASET + "select: delete from source\n",
        "datasets/wasp.yaml": DATASET + 'select: select "at", shop, [sold] as sold, price, sold as price from source\n',
        "models/demand.yaml": MODEL.replace("[trend]", "[]"),
        "features/trend.yaml": None,
    },
    "a select decides about columns and types": {
        "datasets/sales.yaml": DATASET
        + "select: |\n  select \"at\" as moment, shop, price, case when sold > 9 then 'many' else 'few' end as sold\n"
        + "  from source\n",
        "datasets/wins.yaml": DATASET
        + "select: select \"at\", shop, price, (sold > 9)::varchar as won, 'x' as kind from source\n"
        + "expectations:\n  - expect: column_values_to_not_be_null\n    column: sold\n",
        "datasets/good.yaml": DATASET + 'select: select "at", shop, price, sold > 9 as won from source\n',
        "models/demand.yaml": MODEL.replace("[trend]", "[]"),
        "models/win.yaml": "task: binary\nlabel:\n  dataset: wins\n  column: won\nrequest: [shop, prize]\n",
        "models/win_well.yaml": "task: binary\nlabel:\n  dataset: good\n  column: won\nrequest: [shop, price]\n",
        "features/trend.yaml": None,
    },
    "SQL of views that does not bind": {
        "features/trend.sql": 'select shop, "at",\n  avg(solds) as trend\nfrom sales\ngroup by all;\n',
        "features/total.yaml": VIEW.replace("trend", "total"),
        "features/total.sql": "-- the total\nselect shop, sum(sold) as total from sales group by all\n",
        "features/parts.yaml": VIEW.replace("trend", "parts"),
        "features/parts.sql": 'select shop, "at", known_at, sold as parts from sale where "at" >= $start\n',
        "features/words.yaml": VIEW.replace("trend", "words"),
        "features/words.sql": "select shop, at, sold as words from sales\n",
        "features/many.yaml": VIEW.replace("trend", "many"),
        "features/many.sql": "select 1; select 2\n",
        "features/when.yaml": VIEW.replace("trend", "when"),
        "features/when.sql": 'select shop, "at", 1 as when from sales where "at" > $now\n',
        "models/demand.yaml": MODEL.replace("[trend]", "[]"),
    },
    "SQL on a request that does not bind": {
        "features/trend.yaml": "kind: on_demand\ntransform: trend.sql\noutputs: {trend: {}, season: {type: int}}\n",
        "features/trend.sql": "select price * 2 as trend, month(event_time) as season,\n  sold from request\n",
        "features/other.yaml": "kind: on_demand\ntransform: other.sql\noutputs: {other: {}}\n",
        "features/other.sql": "select price as others from request\n",
        "models/demand.yaml": MODEL.replace("[trend]", "[trend, other]"),
        "features/unused.yaml": "kind: on_demand\ntransform: unused.sql\noutputs: {unused: {}}\n",
        "features/unused.sql": "select whatever + 1 from request\n",
    },
    "SQL that is no function of its rows": {
        "datasets/sales.yaml": DATASET
        + 'select: |\n  select "at", shop, price, sold,\n    now() as read_at,\n    random() as dice\n  from source\n',
        "datasets/bare.yaml": DATASET.replace(
            "columns:\n  at: timestamp\n  shop: string\n  price: float\n  sold: int\n", ""
        )
        + 'select: select "at", shop, current_date as day from source\n',
        "features/trend.sql": 'select shop, "at", avg(sold) as trend from sales\n'
        'where "at" > current_timestamp - interval 7 days\ngroup by all\nlimit 100\n',
        "features/asked.yaml": "kind: on_demand\ntransform: asked.sql\noutputs: {asked: {}}\n",
        "features/asked.sql": "select event_time > today() as asked from request using sample 1\n",
    },
    "nothing to bind to": {
        "datasets/sales.yaml": DATASET.replace(
            "columns:\n  at: timestamp\n  shop: string\n  price: float\n  sold: int\n", ""
        )
        + 'select: select "time" as "at", place as shop, price, sold from source\n',
        "features/trend.sql": 'select shop, "at", avg(solds) as trend from sales group by all\n',
    },
    "a label without a time": {"datasets/sales.yaml": DATASET.replace("event_time: at\n", "")},
}


def _expected() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "messages.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            sections[line[2:]] = []
        elif line:
            sections[list(sections)[-1]].append(line)
    return sections


@pytest.mark.parametrize("name", CASES)
def test_every_mistake_is_named_with_place_rule_value_and_remedy(name: str, tmp_path: Path) -> None:
    write(tmp_path, CASES[name])
    assert [str(error) for error in bound(load(tmp_path)).errors] == _expected()[name]


def test_every_section_of_the_messages_has_its_workspace() -> None:
    assert list(_expected()) == list(CASES)
