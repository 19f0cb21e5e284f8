"""What happens between two steps: progress, checkpoints, the request to stop, and a look at the gradients."""

from __future__ import annotations

import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.failures import NonFiniteLoss
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train.checkpoints import Checkpoints
from finetune_trainer.train.ledger import Ledger


class ReportProgress(TrainerCallback):  # type: ignore[misc]
    """Says how far the training is, and writes down what it took so far whenever it says so."""

    def __init__(self, reporter: Reporter, ledger: Ledger) -> None:
        self._reporter = reporter
        self._ledger = ledger
        self._began = 0.0
        self._tokens_before = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = time.monotonic()
        self._tokens_before = int(state.num_input_tokens_seen)
        self._ledger.training_begins()
        self._reporter.progress(state.global_step, state.max_steps)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        loss = kwargs["logs"].get("loss")
        if loss is None:
            return
        seconds = time.monotonic() - self._began
        tokens = int(state.num_input_tokens_seen) - self._tokens_before
        self._ledger.learnt(tokens, seconds)
        reported = self._reporter.progress(
            state.global_step, state.max_steps, loss=loss, tokens_per_second=tokens / seconds
        )
        if reported:
            self._ledger.write()


class CompleteCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Makes a checkpoint count once the Trainer has written all of it."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._checkpoints.complete(state.global_step)


class StopAtStepBoundary(TrainerCallback):  # type: ignore[misc]
    """Ends the training with a checkpoint when the process was told to stop."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if STOP.requested:
            control.should_save = True
            control.should_training_stop = True
        return control


class RefuseNonFiniteGradients(TrainerCallback):  # type: ignore[misc]
    """One step with a gradient that is not finite would turn every weight into NaN, and be logged as loss 0.0."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        gradients = [weight.grad for weight in kwargs["model"].parameters() if weight.grad is not None]
        if not torch.isfinite(torch.stack([gradient.abs().sum() for gradient in gradients]).sum()):
            raise NonFiniteLoss(non_finite_message("a gradient", state.global_step + 1))


def non_finite_message(what: str, step: int) -> str:
    return (
        f"{what} is not a finite number at step {step}: lower spec.training.learningRate, "
        "and look for examples that are damaged or extremely long"
    )
