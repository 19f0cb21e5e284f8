"""Decides for all GPUs of a process: how long to rest, and when resting is not enough. Knows no clock and no NVML."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from finetune_api.guard import Guard, GuardAction, GuardState
from finetune_trainer.train.guard.gpu_limits import DrawnEnergy, GpuLimits
from finetune_trainer.train.guard.gpus import Reading

LEAST_DUTY = 0.1
"""Share of the time that a training must at least work; less is waiting, with a GPU that others could use."""
PATIENCE_SECONDS = 120.0
"""So long a training may work less than that before the guard goes further than resting."""
HELPLESS_SECONDS = 240.0
"""After so long a single rest a GPU will not get cool by resting: not even the step that is going on is finished."""
_STATE_SECONDS = 30.0
"""So long after a rest the training still counts as throttled, so that the status does not flicker."""
_SHORTEST_REST = 0.005
_BATCHES = 8
"""The longest of so many micro-batches is what the next one is expected to take."""
_FIRST_BATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Leaving:
    """Resting is not enough: a checkpoint is to be saved, and the training to go on later."""

    why: str
    at_once: bool = False
    """Whether not even the step that is going on can be finished within the limits."""


class Controller:
    """Told of every reading and of every micro-batch's begin and end."""

    def __init__(self, guard: Guard, uuids: tuple[str, ...]) -> None:
        self._guard = guard
        self._limits = {uuid: GpuLimits(guard) for uuid in uuids}
        self._is_busy = False
        self._began = 0.0
        self._ended: float | None = None
        self._batches: deque[float] = deque(maxlen=_BATCHES)
        self._strained_since: float | None = None
        self._rested_at: float | None = None
        self.leaving: Leaving | None = None

    def observe(self, readings: Mapping[str, Reading], drawn: Mapping[str, DrawnEnergy]) -> None:
        for uuid, reading in readings.items():
            self._limits[uuid].observe(reading, drawn[uuid].joules, is_busy=self._is_busy)

    def began(self, now: float) -> None:
        """A micro-batch begins."""
        self._is_busy = True
        self._began = now

    def ended(self, now: float) -> None:
        """A micro-batch ended. One whose begin was not told, such as the first of a validation, has no length."""
        if self._is_busy:
            self._batches.append(now - self._began)
        self._is_busy = False
        self._ended = now

    @property
    def batch_seconds(self) -> float:
        """What the next micro-batch is expected to take."""
        return max(self._batches, default=_FIRST_BATCH_SECONDS)

    def rest_needed(self, now: float) -> float:
        """Seconds until all GPUs may go on, as far as can be said now: ask again then."""
        self._judge_limits()
        if self._guard.action is GuardAction.PAUSE and self.leaving is None:
            return 0.0
        needed = max(limits.rest_needed(self.batch_seconds) for limits in self._limits.values())
        is_over = needed < _SHORTEST_REST
        self._judge_rest(now, is_over=is_over)
        if is_over:
            return 0.0
        self._rested_at = now
        return needed

    @property
    def is_coarse(self) -> bool:
        """Whether micro-batches are so long that a limit is held at the cost of much more time than it has to take."""
        if self._guard.action is GuardAction.PAUSE or len(self._batches) < _BATCHES:
            return False
        usual = statistics.median(self._batches)
        return any(limits.is_coarse(usual) for limits in self._limits.values())

    def takes_smaller(self, share: float) -> None:
        """Micro-batches have so much of their rows from here on: what these need is judged anew."""
        self._batches = deque((seconds * share for seconds in self._batches), maxlen=_BATCHES)
        self._ended = self._strained_since = self.leaving = None

    def state(self, now: float) -> GuardState | None:
        if self.leaving is not None:
            return GuardState.OVERHEATED
        is_recent = self._rested_at is not None and now - self._rested_at < _STATE_SECONDS
        return GuardState.THROTTLED if is_recent else None

    @property
    def blind(self) -> dict[str, str]:
        """GPUs that cannot be watched, and why."""
        return {uuid: limits.blind for uuid, limits in self._limits.items() if limits.blind is not None}

    def _judge_limits(self) -> None:
        """With the action Pause, passing a limit is enough; before that, nothing is held back."""
        if self._guard.action is not GuardAction.PAUSE or self.leaving is not None:
            return
        passed = [limits.passed for limits in self._limits.values() if limits.passed is not None]
        if passed:
            self.leaving = Leaving(f"a GPU is past its limit ({passed[0]})")

    def _judge_rest(self, now: float, *, is_over: bool) -> None:
        """Looks whether the rest since the last micro-batch, with those before it, leaves too little time to work."""
        if self._ended is None:
            self._ended = now
        rested, worked = now - self._ended, self._batches[-1] if self._batches else 0.0
        if worked >= LEAST_DUTY * (rested + worked):
            if is_over:
                self._strained_since = None
            return
        if self._strained_since is None:
            self._strained_since = self._ended
        if rested >= HELPLESS_SECONDS:
            self.leaving = Leaving(f"resting for {rested:.0f} s did not bring a GPU within its limits", at_once=True)
        elif now - self._strained_since >= PATIENCE_SECONDS and self.leaving is None:
            self.leaving = Leaving(
                f"within its limits a GPU works less than {LEAST_DUTY:.0%} of the time, "
                f"for {PATIENCE_SECONDS:.0f} s now"
            )
