"""A training on scripted GPUs, hours in seconds: the guard's own code, with a clock that only counts."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from scripted_nvml import ScriptedNvml
from scripted_time import ScriptedTime, Seen
from transformers import TrainerControl, TrainerState, TrainingArguments

from finetune_api.guard import Guard
from finetune_trainer.failures import InfrastructureError, Overheated
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train.guard import gpus
from finetune_trainer.train.guard.callback import GuardTraining
from finetune_trainer.train.guard.watch import Watch
from finetune_trainer.train.portions import Portions

LOADING_SECONDS = 40.0
"""In which the GPU idles, before it is trained on."""
STEPS = 1_000_000


class Day:
    """Trains with micro-batches of `batch_seconds` until so many hours are over, or the guard ends it."""

    def __init__(self, nvml: ScriptedNvml, script: Sequence[str], guard: Guard, *, batch_seconds: float) -> None:
        self.time = ScriptedTime(nvml, script, float(guard.max_temperature_celsius or 1000))
        self.watch = Watch(gpus.first(self.time.gpus), guard, clock=self.time.clock)
        self.time.each_second = self.watch.look
        self.paused: str | None = None
        """What was said when the guard ended the attempt after some work."""
        self.given_up: str | None = None
        """The same, before any work was done."""
        self.chosen: list[Portions] = []
        """Smaller portions that the guard chose."""
        self._batch_seconds = batch_seconds
        self._began = 0.0
        self._guard = guard
        self._state = TrainerState(max_steps=STEPS)

    def run(self, hours: float, *, micro_batch_size: int = 1, micro_batches_a_step: int = 4) -> Day:
        """`micro_batch_size`: rows that may be shared out to more and shorter micro-batches."""
        portions: Portions | None = Portions(micro_batch_size=micro_batch_size, accumulation=micro_batches_a_step)
        end = LOADING_SECONDS + hours * 3600
        try:
            while portions is not None and self.now < end and not STOP.requested:
                portions = self._train(
                    portions, self._batch_seconds * portions.micro_batch_size / micro_batch_size, end
                )
        except Overheated as overheated:
            self.paused = overheated.message
        except InfrastructureError as failure:
            self.given_up = failure.message
        return self

    def _train(self, portions: Portions, batch_seconds: float, end: float) -> Portions | None:
        """Loads the model and trains; returns the portions to go on with."""
        callback = self._callback(portions)
        arguments, control, state = TrainingArguments(output_dir="/tmp", use_cpu=True), TrainerControl(), self._state
        self.time.rest(LOADING_SECONDS)
        self._began = self._began or self.now
        callback.on_train_begin(arguments, state, control)
        while self.now < end and not (control.should_training_stop or STOP.requested):
            callback.on_step_begin(arguments, state, control)
            for _ in range(portions.accumulation - 1):
                self.time.work(batch_seconds)
                callback.on_substep_end(arguments, state, control)
            self.time.work(batch_seconds)
            state.global_step += 1
            callback.on_step_end(arguments, state, control)
        callback.on_train_end(arguments, state, control)
        return callback.chosen

    def _callback(self, portions: Portions) -> GuardTraining:
        return GuardTraining(
            self.watch,
            self._guard,
            Reporter(StringIO(), clock=self.time.clock),
            settle=lambda: None,
            portions=portions,
            remember=self.chosen.append,
            what_is_kept=lambda: "nothing had been learnt yet",
            clock=self.time.clock,
            sleep=self.time.rest,
        )

    @property
    def now(self) -> float:
        return self.time.now

    @property
    def seen(self) -> list[Seen]:
        return self.time.seen

    @property
    def duty(self) -> float:
        """Share of the time in which the GPUs worked."""
        return self.time.worked / (self.now - self._began)
