"""The two metrics over the year as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw(periods: Sequence[dict[str, Any]], *, metric: str, title: str, path: Path) -> None:
    """Draws frozen against served, promotions marked, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = [period for period in periods if period["metric_served"] is not None]
    if not shown:
        return
    labels = [period["as_of"] for period in shown]
    figure, axes = plt.subplots(figsize=(11, 4.5), layout="constrained")
    nothing = float("nan")
    for key, label, color in (
        ("metric_frozen", "first model, frozen", "#b0553a"),
        ("metric_served", "served", "#2c7a4b"),
    ):
        values = [nothing if period[key] is None else period[key] for period in shown]
        axes.plot(labels, values, marker="o", markersize=4, label=label, color=color)
    for index, period in enumerate(shown):
        if any(event["kind"] == "promoted" for event in period["events"]):
            axes.axvline(index, color="#2c7a4b", alpha=0.15, linewidth=6, zorder=0)
    axes.set_title(f"{title} (bars: a promotion at the period's end)")
    axes.set_ylabel(metric)
    axes.tick_params(axis="x", rotation=60)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
