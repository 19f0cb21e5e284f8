"""What the training computes on, and how much memory that took."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

import torch

from finetune_api.conditions import Reason
from finetune_api.orders import COMPUTE_VARIABLE
from finetune_trainer.failures import InfrastructureError
from finetune_trainer.membership import membership

_CPU = "cpu"


@dataclass(frozen=True)
class Device:
    """A GPU, or the CPU."""

    name: str

    @property
    def is_gpu(self) -> bool:
        return self.name != _CPU

    @property
    def product(self) -> str:
        """The GPU's model as its driver names it, or `cpu`."""
        return str(torch.cuda.get_device_name(self.name)) if self.is_gpu else _CPU

    def bus_ids(self, gpus: int) -> tuple[str, ...]:
        """Where the node's first so many GPUs sit, as NVML names it; empty for the CPU. (CUDA's numbering is not
        NVML's.)"""
        return tuple(_bus_id(index) for index in range(gpus)) if self.is_gpu else ()

    def settle(self) -> None:
        """Waits until the GPU has done all that it was given."""
        if self.is_gpu:
            torch.cuda.synchronize(self.name)

    def peak_memory_bytes(self) -> int:
        """Most memory in use so far: what was reserved on the GPU, or the process's own."""
        if self.is_gpu:
            return int(torch.cuda.max_memory_reserved(self.name))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


HOST_MEMORY = Device(_CPU)


def _bus_id(index: int) -> str:
    properties = torch.cuda.get_device_properties(index)
    return f"{properties.pci_domain_id:08x}:{properties.pci_bus_id:02x}:{properties.pci_device_id:02x}.0"


def choose_device(gpus: int) -> Device:
    """The GPU that was asked for; of several, this process's. Falling back to the CPU by itself would take days and
    look like progress."""
    if gpus == 0 or os.environ.get(COMPUTE_VARIABLE) == _CPU:
        return Device(_CPU)
    if not torch.cuda.is_available():
        raise InfrastructureError(
            Reason.DEVICE_FAILED,
            "a GPU was asked for, but the container sees none that CUDA can use: check the node's driver and device "
            "plugin (nvidia-smi on the node), or set spec.resources.gpus: 0 to compute on the CPU",
        )
    member = membership()
    index = 0 if member is None else member.local_rank
    if index >= torch.cuda.device_count():
        raise InfrastructureError(
            Reason.DEVICE_FAILED,
            f"{gpus} GPUs were asked for, but the container sees {torch.cuda.device_count()}: check the node's device "
            "plugin (nvidia-smi on the node)",
        )
    return Device(f"cuda:{index}")
