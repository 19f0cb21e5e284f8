"""How many steps a training takes, packed or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from finetune_api.finetunejob import Training
from finetune_trainer.train.packing import fill_rows


@dataclass(frozen=True)
class Lengths:
    """Tokens of the training examples, each cut at the sequence length."""

    values: tuple[int, ...]

    @property
    def examples(self) -> int:
        return len(self.values)

    @property
    def tokens(self) -> int:
        return sum(self.values)

    @property
    def longest(self) -> int:
        return max(self.values, default=1)

    @property
    def mean(self) -> float:
        return self.tokens / max(1, self.examples)


@dataclass(frozen=True)
class Steps:
    """What one step takes, and how many there are."""

    rows_per_step: int
    """Examples, or packed rows, of one step on all GPUs together."""
    per_epoch: int
    total: int


def count_steps(training: Training, lengths: Lengths, ranks: int) -> Steps:
    """An incomplete step at the end of an epoch counts."""
    per_step = rows_per_step(training, lengths.mean, ranks)
    rows = len(fill_rows(lengths.values, training.sequence_length)) if training.packing else lengths.examples
    per_epoch = max(1, math.ceil(rows / per_step))
    return Steps(per_step, per_epoch, per_epoch * training.epochs)


def rows_per_step(training: Training, mean_length: float, ranks: int) -> int:
    """effectiveBatchSize counts examples: packed, it is the rows that hold about as many, at least one on each GPU."""
    if not training.packing:
        return training.effective_batch_size
    rows = training.effective_batch_size * mean_length / training.sequence_length
    return max(1, round(rows / ranks)) * ranks
