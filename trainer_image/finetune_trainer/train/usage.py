"""What the GPUs of one process were used for, as far as it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Usage:
    """Since the process began to watch."""

    joules: Mapping[str, float] = field(default_factory=dict)
    """By the GPU's UUID, from its own counter."""
    energy_note: str | None = None
    """Why these joules are not the training's energy, when they are not."""
    product: str | None = None
    """The GPU, as NVML names it."""
    rested_seconds: float = 0.0
    """Time that the guard took."""
    rested_joules: float = 0.0
    """Of all GPUs in that time."""
    is_paused: bool = False
    """Whether the guard ended the attempt."""
    highest_celsius: float | None = None
    highest_mean_watts: float | None = None
    """Over 30 seconds, of one GPU."""
