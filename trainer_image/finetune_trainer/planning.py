"""What is decided before a GPU is asked for: how the weights are kept, and in which portions the model learns."""

from __future__ import annotations

import math

from finetune_api.conditions import Reason
from finetune_api.finetunejob import Training
from finetune_api.orders import PrepareTrainingOrder
from finetune_api.planning import TrainingPlan
from finetune_api.quantization import Method, Precision, Quantization
from finetune_trainer.cpu_features import multiplies_bfloat16
from finetune_trainer.failures import UserError

GPU_TOKENS_AT_ONCE = 8192
"""A GPU wants a few thousand tokens at once: reading 4-bit weights costs the same for 256 tokens as for 4096."""
CPU_TOKENS_AT_ONCE = 2048
"""A CPU is busy with a few hundred; more only takes memory."""


def make_plan(order: PrepareTrainingOrder, examples: int, longest: int) -> TrainingPlan:
    """The plan for so many training examples, of which the longest has so many tokens."""
    method, quantization = resolve_method(order.method, order.quantization)
    micro_batch_size = _micro_batch_size(order.training, longest, order.gpus)
    steps_per_epoch = math.ceil(examples / order.training.effective_batch_size)
    return TrainingPlan(
        method=method,
        quantization=quantization,
        precision=_precision(order.gpus),
        micro_batch_size=micro_batch_size,
        gradient_accumulation=order.training.effective_batch_size // micro_batch_size,
        steps=steps_per_epoch * order.training.epochs,
        steps_per_epoch=steps_per_epoch,
    )


def resolve_method(method: Method, quantization: Quantization | None) -> tuple[Method, Quantization]:
    """lora keeps the weights as they are, qlora quantizes them; what is left open follows from the other."""
    is_quantized = quantization not in (None, Quantization.NONE)
    if method is Method.LORA and is_quantized:
        raise UserError(Reason.ORDER_INVALID, "spec.quantization: method lora does not quantize; set method qlora")
    if method is Method.QLORA and quantization is Quantization.NONE:
        raise UserError(Reason.ORDER_INVALID, "spec.quantization: method qlora needs int8 or nf4")
    if method is Method.QLORA or is_quantized:
        return Method.QLORA, quantization or Quantization.NF4
    return Method.LORA, Quantization.NONE


def _precision(gpus: int) -> Precision:
    return Precision.BFLOAT16 if gpus or multiplies_bfloat16() else Precision.FLOAT32


def _micro_batch_size(training: Training, longest: int, gpus: int) -> int:
    """The largest divisor of the effective batch size whose tokens are not too many at once."""
    effective = training.effective_batch_size
    if training.micro_batch_size is not None:
        _check_divides(training.micro_batch_size, effective)
        return training.micro_batch_size
    tokens_at_once = GPU_TOKENS_AT_ONCE if gpus else CPU_TOKENS_AT_ONCE
    limit = max(1, tokens_at_once // max(1, min(longest, training.sequence_length)))
    return largest_divisor(effective, limit)


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is not above a limit."""
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)


def _check_divides(micro_batch_size: int, effective: int) -> None:
    if effective % micro_batch_size:
        raise UserError(
            Reason.ORDER_INVALID,
            f"spec.training.microBatchSize: {micro_batch_size} must divide effectiveBatchSize {effective}",
        )
