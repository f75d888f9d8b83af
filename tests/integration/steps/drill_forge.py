"""Forks a process per step from one that has imported everything.

Orders come on standard input, a JSON document a line: ``{"environment", "input", "answer"}`` starts a step and is
answered with the process's id; ``{"wait": id, "stopped": bool}`` is answered with its exit code (negative: the signal),
or ``"stopped"`` once it has stopped. The step's result is written to the file ``answer``. With
``{"erase": …}`` in place of ``input`` it is an erasure that is started, with these arguments.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

PRELOADED = (
    "alembic.command", "deltalake", "duckdb", "evidently", "great_expectations", "lightgbm", "mlflow",
    "mlflow.lightgbm", "pandas", "psycopg2", "pyarrow.parquet", "sklearn.pipeline", "skops.io",
    "evergreen.steps.deploying", "evergreen.steps.deciding", "evergreen.steps.ingestion", "evergreen.steps.judging",
    "evergreen.steps.learning", "evergreen.steps.sweeping", "evergreen.steps.watching",
)  # fmt: skip


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no reply
    for name in PRELOADED:
        import_module(name)
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        reply = _wait(order["wait"], order["stopped"]) if "wait" in order else _start(order)
        print(json.dumps(reply), file=replies, flush=True)
    os.killpg(0, signal.SIGKILL)  # also what is stopped


def _start(order: dict) -> int:
    process = os.fork()
    if not process:
        try:
            _run(order)
        finally:
            os._exit(0)
    return process


def _run(order: dict) -> None:
    from evergreen.errors import EvergreenError
    from evergreen.settings import Settings
    from evergreen.steps.contract import StepInput, run_step
    from evergreen.steps.erasing import erase

    os.environ.update(order["environment"])
    try:
        if "erase" in order:
            text = json.dumps({"result": erase(Settings.from_env(), **order["erase"])})
        else:
            result = run_step(StepInput.model_validate(order["input"]), Settings.from_env())
            text = json.dumps({"result": result.model_dump(mode="json")})
    except EvergreenError as error:
        text = json.dumps({"error": type(error).__name__, "message": str(error)})
    except Exception as error:
        text = json.dumps({"error": type(error).__name__, "message": repr(error)})
        raise
    finally:
        Path(order["answer"]).write_text(text)


def _wait(process: int, stopped: bool) -> int | str:
    _, status = os.waitpid(process, os.WUNTRACED if stopped else 0)
    return "stopped" if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
