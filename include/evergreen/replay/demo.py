"""The demo: starts the stack, lives a model's life through Airflow's REST API, tells it, and stops everything."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError
from evergreen.replay.airflow_api import AirflowApi
from evergreen.replay.example import Example

if TYPE_CHECKING:
    from rich.console import Console

    from evergreen.replay.traffic import Traffic
    from evergreen.spec.loading import Workspace
    from evergreen.store.store import Store

log = logging.getLogger(__name__)

TITLES = {
    "flights": "Flights from New York, 2013: will it arrive more than 15 minutes late?",
    "bikes": "Bicycle rentals in Washington, 2011 to 2012: how many an hour?",
}


@dataclass
class Life:
    """One model's life under a running stack.

    Args:
        example: Whose data is laid out.
        workspace: What the example declares.
        api: Airflow's REST API.
        store: Where every figure is read from.
        landing: Where files are laid.
        traffic: Sends rows to the gateway; ``None`` sends none.
        say: Takes one line of the story.
    """

    example: Example
    workspace: Workspace
    api: AirflowApi
    store: Store
    landing: Path
    traffic: Traffic | None
    say: Any

    def dags(self) -> set[str]:
        """The DAGs that take part."""
        model = self.example.model
        views = [name for name, view in self.workspace.views.items() if view.kind == "materialized"]
        return (
            {f"{name}.ingest" for name in self.workspace.datasets}
            | {f"{name}.build" for name in views}
            | {f"{model}.{stage}" for stage in ("monitor", "train", "deploy", "rollback")}
        )

    def live(self, key: str) -> None:
        """One period: lay, send requests, ingest, and follow everything that comes of it."""
        due = self.example.lay(key, self.landing)
        if self.traffic is not None:
            self.traffic.send(key)
        model = self.example.model
        for dataset, its_key in due:
            self._ingest(dataset, its_key)
            if dataset not in self.example.datasets:  # of another cadence: the model waits for nothing of it
                self._wait_for_views_of(dataset, its_key)
        for dataset, its_key in due:
            self.api.wait_for_key(f"{dataset}.ingest", its_key)
        monitor = f"{model}.monitor"
        self.api.wait_for_key(monitor, key, done="monitor")  # a run that only waits for others is not the one
        if not any(self._task(monitor, run, "ring") == "success" for run in self.api.runs(monitor, key)):
            return
        trained = self.api.wait_for_key(f"{model}.train", key)
        if self._task(f"{model}.train", trained, "register") != "success":
            return
        self.api.wait_for_key(f"{model}.deploy", key)

    def act(self, **conf: Any) -> None:
        """An act of a person: roll back, promote, release."""
        dag = f"{self.example.model}.rollback"
        self.api.wait_for_run(dag, self.api.trigger(dag, conf=conf))

    def _ingest(self, dataset: str, key: str) -> None:
        if key == self.example.keys[0] or dataset not in self.example.datasets:
            self.api.backfill(f"{dataset}.ingest", key, key)
        else:
            self.api.trigger(f"{dataset}.ingest", key=key)

    def _wait_for_views_of(self, dataset: str, key: str) -> None:
        self.api.wait_for_key(f"{dataset}.ingest", key)
        for name, view in self.workspace.views.items():
            if view.kind == "materialized" and view.reads[0] == dataset:
                self.api.wait_for_key(f"{name}.build", key)

    def _task(self, dag: str, run: Mapping[str, Any], task: str) -> str | None:
        return self.api.task_states(dag, run["dag_run_id"]).get(task)


def tell(say: Any, period: Mapping[str, Any], metric: str) -> None:
    """One period of the story, as lines."""
    rows = (
        f"{period['rows_source']:,} rows read, {period['rows_good']:,} good, "
        f"{period['rows_quarantined']:,} quarantined, {period['rows_superseded']:,} superseded"
    )
    say(f"[bold]{period['as_of']}[/]  {rows}")
    if period["metric_served"] is not None:
        frozen = "-" if period["metric_frozen"] is None else f"{period['metric_frozen']:.4g}"
        drift = {True: "drift", False: "no drift", None: "drift not judged"}[period["drift"]]
        say(
            f"    champion: version {period['champion_version']}; {metric} served {period['metric_served']:.4g}, "
            f"frozen {frozen}; {drift}"
        )
    for event in period["events"]:
        version = "" if event["version"] is None else f" version {event['version']}"
        style = {"refused": "yellow", "promoted": "green", "rolled_back": "red", "held": "red"}.get(
            event["kind"], "dim"
        )
        say(f"    [{style}]{event['kind'].replace('_', ' ')}{version}[/] ({event['cause']}) {event['reason'][:220]}")


def table(console: Console, periods: Sequence[Mapping[str, Any]], metric: str) -> None:
    """All periods as a table."""
    from rich.table import Table

    shown = Table(title=f"{metric}: the first model, frozen, against what served")
    for name in ("as_of", "rows", "bad", "champion", "frozen", "served", "drift", "what happened, and why"):
        text = name.startswith(("as_of", "what"))
        shown.add_column(name, justify="left" if text else "right", no_wrap=not name.startswith("what"))
    for period in periods:
        shown.add_row(
            period["as_of"],
            f"{period['rows_good']:,}",
            f"{period['rows_quarantined']:,}",
            "" if period["champion_version"] is None else f"v{period['champion_version']}",
            *("" if period[key] is None else f"{period[key]:.4g}" for key in ("metric_frozen", "metric_served")),
            {True: "yes", False: "no", None: ""}[period["drift"]],
            "; ".join(_briefly(event) for event in period["events"] if event["kind"] != "trained"),
        )
    console.print(shown)


def _briefly(event: Mapping[str, Any]) -> str:
    """One event in a few words; who it was where a person or the machine acted, else the cause."""
    version = "" if event["version"] is None else f" v{event['version']}"
    words = f"{event['kind'].replace('_', ' ')}{version}"
    by_machine = event["cause"] == "evergreen"
    return words if by_machine else f"{words} ({event['cause'].replace(',', ', ')})"


def run(example: Example, home: Path, *, root: Path, periods: int | None = None) -> Path:
    """Runs the whole demo in an instance of its own and gives the path of its summary.

    Args:
        home: Folder of instances; the demo's is ``demo/<example>`` below it, replaced if it is not running.
        root: The project's folder.
        periods: Only the first so many periods.

    Raises:
        UserError: When that instance is running, the disk is full or a port is taken.
        RunFailed: When a DAG run fails that should not.
    """
    from rich.console import Console

    from evergreen.lake.lake import Lake
    from evergreen.replay import plot, summary
    from evergreen.replay.traffic import Traffic
    from evergreen.settings import Settings
    from evergreen.spec.loading import load
    from evergreen.stack.stack import Stack
    from evergreen.store.store import Store

    began = time.monotonic()
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)
    state = home / "demo" / example.name
    declared = root / "include" / "examples" / example.name
    workspace = load(declared)
    model = workspace.models[example.model]
    metric = model.monitoring_metric
    console.rule(TITLES[example.name])
    console.print("Starting PostgreSQL, Airflow, MLflow and the gateway …")
    first_champion: float | None = None
    stack = Stack(state, workspace=declared, calendar_from="2100-01-01")
    stack.remove()  # the last run's; one that is running is refused
    with stack:
        console.print(
            f"    up after {time.monotonic() - began:.0f} s. Airflow: {stack.airflow_url}, logs: {state}/logs"
        )
        settings = Settings.from_env(stack.env)
        store = Store(settings.store_url)
        api = AirflowApi(stack.airflow_url, stack.airflow_user, stack.airflow_password)
        landing = Path(settings.landing)
        traffic = Traffic(example, workspace, declared, settings, store)
        life = Life(example, workspace, api, store, landing, traffic, console.print)
        api.wait_for_dags(life.dags())
        keys = example.keys[:periods]

        def told() -> list[dict[str, Any]]:
            return summary.periods(store, example.model, datasets=list(workspace.datasets), metric=metric, keys=keys)

        for index, key in enumerate(keys):
            life.live(key)
            if first_champion is None and traffic.champion() is not None:
                first_champion = time.monotonic() - began
                console.print(f"[green]The first champion serves after {first_champion:.0f} s.[/]")
            tell(console.print, told()[index], metric)
            if example.planted is not None and example.planted.file.endswith(f"{key}.csv"):
                console.print(f"    [dim]({example.planted.rows} of these were planted in {example.planted.file})[/]")
        if first_champion is None:
            raise EvergreenError(f"the demo ended without a champion; see {state}/logs")
        _persons_acts(life, console)
        found = told()
        table(console, found, metric)
        picture = state / "metrics.png"
        plot.draw(found, metric=metric, title=TITLES[example.name], path=picture)
        document = {
            "example": example.name,
            "metric": metric,
            "first_champion_seconds": round(first_champion, 1),
            "total_seconds": round(time.monotonic() - began, 1),
            "planted": None if example.planted is None else example.planted._asdict(),
            "periods": found,
        }
        path = home / "demo" / "summary.json"
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        (state / "summary.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        Lake(settings.lake).blobs.put_content("reports/demo", path.read_bytes(), ".json")
        api.close()
        console.print(f"Summary: {path}   Picture: {picture}")
    console.print(
        f"Everything is stopped, after {time.monotonic() - began:.0f} s. `make up` brings this very state back."
    )
    return path


def _persons_acts(life: Life, console: Console) -> None:
    """The end of the story: a rollback, the hold, and an explicit promotion back."""
    from evergreen.store.ledger import Ledger

    ledger, model = Ledger(life.store), life.example.model
    champion = ledger.champion(model)
    if champion is None or champion.version is None or ledger.last_good(model) is None:
        console.print("[yellow]There is only one champion so far: nothing to roll back to.[/]")
        return
    console.rule("A person steps in")
    life.act(action="roll_back", reason="demo: the dispatchers distrust the newest version")
    now = ledger.champion(model)
    console.print(f"    rolled back: version {champion.version} -> {now.version if now else None}")
    held = ledger.hold(model)
    console.print(f"    held: {'candidates trained before it never promote' if held else 'no'}")
    life.act(action="promote", version=champion.version, reason="demo: they were wrong, it is the better one")
    life.act(action="release", reason="demo: renewal may go on")
    now = ledger.champion(model)
    console.print(f"    promoted back: version {now.version if now else None}; released")
