"""Running out of memory: the next attempt takes half as many examples at once, or the user has to choose otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from finetune_api.conditions import Reason
from finetune_trainer.failures import InfrastructureError, MemoryExhausted, UserError
from finetune_trainer.train.devices import Device
from finetune_trainer.train.portions import Portions, remember_smaller

_WORDS = ("DefaultCPUAllocator", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "not enough memory")


@dataclass(frozen=True)
class Remedies:
    """Which fields to change, on a GPU and on the CPU."""

    gpu: str
    cpu: str


TRAINING = Remedies(
    gpu="set spec.quantization: nf4, lower spec.training.sequenceLength, or use a GPU with more memory",
    cpu="raise spec.resources.memory, or lower spec.training.sequenceLength",
)
EVALUATION = Remedies(
    gpu="use a GPU with more memory, shorten the suite's examples, or evaluate a quantized model",
    cpu="raise spec.resources.memory",
)


@contextmanager
def loading_fits(device: Device, remedies: Remedies = TRAINING) -> Iterator[None]:
    """While the model is loaded: smaller portions would not help."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise too_large(device.is_gpu, "the base model alone does not fit", remedies) from error
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
            raise too_large(device.is_gpu, "not even one example at a time fits", TRAINING) from error
        raise MemoryExhausted(
            f"{portions.micro_batch_size} examples at once do not fit into memory; the next attempt takes {smaller} "
            f"at once, {portions.micro_batch_size * portions.accumulation} a step as before, from the last checkpoint"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """The CPU's allocator raises a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def too_large(is_gpu: bool, what: str, remedies: Remedies) -> UserError:
    if is_gpu:
        return UserError(Reason.INSUFFICIENT_GPU_MEMORY, f"{what} into the GPU's memory: {remedies.gpu}")
    return UserError(Reason.HOST_MEMORY_EXCEEDED, f"{what} into the pod's memory: {remedies.cpu}")


def _raise_device_failure(error: BaseException) -> None:
    if isinstance(error, torch.AcceleratorError):
        raise InfrastructureError(Reason.DEVICE_FAILED, f"the GPU failed: {error}") from error
