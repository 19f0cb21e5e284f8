"""The loss on the held-out examples: a mean over their tokens, whatever the batches they come in."""

from __future__ import annotations

import torch

from finetune_trainer.failures import NonFiniteLoss
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.train.completion_trainer import CompletionTrainer


def validation_loss(trainer: CompletionTrainer, reporter: Reporter, what_is_kept: str) -> float | None:
    """None when no examples are held out."""
    if trainer.eval_dataset is None:
        return None
    reporter.stage("validating")
    batches = trainer.get_eval_dataloader()
    trainer.model.eval()
    total, tokens = 0.0, 0
    for done, batch in enumerate(batches, start=1):
        STOP.raise_if_requested(what_is_kept)
        inputs = trainer._prepare_inputs(batch)
        count = int((inputs["labels"][:, 1:] != -100).sum())
        with torch.no_grad(), trainer.compute_loss_context_manager():
            total += float(trainer.compute_loss(trainer.model, inputs)) * count
        tokens += count
        trainer.callback_handler.on_prediction_step(trainer.args, trainer.state, trainer.control)
        reporter.progress(done, len(batches))
    loss = total / max(tokens, 1)
    if not torch.isfinite(torch.tensor(loss)):
        raise NonFiniteLoss(
            "the loss on the held-out examples is not a finite number: lower spec.training.learningRate"
        )
    return loss
