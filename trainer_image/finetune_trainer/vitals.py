"""How the GPUs are doing, for progress reports."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_api.guard import GuardState


@dataclass(frozen=True)
class Vitals:
    """All GPUs of one process at one moment; None where it is not known."""

    guard: GuardState | None = None
    throttled_seconds: float | None = None
    """Time rested so far, over all attempts."""
    watts: float | None = None
    """Of all together."""
    celsius: float | None = None
    """Of the hottest."""
    utilization: float | None = None
    """Mean, 0 to 1."""
    memory_bytes: int | None = None
    """In use on the fullest."""
    joules: float | None = None
    """Of all together, in this attempt."""
