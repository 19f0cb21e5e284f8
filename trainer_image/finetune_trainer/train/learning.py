"""Learns from the last checkpoint on; goes back and learns slower where that diverges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from finetune_trainer.failures import NonFiniteLoss, StoppedError
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train.assignment import Assignment
from finetune_trainer.train.callbacks import ReportProgress, WatchLoss
from finetune_trainer.train.checkpoints import Checkpoint, Checkpoints, Course
from finetune_trainer.train.completion_trainer import CompletionTrainer, step_losses
from finetune_trainer.train.early_stopping import best_step
from finetune_trainer.train.ledger import Ledger
from finetune_trainer.train.loss_watch import StepLoss, Verdict
from finetune_trainer.train.memory import learning_fits, loading_fits, loading_remedies, release_memory
from finetune_trainer.train.portions import Portions
from finetune_trainer.train.setup import Setup, set_up
from finetune_trainer.train.validation import Validation

_LAST_LOSSES = 10
"""The final loss is a mean, since the loss of one step says more about its examples than about the model."""


@dataclass(frozen=True)
class Learnt:
    """A model with its trained adapter, and how it came about."""

    model: Any
    steps: tuple[StepLoss, ...]
    """Every step, over all attempts; without those that a rollback took back."""
    validation_losses: tuple[float | None, float | None]
    """Before the first step and at the end; None when no examples are held out."""
    course: Course
    best_step: int | None
    """The step whose weights these are, where the validation loss decided."""
    stopped_early: bool

    @property
    def final_loss(self) -> float:
        last = [entry.loss for entry in self.steps if entry.loss is not None][-_LAST_LOSSES:]
        return sum(last) / len(last)

    @property
    def skipped_steps(self) -> int:
        return sum(entry.loss is None for entry in self.steps)


@dataclass(frozen=True)
class Divergence:
    """A training that was ended, since it no longer learnt."""

    since: int
    """The first bad step."""
    what: str
    course: Course
    is_hopeless: bool


def learn(assignment: Assignment, ledger: Ledger, reporter: Reporter) -> Learnt:
    """Trains from the last complete checkpoint, or from the start, to the last step. Begins again from a checkpoint
    where the guard chose smaller portions, or where the training diverged."""
    progress = ReportProgress(reporter, ledger)
    while True:
        outcome = _go_on(assignment, progress, reporter)
        match outcome:
            case Learnt():
                return outcome
            case Portions():
                assignment = replace(assignment, portions=outcome)
            case Divergence():
                _roll_back(outcome, assignment, reporter)


def _go_on(assignment: Assignment, progress: ReportProgress, reporter: Reporter) -> Learnt | Portions | Divergence:
    checkpoints, device = assignment.checkpoints, assignment.device
    quantization = assignment.prepared.plan.quantization
    last = checkpoints.last()
    release_memory(device)
    with STOP.at_once(checkpoints.what_is_kept()), loading_fits(device, loading_remedies(quantization)):
        reporter.stage("loading the base model")
        setup = set_up(assignment, last, progress, reporter)
    with learning_fits(device, assignment.portions, assignment.longest, quantization, checkpoints.folder):
        return _train(setup, last, assignment, reporter)


def _train(
    setup: Setup, last: Checkpoint | None, assignment: Assignment, reporter: Reporter
) -> Learnt | Portions | Divergence:
    trainer, validation = setup.trainer, setup.validation
    course = Course() if last is None else last.course
    if last is not None:
        _load(last, trainer)
    elif not assignment.team.is_first:
        # Otherwise all processes would drop the same places of their examples.
        torch.manual_seed(assignment.order.training.seed + assignment.team.rank)
    assignment.curves.begin(trainer.state.global_step)
    validation.catch_up(trainer.state.global_step)
    if not validation.is_over:
        _take_steps(trainer, last, reporter)
        if setup.watch.has_diverged:
            return _divergence(setup.watch, course)
        if setup.guard is not None and setup.guard.chosen is not None:
            return setup.guard.chosen
        _raise_if_stopped_early(trainer, validation, assignment)
    best = _take_best(trainer, validation, assignment.checkpoints) if validation.decides else None
    _check_adapter(trainer.model)
    loss = validation.look(best or trainer.state.global_step)
    return Learnt(
        model=trainer.model,
        steps=_steps(trainer),
        validation_losses=(validation.losses.get(0), loss),
        course=course,
        best_step=best,
        stopped_early=trainer.state.global_step < trainer.state.max_steps,
    )


def _take_steps(trainer: CompletionTrainer, last: Checkpoint | None, reporter: Reporter) -> None:
    step = trainer.state.global_step
    reporter.stage(f"training on from step {step}" if step else "training")
    trainer.train(resume_from_checkpoint=None if last is None else str(last.path))


def _roll_back(divergence: Divergence, assignment: Assignment, reporter: Reporter) -> None:
    rate = float(assignment.order.training.learning_rate)
    if divergence.is_hopeless:
        raise NonFiniteLoss(
            f"{divergence.what}, and so after {divergence.course.rollbacks} rollbacks, at a learning rate of "
            f"{rate * divergence.course.lr_scale:g}: lower spec.training.learningRate, and look for examples that are "
            "damaged or extremely long"
        )
    checkpoints = assignment.checkpoints
    target = checkpoints.before(divergence.since)
    if target is None:
        raise NonFiniteLoss(f"{divergence.what}, and no earlier checkpoint is whole: lower spec.training.learningRate")
    course = divergence.course.slower_from(target.step)
    checkpoints.roll_back(target, course)
    reporter.problem(
        f"{divergence.what}; going back to step {target.step} with half the learning rate, {rate * course.lr_scale:g}"
    )


def _load(checkpoint: Checkpoint, trainer: CompletionTrainer) -> None:
    """Weights and history; the Trainer loads the rest when it goes on."""
    _load_adapter(checkpoint, trainer.model)
    trainer.state = TrainerState.load_from_json(str(checkpoint.path / TRAINER_STATE_NAME))


def _load_adapter(checkpoint: Checkpoint, model: Any) -> None:
    model.load_adapter(str(checkpoint.path), model.active_adapter, is_trainable=True)


def _take_best(trainer: CompletionTrainer, validation: Validation, checkpoints: Checkpoints) -> int | None:
    """Gives the model the weights of the best checkpoint that is still whole."""
    losses = dict(validation.losses)
    while (step := best_step(losses)) is not None:
        found = checkpoints.of_step(step)
        if found is not None:
            _load_adapter(found, trainer.model)
            return step
        del losses[step]
    return None


def _divergence(watch: WatchLoss, course: Course) -> Divergence:
    since = watch.watch.suspect_since
    assert since is not None
    return Divergence(since, watch.watch.describe(), course, watch.verdict is Verdict.FAIL)


def _raise_if_stopped_early(trainer: CompletionTrainer, validation: Validation, assignment: Assignment) -> None:
    """`train()` returns as if all were done when a callback ends it."""
    step, steps, deadline = trainer.state.global_step, trainer.state.max_steps, assignment.deadline
    if step < steps and not validation.is_over:
        if deadline.is_over():
            raise deadline.exceeded(step, steps, assignment.checkpoints.what_is_kept())
        raise StoppedError(
            f"stopped as told after step {step} of {steps}; the checkpoint of step {step} is saved, "
            "and the training goes on from there"
        )


def _check_adapter(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not torch.isfinite(parameter).all():
            raise NonFiniteLoss(f"the adapter's weight {name} is not finite: lower spec.training.learningRate")


def _steps(trainer: CompletionTrainer) -> tuple[StepLoss, ...]:
    steps = step_losses(trainer.state.log_history)
    left_out = sum(entry.loss is None for entry in steps)
    if 2 * left_out > len(steps):
        raise NonFiniteLoss(
            f"{left_out} of the {len(steps)} steps had no finite loss and gradient: look for examples that are damaged "
            "or extremely long, and for damaged weights of the base model"
        )
    return steps
