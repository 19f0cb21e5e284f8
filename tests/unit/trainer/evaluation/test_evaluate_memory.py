"""A GPU whose memory does not suffice for a batch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from finetune_trainer.evaluation.memory import in_portions_that_fit
from finetune_trainer.failures import UserError


class SmallGpu:
    """Has room for some items at a time."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def square(self, items: Sequence[int]) -> list[int]:
        self.sizes.append(len(items))
        if len(items) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [item * item for item in items]


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    gpu = SmallGpu(room=3)
    assert in_portions_that_fit(gpu.square, range(10)) == [item * item for item in range(10)]
    assert gpu.sizes[0] == 10 and max(gpu.sizes[-2:]) <= 3


def test_a_batch_that_fits_is_computed_at_once() -> None:
    gpu = SmallGpu(room=10)
    in_portions_that_fit(gpu.square, range(10))
    assert gpu.sizes == [10]


def test_a_single_example_that_does_not_fit_says_what_to_do() -> None:
    with pytest.raises(UserError, match="GPU with more memory"):
        in_portions_that_fit(SmallGpu(room=0).square, range(4))
