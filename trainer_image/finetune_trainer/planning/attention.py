"""What flash_attention_2 needs. Said before a GPU is waited for; transformers would say it when the model is loaded,
and which package to install, which nobody can do in a pod."""

from __future__ import annotations

from importlib.util import find_spec

from finetune_api.conditions import Reason
from finetune_api.quantization import Attention, Precision
from finetune_trainer.failures import UserError

_PACKAGE = "flash_attn"


def check_device(attention: Attention | None, precision: Precision, *, has_gpu: bool) -> None:
    """UserError (OrderInvalid) where device or number format do not do for the attention."""
    if attention is not Attention.FLASH_ATTENTION_2:
        return
    if not has_gpu:
        _refuse("a GPU, and the training computes on the CPU")
    if precision is not Precision.BFLOAT16:
        _refuse("spec.training.precision: bfloat16")


def check_package(attention: Attention | None) -> None:
    """UserError (OrderInvalid) where this image does not carry what the attention is computed with."""
    if attention is Attention.FLASH_ATTENTION_2 and find_spec(_PACKAGE) is None:
        _refuse("the package flash-attn, which this trainer image does not carry")


def _refuse(missing: str) -> None:
    message = f"spec.training.attention: flash_attention_2 needs {missing}; set sdpa, or leave it out"
    raise UserError(Reason.ORDER_INVALID, message)
