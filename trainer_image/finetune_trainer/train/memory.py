"""Running out of memory: the next attempt takes smaller portions, or the user has to choose otherwise."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from finetune_api.conditions import Reason
from finetune_api.quantization import Quantization
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

    def told(self, is_gpu: bool) -> str:
        owner, fields = ("GPU", self.gpu) if is_gpu else ("pod", self.cpu)
        return f"{self.what} into the {owner}'s memory: {fields}"


EVALUATION = Remedies(
    gpu="use a GPU with more memory, shorten the suite's examples, or evaluate a quantized model",
    cpu="raise spec.resources.memory",
)
ANSWERING = replace(EVALUATION, what="not even one example at a time fits")
MERGING = Remedies(
    gpu="use a GPU with more memory, and only the merge is done anew; or leave spec.export.merged out",
    cpu="raise spec.resources.memory, and only the merge is done anew; or leave spec.export.merged out",
    what="the model that the adapter is merged into does not fit",
)


def loading_remedies(quantization: Quantization) -> Remedies:
    """Where the base model to train does not fit in the form that it was planned in."""
    return Remedies(
        gpu=f"{_smaller_weights(quantization)}use GPUs with more memory",
        cpu="raise spec.resources.memory",
    )


def learning_remedies(quantization: Quantization, longest: int) -> Remedies:
    """Where the smallest portions do not fit; the longest example has so many tokens."""
    shorter = f"lower spec.training.sequenceLength (the longest example takes {longest} tokens)"
    return Remedies(
        gpu=f"{shorter}, or {_smaller_weights(quantization)}use GPUs with more memory",
        cpu=f"raise spec.resources.memory, or {shorter}",
        what="not even one example at a time fits",
    )


def _smaller_weights(quantization: Quantization) -> str:
    return "" if quantization is Quantization.NF4 else "set spec.quantization: nf4, or "


@contextmanager
def loading_fits(device: Device, remedies: Remedies) -> Iterator[None]:
    """While a model is loaded, or merged: smaller portions would not help."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise too_large(_is_of_gpu(error, device), remedies) from error
        _raise_device_failure(error)
        raise


@contextmanager
def learning_fits(
    device: Device, portions: Portions, longest: int, quantization: Quantization, folder: Path
) -> Iterator[None]:
    """While the model learns: remembers smaller portions for the next attempt. `longest` is the longest example.
    UserError (OutOfMemory) where there are none: another attempt would end the same."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            _raise_device_failure(error)
            raise
        smaller = next_smaller(portions, longest)
        if smaller is None:
            is_gpu = _is_of_gpu(error, device)
            raise UserError(Reason.OUT_OF_MEMORY, learning_remedies(quantization, longest).told(is_gpu)) from error
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


def too_large(is_gpu: bool, remedies: Remedies) -> UserError:
    """What no portions would help."""
    return UserError(Reason.INSUFFICIENT_GPU_MEMORY if is_gpu else Reason.HOST_MEMORY_EXCEEDED, remedies.told(is_gpu))


def _raise_device_failure(error: BaseException) -> None:
    if isinstance(error, torch.AcceleratorError):
        raise InfrastructureError(Reason.DEVICE_FAILED, f"the GPU failed: {error}") from error
