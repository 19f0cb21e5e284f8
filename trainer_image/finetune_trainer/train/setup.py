"""Sets up the work: the base model with its adapter in a trainer, and who looks after it between two steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast, PrinterCallback

from finetune_api.conditions import Reason
from finetune_api.finetunejob import EarlyStopping
from finetune_api.orders import TrainOrder
from finetune_trainer.failures import UserError
from finetune_trainer.reporting import Reporter
from finetune_trainer.tokenization import TOKENIZER_FILE, Tokenizer
from finetune_trainer.train.assignment import Assignment
from finetune_trainer.train.callbacks import (
    LookAfterCheckpoints,
    ReportProgress,
    SkipNonFiniteSteps,
    StopWithCheckpoint,
    WatchLoss,
)
from finetune_trainer.train.checkpoints import Checkpoint, Course
from finetune_trainer.train.completion_trainer import CompletionTrainer
from finetune_trainer.train.configuration import lora_config, sft_config
from finetune_trainer.train.devices import HOST_MEMORY
from finetune_trainer.train.examples import read_material
from finetune_trainer.train.guard.callback import GuardTraining
from finetune_trainer.train.model import load_base_model
from finetune_trainer.train.optimizer import lora_plus_optimizer
from finetune_trainer.train.portions import remember
from finetune_trainer.train.sharding import sharded_with_adapter
from finetune_trainer.train.tracking.callback import TrackCurves
from finetune_trainer.train.validation import Validation


@dataclass(frozen=True)
class Setup:
    """A trainer, and who has to be asked how it goes."""

    trainer: CompletionTrainer
    watch: WatchLoss
    validation: Validation
    guard: GuardTraining | None
    """None where nothing is limited."""


def set_up(assignment: Assignment, last: Checkpoint | None, progress: ReportProgress, reporter: Reporter) -> Setup:
    course = Course() if last is None else last.course
    checkpoints = assignment.checkpoints
    trainer = _make_trainer(assignment, course, reporter)
    validation = Validation(trainer, assignment, _rule(assignment.order, trainer), reporter)
    watch = WatchLoss(course, reporter)
    guard = _guard(assignment, reporter)
    for callback in (
        progress,
        SkipNonFiniteSteps(trainer),
        watch,
        *(() if guard is None else (guard,)),
        StopWithCheckpoint(checkpoints, assignment.deadline),
        LookAfterCheckpoints(trainer, checkpoints, validation, watch),
        TrackCurves(assignment.curves),
    ):
        trainer.add_callback(callback)
    # It prints Python dictionaries to stdout, where our events go.
    trainer.remove_callback(PrinterCallback)
    return Setup(trainer, watch, validation, guard)


def _guard(assignment: Assignment, reporter: Reporter) -> GuardTraining | None:
    """None where nothing is limited. Where this process watches no GPU, it still rests with those that do."""
    guard, checkpoints = assignment.order.guard, assignment.checkpoints
    if guard is None:
        return None
    return GuardTraining(
        assignment.watch,
        guard,
        reporter,
        settle=assignment.device.settle,
        agree=assignment.team.largest,
        portions=assignment.portions,
        remember=lambda smaller: remember(smaller, checkpoints.folder),
        what_is_kept=checkpoints.what_is_kept,
    )


def _make_trainer(assignment: Assignment, course: Course, reporter: Reporter) -> CompletionTrainer:
    order, plan, portions = assignment.order, assignment.prepared.plan, assignment.portions
    checkpoints, device = assignment.checkpoints, assignment.device
    with assignment.team.first_goes_ahead():
        material = read_material(assignment, reporter)
    trainer = CompletionTrainer(
        model=_sharded_model(assignment) if assignment.is_sharded else _whole_model(assignment),
        args=sft_config(order.training, plan, portions, device, checkpoints.unfinished, course.lr_scale),
        train_dataset=material.train,
        eval_dataset=material.validation,
        processing_class=_for_trainer(Tokenizer.load(assignment.model_folder), assignment.model_folder),
        peft_config=None if assignment.is_sharded else lora_config(order.lora),
        checkpoints=checkpoints,
        course=course,
    )
    _widen_adapter(trainer.model)
    if order.lora.lora_plus_ratio is not None:
        trainer.optimizer = lora_plus_optimizer(trainer, order.lora.lora_plus_ratio)
    return trainer


def _whole_model(assignment: Assignment) -> PreTrainedModel:
    plan = assignment.prepared.plan
    return load_base_model(
        assignment.model_folder,
        plan.quantization,
        plan.precision,
        assignment.device,
        plan.attention,
        manifest_field=assignment.order.base_model.manifest_field,
    )


def _sharded_model(assignment: Assignment) -> PeftModel:
    order, plan = assignment.order, assignment.prepared.plan
    base = load_base_model(
        assignment.model_folder,
        plan.quantization,
        plan.precision,
        assignment.device,
        plan.attention,
        HOST_MEMORY,
        order.base_model.manifest_field,
    )
    return sharded_with_adapter(base, lora_config(order.lora), order.training.seed, assignment.device, assignment.team)


def _rule(order: TrainOrder, trainer: CompletionTrainer) -> EarlyStopping | None:
    rule = order.training.early_stopping
    if rule is not None and trainer.eval_dataset is None:
        raise UserError(
            Reason.ORDER_INVALID,
            "spec.training.earlyStopping watches the validation loss, and no examples are held out: "
            "set spec.dataset.validationFraction above 0",
        )
    return rule


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
