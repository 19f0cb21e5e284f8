"""Rests between micro-batches; has smaller ones taken, or ends the training, where that is not enough."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_api.conditions import Reason
from finetune_api.guard import Guard, GuardAction
from finetune_trainer.failures import InfrastructureError, Overheated
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train.guard.controller import Leaving
from finetune_trainer.train.guard.watch import Watch
from finetune_trainer.train.portions import Portions, halved

SLICE_SECONDS = 5.0
"""After so long a rest it is worked out anew how long it has to be."""
_NAP_SECONDS = 0.05
"""A stop ends a rest within this."""
_SHORTEST_NAP_SECONDS = 0.001
_STOP = math.inf
"""What a process that was told to stop says instead of a rest: then none of them rests."""

Agree = Callable[[float], float]
"""The largest of the values that all processes of a training say; each must call it equally often."""


def alone(value: float) -> float:
    """What a training of one process agrees on with itself."""
    return value


class GuardTraining(TrainerCallback):  # type: ignore[misc]
    """The guard in a training. Comes before the callback that looks for a stop, so that a stop in a rest counts.

    `settle` waits until the device has done all it was given; `portions` is how steps are cut up now; `remember` has
    the next attempts take smaller ones; `what_is_kept` says where the next attempt goes on.
    """

    def __init__(
        self,
        watch: Watch,
        guard: Guard,
        reporter: Reporter,
        *,
        settle: Callable[[], None],
        portions: Portions,
        remember: Callable[[Portions], None],
        what_is_kept: Callable[[], str],
        agree: Agree = alone,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._watch = watch
        self._reporter = reporter
        self._settle = settle
        self._portions = portions
        self._smaller = halved(portions) if guard.action is GuardAction.THROTTLE else None
        self._remember = remember
        self._what_is_kept = what_is_kept
        self._agree = agree
        self._clock = clock
        self._sleep = sleep
        self._leaving: Leaving | None = None
        self._is_coarse = False
        self.chosen: Portions | None = None
        """What the training is to go on with, from the checkpoint that it was ended with."""
        self._said: set[str] = set()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._rest(state, step_is_open=False)
        self._leave_before_training()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._watch.began()

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._between(state)
        self._watch.began()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        self._watch.has_worked = True
        self._between(state, step_is_open=False)
        self._is_coarse = self._smaller is not None and bool(self._agree(float(self._watch.is_coarse)))
        if self._is_ending and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The held-out examples heat a GPU as well. Those before the training, at step 0, lose nothing by a pause."""
        self._between(state, step_is_open=state.global_step > 0)
        if state.global_step == 0:
            self._leave_before_training()
        self._watch.began()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The checkpoint is saved by now."""
        if not self._is_ending or state.global_step >= state.max_steps or self._agree(float(STOP.requested)):
            return
        if self._smaller is not None:
            self._take(self._smaller)
        elif self._leaving is not None:
            self._leave(self._leaving, f"; the checkpoint of step {state.global_step} is saved")

    @property
    def _is_ending(self) -> bool:
        return self._leaving is not None or self._is_coarse

    def _take(self, smaller: Portions) -> None:
        why = "micro-batches are too long to use what the limit allows" if self._leaving is None else self._leaving.why
        self._reporter.problem(f"{why}: the training goes on with {smaller.micro_batch_size} at once")
        self._remember(smaller)
        self._watch.takes_smaller(smaller.micro_batch_size / self._portions.micro_batch_size)
        self.chosen = smaller

    def _between(self, state: TrainerState, *, step_is_open: bool = True) -> None:
        self._settle()
        self._watch.ended()
        self._say_what_is_not_watched()
        self._rest(state, step_is_open=step_is_open)

    def _rest(self, state: TrainerState, *, step_is_open: bool) -> None:
        """Until every GPU of every process may go on, or until there is nothing to go on with: a step that is open is
        finished before the training is left."""
        while 0 < (seconds := self._agree(_STOP if STOP.requested else self._watch.rest_needed())) < _STOP:
            if not step_is_open and self._is_leaving():
                break
            with self._watch.resting():
                self._nap(min(seconds, SLICE_SECONDS))
                self._reporter.progress(state.global_step, state.max_steps)
            if self._must_leave_at_once():
                self._leave(Leaving(self._why()), f"; {self._what_is_kept()}")
        if self._leaving is None and self._is_leaving():
            self._leaving = Leaving(self._why())

    def _is_leaving(self) -> bool:
        return bool(self._agree(float(self._watch.leaving is not None)))

    def _nap(self, seconds: float) -> None:
        began = self._clock()
        left = seconds
        while left > _SHORTEST_NAP_SECONDS and not STOP.requested:
            self._sleep(min(left, _NAP_SECONDS))
            left = seconds - (self._clock() - began)
        self._watch.rested_seconds += seconds - max(left, 0.0)

    def _leave_before_training(self) -> None:
        if self._leaving is not None:
            self._leave(self._leaving, f"; {self._what_is_kept()}")

    def _must_leave_at_once(self) -> bool:
        leaving = self._watch.leaving
        return bool(self._agree(float(leaving is not None and leaving.at_once)))

    def _why(self) -> str:
        leaving = self._watch.leaving
        return "a GPU of another process is past its limit" if leaving is None else leaving.why

    def _leave(self, leaving: Leaving, what_is_kept: str) -> None:
        self._watch.is_paused = True
        next_time = ""
        if self._smaller is not None:
            self._remember(self._smaller)
            next_time = f"; the next attempt takes {self._smaller.micro_batch_size} at once"
        message = (
            f"{leaving.why}{what_is_kept}{next_time}: see to the GPU's cooling, or raise spec.guard.maxPowerWatts or "
            "spec.guard.maxTemperatureCelsius"
        )
        if self._watch.has_worked:
            raise Overheated(message)
        # Not a pause, but a failure: otherwise a limit that cannot be kept would be tried for ever.
        raise InfrastructureError(Reason.OVERHEATED, message)

    def _say_what_is_not_watched(self) -> None:
        for uuid, why in self._watch.blind.items():
            if why not in self._said:
                self._said.add(why)
                self._reporter.problem(f"spec.guard: {uuid} is not watched: {why}")
