"""The train step: finds a finished training, or trains."""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import TrainOrder
from finetune_api.results import PrepareTrainingResult, TrainResult
from finetune_trainer.artifacts import find_complete
from finetune_trainer.failures import InfrastructureError
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.training_identity import training_identity

CHECKPOINTS_FOLDER = "checkpoints"


def run(order: TrainOrder, reporter: Reporter) -> TrainResult:
    """Trains, or finds that this was done. A stop, from the first moment on, ends at a step boundary."""
    with STOP.deferred():
        directory = Path(order.directory)
        prepared = _find_prepared(directory)
        identity = training_identity(prepared, order.lora, order.training)
        result = find_complete(directory, Step.TRAIN, identity)
        if not isinstance(result, TrainResult):
            result = _train(order, prepared, identity, reporter)
        shutil.rmtree(directory / CHECKPOINTS_FOLDER, ignore_errors=True)
        return result


def _find_prepared(directory: Path) -> PrepareTrainingResult:
    prepared = find_complete(directory, Step.PREPARE)
    if not isinstance(prepared, PrepareTrainingResult):
        raise InfrastructureError(
            Reason.PREPARATION_LOST,
            f"{directory / Step.PREPARE} is missing or damaged: the training has to be prepared again",
        )
    return prepared


def _train(order: TrainOrder, prepared: PrepareTrainingResult, identity: str, reporter: Reporter) -> TrainResult:
    reporter.stage("starting")
    # Where several GPUs can be seen, outside of a pod, one is enough.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    # Imported only now, since it loads torch, which takes seconds.
    training = import_module("finetune_trainer.train.training")
    result: TrainResult = training.train(
        order, prepared, identity, Path(order.directory) / CHECKPOINTS_FOLDER, reporter
    )
    return result
