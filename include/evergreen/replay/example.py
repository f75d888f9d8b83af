"""What a replay needs to know of an example."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple


class Planted(NamedTuple):
    """Rows that the driver damaged on purpose."""

    file: str
    rows: int


class Example(ABC):
    """Real data that is laid into the landing folder period by period.

    Attributes:
        name: Of the workspace below ``include/examples``.
        model: The model whose life is told.
        datasets: The datasets of the model's own cadence.
        keys: The periods' keys, in order.
        first_training: Key at which the first training is expected.
        requests_per_period: So many rows of each period are also sent to the gateway.
    """

    name: ClassVar[str]
    model: ClassVar[str]
    datasets: ClassVar[tuple[str, ...]]
    first_training: ClassVar[str]
    requests_per_period: ClassVar[int]
    keys: list[str]
    planted: Planted | None = None

    @abstractmethod
    def lay(self, key: str, landing: Path) -> list[tuple[str, str]]:
        """Writes the period's files; gives the (dataset, key) pairs to ingest."""
