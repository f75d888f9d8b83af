"""Labels that callers send: brought into the type of the model's label, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evergreen.features.request import read_value
from evergreen.spec.base import DType


@dataclass(frozen=True)
class LabelType:
    """What a model's labels are.

    Attributes:
        task: The model's.
        dtype: Of the label's column in its dataset.
    """

    task: str
    dtype: DType

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> LabelType:
        """From a bundle's document; one that was written before it said the type of its label tells it by its task."""
        told = document["facts"].get("label")
        if told is not None:
            return cls(document["task"], told["type"])
        return cls(document["task"], _assumed(document["task"], document["classes"]))

    def read(self, value: Any) -> Any:
        """The label as the dataset would hold it.

        Args:
            value: JSON. Of a binary task, true, 1 and 1.0 mean the same.

        Raises:
            ValueError: Saying what it must be.
        """
        if value is None:
            raise ValueError("must be sent")
        if self.task == "binary":
            return self._binary(value)
        return read_value(value, self.dtype)

    def _binary(self, value: Any) -> Any:
        if isinstance(value, int | float):
            if value not in (0, 1):
                raise ValueError("must be true or false, or 1 or 0, since the task is binary")
            truth = bool(value)
        elif self.dtype == "string":
            return read_value(value, "string")
        else:
            truth = bool(read_value(value, "bool"))
        return truth if self.dtype == "bool" else float(truth) if self.dtype == "float" else int(truth)


def _assumed(task: str, classes: list[Any]) -> DType:
    if task == "multiclass" and classes:
        kinds: dict[type, DType] = {bool: "bool", int: "int", float: "float"}
        return kinds.get(type(classes[0]), "string")
    return "int" if task == "binary" else "float"
