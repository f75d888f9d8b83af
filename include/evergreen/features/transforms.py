"""A team's transforms: where they stand, and their text or function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import DataError, EvergreenError
from evergreen.features import columns
from evergreen.features.team_code import load_function
from evergreen.spec.feature_view import FeatureView

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def place(view: FeatureView) -> str:
    """What messages call the transform: its file below the workspace, and its function if it is Python."""
    return f"features/{view.transform}"


def is_sql(view: FeatureView) -> bool:
    """Whether the transform is SQL; otherwise it is a Python function."""
    return view.function is None


def path(view: FeatureView, root: Path) -> Path:
    """The transform's file.

    Args:
        view: The view.
        root: Folder of the workspace, the one that holds ``features/``.

    Raises:
        DataError: When the file is missing or stands outside of ``features/``.
    """
    folder = (root / "features").resolve()
    found = (folder / view.transform_file).resolve()
    if not found.is_relative_to(folder):
        raise DataError(place(view), "must stand below features/")
    if not found.is_file():
        raise DataError(place(view), "must be there", remedy="Add the file, or mend transform in the view's YAML.")
    return found


def sql(view: FeatureView, root: Path) -> str:
    """The SQL of a transform, without its closing semicolon.

    Raises:
        DataError: When the file is missing, is not UTF-8, or is empty.
    """
    try:
        text = path(view, root).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(place(view), "must be UTF-8 text", value=str(error)) from None
    text = text.rstrip(";").rstrip()
    if not text:
        raise DataError(place(view), "must hold a SELECT statement, but the file is empty")
    return text


def function(view: FeatureView, root: Path) -> Callable[..., Any]:
    """The Python function of a transform.

    Raises:
        DataError: When the file cannot be imported or has no such function.
    """
    return load_function(path(view, root), view.function or "", place(view))


def call(view: FeatureView, team_function: Callable[..., Any], *args: Any) -> pd.DataFrame:
    """Calls a team's function; whatever it raises becomes an error that names file and line.

    Raises:
        DataError: When the function raises, or gives no DataFrame.
    """
    import pandas as pd

    try:
        result = team_function(*args)
    except EvergreenError:
        raise
    except Exception as error:
        raise DataError(
            place(view),
            f"raised {type(error).__name__}{_line(error, team_function)}",
            value=str(error),
            remedy="Mend the function, or the rows that it cannot take.",
        ) from error
    if not isinstance(result, pd.DataFrame):
        raise DataError(place(view), "must return a pandas DataFrame", value=type(result).__name__)
    return result


def to_frame(table: pa.Table, place: str = "rows") -> pd.DataFrame:
    """Rows as a team's function gets them, with a plain index.

    The type of a column follows from its declared type alone, whatever it holds and whether it holds nulls, so that a
    row gives the same features alone and in a batch: ``Int64``, ``boolean`` and ``string``, pandas' nullable types;
    ``float64``; ``datetime64[ns, UTC]``, as pandas' own functions make times; Python's dates.

    Args:
        table: Of any width of the declared types.
        place: The transform, for messages.

    Raises:
        DataError: When a time lies outside of what pandas can hold.
    """
    import pandas as pd
    import pyarrow as pa

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype(), pa.string(): pd.StringDtype()}
    fields = {}
    for name in table.column_names:
        dtype = columns.dtype_of(table[name].type)
        fields[name] = table[name] if dtype is None else columns.cast(table[name], dtype, f"{place} column {name}")
    try:
        frame: pd.DataFrame = pa.table(fields).to_pandas(types_mapper=nullable.get, coerce_temporal_nanoseconds=True)
    except pa.ArrowInvalid as error:
        late = next((name for name, column in fields.items() if not _fits_nanoseconds(column)), None)
        if late is None:
            raise
        span = f"{pd.Timestamp.min.ceil('D').date()} and {pd.Timestamp.max.date()}"
        raise DataError(
            f"{place} column {late}",
            f"must hold instants between {span}, which are all that pandas can",
            value=str(error),
            remedy="Filter such rows, make a date of it, or take SQL.",
        ) from error
    return frame if fields else pd.DataFrame(index=range(table.num_rows))


def from_frame(view: FeatureView, frame: pd.DataFrame) -> pa.Table:
    """What a team's function gave, its index left out.

    Raises:
        DataError: When a column holds values of several kinds.
    """
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(place(view), "must give columns of one type each", value=str(error)) from error


def require(view: FeatureView, made: pa.Table, wanted: list[str]) -> None:
    """Checks that a transform gave every wanted column, each once.

    Raises:
        DataError: Otherwise.
    """
    doubled = sorted({name for name in made.column_names if made.column_names.count(name) > 1})
    if doubled:
        raise DataError(place(view), f"must give each column once, but gives {', '.join(doubled)} several times")
    missing = [name for name in wanted if name not in made.column_names]
    if missing:
        raise DataError(
            place(view),
            f"must give the columns {', '.join(wanted)}, but lacks {', '.join(missing)}",
            value=made.column_names,
            remedy="Select them, or mend entity, timestamp or outputs in the view's YAML.",
        )


def _fits_nanoseconds(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        return True
    try:
        column.cast(pa.timestamp("ns", tz=column.type.tz))
    except pa.ArrowInvalid:
        return False
    return True


def _line(error: BaseException, team_function: Callable[..., Any]) -> str:
    """`` at line N`` of the team's own file, the innermost one."""
    own = getattr(getattr(team_function, "__code__", None), "co_filename", None)
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == own:
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f" at line {line}"
