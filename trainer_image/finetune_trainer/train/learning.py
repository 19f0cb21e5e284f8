"""Loads the model, attaches the adapter, and learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, PrinterCallback

from finetune_api.orders import TrainOrder
from finetune_api.results import PrepareTrainingResult
from finetune_trainer.failures import NonFiniteLoss, StoppedError
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import STOP
from finetune_trainer.tokenization import TOKENIZER_FILE, Tokenizer
from finetune_trainer.train.callbacks import (
    CompleteCheckpoints,
    RefuseNonFiniteGradients,
    ReportProgress,
    StopAtStepBoundary,
)
from finetune_trainer.train.checkpoints import Checkpoints, step_of
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.configuration import lora_config, sft_config
from finetune_trainer.train.devices import Device
from finetune_trainer.train.examples import read_material
from finetune_trainer.train.ledger import Ledger
from finetune_trainer.train.memory import learning_fits, loading_fits
from finetune_trainer.train.model import load_base_model
from finetune_trainer.train.optimizer import lora_plus_optimizer
from finetune_trainer.train.portions import Portions
from finetune_trainer.train.tracking.callback import TrackCurves
from finetune_trainer.train.tracking.curves import Curves
from finetune_trainer.train.tracking.points import VALIDATION_LOSS
from finetune_trainer.train.validation import validation_loss

_LAST_LOSSES = 10
"""The final loss is a mean, since the loss of one step says more about its examples than about the model."""


@dataclass(frozen=True)
class Assignment:
    """All that is decided before the model is loaded."""

    order: TrainOrder
    prepared: PrepareTrainingResult
    prepared_folder: Path
    model_folder: Path
    checkpoints: Checkpoints
    portions: Portions
    device: Device
    curves: Curves


@dataclass(frozen=True)
class Learnt:
    """A model with its trained adapter, and how it came about."""

    model: Any
    losses: tuple[float, ...]
    """Loss of every step, over all attempts."""
    validation_loss: float | None

    @property
    def final_loss(self) -> float:
        last = self.losses[-_LAST_LOSSES:]
        return sum(last) / len(last)


def learn(assignment: Assignment, ledger: Ledger, reporter: Reporter) -> Learnt:
    """Trains from the last complete checkpoint, or from the start, to the last step."""
    checkpoints = assignment.checkpoints
    last = checkpoints.last()
    STOP.raise_if_requested(checkpoints.what_is_kept())
    with loading_fits(assignment.device):
        reporter.stage("loading the base model")
        trainer = _make_trainer(assignment, ledger, reporter)
    STOP.raise_if_requested(checkpoints.what_is_kept())
    with learning_fits(assignment.device, assignment.portions, checkpoints.folder):
        reporter.stage("training" if last is None else f"training on from step {step_of(last)}")
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        _raise_if_stopped_early(trainer)
        _check_adapter(trainer.model)
        held_out_loss = validation_loss(trainer, reporter, checkpoints.what_is_kept())
        if held_out_loss is not None:
            assignment.curves.add(trainer.state.global_step, {VALIDATION_LOSS: held_out_loss})
    return Learnt(trainer.model, _losses(trainer), held_out_loss)


def _make_trainer(assignment: Assignment, ledger: Ledger, reporter: Reporter) -> CompletionTrainer:
    order, plan = assignment.order, assignment.prepared.plan
    tokenizer = Tokenizer.load(assignment.model_folder)
    checkpoints_folder, device = assignment.checkpoints.folder, assignment.device
    material = read_material(
        assignment.prepared_folder, assignment.model_folder, order.training, plan, checkpoints_folder, reporter
    )
    trainer = CompletionTrainer(
        model=load_base_model(assignment.model_folder, plan.quantization, plan.precision, device, plan.attention),
        args=sft_config(order.training, plan, assignment.portions, device, checkpoints_folder),
        train_dataset=material.train,
        eval_dataset=material.validation,
        processing_class=_for_trainer(tokenizer, assignment.model_folder),
        peft_config=lora_config(order.lora),
        callbacks=[
            ReportProgress(reporter, ledger),
            RefuseNonFiniteGradients(),
            StopAtStepBoundary(),
            TrackCurves(assignment.curves),
            CompleteCheckpoints(assignment.checkpoints),
        ],
    )
    # It prints Python dictionaries to stdout, where our events go.
    trainer.remove_callback(PrinterCallback)
    _widen_adapter(trainer.model)
    if order.lora.lora_plus_ratio is not None:
        trainer.optimizer = lora_plus_optimizer(trainer, order.lora.lora_plus_ratio)
    return trainer


def _for_trainer(tokenizer: Tokenizer, folder: Path) -> PreTrainedTokenizerFast:
    """The trainer pads with it and saves it with its checkpoints; it encodes nothing."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / TOKENIZER_FILE),
        pad_token=tokenizer.padding_token,
        eos_token=tokenizer.end_token or tokenizer.padding_token,
    )


def _widen_adapter(model: torch.nn.Module) -> None:
    """trl keeps the adapter of a quantized model in bfloat16, where small updates round away (at a learning rate of
    2e-5 the loss stays at 5.91 instead of 5.73)."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _raise_if_stopped_early(trainer: CompletionTrainer) -> None:
    """`train()` returns as if all were done when a callback ends it."""
    step, steps = trainer.state.global_step, trainer.state.max_steps
    if step < steps:
        raise StoppedError(
            f"stopped as told after step {step} of {steps}; the checkpoint of step {step} is saved, "
            "and the training goes on from there"
        )


def _check_adapter(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not torch.isfinite(parameter).all():
            raise NonFiniteLoss(f"the adapter's weight {name} is not finite: lower spec.training.learningRate")


def _losses(trainer: CompletionTrainer) -> tuple[float, ...]:
    return tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
