"""Pages of drift reports: drawn at once where the verdict calls for one, else when somebody asks for it.

To draw one takes Evidently a second and 4 MB, and nobody looks at most of them. What is needed to draw a page later is
noted beside its path: a recipe, small JSON. The page shows the same comparison, whenever it is drawn.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from evergreen.errors import DataError
from evergreen.lake import trainingsets
from evergreen.steps import staging

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.lake import Lake
    from evergreen.monitoring.drift import DriftReport
    from evergreen.spec.model import Drift

log = logging.getLogger(__name__)

State = Literal["there", "to be drawn", "expired", "unknown"]


def note(lake: Lake, path: str, *, training_set: str, columns: list[str], frame: str, spec: Drift) -> None:
    """Notes how a page is drawn.

    Args:
        path: Of the page, below ``reports/``.
        training_set: Digest of the rows that are compared with.
        columns: To compare.
        frame: Path of the staged rows of the period.
        spec: Thresholds.
    """
    recipe = {"training_set": training_set, "columns": columns, "frame": frame, "drift": spec.model_dump(mode="json")}
    lake.blobs.put_if_absent(_recipe(path), json.dumps(recipe, indent=1).encode())


def state(lake: Lake, path: str) -> State:
    """Whether a page is there, can be drawn, or can be drawn no more since its rows have expired."""
    if lake.blobs.exists(path):
        return "there"
    if not lake.blobs.exists(_recipe(path)):
        return "unknown"
    frame = _read(lake, path).get("frame")
    if not isinstance(frame, str):
        return "unknown"  # other JSON of that name
    return "to be drawn" if lake.blobs.exists(frame) else "expired"


def draw(lake: Lake, path: str) -> str:
    """Draws a page by its recipe, unless it is there; returns its path.

    Raises:
        DataError: When it is none that was noted, or its rows have expired, or Evidently cannot draw it.
    """
    from evergreen.monitoring.drift import compare
    from evergreen.spec.model import Drift

    now = state(lake, path)
    if now == "there":
        return path
    if now == "unknown":
        raise DataError(path, "must be the path of a drift report's page")
    recipe = _read(lake, path)
    columns = recipe["columns"]
    reference, current = rows(lake, recipe["training_set"], columns, recipe["frame"])
    return keep(lake, path, compare(reference, current, Drift.model_validate(recipe["drift"])))


def rows(lake: Lake, training_set: str, columns: list[str], frame: str) -> tuple[pa.Table, pa.Table]:
    """What is compared: the training's rows and the period's."""
    return trainingsets.get(lake, training_set, columns), staging.get(lake, frame).select(columns)


def keep(lake: Lake, path: str, report: DriftReport) -> str:
    """Stores a drawn page.

    Raises:
        DataError: When there is none.
    """
    if report.html is None:
        raise DataError(path, f"could not be drawn: {' '.join(report.reasons)}")
    lake.blobs.put_if_absent(path, report.html.encode())
    log.info("Drew %s", path)
    return path


def _recipe(path: str) -> str:
    return f"{path.removesuffix('.html')}.json"


def _read(lake: Lake, path: str) -> Mapping[str, Any]:
    recipe: Mapping[str, Any] = json.loads(lake.blobs.get(_recipe(path)))
    return recipe
