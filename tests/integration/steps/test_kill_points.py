"""No kill point is left out of the drills."""

from __future__ import annotations

import re
from pathlib import Path

import evergreen

TESTS = Path(__file__).resolve().parents[2]


def test_every_kill_point_of_the_library_is_in_a_drill() -> None:
    library = "".join(path.read_text() for path in Path(evergreen.__file__).parent.rglob("*.py"))
    points = set(re.findall(r"""(?:point\(|point: str = |point=)f?"([a-z_.]+)(?=[:"])""", library))
    drilled = "".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert {"staging", "publish.commit", "register", "ledger.insert"} <= points
    assert [point for point in sorted(points) if f'"{point}' not in drilled] == []
