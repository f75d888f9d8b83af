"""What a model is fed with: the columns, in order, and their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from evergreen.errors import SpecError
from evergreen.features.columns import dtype_of
from evergreen.spec.base import DType
from evergreen.spec.model import Model

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.spec.feature_view import FeatureView
    from evergreen.spec.loading import Workspace

EVENT_TIME, PREDICTION_TIME = "event_time", "prediction_time"
"""The two instants beside the request columns: what is asked about, and when it is asked."""


@dataclass(frozen=True)
class Signature:
    """Columns of a model's frame, by where they come from; small JSON, so that a bundle can carry it.

    Attributes:
        request: Columns that a caller sends, in order.
        looked_up: Outputs of materialized views.
        computed: Outputs of on-demand views.
        features: The model's input, in order.
        prediction_lead_seconds: How long before the event time a prediction is asked.
    """

    request: dict[str, DType]
    looked_up: dict[str, DType]
    computed: dict[str, DType]
    features: tuple[str, ...]
    prediction_lead_seconds: float = 0.0

    @property
    def types(self) -> dict[str, DType]:
        """Declared type of every column of the frame."""
        return {**self.request, **self.looked_up, **self.computed}

    @property
    def kinds(self) -> dict[str, Literal["numeric", "categorical"]]:
        """How each feature, in order, is fed to a model: strings are categories, all else is a number."""
        types = self.types
        return {name: "categorical" if types[name] == "string" else "numeric" for name in self.features}

    @property
    def prediction_lead(self) -> timedelta:
        """How long before the event time a prediction is asked."""
        return timedelta(seconds=self.prediction_lead_seconds)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "features": list(self.features)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Signature:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**document, "features": tuple(document["features"])})


def views_of(model: Model, ws: Workspace) -> dict[str, FeatureView]:
    """A model's feature views by name, in its order.

    Raises:
        SpecError: When one is not declared, or gives the label as a feature.
    """
    unknown = [name for name in model.features if name not in ws.views]
    if unknown:
        raise SpecError(f"models/{model.name}.yaml features", "must name feature views", value=unknown)
    for name in model.features:
        if model.label.column in ws.views[name].outputs:
            rule = f"must not be named {model.label.column}, which is the label of model {model.name}"
            raise SpecError(f"features/{name}.yaml outputs", rule, remedy="Rename the output.")
    return {name: ws.views[name] for name in model.features}


def feature_columns(model: Model, ws: Workspace) -> list[str]:
    """The model's input in order: request columns, then outputs of its views, without those in ``exclude``."""
    outputs = [output for view in views_of(model, ws).values() for output in view.outputs]
    return [name for name in (*model.request, *outputs) if name not in model.exclude]


def signature(model: Model, ws: Workspace, schema: pa.Schema) -> Signature:
    """The signature of a model whose frame, or whose label dataset, has this schema.

    Raises:
        SpecError: When model, views and dataset don't fit together, or a feature is no number, bool or string.
    """
    views = views_of(model, ws)
    features = tuple(feature_columns(model, ws))
    request: dict[str, DType] = {}
    for name in model.request:
        place = f"models/{model.name}.yaml request"
        if name not in schema.names:
            raise SpecError(place, f"must name columns of dataset {model.label.dataset}", value=name)
        dtype = dtype_of(schema.field(name).type)
        if dtype is None:
            raise SpecError(place, f"must name columns of plain values; {name} is not", value=str(schema.field(name)))
        request[name] = dtype
    outputs: dict[str, dict[str, DType]] = {"materialized": {}, "on_demand": {}}
    for view in views.values():
        outputs[view.kind].update({name: output.type for name, output in view.outputs.items()})
    made = Signature(
        request,
        outputs["materialized"],
        outputs["on_demand"],
        features,
        model.prediction_lead.total_seconds(),
    )
    for name in features:
        if made.types[name] in ("timestamp", "date"):
            raise SpecError(
                f"models/{model.name}.yaml",
                f"must not feed a model with {name}, a {made.types[name]}: it only grows",
                remedy=f"Name {name} under exclude, and derive features from it in an on_demand view.",
            )
    return made
