"""The random numbers that dropout draws: kept, and drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch


@dataclass(frozen=True)
class RandomState:
    """State of torch's generators, of the CPU and of the GPU in use."""

    cpu: torch.Tensor
    gpu: torch.Tensor | None

    @classmethod
    def now(cls) -> Self:
        gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        return cls(torch.get_rng_state(), gpu)

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.gpu is not None:
            torch.cuda.set_rng_state(self.gpu)


@contextmanager
def no_random_numbers_drawn() -> Iterator[None]:
    """Whatever is drawn within, is drawn again after it."""
    before = RandomState.now()
    try:
        yield
    finally:
        before.restore()
