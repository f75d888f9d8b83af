"""On-demand features: computed from a request's own columns, in training and serving by the same code.

Each row is computed for itself. A team's SQL sees a table ``request`` of exactly one row, for a batch by a lateral
join over the rows; so an aggregate or a window can't see other rows in training that are not there when serving, the
order of the rows is ours to keep, and a row that is dropped or doubled is noticed.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import DataError
from evergreen.features import columns, transforms
from evergreen.features.signature import EVENT_TIME, PREDICTION_TIME
from evergreen.spec.feature_view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.lake.duck import Sessions


class ValuesError(DataError):
    """A transform ran, but not with these values.

    Of SQL its data exceptions (a text that is no number, an overflow, the view's own ``error('…')``), of Python
    ``ValueError`` and ``ArithmeticError``: what says of a value that it is of the right type and yet cannot be used.
    """


def compute(view: FeatureView, root: Path, request: pa.Table) -> pa.Table:
    """The outputs of an on-demand view for each row of ``request``; see :class:`OnDemand`."""
    with OnDemand(view, root) as ready:
        return ready.compute(request)


class OnDemand:
    """An on-demand view made ready to be computed often; safe to share between threads.

    SQL reads the table ``request``. A Python function takes the rows as a DataFrame and gives one with the same index
    or, in the same order, a fresh one; that it treats each row for itself is up to its author.

    Args:
        view: A view of kind ``on_demand``.
        root: Folder of the workspace, the one that holds ``features/``; read now, not later.
        sessions: Connections for its SQL, which many views may share; by default one of its own.

    Raises:
        DataError: When the transform is missing, cannot be imported, is no single SELECT, or uses what is no function
            of the request (see :mod:`evergreen.lake.determinism`).
    """

    def __init__(self, view: FeatureView, root: Path, sessions: Sessions | None = None) -> None:
        self.view = view
        self._own: Sessions | None = None
        self._sessions: Sessions | None = None
        if not transforms.is_sql(view):
            self._function = transforms.function(view, root)
            return
        from evergreen.lake import determinism
        from evergreen.lake.duck import Sessions, run_sql

        self._sql = transforms.sql(view, root)
        if sessions is None:
            sessions = self._own = Sessions(1)
        self._sessions = sessions
        try:
            with sessions.lend() as connection:
                statements = connection.extract_statements(self._sql)
            single = len(statements) == 1 and statements[0].type.name == "SELECT"
        except Exception:  # what it says is said better below
            single = False
        if not single:
            self.close()
            run_sql(self._sql, {}, place=transforms.place(view))
            raise DataError(transforms.place(view), "must be one SELECT statement")
        place, times = transforms.place(view), f"{EVENT_TIME} and {PREDICTION_TIME}"
        try:
            with sessions.lend() as connection:
                determinism.require(connection, self._sql, place=place, tables=["request"], times=times)
        except DataError:
            self.close()
            raise

    def __enter__(self) -> OnDemand:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of an SQL engine of its own."""
        if self._own is not None:
            self._own.close()

    def compute(self, request: pa.Table) -> pa.Table:
        """The view's outputs, one row per row of ``request`` and in its order, in the declared types.

        Args:
            request: Request columns, ``event_time`` and ``prediction_time``.

        Raises:
            ValuesError: When the transform fails on the rows' values.
            DataError: When it fails otherwise, lacks an output, or gives not exactly one row per row.
        """
        import pyarrow as pa

        made = self._by_function(request) if self._sessions is None else self._by_sql(self._sessions, request)
        outputs = self.view.outputs
        transforms.require(self.view, made, list(outputs))
        place = transforms.place(self.view)
        return pa.table({n: columns.cast(made[n], f.type, f"{place} column {n}") for n, f in outputs.items()})

    def _by_sql(self, sessions: Sessions, request: pa.Table) -> pa.Table:
        import pyarrow as pa

        if request.num_rows == 1:
            made = self._run(sessions, self._sql, "request", request)
            made_for = [0] * made.num_rows
        else:
            rows = request.append_column("_row", pa.array(range(request.num_rows), pa.int64()))
            made = self._run(sessions, self._by_row(request.column_names), "_rows", rows)
            made_for = made["_row"].to_pylist()
            made = made.drop_columns(["_row"])
        self._one_each(made_for, request.num_rows)
        return made

    def _by_row(self, names: list[str]) -> str:
        fields = ", ".join(f'r."{name}" as "{name}"' for name in names)
        one = f"with request as (select {fields}) select * from (\n{self._sql}\n)"
        return f"select r._row as _row, o.* from _rows as r, lateral ({one}) as o order by r._row"

    def _run(self, sessions: Sessions, sql: str, name: str, table: pa.Table) -> pa.Table:
        try:
            with sessions.lend() as connection:
                connection.register(name, table)
                try:
                    return connection.sql(sql).to_arrow_table()
                finally:
                    connection.unregister(name)
        except Exception as error:
            from evergreen.lake.duck import is_data_exception, run_sql

            place = transforms.place(self.view)
            try:
                run_sql(self._sql, {"request": table.slice(0, 0)}, place=place)  # the team's own text explains better
                run_sql(sql, {name: table}, place=place)
            except DataError as said:
                if is_data_exception(error):
                    raise _of_values(said) from error
                raise
            raise

    def _by_function(self, request: pa.Table) -> pa.Table:
        given = transforms.to_frame(request, transforms.place(self.view))
        try:
            made = transforms.call(self.view, self._function, given.copy())
        except DataError as said:
            if isinstance(said.__cause__, ValueError | ArithmeticError):
                raise _of_values(said) from said.__cause__
            raise
        if not made.index.equals(given.index):
            self._one_each(made.index.tolist(), request.num_rows)
            made = made.loc[given.index]
        return transforms.from_frame(self.view, made)

    def _one_each(self, made_for: list[int], rows: int) -> None:
        """Checks that the result's rows were made for all rows of the request, once each."""
        counts = Counter(made_for)
        wrong = next((row for row in range(rows) if counts[row] != 1), None)
        if wrong is None and len(counts) == rows:
            return
        raise DataError(
            transforms.place(self.view),
            f"must give one row for each of {rows} rows of request, but gave {len(made_for)}",
            value=made_for[:10] if wrong is None else f"{counts[wrong]} for row {wrong}",
            remedy="Use no WHERE, unnest or join that drops or doubles rows; give null instead.",
        )


def _of_values(said: DataError) -> ValuesError:
    return ValuesError(said.place, said.rule, value=said.value, remedy=said.remedy)
