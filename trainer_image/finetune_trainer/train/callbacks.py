"""What happens between two steps: progress, checkpoints, the request to stop, and a look at loss and gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.reporting import Reporter
from finetune_trainer.train.checkpoints import Checkpoints, Course
from finetune_trainer.train.completion_trainer import CompletionTrainer, step_loss, step_losses
from finetune_trainer.train.early_stopping import best_step
from finetune_trainer.train.ledger import Ledger
from finetune_trainer.train.limits import Deadline
from finetune_trainer.train.loss_watch import LossWatch, Verdict
from finetune_trainer.train.random_state import RandomState
from finetune_trainer.train.validation import Validation


class ReportProgress(TrainerCallback):  # type: ignore[misc]
    """Says how far the training is, and writes down what it took so far whenever it says so. One for the process,
    since a training that is rolled back begins several times in it."""

    def __init__(self, reporter: Reporter, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter = reporter
        self._ledger = ledger
        self._clock = clock
        self._began = 0.0
        self._tokens_before = 0
        self._seconds_done = 0.0
        self._tokens_done = 0
        self._saved = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = self._clock() - self._seconds_done
        self._tokens_before = int(state.num_input_tokens_seen) - self._tokens_done
        self._saved = self._clock()  # it begins at a checkpoint
        self._ledger.training_begins()
        self._reporter.progress(state.global_step, state.max_steps)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        entry = step_loss(kwargs["logs"], state.global_step)
        if entry is None:
            return
        self._seconds_done = self._clock() - self._began
        self._tokens_done = int(state.num_input_tokens_seen) - self._tokens_before
        self._ledger.learnt(self._tokens_done, self._seconds_done)
        reported = self._reporter.progress(
            state.global_step,
            state.max_steps,
            loss=entry.loss,
            tokens_per_second=self._tokens_done / self._seconds_done if self._seconds_done else None,
            checkpoint_age_seconds=self._clock() - self._saved,
        )
        if reported:
            self._ledger.write()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saved = self._clock()


class SkipNonFiniteSteps(TrainerCallback):  # type: ignore[misc]
    """One step with a gradient that is not finite would turn every weight into NaN. Without gradients, the optimizer
    leaves weights and moments as they are."""

    def __init__(self, trainer: CompletionTrainer) -> None:
        self._trainer = trainer

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._trainer.step_is_finite = True

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        is_finite = self._trainer.step_is_finite and gradients_are_finite(kwargs["model"])
        # All processes leave out the same steps.
        everywhere = self._trainer.accelerator.gather(torch.tensor([is_finite], device=args.device))
        self._trainer.step_is_finite = bool(everywhere.all())
        if not self._trainer.step_is_finite:
            kwargs["optimizer"].zero_grad()


class WatchLoss(TrainerCallback):  # type: ignore[misc]
    """Ends a training that diverges, without a checkpoint of it; `verdict` and `watch` tell."""

    def __init__(self, course: Course, reporter: Reporter) -> None:
        self.watch = LossWatch(course.rollbacks, course.since)
        self.verdict = Verdict.CONTINUE
        self._reporter = reporter

    @property
    def has_diverged(self) -> bool:
        return self.verdict in (Verdict.ROLL_BACK, Verdict.FAIL)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.watch = LossWatch.after(step_losses(state.log_history), self.watch.rollbacks, self.watch.since)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        entry = step_loss(kwargs["logs"], state.global_step)
        if entry is None:
            return control
        self.verdict = self.watch.feed(entry)
        if self.verdict is Verdict.SKIP:
            self._reporter.problem(f"step {entry.step} was left out: its loss or a gradient is not finite")
        if self.has_diverged:
            control.should_save = False
            control.should_training_stop = True
        return control


class LookAfterCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Writes the first one, validates each where the best one counts, and removes those that are no longer needed."""

    def __init__(
        self, trainer: CompletionTrainer, checkpoints: Checkpoints, validation: Validation, watch: WatchLoss
    ) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        self._validation = validation
        self._watch = watch

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == 0 and self._checkpoints.of_step(0) is None:
            self._trainer.save_start()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        is_leaving = control.should_training_stop and state.global_step < state.max_steps
        if self._validation.decides and not is_leaving:
            self._validation.look(state.global_step)
            control.should_training_stop |= self._validation.is_over
        # While the last losses are suspect, the checkpoints of before are the good ones.
        if self._watch.watch.suspect_since is None:
            self._checkpoints.prune(best_step(self._validation.losses) if self._validation.decides else None)
        return control


class StopWithCheckpoint(TrainerCallback):  # type: ignore[misc]
    """Ends the training with a checkpoint when the process was told to stop, or its time is over: after the step, or
    after the micro-batch where a step has several; what the unfinished step had learnt is dropped, its random numbers
    are drawn again."""

    def __init__(self, checkpoints: Checkpoints, deadline: Deadline) -> None:
        self._checkpoints = checkpoints
        self._deadline = deadline
        self._before_step: tuple[RandomState, int] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """No step is taken when the time is over; that of all steps that are taken already is not lost."""
        if state.global_step < state.max_steps and self._deadline.is_over():
            raise self._deadline.exceeded(state.global_step, state.max_steps, self._checkpoints.what_is_kept())

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._before_step = (RandomState.now(), state.num_input_tokens_seen)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if self._must_stop() and self._before_step is not None:
            random_state, state.num_input_tokens_seen = self._before_step
            random_state.restore()
            return self._stop(state, control)
        return control

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        return self._stop(state, control) if self._must_stop() else control

    def _must_stop(self) -> bool:
        return self._deadline.is_over() or self._checkpoints.team.is_told_to_stop()

    def _stop(self, state: TrainerState, control: TrainerControl) -> TrainerControl:
        control.should_save = self._checkpoints.of_step(state.global_step) is None
        control.should_training_stop = True
        return control


def gradients_are_finite(model: torch.nn.Module) -> bool:
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    return bool(torch.isfinite(torch.stack([gradient.abs().sum() for gradient in gradients]).sum()))
