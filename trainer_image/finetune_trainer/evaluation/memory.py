"""Goes on in smaller batches when a GPU's memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from finetune_trainer.train.memory import ANSWERING, too_large

Item = TypeVar("Item")
Value = TypeVar("Value")


def in_portions_that_fit(compute: Callable[[Sequence[Item]], list[Value]], items: Sequence[Item]) -> list[Value]:
    """What `compute` makes of all items, halved as often as it takes."""
    try:
        return compute(items)
    except torch.OutOfMemoryError as error:
        if len(items) == 1:
            raise too_large(True, ANSWERING) from error
    # Outside of the except block, for the error's traceback keeps the failed batch's tensors alive.
    torch.cuda.empty_cache()
    middle = len(items) // 2
    return in_portions_that_fit(compute, items[:middle]) + in_portions_that_fit(compute, items[middle:])
