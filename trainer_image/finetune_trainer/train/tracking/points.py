"""What a curve consists of, and what takes it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

LOSS = "loss"
LEARNING_RATE = "learning_rate"
GRADIENT_NORM = "grad_norm"
TOKENS_PER_SECOND = "tokens_per_second"
VALIDATION_LOSS = "validation_loss"


@dataclass(frozen=True)
class Point:
    """Values of several curves at one step."""

    step: int
    values: Mapping[str, float]
    time: float = field(default_factory=time.time)
    """Seconds since 1970."""


@dataclass(frozen=True)
class RunDescription:
    """How a training is called where runs are kept, the same in every attempt."""

    key: str
    name: str
    parameters: Mapping[str, str]


class TrackedRun(Protocol):
    """A run in a tracking service. Each method may raise whatever its library does, and may take its time."""

    def send(self, points: Sequence[Point]) -> None: ...

    def finish(self) -> None: ...
