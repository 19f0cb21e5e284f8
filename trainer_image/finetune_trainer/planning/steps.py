"""How many steps a training takes, packed or not."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.finetunejob import Training


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
    rows = packed_rows(lengths.values, training.sequence_length) if training.packing else lengths.examples
    per_epoch = max(1, math.ceil(rows / per_step))
    return Steps(per_step, per_epoch, per_epoch * training.epochs)


def rows_per_step(training: Training, mean_length: float, ranks: int) -> int:
    """effectiveBatchSize counts examples: packed, it is the rows that hold about as many, at least one on each GPU."""
    if not training.packing:
        return training.effective_batch_size
    rows = training.effective_batch_size * mean_length / training.sequence_length
    return max(1, round(rows / ranks)) * ranks


def packed_rows(lengths: Sequence[int], row_length: int) -> int:
    """Rows that best-fit decreasing packing fills: each example goes where the least room is left over."""
    rows_by_room: Counter[int] = Counter()
    rooms: list[int] = []  # the keys, sorted: no more than the row length, however many examples there are
    for length in sorted(lengths, reverse=True):
        place = bisect_left(rooms, length)
        room = rooms[place] if place < len(rooms) else row_length
        if place < len(rooms):
            rows_by_room[room] -= 1
            if rows_by_room[room] == 0:
                rooms.pop(place)
        if rows_by_room[room - length] == 0:
            insort(rooms, room - length)
        rows_by_room[room - length] += 1
    return rows_by_room.total()
