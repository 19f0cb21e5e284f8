"""All that is decided before the model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finetune_api.orders import TrainOrder
from finetune_api.quantization import Sharding
from finetune_api.results import PrepareTrainingResult
from finetune_trainer.train.checkpoints import Checkpoints
from finetune_trainer.train.devices import Device
from finetune_trainer.train.guard.watch import Watch
from finetune_trainer.train.limits import Deadline
from finetune_trainer.train.portions import Portions
from finetune_trainer.train.team import Team
from finetune_trainer.train.tracking.curves import Curves


@dataclass(frozen=True)
class Assignment:
    """What is to be learnt, on what, and in which portions."""

    order: TrainOrder
    prepared: PrepareTrainingResult
    prepared_folder: Path
    model_folder: Path
    checkpoints: Checkpoints
    portions: Portions
    device: Device
    watch: Watch
    """Who looks after the GPUs."""
    curves: Curves
    deadline: Deadline

    @property
    def team(self) -> Team:
        """Who trains together."""
        return self.checkpoints.team

    @property
    def is_sharded(self) -> bool:
        """Whether each process keeps a part of every weight of the base model."""
        return self.prepared.plan.sharding is Sharding.FSDP and not self.team.is_alone

    @property
    def longest(self) -> int:
        """Tokens of the longest example, as it is cut."""
        return min(self.prepared.dataset.longest, self.order.training.sequence_length)
