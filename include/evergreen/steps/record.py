"""What a training leaves behind for people and for serving: the bundle's folder and MLflow's run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.steps import tables
from evergreen.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.tracking.record import TrainingRecord
    from evergreen.training.fit import Fitted


def training_record(
    ctx: StepContext,
    fitted: Fitted,
    frame: pa.Table,
    *,
    training_id: str,
    as_of: str,
    sha: str,
    used: Mapping[str, int],
    nulls: Mapping[str, float],
    folder: Path,
) -> TrainingRecord:
    """Writes the bundle into ``folder`` and describes the training for MLflow.

    Args:
        frame: The training set; its test part gives golden rows and example.
        sha: Content address of the training set.
        used: Table -> version that it was read at.
        nulls: Share of nulls of each feature in the rows that were learnt from.
    """
    from evergreen.evaluation.metrics import compute
    from evergreen.features.columns import dtype_of
    from evergreen.features.signature import signature, views_of
    from evergreen.tracking.entities import as_texts
    from evergreen.tracking.record import DataInput, TrainingRecord
    from evergreen.training.bundle import save
    from evergreen.training.environment import environment
    from evergreen.training.labels import encode_labels
    from evergreen.training.record import flavor_of

    model = ctx.model
    test = frame.take(fitted.parts.test)
    labels = tables.table_of(ctx, "dataset", model.label.dataset)
    schema = ctx.lake.table(labels).schema()
    described = signature(model, ctx.workspace, schema)
    on_demand = [view for view in views_of(model, ctx.workspace).values() if view.kind == "on_demand"]
    files = {
        path.relative_to(ctx.root).as_posix(): path.read_bytes()
        for path in sorted((ctx.root / "features").rglob("*"))
        if path.suffix in (".sql", ".py")
    }
    save(
        folder,
        fitted,
        model=ctx.name,
        training_id=training_id,
        golden=test,
        nulls=nulls,
        on_demand=[view.model_dump(mode="json") for view in on_demand],
        files=files if on_demand else {},
        facts={
            "signature": described.to_dict(),
            "identity": list(ctx.driver.identity),
            "event_time": ctx.driver.event_time,
            "timezone": ctx.driver.timezone,
            "label": {"column": model.label.column, "type": dtype_of(schema.field(model.label.column).type)},
            "params": as_texts(fitted.params),
        },
    )
    predicted = fitted.predict(test)
    scores = compute(model.task, encode_labels(model.task, test["_label"], fitted.classes), predicted)
    inputs = [DataInput(name, str(version), ctx.lake.table(name).uri) for name, version in used.items()]
    inputs.append(
        DataInput("training set", sha, ctx.lake.blobs.uri(f"trainingsets/{sha}.parquet"), rows=frame.num_rows)
    )
    return TrainingRecord(
        training_id=training_id,
        model=ctx.name,
        as_of=as_of,
        params=fitted.params,
        metrics={f"test_{name}": value for name, value in scores.values.items()}
        | {f"null_share.{name}": share for name, share in nulls.items()}
        | {f"rows_{part}": float(n) for part, n in fitted.parts.sizes.items()},
        tags=_tags(ctx, fitted, sha) | {"environment": environment().digest},
        bundle=folder,
        flavor=flavor_of(fitted, test),
        curves=fitted.curves,
        inputs=inputs,
    )


def _tags(ctx: StepContext, fitted: Fitted, sha: str) -> dict[str, Any]:
    from evergreen.steps.contract import digest

    return {
        "spec": digest(ctx.model.model_dump(mode="json")),
        "workspace": ctx.inp.workspace,
        "training_set": sha,
        "cause": ",".join(ctx.inp.inputs["claim"]["causes"]),
        "reason": ctx.inp.inputs["claim"]["reason"],
        "seed": fitted.seed,
        "threads": fitted.threads,
        "trained_through": fitted.trained_through.isoformat(),
    }
