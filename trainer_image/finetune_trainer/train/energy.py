"""GPU energy, from the counter that the GPU itself keeps (Volta and later)."""

from __future__ import annotations

import pynvml


class EnergyMeter:
    """Energy of one GPU since the meter was made."""

    note: str | None = None

    def __init__(self, bus_id: str) -> None:
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        self._start = self._millijoules()

    def joules(self) -> float | None:
        """None when the GPU stopped answering; the training does not fail for that."""
        try:
            return (self._millijoules() - self._start) / 1000
        except pynvml.NVMLError:
            return None

    def _millijoules(self) -> int:
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))


class NoMeter:
    """Says why there is no figure: an estimate from the rated power would look like a measurement."""

    def __init__(self, note: str) -> None:
        self.note = note

    def joules(self) -> float | None:
        return None


def meter_for(bus_id: str | None) -> EnergyMeter | NoMeter:
    """The meter of a GPU, named by its PCI bus; None stands for the CPU."""
    if bus_id is None:
        return NoMeter("not measured: no GPU")
    try:
        return EnergyMeter(bus_id)
    except pynvml.NVMLError as error:
        return NoMeter(f"not measured: {error}")
