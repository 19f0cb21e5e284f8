"""Notices a model that computes nonsense: its answers would be scored like any other."""

from __future__ import annotations

import torch

from finetune_api.conditions import Reason
from finetune_trainer.failures import UserError


def check_no_nan(values: torch.Tensor) -> None:
    """UserError (ModelInvalid) where the model gave something that is no number."""
    if bool(torch.isnan(values).any()):
        raise UserError(
            Reason.MODEL_INVALID,
            "the model computes values that are no numbers (NaN): weights of the base model or of the adapter are "
            "damaged, or the training diverged. Check the model's files, or train again with a lower learning rate",
        )
