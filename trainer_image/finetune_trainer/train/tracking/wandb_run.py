"""A run in Weights & Biases: on a server inside the cluster, or in files to be synchronized by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from finetune_api.tracking import WeightsAndBiases
from finetune_trainer.train.tracking.points import Point, RunDescription

_SETTINGS = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
_SECONDS = 30.0


class WandbRun:
    """Every attempt goes on with the run of the same key. Nothing of the machine, the code or stdout is collected.

    Steps that a rollback takes anew keep their first values there: W&B takes no step twice.
    """

    def __init__(self, wanted: WeightsAndBiases, run: RunDescription, folder: Path) -> None:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        if wanted.server is not None:
            os.environ["WANDB_BASE_URL"] = wanted.server
        import wandb  # takes seconds, and reads the settings

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

    def send(self, points: Sequence[Point]) -> None:
        for point in points:
            self._run.log(dict(point.values), step=point.step)

    def finish(self) -> None:
        self._run.finish()
