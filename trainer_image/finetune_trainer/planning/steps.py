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
    note: str | None = None
    """How packed rows of a step were worked out."""


def count_steps(training: Training, lengths: Lengths, ranks: int) -> Steps:
    """An incomplete step at the end of an epoch counts."""
    per_step = rows_per_step(training, lengths.mean, ranks)
    rows = len(fill_rows(lengths.values, training.sequence_length)) if training.packing else lengths.examples
    per_epoch = max(1, math.ceil(rows / per_step))
    return Steps(per_step, per_epoch, per_epoch * training.epochs, rows_note(training, lengths.mean, ranks))


def rows_per_step(training: Training, mean_length: float, ranks: int) -> int:
    """effectiveBatchSize counts examples: packed, it is the rows that hold about as many, at least one on each GPU."""
    if not training.packing:
        return training.effective_batch_size
    return max(1, round(_filled_rows(training, mean_length) / ranks)) * ranks


def rows_note(training: Training, mean_length: float, ranks: int) -> str | None:
    """How far the packed rows of a step are from what effectiveBatchSize fills; None without packing."""
    if not training.packing:
        return None
    rows = rows_per_step(training, mean_length, ranks)
    held = rows * training.sequence_length / mean_length
    shared = f"a multiple of the {ranks} GPUs that share them, " if ranks > 1 else ""
    return (
        f"{training.effective_batch_size} examples of {mean_length:.1f} tokens on the mean fill "
        f"{_filled_rows(training, mean_length):.2f} rows of {training.sequence_length}: a step takes {rows}, {shared}"
        f"which hold about {held:.0f} examples"
    )


def rows_without_lengths(training: Training, ranks: int) -> int:
    """Before the dataset is known: a row for each example, packed as many more as can be cut into portions."""
    if not training.packing:
        return training.effective_batch_size
    portion = ranks * (training.micro_batch_size or 1)
    return math.ceil(training.effective_batch_size / portion) * portion


def _filled_rows(training: Training, mean_length: float) -> float:
    return training.effective_batch_size * mean_length / training.sequence_length
