"""trl's SFTTrainer, with a loss that a CPU can afford, checkpoints that are whole, and no NaN passed off as 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from datasets import Dataset
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from finetune_trainer.train.checkpoints import Checkpoints, Course
from finetune_trainer.train.loss_watch import StepLoss
from finetune_trainer.train.shares import Share, in_order, shuffled, with_spare_row
from finetune_trainer.train.team import Team
from finetune_trainer.train.tokens import IGNORED
from finetune_trainer.train.trl_trainer import SFTTrainer

_LOSS, _LEFT_OUT = "loss", "left_out"
"""Keys of the Trainer's log; a step has either."""


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
    """Learns completions. `course` is the one of the checkpoint that the training goes on from."""

    def __init__(self, *args: Any, checkpoints: Checkpoints, course: Course, **kwargs: Any) -> None:
        self._checkpoints = checkpoints
        self._team: Team = checkpoints.team
        self._course = course
        self.step_is_finite = True
        super().__init__(*args, **kwargs)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """On a GPU trl's fused loss; on a CPU that one scores the prompt's tokens too, in small tiles, and takes
        longer than all layers together (7.5 s against 3.8 s a step of 8 x 93 tokens, SmolLM2-135M)."""
        if return_outputs or self.aux_loss_enabled or not self._is_on_cpu:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        total, tokens = completion_loss(model, inputs)
        if num_items_in_batch is None:
            return total / max(tokens, 1)
        # The tokens are those of all processes, over which the gradients are averaged.
        return total * self._team.size / num_items_in_batch

    @property
    def _is_on_cpu(self) -> bool:
        return bool(self.args.device.type == "cpu")

    def _get_dataloader(self, dataset: Dataset, description: str, *args: Any, **kwargs: Any) -> DataLoader:
        if self._team.is_alone:
            loader = super()._get_dataloader(dataset, description, *args, **kwargs)
        else:
            loader = self._shared_loader(dataset, description, kwargs.get("is_training", False))
        # At an epoch's start a loader draws a seed: by itself from dropout's numbers, and once more after a resume.
        loader.base_dataloader.generator = torch.Generator()
        return loader

    def _shared_loader(self, dataset: Dataset, description: str, is_training: bool) -> DataLoader:
        """accelerate fills up the last batches with rows that were learnt from already; one process does not."""
        rows = self._remove_unused_columns(dataset, description)
        share = self._share(self.args.gradient_accumulation_steps if is_training else 1)
        batches = shuffled(rows, share, self.args.seed) if is_training else in_order(rows, share)
        loader = DataLoader(
            with_spare_row(rows),
            batch_sampler=batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return prepare_data_loader(
            loader, device=self.args.device, num_processes=1, process_index=0, put_on_device=True
        )

    def _share(self, micro_batches: int) -> Share:
        size, team = self.args.per_device_train_batch_size, self._team
        return Share(team.rank, team.size, size, rows_per_step=size * micro_batches * team.size)

    def _wrap_model(self, model: torch.nn.Module, training: bool = True, dataloader: Any = None) -> torch.nn.Module:
        """The adapter is averaged over all processes, whether the base model is whole in each of them or not."""
        if self._team.is_alone or not training or isinstance(model, DistributedDataParallel):
            return super()._wrap_model(model, training, dataloader)
        prepared = self.accelerator.prepare_model(model, device_placement=False, evaluation_mode=True)
        # All read the same base model; and of a sharded one each has another part.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(prepared, _names_in_base_model(prepared))
        return DistributedDataParallel(prepared, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def _move_model_to_device(self, model: torch.nn.Module, device: torch.device) -> None:
        """It was loaded onto its device, or its parts were."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self.step_is_finite = self.step_is_finite and bool(torch.isfinite(loss))
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Of a step that is left out, the Trainer would log 0, or the mean of those micro-batches that were finite."""
        if _LOSS in logs and not self.step_is_finite:
            self._metrics["train"].clear()
            logs = {name: value for name, value in logs.items() if name not in (_LOSS, "grad_norm")}
            logs[_LEFT_OUT] = True
        super().log(logs, start_time)

    def save_start(self) -> None:
        """A checkpoint of step 0, so that there is always one to go back to."""
        self._save_checkpoint(self.model, None)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        with self._checkpoints.writing(self.state.global_step, self._course):
            super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """The files bring back the learning rates that they were saved with; those that this trainer was made with
        count, which are lower after a rollback."""
        if self.lr_scheduler is None or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        rates = list(self.lr_scheduler.base_lrs)
        super()._load_optimizer_and_scheduler(checkpoint)
        self.lr_scheduler.base_lrs = rates
        for group, rate, factor in zip(self.optimizer.param_groups, rates, self.lr_scheduler.lr_lambdas, strict=True):
            group["initial_lr"] = rate
            group["lr"] = rate * factor(self.lr_scheduler.last_epoch)
        self.lr_scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def _names_in_base_model(model: torch.nn.Module) -> list[str]:
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    return [*frozen, *(name for name, _ in model.named_buffers())]


def step_loss(logs: Mapping[str, Any], step: int) -> StepLoss | None:
    """What a line of the Trainer's log says about a step; None when it is about something else."""
    if _LEFT_OUT in logs:
        return StepLoss(step, None)
    return StepLoss(step, float(logs[_LOSS])) if _LOSS in logs else None


def step_losses(log_history: list[dict[str, Any]]) -> tuple[StepLoss, ...]:
    """Of every step that led to a state of the Trainer."""
    found = (step_loss(line, int(line["step"])) for line in log_history)
    return tuple(entry for entry in found if entry is not None)


def completion_loss(model: torch.nn.Module, inputs: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """Sum of the completions' losses and number of their tokens; logits are computed only where a label is, whether
    the examples come in rows of their own or several in a row."""
    labels = inputs["labels"][:, 1:]
    has_label = labels != IGNORED
    others = {name: value for name, value in inputs.items() if name != "labels"}
    with _only_where(has_label, getattr(model, "module", model).get_output_embeddings()):
        logits = model(**others, use_cache=False).logits[0]
    targets = labels[has_label]
    return functional.cross_entropy(logits.float(), targets, reduction="sum"), targets.numel()


@contextmanager
def _only_where(has_label: torch.Tensor, output_layer: torch.nn.Module) -> Iterator[None]:
    """Lets only the hidden states that predict a label through the output layer, as one row: (1, labels, hidden).
    transformers' own logits_to_keep takes the same columns of every row, which in a batch are nearly all."""

    def select(layer: torch.nn.Module, arguments: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (arguments[0][:, :-1][has_label][None],)

    hook = output_layer.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()
