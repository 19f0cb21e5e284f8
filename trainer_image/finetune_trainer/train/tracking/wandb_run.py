"""A run in Weights & Biases: on a server inside the cluster, or in files to be synchronized by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from finetune_api.tracking import WeightsAndBiases
from finetune_trainer.train.tracking.points import Point, RunDescription

_SETTINGS = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
_SECONDS = 30.0
_STEP = "step"


def load_library(wanted: WeightsAndBiases) -> None:
    """Takes seconds, which a training has when it starts, and not when its pod has to end. Reads the settings."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if wanted.server is not None:
        os.environ["WANDB_BASE_URL"] = wanted.server
    import_module("wandb")


class WandbRun:
    """Every attempt goes on with the run of the same key. Nothing of the machine, the code or stdout is collected."""

    def __init__(self, wanted: WeightsAndBiases, run: RunDescription, folder: Path) -> None:
        load_library(wanted)
        import wandb

        self._run = wandb.init(
            project=wanted.project,
            id=run.key,
            name=run.name,
            resume="allow" if wanted.server else None,
            config=dict(run.parameters),
            dir=str(folder),
            mode="online" if wanted.server else "offline",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                init_timeout=_SECONDS,
                login_timeout=_SECONDS,
                x_disable_stats=True,
                x_disable_machine_info=True,
            ),
        )

        self._run.define_metric(_STEP, hidden=True)
        self._run.define_metric("*", step_metric=_STEP)
        self._ahead = 0

    def send(self, points: Sequence[Point]) -> None:
        for point in points:
            self._run.log({_STEP: point.step, **point.values}, step=self._row_of(point.step))

    def _row_of(self, step: int) -> int:
        """W&B counts rows, takes none twice, and would drop what a rollback takes anew. So rows run ahead of steps, and
        the curves are drawn over the steps that the rows name."""
        if step + self._ahead < self._run.step:
            self._ahead = self._run.step + 1 - step
        return step + self._ahead

    def finish(self) -> None:
        self._run.finish()
