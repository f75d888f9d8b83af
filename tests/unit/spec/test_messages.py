"""Broken workspaces and, in ``messages.txt``, every message that each of them must give, word by word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

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
SQL = "select shop, at, avg(sold) as trend from sales group by all\n"
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
    "outputs collide": {"features/trend.yaml": VIEW.replace("  trend:", "  price:"), "features/trend.sql": SQL},
    "nothing left to learn from": {"models/demand.yaml": MODEL + "exclude: [shop, price, trend, trent]\n"},
    "no time left to learn from": {
        "models/demand.yaml": MODEL + "window: 10d\nretraining:\n  min_history: 21d\nsplit:\n  validation: 0\n"
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
        "datasets/taps.yaml": DATASET.replace('"0 0 * * *"', '"*/90 * * * *"'),
        "datasets/ends.yaml": DATASET.replace('"0 0 * * *"', '"0 0 * * FRIL"'),
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
    assert [str(error) for error in load(tmp_path).errors] == _expected()[name]


def test_every_section_of_the_messages_has_its_workspace() -> None:
    assert list(_expected()) == list(CASES)
