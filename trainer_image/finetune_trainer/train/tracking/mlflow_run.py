"""A run in MLflow: on a tracking server, or in files on the artifacts volume."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from math import isclose, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_api.tracking import MLflow
from finetune_trainer.train.tracking.points import LOSS, VALIDATION_LOSS, Point, RunDescription

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "mlruns"
_KEY_TAG = "finetune.run"
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow would rather have a database, which a volume that several pods mount is no place for.
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
_MOST_AT_ONCE = 1000
"""What MLflow's API takes in one request."""
_SAME = 1e-3
"""A GPU does not compute the very same twice."""


class MLflowRun:
    """Finds the run of an earlier attempt by its key, or makes one."""

    def __init__(self, wanted: MLflow, run: RunDescription, folder: Path) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient  # takes seconds, and reads the settings

        self._client = MlflowClient(tracking_uri=wanted.server or _file_store(folder / FOLDER))
        self._id = _find_or_create(self._client, wanted.experiment, run)
        self._known = {
            (name, metric.step): metric.value
            for name in (LOSS, VALIDATION_LOSS)
            for metric in self._client.get_metric_history(self._id, name)
        }

    def send(self, points: Sequence[Point]) -> None:
        """Points that an earlier attempt sent are not sent again; after a rollback the same step has other values."""
        metrics = [metric for point in points if not self._is_known(point) for metric in _metrics(point)]
        for start in range(0, len(metrics), _MOST_AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + _MOST_AT_ONCE])

    def _is_known(self, point: Point) -> bool:
        return any(
            isclose(value, self._known.get((name, point.step), nan), rel_tol=_SAME)
            for name, value in point.values.items()
        )

    def finish(self) -> None:
        self._client.set_terminated(self._id)


def _file_store(folder: Path) -> str:
    """MLflow finds no run under a path that has a folder called `artifacts` in it, which is what the volume's mount
    point is called: it gets to see the store through a link."""
    folder.mkdir(exist_ok=True)
    link = Path(tempfile.mkdtemp()) / FOLDER
    link.symlink_to(folder, target_is_directory=True)
    return link.as_uri()


def _find_or_create(client: MlflowClient, experiment: str, run: RunDescription) -> str:
    found = client.get_experiment_by_name(experiment)
    experiment_id = client.create_experiment(experiment) if found is None else found.experiment_id
    earlier = client.search_runs([experiment_id], f"tags.`{_KEY_TAG}` = '{run.key}'", max_results=1)
    if earlier:
        identifier = str(earlier[0].info.run_id)
        client.update_run(identifier, status="RUNNING")
        return identifier
    created = client.create_run(experiment_id, run_name=run.name, tags={_KEY_TAG: run.key})
    for name, value in run.parameters.items():
        client.log_param(created.info.run_id, name, value)
    return str(created.info.run_id)


def _metrics(point: Point) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(name, value, int(point.time * 1000), point.step) for name, value in point.values.items()]
