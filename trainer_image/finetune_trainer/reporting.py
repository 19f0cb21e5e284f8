"""What a step says while it works: one JSON event a line on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from finetune_api.events import Event, NoteEvent, ProblemEvent, ProgressEvent, StageEvent
from finetune_api.report_parcel import pack
from finetune_trainer.timestamps import utc_now
from finetune_trainer.vitals import Vitals

PROGRESS_INTERVAL_SECONDS = 5.0


class Reporter:
    """Writes events. Progress is throttled, except for a stage's first and last report."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        interval: float = PROGRESS_INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._interval = interval
        self._clock = clock
        self._stage: str | None = None
        self._began: tuple[float, int] | None = None
        self._last_progress: tuple[float, int] | None = None
        self._vitals: Callable[[], Vitals] = Vitals

    def show(self, vitals: Callable[[], Vitals]) -> None:
        """From here on progress tells how the GPUs are doing, too."""
        self._vitals = vitals

    def stage(self, stage: str) -> None:
        """Something else begins; progress from here on is about it."""
        self._stage = stage
        self._began = None
        self._last_progress = None
        self._write(StageEvent(time=utc_now(), stage=stage))

    def progress(
        self,
        step: int,
        steps: int,
        *,
        loss: float | None = None,
        tokens_per_second: float | None = None,
        eta_seconds: float | None = None,
        checkpoint_age_seconds: float | None = None,
    ) -> bool:
        """Reports unless the last report was a moment ago; returns whether it did."""
        now = self._clock()
        self._began = self._began or (now, step)
        if not self._is_due(now, step, steps):
            return False
        self._last_progress = (now, step)
        eta = self._remaining(now, step, steps) if eta_seconds is None else eta_seconds
        vitals = self._vitals()
        self._write(
            ProgressEvent(
                time=utc_now(),
                step=step,
                steps=steps,
                eta_seconds=_rounded(eta),
                loss=None if loss is None else f"{loss:.4f}",
                tokens_per_second=None if tokens_per_second is None else f"{tokens_per_second:.1f}",
                stage=self._stage,
                checkpoint_age_seconds=_rounded(checkpoint_age_seconds),
                guard=vitals.guard,
                throttled_seconds=_rounded(vitals.throttled_seconds),
                gpu_watts=_rounded(vitals.watts),
                gpu_celsius=_rounded(vitals.celsius),
                gpu_utilization=_rounded(vitals.utilization, 2),
                gpu_memory_bytes=vitals.memory_bytes,
                gpu_joules=_rounded(vitals.joules),
            )
        )
        return True

    def problem(self, message: str) -> None:
        """Something that a user should read."""
        self._write(ProblemEvent(time=utc_now(), message=message))

    def note(self, message: str) -> None:
        """Something that a user should know, though nothing is wrong."""
        self._write(NoteEvent(time=utc_now(), message=message))

    def report(self, packed: bytes) -> None:
        """A gzipped report, for whoever cannot reach the volume."""
        for event in pack(packed):
            self._write(event)

    def _is_due(self, now: float, step: int, steps: int) -> bool:
        if self._last_progress is None:
            return True
        last_time, last_step = self._last_progress
        is_new_end = step >= steps and step != last_step
        return is_new_end or now - last_time >= self._interval

    def _remaining(self, now: float, step: int, steps: int) -> float | None:
        if self._began is None or step <= self._began[1]:
            return None
        began, first_step = self._began
        return (now - began) / (step - first_step) * (steps - step)

    def _write(self, event: Event) -> None:
        stream = self._stream or sys.stdout
        stream.write(event.model_dump_json(by_alias=True, exclude_none=True) + "\n")
        stream.flush()


class SilentReporter(Reporter):
    """Of several processes that train together, one speaks for all; the others say nothing."""

    def _write(self, event: Event) -> None:
        return


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
