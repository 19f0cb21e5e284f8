"""Running out of memory: the next attempt takes half as many examples at once, or the user has to choose otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from finetune_api.conditions import Reason
from finetune_trainer.failures import InfrastructureError, MemoryExhausted, UserError
from finetune_trainer.train.devices import Device
from finetune_trainer.train.portions import Portions, remember_smaller

_WORDS = ("DefaultCPUAllocator", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "not enough memory")


@contextmanager
def loading_fits(device: Device) -> Iterator[None]:
    """While the model is loaded: smaller portions would not help."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise _too_large(device, "the base model alone does not fit") from error
        _raise_device_failure(error)
        raise


@contextmanager
def learning_fits(device: Device, portions: Portions, folder: Path) -> Iterator[None]:
    """While the model learns: remembers smaller portions for the next attempt."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            _raise_device_failure(error)
            raise
        smaller = remember_smaller(portions, folder)
        if smaller is None:
            raise _too_large(device, "not even one example at a time fits") from error
        raise MemoryExhausted(
            f"{portions.micro_batch_size} examples at once do not fit into memory; the next attempt takes {smaller} "
            f"at once, {portions.micro_batch_size * portions.accumulation} a step as before, from the last checkpoint"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """The CPU's allocator raises a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def _too_large(device: Device, what: str) -> UserError:
    if device.is_gpu:
        remedy = "set spec.quantization: nf4, lower spec.training.sequenceLength, or use a GPU with more memory"
        return UserError(Reason.INSUFFICIENT_GPU_MEMORY, f"{what} into the GPU's memory: {remedy}")
    remedy = "raise spec.resources.memory, or lower spec.training.sequenceLength"
    return UserError(Reason.HOST_MEMORY_EXCEEDED, f"{what} into the pod's memory: {remedy}")


def _raise_device_failure(error: BaseException) -> None:
    if isinstance(error, torch.AcceleratorError):
        raise InfrastructureError(Reason.DEVICE_FAILED, f"the GPU failed: {error}") from error
