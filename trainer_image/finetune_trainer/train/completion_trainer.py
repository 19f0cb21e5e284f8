"""trl's SFTTrainer, with a loss that a CPU can afford and that never passes off NaN as 0."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from trl import SFTTrainer

from finetune_trainer.failures import NonFiniteLoss
from finetune_trainer.train.callbacks import non_finite_message

_IGNORED = -100


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
    """Learns completions."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """On a GPU trl's fused loss; on a CPU that one scores the prompt's tokens too, in small tiles, and takes
        longer than all layers together (7.5 s against 3.8 s a step of 8 x 93 tokens, SmolLM2-135M)."""
        if return_outputs or self.aux_loss_enabled or self.args.device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        total, tokens = completion_loss(model, inputs)
        return total / (tokens if num_items_in_batch is None else num_items_in_batch)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            # The Trainer would log the mean of earlier losses instead, and train on with weights that are all NaN.
            raise NonFiniteLoss(non_finite_message("the loss", self.state.global_step + 1))
        return loss


def completion_loss(model: torch.nn.Module, inputs: dict[str, Any]) -> tuple[torch.Tensor, int]:
    """Sum of the completions' losses and number of their tokens; logits are computed only where a label is."""
    labels = inputs["labels"][:, 1:]
    has_label = labels != _IGNORED
    positions = has_label.any(dim=0).nonzero().flatten()
    others = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**others, use_cache=False, logits_to_keep=positions).logits
    kept = has_label[:, positions]
    targets = labels[:, positions][kept]
    return functional.cross_entropy(logits[kept].float(), targets, reduction="sum"), targets.numel()
