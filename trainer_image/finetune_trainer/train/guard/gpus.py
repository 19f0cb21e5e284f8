"""GPUs as NVML shows them. What one of them does not tell is None; that never fails a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Reading:
    """One GPU at one moment."""

    time: float
    """Seconds, of the clock that rests are counted by."""
    watts: float | None = None
    celsius: float | None = None
    """Whole degrees, as NVML gives them."""
    utilization: float | None = None
    """0 to 1."""
    memory_bytes: int | None = None
    joules: float | None = None
    """The GPU's own counter, which started long ago and may start anew."""
    error: str | None = None
    """Why nothing at all was read."""


class Gpu:
    """One GPU of this process. Raises pynvml.NVMLError where it cannot be found."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.uuid: str = pynvml.nvmlDeviceGetUUID(handle)
        self.product: str = pynvml.nvmlDeviceGetName(handle)

    @property
    def is_partitioned(self) -> bool:
        """Whether it is cut into MIG slices."""
        modes = _known(lambda: pynvml.nvmlDeviceGetMigMode(self._handle))
        return modes is not None and modes[0] == pynvml.NVML_DEVICE_MIG_ENABLE

    def read(self, now: float) -> Reading:
        handle = self._handle
        try:
            milliwatts = _known(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
            celsius = _known(lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
            rates = _known(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
            memory = _known(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
            millijoules = _known(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except pynvml.NVMLError as error:
            return Reading(now, error=str(error))
        return Reading(
            time=now,
            watts=None if milliwatts is None else milliwatts / 1000,
            celsius=None if celsius is None else float(celsius),
            utilization=None if rates is None else rates.gpu / 100,
            memory_bytes=None if memory is None else int(memory.used),
            joules=None if millijoules is None else millijoules / 1000,
        )


def _known(ask: Callable[[], _Value]) -> _Value | None:
    """None where this kind of GPU does not tell; other errors mean that it does not answer."""
    try:
        return ask()
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NoPermission, pynvml.NVMLError_FunctionNotFound):
        return None


def by_bus(bus_ids: Sequence[str]) -> tuple[Gpu, ...]:
    """The GPUs at these PCI addresses: CUDA's numbering is not NVML's."""
    pynvml.nvmlInit()
    return tuple(Gpu(pynvml.nvmlDeviceGetHandleByPciBusId(bus_id)) for bus_id in bus_ids)


def first(count: int) -> tuple[Gpu, ...]:
    """The first so many GPUs, where no CUDA tells which are meant."""
    pynvml.nvmlInit()
    return tuple(Gpu(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count))
