"""Running out of memory: the next attempt takes smaller portions, or the user has to choose otherwise."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from finetune_api.conditions import Reason
from finetune_trainer.failures import InfrastructureError, MemoryExhausted, UserError
from finetune_trainer.train.devices import Device
from finetune_trainer.train.portions import Portions, next_smaller, remember

_CPU_WORDS = "DefaultCPUAllocator"
_WORDS = (_CPU_WORDS, "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "not enough memory")


@dataclass(frozen=True)
class Remedies:
    """Which fields to change, on a GPU and on the CPU."""

    gpu: str
    cpu: str
    what: str = "the base model alone does not fit"
    """Where no portions would help."""


TRAINING = Remedies(
    gpu="set spec.quantization: nf4, lower spec.training.sequenceLength, or use a GPU with more memory",
    cpu="raise spec.resources.memory, or lower spec.training.sequenceLength",
)
EVALUATION = Remedies(
    gpu="use a GPU with more memory, shorten the suite's examples, or evaluate a quantized model",
    cpu="raise spec.resources.memory",
)
MERGING = Remedies(
    gpu="use a GPU with more memory, and only the merge is done anew; or leave spec.export.merged out",
    cpu="raise spec.resources.memory, and only the merge is done anew; or leave spec.export.merged out",
    what="the model that the adapter is merged into does not fit",
)


@contextmanager
def loading_fits(device: Device, remedies: Remedies = TRAINING) -> Iterator[None]:
    """While a model is loaded, or merged: smaller portions would not help."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise too_large(_is_of_gpu(error, device), remedies.what, remedies) from error
        _raise_device_failure(error)
        raise


@contextmanager
def learning_fits(device: Device, portions: Portions, longest: int, folder: Path) -> Iterator[None]:
    """While the model learns: remembers smaller portions for the next attempt. `longest` is the longest example."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            _raise_device_failure(error)
            raise
        smaller = next_smaller(portions, longest)
        if smaller is None:
            raise too_large(_is_of_gpu(error, device), "not even one example at a time fits", TRAINING) from error
        remember(smaller, folder)
        raise MemoryExhausted(_what_follows(portions, smaller)) from error


def _what_follows(portions: Portions, smaller: Portions) -> str:
    if smaller.pack_length != portions.pack_length:
        return (
            f"a row of {portions.pack_length} tokens does not fit into memory; the next attempt fills rows of "
            f"{smaller.pack_length}, {smaller.rows_per_step} a step. These are other steps, so it starts anew"
        )
    if smaller.activation_checkpointing != portions.activation_checkpointing:
        return (
            "one example at a time does not fit into memory; the next attempt computes activations twice instead of "
            "keeping them (activation checkpointing), and goes on from the last checkpoint"
        )
    return (
        f"{portions.micro_batch_size} examples at once do not fit into memory; the next attempt takes "
        f"{smaller.micro_batch_size} at once, {smaller.rows_per_step} a step as before, from the last checkpoint"
    )


def release_memory(device: Device) -> None:
    """Frees what a model that is no longer used held, before another one is loaded."""
    gc.collect()
    if device.is_gpu:
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """The CPU's allocator raises a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def _is_of_gpu(error: BaseException, device: Device) -> bool:
    """Beside a GPU, the pod's own memory may be what is too small."""
    return device.is_gpu and not isinstance(error, MemoryError) and _CPU_WORDS not in str(error)


def too_large(is_gpu: bool, what: str, remedies: Remedies) -> UserError:
    if is_gpu:
        return UserError(Reason.INSUFFICIENT_GPU_MEMORY, f"{what} into the GPU's memory: {remedies.gpu}")
    return UserError(Reason.HOST_MEMORY_EXCEEDED, f"{what} into the pod's memory: {remedies.cpu}")


def _raise_device_failure(error: BaseException) -> None:
    if isinstance(error, torch.AcceleratorError):
        raise InfrastructureError(Reason.DEVICE_FAILED, f"the GPU failed: {error}") from error
