"""``evergreen …``: the command line.

Each module of commands has a function ``register(app)``. Their tops import nothing heavy, so that ``evergreen --help``
answers at once; what a command needs it imports when it runs. A :class:`~evergreen.errors.UserError` is printed as one
message and ends with code 2, what may pass next time (:class:`~evergreen.errors.TransientError`) with code 1.
"""

from __future__ import annotations

import importlib
import sys

_MODULES = (
    "stack_commands", "spec_commands", "step_commands", "lineage_commands", "request_commands", "dataset_commands",
    "housekeeping_commands", "erase_commands", "demo_commands",
)  # fmt: skip


def main() -> None:
    """Entry point of the program ``evergreen``."""
    import typer

    from evergreen.errors import EvergreenError, UserError

    app = typer.Typer(
        name="evergreen",
        help="Keeps machine-learning models fresh in production, on Apache Airflow.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def _group() -> None:
        # Keeps `evergreen up` a subcommand however many there are.
        pass

    for name in _MODULES:
        register = getattr(importlib.import_module(f"evergreen.cli.{name}"), "register", None)
        if register is not None:
            register(app)
    try:
        app()
    except EvergreenError as error:
        print(f"evergreen: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UserError) else 1)
