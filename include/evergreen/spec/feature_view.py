"""Feature view: columns computed once, by a declared transform, shared by any number of models."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from evergreen.spec.base import At, Column, DType, Frozen, Resource
from evergreen.spec.timing import Duration


class Feature(Frozen):
    """One output column.

    Attributes:
        type: What the column is cast to; a value that does not fit is an error.
        description: For people.
    """

    type: DType = "float"
    description: str = ""


class FeatureView(Resource):
    """A transform and what it gives.

    Attributes:
        description: For people.
        owner: Whom to ask; becomes a tag and the tasks' owner in Airflow.
        kind: ``materialized`` is computed on schedule from datasets; ``on_demand`` from the request's own columns.
        reads: Datasets, tables of the SQL by these names; the first drives. Empty for ``on_demand``.
        entity: Key columns of the output; a request brings them under the same names.
        timestamp: Output column with the event time of a row.
        transform: ``file.sql`` or ``file.py:function`` beside the YAML file. SQL of a materialized view may use the
            parameters ``$start`` and ``$end`` (the interval) and ``$as_of`` (= ``$end``). An output column
            ``known_at`` says when a row became known; without it, ``timestamp`` plus ``availability_delay``. A Python
            function gets DataFrames with pandas' nullable types ``Int64``, ``boolean`` and ``string``, with
            ``float64``, ``datetime64[ns, UTC]`` and Python's dates, whether a column holds nulls or not.
        lookback: How far before the interval's start input rows are handed to the transform.
        ttl: A value older than this at prediction time counts as missing.
        availability_delay: Of a row without a ``known_at`` of its own.
        outputs: The columns that are features, by name.
    """

    kind: Literal["materialized", "on_demand"] = "materialized"
    reads: tuple[str, ...] = ()
    entity: tuple[Column, ...] = ()
    timestamp: Column = "event_time"
    transform: str = Field(
        pattern=r"^[A-Za-z0-9_./-]+(\.sql|\.py:[A-Za-z_][A-Za-z0-9_]*)$",
        examples=["demand.sql", "demand.py:compute"],
    )
    lookback: Duration = timedelta(0)
    ttl: Duration | None = None
    availability_delay: Duration = timedelta(0)
    outputs: dict[Column, Feature] = Field(min_length=1)

    @model_validator(mode="after")
    def _reads(self) -> FeatureView:
        if self.kind == "materialized" and not self.reads:
            raise At(("reads",), "must name at least one dataset, since the view's kind is materialized")
        if self.kind == "on_demand":
            for field in ("reads", "entity", "ttl", "lookback"):
                if getattr(self, field):
                    raise At((field,), "must not be given, since the view's kind is on_demand", remedy="Delete it.")
        return self

    @model_validator(mode="after")
    def _outputs(self) -> FeatureView:
        taken = {"known_at", "event_time", "prediction_time", self.timestamp, *self.entity}
        for name in self.outputs:
            if name in taken:
                raise At(
                    ("outputs", name), "must not have the name of a key or time column", remedy="Give it another name."
                )
        return self

    @property
    def transform_file(self) -> str:
        """The transform's file, relative to the folder ``features``."""
        return self.transform.partition(":")[0]

    @property
    def function(self) -> str | None:
        """The transform's function; of SQL ``None``."""
        return self.transform.partition(":")[2] or None
