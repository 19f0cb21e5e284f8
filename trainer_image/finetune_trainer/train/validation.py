"""The loss on the held-out examples: a mean over their tokens, whatever the batches they come in."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from finetune_api.finetunejob import EarlyStopping
from finetune_trainer.failures import NonFiniteLoss
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train import early_stopping
from finetune_trainer.train.assignment import Assignment
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.random_state import no_random_numbers_drawn
from finetune_trainer.train.team import Team
from finetune_trainer.train.tokens import IGNORED
from finetune_trainer.train.tracking.points import VALIDATION_LOSS
from finetune_trainer.train.validations import Validations

STAGE = "validating"
STAGE_BEFORE = "validating the base model"


class Validation:
    """Looks at the held-out examples, once at each step that it is asked for; with early stopping, it decides."""

    def __init__(
        self,
        trainer: CompletionTrainer,
        assignment: Assignment,
        rule: EarlyStopping | None,
        reporter: Reporter,
    ) -> None:
        checkpoints = assignment.checkpoints
        self._trainer = trainer
        self._validations = Validations(checkpoints.folder, checkpoints.identity, checkpoints.team)
        self._curves = assignment.curves
        self._watch = assignment.watch
        self._rule = rule if trainer.eval_dataset is not None else None
        self._reporter = reporter
        self._what_is_kept = checkpoints.what_is_kept
        self._team = checkpoints.team

    @property
    def losses(self) -> Mapping[int, float]:
        return self._validations.losses

    @property
    def decides(self) -> bool:
        """Whether the best checkpoint counts, rather than the last."""
        return self._rule is not None

    @property
    def is_over(self) -> bool:
        return self._rule is not None and early_stopping.is_over(self.losses, self._rule)

    def catch_up(self, step: int) -> None:
        """Before training goes on from a step: what was known then, and what was not looked at any more then."""
        self._validations.forget_after(step)
        if step == 0 or self.decides:
            self.look(step)

    def look(self, step: int) -> float | None:
        """The loss at a step, of the weights that the trainer has now; None when no examples are held out."""
        if self._trainer.eval_dataset is None:
            return None
        if step not in self.losses:
            self._reporter.stage(STAGE if step else STAGE_BEFORE)
            self._watch.began()
            with no_random_numbers_drawn():
                loss = validation_loss(self._trainer, self._team, self._reporter, self._what_is_kept())
            if not math.isfinite(loss):
                raise NonFiniteLoss(_non_finite_message(step))
            self._validations.record(step, loss)
            self._curves.add(step, {VALIDATION_LOSS: loss})
            if self._trainer.is_in_train:
                self._reporter.stage("training")
        return self.losses[step]


def validation_loss(trainer: CompletionTrainer, team: Team, reporter: Reporter, what_is_kept: str) -> float:
    """In nats per token. Each process takes a share of the examples."""
    batches = trainer.get_eval_dataloader()
    trainer.model.eval()
    total, tokens = 0.0, 0
    for done, batch in enumerate(batches, start=1):
        if team.is_told_to_stop():
            STOP.raise_if_requested(what_is_kept)
        inputs = trainer._prepare_inputs(batch)
        count = int((inputs["labels"][:, 1:] != IGNORED).sum())
        with torch.no_grad(), trainer.accelerator.autocast(), trainer.compute_loss_context_manager():
            loss = float(trainer.compute_loss(trainer.model, inputs))
        # A batch that only fills up another process's last one has no label, and no mean.
        total += loss * count if count else 0.0
        tokens += count
        trainer.callback_handler.on_prediction_step(trainer.args, trainer.state, trainer.control)
        reporter.progress(done, len(batches))
    total, all_tokens = team.sums(total, tokens)
    return total / max(all_tokens, 1)


def perplexity(loss: float | None) -> str | None:
    """e to the power of the loss, as a decimal number of six significant digits at most; None where it has none."""
    return None if loss is None or loss > 700 else f"{math.exp(loss):.6g}"


def _non_finite_message(step: int) -> str:
    if step == 0:
        return (
            "the loss on the held-out examples is not a finite number before anything was learnt: look for damaged "
            "weights of the base model, and for held-out examples that are damaged or extremely long"
        )
    return f"the loss on the held-out examples is not a finite number at step {step}: lower spec.training.learningRate"
