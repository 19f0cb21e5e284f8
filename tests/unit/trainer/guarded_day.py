"""A training on scripted GPUs, hours in seconds: the guard's own code, with a clock that only counts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO

from scripted_nvml import ScriptedNvml
from transformers import TrainerControl, TrainerState, TrainingArguments

from finetune_api.guard import Guard
from finetune_trainer.failures import Overheated
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train.guard import gpus
from finetune_trainer.train.guard.callback import GuardTraining
from finetune_trainer.train.guard.watch import Watch

LOOK_SECONDS = 1.0
FINEST_SECONDS = 0.25
WINDOW_SECONDS = 30.0
LOADING_SECONDS = 40.0
"""In which the GPU idles, before it is trained on."""
STEPS = 1_000_000


@dataclass
class Seen:
    """What really happened to one GPU, as the model knows it."""

    highest: float = 0.0
    longest_excess: float = 0.0
    """Longest time without a break above the limit on temperature."""
    highest_mean_watts: float = 0.0
    """Over 30 seconds."""
    joules: float = 0.0
    _above_since: float | None = None
    _history: deque[tuple[float, float]] = field(default_factory=deque)

    def note(self, now: float, celsius: float, joules: float, limit: float) -> None:
        self.highest = max(self.highest, celsius)
        self.joules = joules
        if celsius <= limit:
            self._above_since = None
        elif self._above_since is None:
            self._above_since = now
        else:
            self.longest_excess = max(self.longest_excess, now - self._above_since)
        self._note_power(now, joules)

    def _note_power(self, now: float, joules: float) -> None:
        history = self._history
        history.append((now, joules))
        while len(history) > 2 and history[1][0] <= now - WINDOW_SECONDS:
            history.popleft()
        (before, joules_before), (after, joules_after) = history[0], history[1] if len(history) > 1 else history[0]
        if now - before >= WINDOW_SECONDS and after > before:
            share = (now - WINDOW_SECONDS - before) / (after - before)
            begin = joules_before + share * (joules_after - joules_before)
            self.highest_mean_watts = max(self.highest_mean_watts, (joules - begin) / WINDOW_SECONDS)


class Day:
    """Trains with micro-batches of `batch_seconds` until so many hours are over, or the guard ends it."""

    def __init__(self, nvml: ScriptedNvml, script: Sequence[str], guard: Guard, *, batch_seconds: float) -> None:
        self.now = 0.0
        self.said = StringIO()
        self._nvml = nvml
        nvml.start("clock virtual", *script)
        self.gpus = sum(line.startswith("gpu") for line in script)
        self.watch = Watch(gpus.first(self.gpus), guard, clock=self._clock)
        self.seen = [Seen() for _ in range(self.gpus)]
        self.worked = 0.0
        self.paused: str | None = None
        self._limit = float(guard.max_temperature_celsius or 1000)
        self._batch_seconds = batch_seconds
        self.stop_at = math.inf
        """When the process is told to stop."""
        self._looked = self._began = 0.0
        self._callback = GuardTraining(
            self.watch,
            guard,
            Reporter(self.said, clock=self._clock),
            settle=lambda: None,
            smaller=lambda: None,
            what_is_kept=lambda: "nothing had been learnt yet",
            clock=self._clock,
            sleep=self.pass_time,
        )

    def run(self, hours: float, *, micro_batches_a_step: int = 4) -> Day:
        arguments, control = TrainingArguments(output_dir="/tmp", use_cpu=True), TrainerControl()
        state = TrainerState(max_steps=STEPS)
        self.pass_time(LOADING_SECONDS)
        self._began = self.now
        try:
            self._callback.on_train_begin(arguments, state, control)
            while self.now < self._began + hours * 3600 and not (control.should_training_stop or STOP.requested):
                self._callback.on_step_begin(arguments, state, control)
                for _ in range(micro_batches_a_step - 1):
                    self._work()
                    self._callback.on_substep_end(arguments, state, control)
                self._work()
                state.global_step += 1
                self._callback.on_step_end(arguments, state, control)
            self._callback.on_train_end(arguments, state, control)
        except Overheated as overheated:
            self.paused = overheated.message
        return self

    @property
    def duty(self) -> float:
        """Share of the time in which the GPUs worked."""
        return self.worked / (self.now - self._began)

    def pass_time(self, seconds: float) -> None:
        while seconds > 1e-9:
            part = min(seconds, FINEST_SECONDS)
            self._nvml.advance(part)
            self.now += part
            seconds -= part
            for index, seen in enumerate(self.seen):
                seen.note(self.now, self._nvml.celsius(index), self._nvml.joules(index), self._limit)
            if self.now >= self.stop_at:
                STOP.requested = True
            if self.now - self._looked >= LOOK_SECONDS:
                self._looked = self.now
                self.watch.look()

    def _work(self) -> None:
        self._load(1.0)
        self.pass_time(self._batch_seconds)
        self._load(0.0)
        self.worked += self._batch_seconds

    def _load(self, share: float) -> None:
        for index in range(self.gpus):
            self._nvml.load(index, share)

    def _clock(self) -> float:
        return self.now
