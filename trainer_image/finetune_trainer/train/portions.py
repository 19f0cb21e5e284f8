"""How many examples go through the model at once. Running out of memory halves that; a step stays the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from finetune_api.finetunejob import Training
from finetune_api.planning import TrainingPlan
from finetune_trainer.artifacts import write_durably
from finetune_trainer.planning import largest_divisor

_LIMIT_FILE = "micro-batch-limit.json"
_LIMIT_KEY = "microBatchSize"


@dataclass(frozen=True)
class Portions:
    """micro_batch_size x accumulation = examples a step."""

    micro_batch_size: int
    accumulation: int


def portions_for(training: Training, plan: TrainingPlan, folder: Path) -> Portions:
    """The order's portions or else the plan's, within what an earlier attempt found to fit."""
    wanted = training.micro_batch_size or plan.micro_batch_size
    effective = plan.rows_per_step or training.effective_batch_size
    micro_batch_size = largest_divisor(effective, min(wanted, _read_limit(folder) or wanted))
    return Portions(micro_batch_size, effective // micro_batch_size)


def remember_smaller(portions: Portions, folder: Path) -> int | None:
    """Halves the portions for the next attempt; None when there is nothing left to halve."""
    if portions.micro_batch_size == 1:
        return None
    smaller = portions.micro_batch_size // 2
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / _LIMIT_FILE, json.dumps({_LIMIT_KEY: smaller}) + "\n")
    return smaller


def _read_limit(folder: Path) -> int | None:
    try:
        return int(json.loads((folder / _LIMIT_FILE).read_text())[_LIMIT_KEY])
    except (OSError, ValueError, KeyError, TypeError):
        return None
