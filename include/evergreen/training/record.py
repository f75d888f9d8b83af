"""What tracking is told of a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from evergreen.tracking.record import Flavor, Library
from evergreen.training.environment import requirements
from evergreen.training.fit import Fitted

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLE_ROWS = 5


def flavor_of(fitted: Fitted, table: pa.Table) -> Flavor:
    """The model for MLflow's flavor, with the first rows of a table as its example.

    Args:
        fitted: The model.
        table: Holds the feature columns; rows of the test part are a good choice.
    """
    example = fitted.encoder.transform(table.slice(0, EXAMPLE_ROWS))
    return Flavor(
        library=cast(Library, fitted.library),
        native=fitted.estimator.native,
        features=fitted.encoder.names,
        example=example,
        predicted=fitted.estimator.predict(example),
        requirements=requirements(fitted.library),
        trusted_types=fitted.estimator.trusted_types(),
    )
