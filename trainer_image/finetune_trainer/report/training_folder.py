"""What a training's folder on the artifacts volume tells of it. What cannot be read is left out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.finetunejob import DatasetSummary
from finetune_api.group import Step
from finetune_api.orders import Location
from finetune_api.results import PrepareTrainingResult
from finetune_trainer.artifacts import find_complete
from finetune_trainer.failures import TrainerFailure
from finetune_trainer.locations import resolve_folder
from finetune_trainer.report.learning_curve import Losses

_CURVES_FOLDER = "tensorboard"
_LOSS, _VALIDATION_LOSS = "loss", "validation_loss"
_MOST_RECORD_BYTES = 1024 * 1024
_HEADER = struct.Struct("<QI")
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class TrainingFolder:
    """What was found."""

    losses: Losses | None = None
    dataset: DatasetSummary | None = None


def read_training(location: Location | None) -> TrainingFolder:
    """Of the folder of a FineTuneJob's run."""
    if location is None:
        return TrainingFolder()
    try:
        folder = resolve_folder(location, Reason.EVALUATION_FAILED)
        prepared = find_complete(folder, Step.PREPARE)
        losses = read_losses(folder / _CURVES_FOLDER)
    except (TrainerFailure, OSError, ValueError):
        return TrainingFolder()
    return TrainingFolder(losses, prepared.dataset if isinstance(prepared, PrepareTrainingResult) else None)


def read_losses(folder: Path) -> Losses | None:
    """Of TensorBoard's files, one for each time that the training began or went on; None where there are none."""
    curves: dict[str, dict[int, float]] = {_LOSS: {}, _VALIDATION_LOSS: {}}
    for path in sorted(folder.glob("events.*")):
        for event in _events(path):
            _take(curves, event)
    losses = Losses(curves[_LOSS], curves[_VALIDATION_LOSS])
    return losses if losses.training or losses.validation else None


def _take(curves: dict[str, dict[int, float]], event: Any) -> None:
    if event.HasField("session_log"):
        # The training went on from before this step: what was written beyond was taken back.
        for points in curves.values():
            for step in [step for step in points if step >= event.step]:
                del points[step]
    for value in event.summary.value:
        if value.tag in curves:
            curves[value.tag][event.step] = value.simple_value


def _events(path: Path) -> Iterator[Any]:
    """The records of an event file, as far as they are whole."""
    event_class = import_module("tensorboardX.proto.event_pb2").Event
    with path.open("rb") as stream:
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            length, _ = _HEADER.unpack(header)
            if length > _MOST_RECORD_BYTES:
                return
            record = stream.read(length + _CHECKSUM_BYTES)
            if len(record) < length + _CHECKSUM_BYTES:
                return
            try:
                event = event_class.FromString(record[:length])
            except import_module("google.protobuf.message").DecodeError:
                return
            yield event
