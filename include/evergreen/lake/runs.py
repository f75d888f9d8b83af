"""What a DAG run runs on, fixed by its first task: the one place where a run id is a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from evergreen.lake.manifests import put_json, read_json
from evergreen.lake.roots import segment

if TYPE_CHECKING:
    from evergreen.lake.lake import Lake


def open_run(lake: Lake, dag_id: str, run_id: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The frozen facts of a run: made at the first call, found again by every later one.

    Args:
        lake: Where they are kept.
        dag_id: The DAG.
        run_id: Its run; any text.
        make: Gives the facts (a small JSON object); called only when there are none yet.
    """
    path = f"runs/{segment(dag_id)}/{segment(run_id)}.json"
    if lake.blobs.exists(path):
        return read_json(lake.blobs, path)
    return put_json(lake.blobs, path, make())
