"""Writes a model in MLflow's own flavor, with signature and input example, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.tracking.record import Flavor

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

EXAMPLE_ROWS = 5


def write(flavor: Flavor, folder: Path, *, model_id: str, run_id: str, location: str, training_id: str) -> None:
    """Writes the flavor into a folder that does not exist yet.

    Args:
        flavor: The model.
        folder: Where to.
        model_id: Of MLflow's logged model that it becomes.
        run_id: Of its run.
        location: Where the logged model's artifacts will lie.
        training_id: Kept in the model's metadata.
    """
    import mlflow.models
    import pandas as pd

    import_flavor: Any
    example = pd.DataFrame(flavor.example[:EXAMPLE_ROWS], columns=list(flavor.features))
    described = mlflow.models.Model(
        artifact_path=location,
        model_uuid=model_id,
        run_id=run_id,
        model_id=model_id,
        metadata={"evergreen.training_id": training_id, "evergreen.inputs": "encoded by the bundle's encoder"},
    )
    common = {
        "path": str(folder),
        "mlflow_model": described,
        "signature": _signature(flavor),
        "input_example": example,
        "pip_requirements": list(flavor.requirements),
    }
    if flavor.library == "lightgbm":
        import mlflow.lightgbm as import_flavor

        import_flavor.save_model(flavor.native, **common)
    else:
        import mlflow.sklearn as import_flavor

        classifies = hasattr(flavor.native, "predict_proba")
        import_flavor.save_model(
            flavor.native,
            **common,
            serialization_format="skops",
            skops_trusted_types=list(flavor.trusted_types),
            pyfunc_predict_fn="predict_proba" if classifies else "predict",
        )


def _signature(flavor: Flavor) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    outputs = TensorSpec(np.dtype("float64"), (-1, *flavor.predicted.shape[1:]))
    inputs = Schema([ColSpec("double", name, required=False) for name in flavor.features])
    return ModelSignature(inputs=inputs, outputs=Schema([outputs]))
