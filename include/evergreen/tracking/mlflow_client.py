"""MLflow's server behind our own verbs: log a training, register it, fetch its bundle, heal the aliases.

Registered versions and aliases here are copies for people and tools. Nothing in Evergreen decides by them, and their
numbers are MLflow's own: ``registry`` finds by a training's tag which of the store's versions they stand for.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen import faults
from evergreen.errors import DataError, TransientError
from evergreen.tracking import flavor as flavors
from evergreen.tracking.entities import dataset_input, prefixed, quoted, run_metrics, run_params, run_tags
from evergreen.tracking.mlflow_errors import number, translated, written_here
from evergreen.tracking.record import TrainingRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_log = logging.getLogger(__name__)

TRAINING_TAG = "evergreen.training_id"
BUNDLE = "bundle"
_MODEL = "model"
_BATCH = 900
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow would try for minutes; retrying is Airflow's business.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Progress bars and addresses are noise in a task's log.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Tracking:
    """MLflow at one address. It holds no global state but MLflow's environment variables, where they are not set.

    Args:
        uri: Tracking URI.
        ui: Address of MLflow's pages as a browser reaches them; absent, the URI.
    """

    def __init__(self, uri: str, *, ui: str = "") -> None:
        self._uri = uri
        self._ui = ui or uri
        self._experiments: dict[str, str] = {}

    def log_training(self, record: TrainingRecord) -> str:
        """Logs a training once: a finished run of the same training is returned as it is.

        A run that an earlier, killed try left behind is closed as killed and a new one is written.

        Returns:
            The run's id.

        Raises:
            TransientError: When the server does not answer, or refuses.
            DataError: When the model cannot be written in MLflow's flavor.
        """
        with translated(f"logging training {record.training_id} of {record.model}"):
            experiment = self._experiment(record.model)
            finished = self._finished_run(experiment, record.training_id)
            if finished is not None:
                _log.info("Found training %s logged already as run %s", record.training_id, finished)
                return finished
            faults.point("mlflow.log:before")
            run_id = self._write_run(experiment, record)
            faults.point("mlflow.log:after")
            _log.info("Logged training %s of %s as run %s", record.training_id, record.model, run_id)
            return run_id

    def register(self, model: str, run_id: str, training_id: str, *, tags: Mapping[str, Any] | None = None) -> int:
        """Registers a run's model as a version of the registered model, unless this training has one already.

        Two that do so at the same instant leave a stray, which harms nobody: the older one is found from then on. Tags
        that are not as given are made so.

        Returns:
            MLflow's number of the version.

        Raises:
            TransientError: When the server does not answer, or fails.
            DataError: When MLflow has no such run (any more), or the run has no model.
        """
        with translated(f"registering {model} from run {run_id}"):
            there = self._versions(model, training_id, run_id)
            wanted = prefixed({"training_id": training_id, **(tags or {})})
            if there:
                for name, text in wanted.items():
                    if there[0].tags.get(name) != text:
                        self._client.set_model_version_tag(model, there[0].version, name, text)
                return number(there[0].version, f"versions of {model}")
            faults.point("register:before")
            model_id = self._logged_model(run_id)
            self._ensure_registered(model)
            version: ModelVersion = self._client.create_model_version(
                model,
                source=f"models:/{model_id}",
                run_id=run_id,
                tags=wanted,
                model_id=model_id,
                await_creation_for=0,
            )
            faults.point("register:after")
            _log.info("Registered %s version %s from run %s", model, version.version, run_id)
            return number(version.version, f"versions of {model}")

    def versions_of_training(self, model: str, training_id: str, *, run_id: str | None = None) -> list[int]:
        """Numbers of all versions that carry the training's tag, oldest first.

        Args:
            run_id: Only those that were registered from it: a tag can be written by hand.
        """
        with translated(f"looking for versions of training {training_id}"):
            return [number(each.version, f"versions of {model}") for each in self._versions(model, training_id, run_id)]

    def run_of_version(self, model: str, version: int) -> str:
        """The run that a version, by MLflow's number, was registered from.

        Raises:
            DataError: When there is no such version.
        """
        with translated(f"reading {model} version {version}", named=f"version {version} of {model}"):
            return str(self._client.get_model_version(model, str(version)).run_id)

    def run_tags(self, run_id: str) -> dict[str, str]:
        """Our tags of a run, without their prefix."""
        with translated(f"reading run {run_id}", named=f"run {run_id}"):
            tags = self._client.get_run(run_id).data.tags
            return {
                name.removeprefix("evergreen."): text for name, text in tags.items() if name.startswith("evergreen.")
            }

    def run_params(self, run_id: str) -> dict[str, str]:
        """The parameters of a run, as text."""
        with translated(f"reading run {run_id}", named=f"run {run_id}"):
            return dict(self._client.get_run(run_id).data.params)

    def log_metrics(
        self, run_id: str, metrics: Mapping[str, float | None], *, tags: Mapping[str, Any] | None = None
    ) -> None:
        """Adds figures (such as the gate's) and tags to a run; doing it twice changes nothing that is seen."""
        with translated(f"logging figures of run {run_id}"):
            self._client.log_batch(run_id, metrics=list(run_metrics(metrics, {})), tags=run_tags(tags or {}))

    def log_files(self, run_id: str, path: Path, artifact_folder: str) -> None:
        """Adds a file, or the content of a folder, to a run's artifacts."""
        with translated(f"logging files of run {run_id}"):
            self._upload(run_id, path, artifact_folder)

    def download_bundle(self, model: str, version: int, folder: Path) -> Path:
        """Fetches the bundle of a version, by MLflow's number, into ``folder``, which appears whole or not at all.

        A folder that is there already is left as it is: its content is verified when it is loaded.

        Raises:
            TransientError: When the server does not answer.
            DataError: When there is no such version or it has no bundle.
        """
        if folder.is_dir():
            return folder
        run_id = self.run_of_version(model, version)
        return self.download_bundle_of_run(run_id, folder)

    def download_bundle_of_run(self, run_id: str, folder: Path) -> Path:
        """As :meth:`download_bundle`, of a run that may not be registered yet."""
        if folder.is_dir():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
        try:
            scratch.mkdir()
            with translated(f"downloading the bundle of run {run_id}", named=f"a bundle of run {run_id}"):
                self._client.download_artifacts(run_id, BUNDLE, str(scratch))
            if not (scratch / BUNDLE / "manifest.json").is_file():
                raise DataError(f"run {run_id}", "must have a bundle among its artifacts")
            try:
                (scratch / BUNDLE).rename(folder)
            except OSError:
                if not folder.is_dir():  # else somebody else was faster, with the same content
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return folder

    def aliases(self, model: str) -> dict[str, int]:
        """The aliases of a registered model; empty if it does not exist."""
        with translated(f"reading the aliases of {model}"):
            found = self._registered(model)
            told = {} if found is None else found.aliases
            return {name: number(version, f"versions of {model}") for name, version in told.items()}

    def heal_aliases(self, model: str, wanted: Mapping[str, int | None]) -> dict[str, int | None]:
        """Sets the named aliases, by MLflow's numbers; ``None`` removes one; aliases not named are left alone.

        Returns:
            What had to be changed.

        Raises:
            TransientError: When the server does not answer or fails, or the version was deleted in this moment.
        """
        present = self.aliases(model)
        changed = {name: version for name, version in wanted.items() if present.get(name) != version}
        with translated(f"setting the aliases of {model}"):
            for name, version in changed.items():
                if version is None:
                    self._client.delete_registered_model_alias(model, name)
                else:
                    self._client.set_registered_model_alias(model, name, str(version))
        return changed

    def run_url(self, run_id: str) -> str:
        """Page of a run in MLflow's UI (it finds the experiment by itself)."""
        return f"{self._ui.rstrip('/')}/#/runs/{run_id}"

    def version_url(self, model: str, version: int) -> str:
        """Page of a model version, by MLflow's number, in MLflow's UI."""
        return f"{self._ui.rstrip('/')}/#/models/{model}/versions/{version}"

    @cached_property
    def _client(self) -> MlflowClient:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if name in self._experiments:
            return self._experiments[name]
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                experiment_id: str = self._client.create_experiment(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                again = self._client.get_experiment_by_name(name)
                if again is None:
                    raise
                experiment_id = again.experiment_id
        else:
            experiment_id = found.experiment_id
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(experiment_id)
        self._experiments[name] = experiment_id
        return experiment_id

    def _finished_run(self, experiment: str, training_id: str) -> str | None:
        """The finished run of a training; unfinished ones are closed."""
        found = self._client.search_runs([experiment], f"tags.`{TRAINING_TAG}` = '{quoted(training_id)}'")
        finished = [run.info for run in found if run.info.status == "FINISHED"]
        for run in found:
            if run.info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, "KILLED")
        return min(finished, key=lambda info: (info.start_time, info.run_id)).run_id if finished else None

    def _write_run(self, experiment: str, record: TrainingRecord) -> str:
        from mlflow.entities import LoggedModelOutput

        tags = prefixed({"training_id": record.training_id, "as_of": record.as_of, **record.tags})
        run = self._client.create_run(experiment, tags=tags, run_name=f"{record.model} {record.as_of}")
        run_id: str = run.info.run_id
        params = run_params(record.params)
        metrics = list(run_metrics(record.metrics, record.curves))
        self._client.log_batch(run_id, metrics=metrics[: _BATCH - 100], params=params[:100])
        for start in range(_BATCH - 100, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        for start in range(100, len(params), 100):
            self._client.log_batch(run_id, params=params[start : start + 100])
        if record.inputs:
            self._client.log_inputs(run_id, datasets=[dataset_input(each) for each in record.inputs])
        faults.point("mlflow.log:within")
        self._upload(run_id, record.bundle, BUNDLE)
        for artifact_folder, path in record.files.items():
            self._upload(run_id, path, artifact_folder)
        model = self._client.create_logged_model(
            experiment, name=_MODEL, source_run_id=run_id, tags=prefixed({"training_id": record.training_id})
        )
        with tempfile.TemporaryDirectory(prefix="evergreen-") as scratch:
            folder = Path(scratch) / _MODEL
            with written_here(record.model):
                flavors.write(
                    record.flavor,
                    folder,
                    model_id=model.model_id,
                    run_id=run_id,
                    location=model.artifact_location,
                    training_id=record.training_id,
                )
            self._client.log_model_artifacts(model.model_id, str(folder))
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        self._client.set_terminated(run_id, "FINISHED")
        return run_id

    def _upload(self, run_id: str, path: Path, artifact_folder: str) -> None:
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), artifact_folder)
        else:
            self._client.log_artifact(run_id, str(path), artifact_folder)

    def _versions(self, model: str, training_id: str, run_id: str | None) -> list[ModelVersion]:
        found = self._client.search_model_versions(
            f"name = '{quoted(model)}' and tags.`{TRAINING_TAG}` = '{quoted(training_id)}'"
        )
        mine = [version for version in found if run_id is None or version.run_id == run_id]
        return sorted(mine, key=lambda version: number(version.version, f"versions of {model}"))

    def _logged_model(self, run_id: str) -> str:
        with translated(f"reading run {run_id}", named=f"run {run_id} and its model"):
            run = self._client.get_run(run_id)
            if run.info.run_id != run_id:
                raise TransientError(f"MLflow must answer with run {run_id}, got {run.info.run_id!r}.")
            if run.info.lifecycle_stage == "deleted":
                raise DataError(f"MLflow's run {run_id}", "must not be deleted", remedy="Restore it there.")
            if run.outputs is None or not run.outputs.model_outputs:
                raise DataError(f"MLflow's run {run_id}", "must have a logged model", remedy="Log the training anew.")
            model_id: str = run.outputs.model_outputs[0].model_id
            self._client.get_logged_model(model_id)  # the registry would fail on one that was deleted, and say nothing
            return model_id

    def _registered(self, model: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _ensure_registered(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        if self._registered(model) is not None:
            return
        try:
            self._client.create_registered_model(model, description="Kept by Evergreen; its store decides what serves.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
