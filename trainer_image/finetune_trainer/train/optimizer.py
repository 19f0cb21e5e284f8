"""LoRA+: the adapter's second matrix learns faster than its first (Hayou et al., 2024, arXiv 2402.12354)."""

from __future__ import annotations

from peft.optimizers import create_loraplus_optimizer
from torch.optim import Optimizer
from transformers import Trainer


def lora_plus_optimizer(trainer: Trainer, ratio: str) -> Optimizer:
    """The optimizer that the trainer would make itself, with B's learning rate `ratio` times A's. The schedule
    multiplies both, and a checkpoint keeps both."""
    optimizer, settings = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    return create_loraplus_optimizer(trainer.model, optimizer, loraplus_lr_ratio=float(ratio), **settings)
