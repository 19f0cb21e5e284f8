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
from finetune_trainer.membership import membership
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.training_identity import training_identity

CHECKPOINTS_FOLDER = "checkpoints"


def run(order: TrainOrder, reporter: Reporter) -> TrainResult | None:
    """Trains, or finds that this was done. A stop, from the first moment on, ends at a step boundary. None where
    another process tells the result: of several that train together, one speaks for all."""
    with STOP.deferred():
        directory = Path(order.directory)
        prepared = _find_prepared(directory)
        identity = training_identity(prepared, order.lora, order.training)
        found = find_complete(directory, Step.TRAIN, identity)
        result = found if isinstance(found, TrainResult) else _train(order, prepared, identity, reporter)
        if result is not None and membership() is None:
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


def _train(order: TrainOrder, prepared: PrepareTrainingResult, identity: str, reporter: Reporter) -> TrainResult | None:
    if membership() is None:
        reporter.stage("starting")
    # Where more GPUs can be seen, outside of a pod, these are enough.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(max(1, order.gpus)))))
    result: TrainResult | None
    # Imported only now, since it loads torch, which takes seconds.
    if membership() is None and processes_of(order) > 1:
        result = import_module("finetune_trainer.train.launching").train_together(order)
    else:
        training = import_module("finetune_trainer.train.training")
        result = training.train(order, prepared, identity, Path(order.directory) / CHECKPOINTS_FOLDER, reporter)
    return result


def processes_of(order: TrainOrder) -> int:
    """One for each GPU; on the CPU, one for each node."""
    return max(1, order.gpus) * order.nodes
